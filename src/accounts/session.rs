//! Sessions: one for each log-in; every token that we issue names one.

use std::fmt;

use super::user::{Account, AccountId};
use crate::clock::Timestamp;
use crate::inbound::ClientIp;
use crate::secret::{self, Secret};

/// Longest description of a device that is kept, in characters.
const MAX_DEVICE: usize = 200;

/// 128 random bits that name a session: the claim `sid`, 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u128);

/// The text is not the id of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a session")]
pub struct NotASessionId;

impl SessionId {
    pub fn random() -> Self {
        Self(u128::from_be_bytes(secret::random()))
    }

    pub fn parse(text: &str) -> Result<Self, NotASessionId> {
        let digits = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 32 || !text.bytes().all(digits) {
            return Err(NotASessionId);
        }
        u128::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| NotASessionId)
    }

    pub(super) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    pub(super) const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// How long a live session has been kept alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLife {
    /// When it was opened or last refreshed.
    pub refreshed_at: Timestamp,
    /// Unless it is refreshed before.
    pub expires_at: Timestamp,
}

/// What a session is used from, for its owner to recognise it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The client's `User-Agent`, shortened and without control characters; may be empty.
    pub name: String,
    pub client: Option<ClientIp>,
}

impl Device {
    pub fn new(user_agent: Option<&str>, client: Option<ClientIp>) -> Self {
        let name = user_agent.unwrap_or_default();
        Self {
            name: name
                .chars()
                .filter(|c| !c.is_control())
                .take(MAX_DEVICE)
                .collect(),
            client,
        }
    }
}

/// A session as its owner and operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub id: SessionId,
    pub account: AccountId,
    pub device: Device,
    pub created_at: Timestamp,
    pub last_used_at: Timestamp,
    /// When it ends unless it is refreshed before.
    pub expires_at: Timestamp,
}

/// By how much somebody has proved who they are (NIST SP 800-63B-4 §2: assurance levels 1 and 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factors {
    /// A password.
    One,
    /// A password and a second factor.
    Two,
}

/// Somebody who has proved who they are: what a session is opened for.
#[derive(Clone, Debug)]
pub struct Proof {
    pub account: Account,
    pub factors: Factors,
}

impl Proof {
    /// By a password, where that is enough.
    pub fn by_password(account: Account) -> Self {
        Self {
            account,
            factors: Factors::One,
        }
    }
}

/// A session that was just opened or refreshed, with the token for its next refresh.
#[derive(Clone, Debug)]
pub struct Opened {
    pub id: SessionId,
    /// The account as it is now: what an access token should say.
    pub account: Account,
    /// By which it was opened.
    pub factors: Factors,
    pub refresh: RefreshToken,
    /// When the refresh token stops working.
    pub expires_at: Timestamp,
}

/// A refresh token, ready to be handed out once.
#[derive(Clone, Debug)]
pub struct RefreshToken(Secret);

impl RefreshToken {
    pub(super) fn new(text: String) -> Self {
        Self(Secret::new(text.into_bytes()))
    }

    /// The text, for the one answer that carries it.
    pub fn expose(&self) -> &str {
        std::str::from_utf8(self.0.expose()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_id_reads_back_and_has_one_spelling() {
        let id = SessionId::random();
        assert_eq!(SessionId::parse(&id.to_string()), Ok(id));
        for text in [
            "",
            "abc",
            "ABCDEF0123456789ABCDEF0123456789",
            "+123456789abcdef0123456789abcdef",
        ] {
            assert_eq!(SessionId::parse(text), Err(NotASessionId), "{text}");
        }
    }

    #[test]
    fn a_device_is_short_and_clean() {
        let device = Device::new(Some(&format!("curl\r\n{}", "x".repeat(500))), None);
        assert_eq!(device.name.chars().count(), 200);
        assert!(!device.name.contains('\n'));
    }
}
