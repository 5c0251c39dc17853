//! What a token says: claims as they are read from one, and as we put them into one.

mod dates;
mod issue;
mod texts;

use serde_json::{Map, Value};

pub(super) use issue::fresh_id;
pub use issue::{AccessTokenClaims, Lifetimes};

use crate::accounts::{AccountId, SessionId};
use crate::clock::Timestamp;

use dates::{Dates, unique_members};
use texts::Texts;

/// The value of `amr` that says so by itself, and what our own tokens say (RFC 8176 §2).
const MULTIPLE_FACTORS: &str = "mfa";
const BY_TWO_FACTORS: &[&str] = &["pwd", "otp", MULTIPLE_FACTORS];

/// The claim that holds attributes of the account, by name.
pub const ATTRIBUTES: &str = "attributes";

/// Why a token is refused. Nothing of the token is in it: it may go into a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("it is not a compact JWS")]
    Malformed,
    #[error("it is longer than {} bytes", super::jws::MAX_TOKEN)]
    TooLong,
    #[error("its header has `{0}`")]
    Header(&'static str),
    #[error("its `typ` is not that of an access token")]
    Type,
    #[error("no key has its algorithm and `kid`")]
    NoKey,
    #[error("its signature does not hold")]
    Signature,
    #[error("its claims are not a JSON object with unique names")]
    Payload,
    #[error("its claim `{0}` is missing")]
    Missing(&'static str),
    #[error("its claim `{0}` is malformed")]
    Claim(&'static str),
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet")]
    Early,
    #[error("another issuer made it")]
    Issuer,
    #[error("it is for another audience")]
    Audience,
    #[error("the key that signed it has reached its end date")]
    Retired,
}

/// The claims of a token whose signature held. Shared with the token cache.
#[derive(Clone, Debug)]
pub struct Claims {
    subject: Box<str>,
    session: Option<SessionId>,
    /// Another issuer made it, who gives out ids of its own.
    foreign: bool,
    dates: Dates,
    texts: Texts,
    roles: Vec<Box<str>>,
    all: Map<String, Value>,
    size: usize,
}

impl Claims {
    /// Reads a claims set (RFC 7519 §4), strictly: unique names, dates that are whole
    /// non-negative numbers, an `exp`.
    pub fn parse(payload: &[u8]) -> Result<Self, TokenError> {
        let mut all = unique_members(payload).ok_or(TokenError::Payload)?;
        let (subject, roles) = (subject(&all)?, roles(&all));
        all.entry("sub").or_insert_with(|| Value::from(&*subject));
        if !roles.is_empty() {
            let listed = roles.iter().map(|role| Value::from(&**role));
            all.insert(String::from("roles"), listed.collect());
        }
        Ok(Self {
            subject,
            session: session(&all)?,
            foreign: false,
            dates: Dates::read(&all)?,
            texts: Texts::read(&all)?,
            roles,
            size: payload.len(),
            all,
        })
    }

    /// `sub`; a token of an old backend that has none is named by its `user_id` or `uuid`.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The account of ours that the subject is. Another issuer's `42` is not ours; its UUID may be,
    /// when the same person's rows have it here and there.
    pub fn account(&self) -> Option<AccountId> {
        let id = AccountId::parse(&self.subject).ok()?;
        (!self.foreign || id.is_uuid()).then_some(id)
    }

    /// The same claims, made by another issuer, whose `sid` names no session of ours.
    pub(super) fn foreign(self) -> Self {
        Self {
            foreign: true,
            session: None,
            ..self
        }
    }

    /// `sid`: every token of ours names its session; others have none.
    pub fn session(&self) -> Option<SessionId> {
        self.session
    }

    pub fn expires(&self) -> Timestamp {
        self.dates.expires
    }

    pub fn not_before(&self) -> Option<Timestamp> {
        self.dates.not_before
    }

    pub fn issued_at(&self) -> Option<Timestamp> {
        self.dates.issued_at
    }

    /// The octets of `iss`.
    pub fn issuer(&self) -> Option<&[u8]> {
        self.texts.issuer()
    }

    /// The octets of each `aud`.
    pub fn audience(&self) -> impl Iterator<Item = &[u8]> {
        self.texts.audience()
    }

    /// The strings of `roles` and `role`, each once.
    pub fn roles(&self) -> &[Box<str>] {
        &self.roles
    }

    /// Whether the claim `amr` says that more than one factor was shown (RFC 8176 §2).
    pub fn by_two_factors(&self) -> bool {
        let methods = self.all.get("amr").and_then(Value::as_array);
        methods.is_some_and(|methods| methods.iter().any(|method| method == MULTIPLE_FACTORS))
    }

    /// Any claim, as it stands in the token; `sub` and `roles` are there too when an old backend's
    /// token says them as `user_id`, `uuid` or `role`.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.all.get(name)
    }

    /// A claim as the value of a header field, `None` for those that can be none.
    /// `attributes.team` is the member `team` of the claim `attributes`.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.texts.field(name)
    }

    /// A claim that is a string.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.all.get(name).and_then(Value::as_str)
    }

    /// Length in bytes of the JSON that this was read from.
    pub fn size(&self) -> usize {
        self.size
    }
}

fn subject(all: &Map<String, Value>) -> Result<Box<str>, TokenError> {
    if let Some(sub) = text(all, "sub")? {
        return if sub.is_empty() {
            Err(TokenError::Claim("sub"))
        } else {
            Ok(sub.into())
        };
    }
    ["user_id", "uuid"]
        .into_iter()
        .find_map(|name| match all.get(name) {
            Some(Value::String(id)) if !id.is_empty() => Some(id.as_str().into()),
            Some(Value::Number(id)) if id.is_u64() => Some(id.to_string().into()),
            Some(_) | None => None,
        })
        .ok_or(TokenError::Missing("sub"))
}

/// `sid` as we write it: 32 hexadecimal digits. A session of another issuer's kind is not one of
/// ours, and counts as none.
fn session(all: &Map<String, Value>) -> Result<Option<SessionId>, TokenError> {
    let Some(sid) = text(all, "sid")? else {
        return Ok(None);
    };
    Ok(SessionId::parse(sid).ok())
}

fn roles(all: &Map<String, Value>) -> Vec<Box<str>> {
    let mut roles: Vec<Box<str>> = Vec::new();
    let listed = all.get("roles").and_then(Value::as_array);
    let named = [all.get("role"), all.get("roles")];
    for role in listed
        .into_iter()
        .flatten()
        .chain(named.into_iter().flatten())
    {
        if let Some(role) = role.as_str()
            && !role.is_empty()
            && !roles.iter().any(|known| **known == *role)
        {
            roles.push(role.into());
        }
    }
    roles
}

fn text<'a>(
    all: &'a Map<String, Value>,
    name: &'static str,
) -> Result<Option<&'a str>, TokenError> {
    match all.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(TokenError::Claim(name)),
    }
}
