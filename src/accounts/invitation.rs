//! Invitations: codes by which somebody may register, each so many times.

use std::fmt;
use std::fmt::Write as _;
use std::time::Duration;

use aws_lc_rs::digest;

use super::audit::{Entry, Event, Origin};
use super::{Accounts, Role};
use crate::clock::Timestamp;
use crate::secret::{self, Secret};
use crate::store::{CreateInvitation, RevokeInvitation, StoreError};

/// What codes begin with, so that people and scanners for leaked secrets know them.
const PREFIX: &str = "pci_";
/// Characters of a code behind its prefix: 128 bits in hexadecimal.
const DIGITS: usize = 32;

/// A code, as somebody was given it: whoever has it may register.
#[derive(Clone, Debug)]
pub struct InvitationCode(Secret);

/// The text is not an invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an invitation")]
pub struct NotAnInvitation;

/// The SHA-256 of a code: what the database keeps, and what names an invitation to operators. A code
/// of 128 random bits needs no slow hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvitationDigest(String);

/// An invitation as operators see it: never with its code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    pub digest: InvitationDigest,
    /// Of who registers by it.
    pub roles: Vec<Role>,
    /// How often it may be used in all.
    pub uses: u32,
    pub used: u32,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

/// An invitation that is to be made.
#[derive(Clone, Debug)]
pub struct NewInvitation {
    /// `None`: those of everybody who registers.
    pub roles: Option<Vec<Role>>,
    pub uses: u32,
    pub lifetime: Duration,
}

impl InvitationCode {
    fn random() -> Self {
        let number = u128::from_be_bytes(secret::random());
        Self(Secret::new(format!("{PREFIX}{number:032x}").into_bytes()))
    }

    /// Reads a code; blanks around it are dropped, as they come along when it is pasted.
    pub fn parse(text: &str) -> Result<Self, NotAnInvitation> {
        let text = text.trim();
        let digits = text.strip_prefix(PREFIX).ok_or(NotAnInvitation)?;
        let hexadecimal = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        if digits.len() != DIGITS || !digits.bytes().all(hexadecimal) {
            return Err(NotAnInvitation);
        }
        Ok(Self(Secret::new(text.as_bytes().to_vec())))
    }

    pub fn digest(&self) -> InvitationDigest {
        let hash = digest::digest(&digest::SHA256, self.0.expose());
        let mut text = String::with_capacity(64);
        for byte in hash.as_ref() {
            // Writing to memory does not fail.
            let written = write!(text, "{byte:02x}");
            debug_assert!(written.is_ok());
        }
        InvitationDigest(text)
    }

    /// The code, for the one time that it is shown.
    pub fn expose(&self) -> &str {
        std::str::from_utf8(self.0.expose()).unwrap_or_default()
    }
}

impl InvitationDigest {
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }

    pub fn parse(text: &str) -> Result<Self, NotAnInvitation> {
        let hexadecimal = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 64 || !text.bytes().all(hexadecimal) {
            return Err(NotAnInvitation);
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InvitationDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Invitation {
    /// Whether somebody may still register by it. What decides is the database, at the very moment.
    #[must_use]
    pub fn is_good(&self, now: Timestamp) -> bool {
        self.used < self.uses && now < self.expires_at
    }
}

impl Accounts {
    /// Makes an invitation. Its code is in the answer and nowhere else.
    pub async fn invite(
        &self,
        new: NewInvitation,
        origin: &Origin,
    ) -> Result<(Invitation, InvitationCode), StoreError> {
        let code = InvitationCode::random();
        let now = self.now();
        let invitation = Invitation {
            digest: code.digest(),
            roles: new
                .roles
                .unwrap_or_else(|| self.rules().default_roles.clone()),
            uses: new.uses,
            used: 0,
            created_at: now,
            expires_at: now + new.lifetime,
        };
        let entry = entry(Event::Invited(invitation.digest.clone()), origin);
        let create = CreateInvitation {
            invitation: invitation.clone(),
            entry: entry.clone(),
        };
        self.store().commit(create).await?;
        self.audit().stored(&entry);
        Ok((invitation, code))
    }

    /// The invitations by which somebody may register now, the newest first.
    pub async fn invitations(&self) -> Result<Vec<Invitation>, StoreError> {
        self.store().invitations(self.now()).await
    }

    /// Takes an invitation back: whether there was one. Who registered by it stays.
    pub async fn revoke_invitation(
        &self,
        digest: InvitationDigest,
        origin: &Origin,
    ) -> Result<bool, StoreError> {
        let entry = entry(Event::InvitationRevoked(digest.clone()), origin);
        let revoke = RevokeInvitation {
            digest,
            at: self.now(),
            entry: entry.clone(),
        };
        let revoked = self.store().commit(revoke).await?;
        if revoked {
            self.audit().stored(&entry);
        }
        Ok(revoked)
    }
}

fn entry(event: Event, origin: &Origin) -> Entry {
    Entry {
        event,
        account: None,
        session: None,
        origin: origin.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_reads_back_and_its_digest_names_it() {
        let code = InvitationCode::random();
        let pasted = InvitationCode::parse(&format!(" {}\n", code.expose())).unwrap();
        assert_eq!(pasted.digest(), code.digest());
        assert_ne!(InvitationCode::random().digest(), code.digest());
        assert_eq!(
            InvitationDigest::parse(code.digest().as_str()),
            Ok(code.digest())
        );
        assert!(!format!("{code:?}").contains(code.expose()));
    }

    #[test]
    fn nothing_else_is_a_code() {
        let good = format!("{PREFIX}{}", "a".repeat(32));
        assert!(InvitationCode::parse(&good).is_ok());
        for text in [
            "",
            PREFIX,
            &good[..good.len() - 1],
            &format!("{good}a"),
            &good.to_uppercase(),
            &good.replace("pci", "pck"),
            &format!("{PREFIX}{}", "g".repeat(32)),
        ] {
            assert!(InvitationCode::parse(text).is_err(), "{text}");
        }
    }
}
