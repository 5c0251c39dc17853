//! An account as the rest of the program sees it: never with its password.

use std::fmt;

use super::attributes::Attributes;
use super::email::EmailAddress;
use super::name::{DisplayName, Username};
use crate::clock::Timestamp;
use crate::secret;

/// A person's account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub id: AccountId,
    /// As it was given, but for blanks around it and the case of its domain.
    pub email: EmailAddress,
    pub email_verified: bool,
    pub username: Option<Username>,
    pub name: DisplayName,
    /// In the order in which they were given; the first is the claim `role`.
    pub roles: Vec<Role>,
    pub attributes: Attributes,
    pub status: Status,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Whether an account may be used. A deleted account is not found at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    Active,
    /// Registered, and waits for an operator's approval.
    Pending,
    /// Stopped for abuse, by the gateway or an operator.
    Locked,
    /// Stopped by an operator.
    Disabled,
}

impl Status {
    /// The word in the database, in logs and on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pending => "pending",
            Self::Locked => "locked",
            Self::Disabled => "disabled",
        }
    }

    /// The status with this word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Active, Self::Pending, Self::Locked, Self::Disabled]
            .into_iter()
            .find(|status| status.word() == word)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Longest id of an account, in octets.
const MAX_ID: usize = 64;

/// The claim `sub` of its tokens: a UUIDv4 (RFC 9562 §5.4), or for an account that was imported the
/// id that it had, since the rows of backends are keyed by it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId {
    /// Zeros after its end, which no id has.
    octets: [u8; MAX_ID],
}

/// The text is not the id of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id is a UUID, or 1 to 64 letters, digits and `-_:|`")]
pub struct NotAnAccountId;

impl AccountId {
    pub fn random() -> Self {
        let random = u128::from_be_bytes(secret::random());
        let version = (random & !(0xf << 76)) | (0x4 << 76);
        let id = (version & !(0x3 << 62)) | (0x2 << 62);
        Self::of(&format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            id >> 96,
            (id >> 80) & 0xffff,
            (id >> 64) & 0xffff,
            (id >> 48) & 0xffff,
            id & 0xffff_ffff_ffff,
        ))
    }

    /// Reads an id. The case of a UUID's letters does not matter; that of any other id does.
    pub fn parse(text: &str) -> Result<Self, NotAnAccountId> {
        if is_uuid(text) {
            return Ok(Self::of(&text.to_ascii_lowercase()));
        }
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_:|".contains(&byte);
        if text.is_empty() || text.len() > MAX_ID || !text.bytes().all(fits) {
            return Err(NotAnAccountId);
        }
        Ok(Self::of(text))
    }

    /// Whether it could have been made anywhere and is nobody else's all the same.
    pub fn is_uuid(&self) -> bool {
        is_uuid(self.as_str())
    }

    pub fn as_str(&self) -> &str {
        let length = self.octets.iter().position(|octet| *octet == 0);
        let written = self.octets.get(..length.unwrap_or(MAX_ID));
        written
            .and_then(|written| std::str::from_utf8(written).ok())
            .unwrap_or_default()
    }

    /// The id with this text, which fits.
    fn of(text: &str) -> Self {
        let mut octets = [0; MAX_ID];
        for (to, from) in octets.iter_mut().zip(text.bytes()) {
            *to = from;
        }
        Self { octets }
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountId({self})")
    }
}

fn is_uuid(text: &str) -> bool {
    let mut bytes = text.bytes().enumerate();
    text.len() == 36
        && bytes.all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// What an account may do, by name: a word without blanks or commas, since roles travel in one
/// header as a list with commas.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Role(String);

/// The text is not the name of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a role is 1 to 64 letters, digits and `-_.:`")]
pub struct NotARole;

impl Role {
    /// What was parsed before it was stored: a rule that has become stricter since must not lock
    /// its owner out.
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }

    pub fn parse(text: &str) -> Result<Self, NotARole> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
        if text.is_empty() || text.len() > 64 || !text.chars().all(fits) {
            return Err(NotARole);
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_uuid_of_version_4_and_reads_back() {
        let id = AccountId::random();
        let text = id.to_string();
        assert_eq!(text.len(), 36);
        assert_eq!(&text[14..15], "4");
        assert!("89ab".contains(&text[19..20]));
        assert_eq!(AccountId::parse(&text), Ok(id));
        assert_eq!(AccountId::parse(&text.to_uppercase()), Ok(id));
    }

    #[test]
    fn an_imported_id_stays_as_it_was() {
        for text in [
            "1",
            "507f1f77bcf86cd799439011",
            "auth0|5F7c8",
            "0123456-789ab-4def-8123-456789abcdef",
            &"x".repeat(64),
        ] {
            let id = AccountId::parse(text).unwrap();
            assert_eq!(id.to_string(), text);
            assert!(!id.is_uuid());
        }
        assert_ne!(AccountId::parse("a"), AccountId::parse("A"));
    }

    #[test]
    fn what_could_not_stand_in_a_header_or_a_cookie_is_not_an_id() {
        for text in ["", "a b", "a,b", "a.b", "a@b", "é", "a\0", &"x".repeat(65)] {
            assert_eq!(AccountId::parse(text), Err(NotAnAccountId), "{text}");
        }
    }

    #[test]
    fn a_role_has_neither_blank_nor_comma() {
        assert!(Role::parse("org:admin").is_ok());
        for text in ["", "a,b", "a b", "é", "a\n"] {
            assert_eq!(Role::parse(text), Err(NotARole), "{text:?}");
        }
    }
}
