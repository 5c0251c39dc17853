//! The written forms of `[tokens]`: algorithms, uses, lifetimes, end dates.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::authn::algorithm::Algorithm;
use crate::authn::keys::{KeyId, KeyUse};
use crate::clock::Timestamp;
use crate::config::{FromToml, Value, Wrong};

/// Longest life of a token: a browser keeps no cookie longer either (RFC 6265bis).
const LONGEST_LIFETIME: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// How long tokens live: a duration, or the seconds that an environment variable holds.
pub struct Lifetime(pub Duration);

impl FromToml for Lifetime {
    const EXPECTED: &'static str =
        "a duration such as \"15m\" or \"30d\", or { env = \"…\" } of a number of seconds";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        let lifetime = match value.as_table() {
            None => Duration::from_toml(value)
                .map_err(|_| Wrong::Expected(String::from(Self::EXPECTED)))?,
            Some(mut table) => {
                let name = table.required::<String>("env");
                table.finish();
                let name = name.ok_or(Wrong::Reported)?;
                let value = std::env::var_os(&name).ok_or_else(|| {
                    Wrong::Refused(format!("environment variable {name} is not set"))
                })?;
                let seconds = value.to_str().and_then(|text| text.trim().parse().ok());
                Duration::from_secs(seconds.ok_or_else(|| {
                    Wrong::Refused(format!(
                        "environment variable {name}: not a number of seconds"
                    ))
                })?)
            }
        };
        if lifetime < Duration::from_secs(1) || lifetime > LONGEST_LIFETIME {
            return Err(Wrong::Refused(String::from(
                "tokens live for a second at least, and for 400 days at most",
            )));
        }
        Ok(Self(lifetime))
    }
}

impl FromToml for Algorithm {
    const EXPECTED: &'static str =
        "HS256, HS384, HS512, RS256, RS384, RS512, ES256, ES384, ES512, PS256 or EdDSA";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        value
            .as_str()
            .and_then(|name| Algorithm::parse(name).ok())
            .ok_or_else(|| Wrong::Expected(String::from(Self::EXPECTED)))
    }
}

impl FromToml for KeyId {
    const EXPECTED: &'static str = "1 to 128 printable ASCII characters";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        value
            .as_str()
            .and_then(|id| KeyId::parse(id).ok())
            .ok_or_else(|| Wrong::Expected(String::from(Self::EXPECTED)))
    }
}

impl FromToml for KeyUse {
    const EXPECTED: &'static str = r#""sign", "verify" or "assert""#;

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        match value.as_str() {
            Some("sign") => Ok(KeyUse::Sign),
            Some("verify") => Ok(KeyUse::Verify),
            Some("assert") => Ok(KeyUse::Assert),
            Some(_) | None => Err(Wrong::Expected(String::from(Self::EXPECTED))),
        }
    }
}

/// Whose tokens a key signs, as it is written.
#[derive(PartialEq, Eq)]
pub(super) enum WrittenOrigin {
    Ours,
    Foreign,
}

impl FromToml for WrittenOrigin {
    const EXPECTED: &'static str = r#""ours" or "foreign""#;

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        match value.as_str() {
            Some("ours") => Ok(WrittenOrigin::Ours),
            Some("foreign") => Ok(WrittenOrigin::Foreign),
            Some(_) | None => Err(Wrong::Expected(String::from(Self::EXPECTED))),
        }
    }
}

/// A day (its first moment in UTC) or a moment with its offset from UTC.
pub(super) struct EndDate(pub(super) Timestamp);

impl FromToml for EndDate {
    const EXPECTED: &'static str = "a day such as 2027-01-31, or 2027-01-31T12:00:00Z";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        let text = value.as_datetime().or(value.as_str().map(str::to_owned));
        text.and_then(|text| end_date(&text))
            .map(EndDate)
            .ok_or_else(|| Wrong::Expected(String::from(Self::EXPECTED)))
    }
}

pub(super) fn end_date(text: &str) -> Option<Timestamp> {
    let moment = match text.len() {
        10 => OffsetDateTime::parse(&format!("{text}T00:00:00Z"), &Rfc3339),
        _ => OffsetDateTime::parse(text, &Rfc3339),
    };
    Some(Timestamp::from_seconds(moment.ok()?.unix_timestamp()))
}
