//! Codes by which the login host hands a browser's session on to a further host: good once, for a
//! minute at most, for that host, in the browser that came from it.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::audit::Origin;
use super::{Accounts, BrowserSession, Keep, OpenedInBrowser};
use crate::secret::{self, Secret};
use crate::store::{IssueLoginCode, RedeemLoginCode, StoreError};

/// How long a code is good: a redirect takes a moment.
const LIFETIME: Duration = Duration::from_secs(60);

/// Most codes of one session that are good at a time: more than the hosts that a browser's tabs come from
/// within a minute.
const MOST: u32 = 20;

/// What a further host gives a browser that it sends to the login host. Only that browser has it
/// when it comes back, and nobody can plant one: a code for another ticket logs nobody in.
#[derive(Clone, Debug)]
pub struct Ticket(Secret);

/// The SHA-256 of a ticket: all that the login host, and whoever sees its URLs, learns of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TicketDigest([u8; 32]);

/// The SHA-256 of a code: what the database keeps. A code of 128 random bits needs no slow hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginCodeDigest([u8; 32]);

/// The text is not a ticket, or not the digest of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a ticket")]
pub struct NotATicket;

/// Where a code is good: on one host, in one browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoodFor {
    /// Without a port.
    pub host: String,
    pub ticket: TicketDigest,
}

impl Ticket {
    pub fn random() -> Self {
        let text = URL_SAFE_NO_PAD.encode(secret::random::<32>());
        Self(Secret::new(text.into_bytes()))
    }

    /// Reads the value of the browser's cookie.
    pub fn parse(text: &str) -> Result<Self, NotATicket> {
        octets(text)?;
        Ok(Self(Secret::new(text.as_bytes().to_vec())))
    }

    pub fn digest(&self) -> TicketDigest {
        TicketDigest(sha256(self.0.expose()))
    }

    /// The ticket, for the browser's cookie.
    pub fn expose(&self) -> &str {
        std::str::from_utf8(self.0.expose()).unwrap_or_default()
    }
}

impl TicketDigest {
    pub fn parse(text: &str) -> Result<Self, NotATicket> {
        octets(text).map(Self)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for TicketDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl LoginCodeDigest {
    pub(crate) fn of(code: &str) -> Self {
        Self(sha256(code.as_bytes()))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

fn octets(text: &str) -> Result<[u8; 32], NotATicket> {
    let octets = URL_SAFE_NO_PAD.decode(text).map_err(|_| NotATicket)?;
    octets.try_into().map_err(|_| NotATicket)
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let hash = digest::digest(&digest::SHA256, bytes);
    hash.as_ref().first_chunk().copied().unwrap_or_default()
}

impl Accounts {
    /// A code for a session; `None` when the session is over. The oldest of too many is good no more.
    pub async fn issue_login_code(
        &self,
        session: BrowserSession,
        good_for: GoodFor,
    ) -> Result<Option<String>, StoreError> {
        let code = self.0.code_ring.seal(&secret::random::<16>());
        let code = code.ok_or(StoreError::Closed)?;
        let at = self.now();
        let issue = IssueLoginCode {
            digest: LoginCodeDigest::of(&code),
            session,
            good_for,
            at,
            expires_at: at + LIFETIME,
            most: MOST,
        };
        let issued = self.store().commit(issue).await?;
        Ok(issued.then_some(code))
    }

    /// The session that a code stands for, with its cookie. `None` for whatever is not a code that
    /// is good now and for this; made up, it costs no query.
    pub async fn redeem_login_code(
        &self,
        code: &str,
        shown_for: GoodFor,
        origin: &Origin,
    ) -> Result<Option<OpenedInBrowser>, StoreError> {
        if self.0.code_ring.open(code).is_none() {
            return Ok(None);
        }
        let at = self.now();
        let redeem = RedeemLoginCode {
            digest: LoginCodeDigest::of(code),
            shown_for,
            at,
            origin: origin.clone(),
        };
        let Some(redeemed) = self.store().commit(redeem).await? else {
            return Ok(None);
        };
        self.audit().stored(&redeemed.entry);
        let max_age = match redeemed.session.keep {
            Keep::UntilClosed => None,
            Keep::Remembered => Some(redeemed.expires_at.since(at)),
        };
        self.cookie_of(redeemed.session, max_age).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_reads_back_and_its_digest_does_not_tell_it() {
        let ticket = Ticket::random();
        let shown = Ticket::parse(ticket.expose()).unwrap();
        assert_eq!(shown.digest(), ticket.digest());
        let digest = ticket.digest();
        assert_eq!(TicketDigest::parse(&digest.to_string()), Ok(digest));
        assert_ne!(digest.to_string(), ticket.expose());
        assert_ne!(Ticket::random().digest(), digest);
        assert!(!format!("{ticket:?}").contains(ticket.expose()));
    }

    #[test]
    fn nothing_else_is_a_ticket() {
        let good = "A".repeat(43);
        assert!(Ticket::parse(&good).is_ok());
        for text in [
            "",
            "A",
            &good[1..],
            &format!("{good}A"),
            &format!("{good}="),
            &" ".repeat(43),
        ] {
            assert!(Ticket::parse(text).is_err(), "{text}");
            assert!(TicketDigest::parse(text).is_err(), "{text}");
        }
    }
}
