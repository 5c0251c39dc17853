//! The text of a refresh token: session ‖ counter, sealed. The row of the session has the counter
//! that is good now, so a token's successor is computed, not stored.

use super::ring::Ring;
use super::session::{RefreshToken, SessionId};

/// What stands before a refresh token, so that scanners for leaked secrets know it.
const PREFIX: &str = "pcr_";

/// What a refresh token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refresh {
    pub(super) session: SessionId,
    pub(super) counter: u64,
}

impl Refresh {
    /// The token that follows this one.
    pub(super) fn successor(self) -> Self {
        Self {
            session: self.session,
            counter: self.counter.saturating_add(1),
        }
    }

    /// `None`: the ring has no key.
    pub(super) fn token(self, ring: &Ring) -> Option<RefreshToken> {
        let mut payload = Vec::with_capacity(24);
        payload.extend_from_slice(&self.session.to_bytes());
        payload.extend_from_slice(&self.counter.to_be_bytes());
        let sealed = ring.seal(&payload)?;
        Some(RefreshToken::new(format!("{PREFIX}{sealed}")))
    }

    /// Reads a token; `None` for whatever is not one of ours.
    pub(super) fn parse(text: &str, ring: &Ring) -> Option<Self> {
        let payload = ring.open(text.strip_prefix(PREFIX)?)?;
        let (session, counter) = payload.split_first_chunk()?;
        Some(Self {
            session: SessionId::from_bytes(*session),
            counter: u64::from_be_bytes(counter.try_into().ok()?),
        })
    }
}
