//! How long somebody who was let in may stay: what a stream that outlives its request is judged by.

use std::time::Duration;

use super::keys::{Fingerprint, Key, Origin};
use super::rules::Tokens;
use super::token::Claims;
use crate::accounts::{ApiKeyId, Revocations, SessionId};
use crate::clock::Timestamp;

/// On what grounds a caller was let in, as far as they can go away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenure {
    pub grounds: Grounds,
    /// When the credential ends, unless its session was extended meanwhile.
    pub until: Timestamp,
    /// For how long one refresh of the session extends it.
    pub by: Duration,
    /// How long it stands while no news of revocations comes.
    pub max_staleness: Duration,
}

/// What has to stand for somebody to stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grounds {
    /// A session of ours: it may be extended.
    Session(SessionId),
    /// A token that names none, issued then, and the key that its signature was verified with.
    Token {
        issued_at: Timestamp,
        key: Fingerprint,
    },
    /// An API key; it was looked at when its owner had last lost something at that time.
    Key {
        id: ApiKeyId,
        owner_until: Option<Timestamp>,
    },
}

impl Grounds {
    /// Whether they have gone away for this subject.
    #[must_use]
    pub fn are_revoked(self, subject: &str, revocations: &Revocations) -> bool {
        let never = Timestamp::from_millis(i64::MAX);
        match self {
            Grounds::Session(id) => revocations.is_revoked(Some(id), subject, never),
            Grounds::Token { issued_at, .. } => revocations.is_revoked(None, subject, issued_at),
            // Its owner is not what they were: the next request is judged by what they are now.
            Grounds::Key { id, owner_until } => {
                revocations.is_revoked(Some(id.as_session()), subject, never)
                    || revocations.subject_until(subject) > owner_until
            }
        }
    }
}

impl Tenure {
    /// Of somebody with a token that was good at `now` under `key`.
    pub(super) fn of_token(
        claims: &Claims,
        (key, print): (&Key, Fingerprint),
        (tokens, now): (&Tokens, Timestamp),
    ) -> Self {
        let grounds = match (&key.origin, claims.session()) {
            (Origin::Ours, Some(session)) => Grounds::Session(session),
            // Another issuer's `sid` names no session of ours.
            (Origin::Ours, None) | (Origin::Foreign { .. }, _) => Grounds::Token {
                // As old as any revocation when it does not say.
                issued_at: claims.issued_at().unwrap_or(Timestamp::from_millis(0)),
                key: print,
            },
        };
        let expires = claims.expires();
        // Leeway is for clocks that are apart, and ours is not: but what it let in is not thrown
        // out at once.
        let expires = match grounds {
            Grounds::Session(_) if now < expires => expires,
            Grounds::Session(_) | Grounds::Token { .. } | Grounds::Key { .. } => {
                expires + tokens.leeway
            }
        };
        Self {
            grounds,
            until: key.not_after.map_or(expires, |end| end.min(expires)),
            by: claims
                .issued_at()
                .map_or(Duration::ZERO, |issued| claims.expires().since(issued)),
            max_staleness: tokens.max_staleness,
        }
    }

    /// The same under other rules; `None`: its token is not believed any more. A session does not
    /// end with the key of a token that it once had.
    pub(crate) fn under(self, claims: &Claims, tokens: &Tokens, now: Timestamp) -> Option<Self> {
        match self.grounds {
            Grounds::Session(_) | Grounds::Key { .. } => Some(Self {
                max_staleness: tokens.max_staleness,
                ..self
            }),
            Grounds::Token { key: print, .. } => {
                let key = tokens.judge(claims, print, now).ok()?;
                Some(Self::of_token(claims, (key, print), (tokens, now)))
            }
        }
    }

    /// Of somebody with the cookie of this session; its use extends it as the database says.
    pub(super) fn of_cookie(session: SessionId, until: Timestamp, tokens: &Tokens) -> Self {
        Self {
            grounds: Grounds::Session(session),
            until,
            by: Duration::MAX,
            max_staleness: tokens.max_staleness,
        }
    }

    /// Of somebody with an API key that ends then, if ever.
    pub(super) fn of_key(
        id: ApiKeyId,
        owner_until: Option<Timestamp>,
        expires: Option<Timestamp>,
    ) -> Self {
        Self {
            grounds: Grounds::Key { id, owner_until },
            until: expires.unwrap_or(Timestamp::from_millis(i64::MAX)),
            by: Duration::ZERO,
            max_staleness: Duration::MAX,
        }
    }
}

#[cfg(test)]
impl Tenure {
    /// Of a token with these claims, as if it had been verified.
    pub(crate) fn sample(claims: &Claims) -> Self {
        Self {
            grounds: match claims.session() {
                Some(session) => Grounds::Session(session),
                None => Grounds::Token {
                    issued_at: Timestamp::from_millis(0),
                    key: Fingerprint::sample(),
                },
            },
            until: claims.expires(),
            by: Duration::ZERO,
            max_staleness: Duration::MAX,
        }
    }
}
