//! The parts of a claims set where lenient readers were tricked: dates, and names that come twice.

use std::fmt;

use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::clock::Timestamp;

use super::TokenError;

/// Above this a reader that keeps numbers as IEEE doubles sees another date (RFC 7493 §2.2).
const LARGEST: u64 = (1 << 53) - 1;

/// `exp`, `nbf` and `iat`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dates {
    pub(super) expires: Timestamp,
    pub(super) not_before: Option<Timestamp>,
    pub(super) issued_at: Option<Timestamp>,
}

impl Dates {
    pub(super) fn read(all: &Map<String, Value>) -> Result<Self, TokenError> {
        Ok(Self {
            expires: date(all, "exp")?.ok_or(TokenError::Missing("exp"))?,
            not_before: date(all, "nbf")?,
            issued_at: date(all, "iat")?,
        })
    }
}

/// Stricter than NumericDate (RFC 7519 §2): whole seconds, not negative, no string, no fraction.
fn date(all: &Map<String, Value>, name: &'static str) -> Result<Option<Timestamp>, TokenError> {
    let Some(value) = all.get(name) else {
        return Ok(None);
    };
    value
        .as_u64()
        .filter(|seconds| *seconds <= LARGEST)
        .and_then(|seconds| i64::try_from(seconds).ok())
        .map(|seconds| Some(Timestamp::from_seconds(seconds)))
        .ok_or(TokenError::Claim(name))
}

/// Reads a JSON object whose names are unique: of two `sub`, we and a backend might each believe
/// another (RFC 7519 §4 lets a reader refuse).
pub(super) fn unique_members(json: &[u8]) -> Option<Map<String, Value>> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let members = reader.deserialize_map(UniqueMembers).ok()?;
    reader.end().ok()?;
    Some(members)
}

struct UniqueMembers;

impl<'de> Visitor<'de> for UniqueMembers {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with unique names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut members = Map::new();
        while let Some((name, value)) = access.next_entry::<String, Value>()? {
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a name comes twice"));
            }
        }
        Ok(members)
    }
}
