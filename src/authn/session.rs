//! Callers named by a session cookie: each worker remembers what a cookie stands for, and asks the
//! database again now and then.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use quick_cache::Weighter;
use quick_cache::unsync::Cache;
use tokio::runtime::Handle;

use crate::accounts::{Accounts, BrowserSession, Keep, SessionId};
use crate::clock::{Clock, Timestamp};
use crate::inbound::ClientIp;
use crate::inbound::cookie::SessionCookie;
use crate::store::{LiveSession, SessionUse, StoreError};

use super::cache::CacheSize;
use super::token::{AccessTokenClaims, Claims};
use super::{AuthnError, TokenDigest, Tokens};

/// So long a worker believes what it read of a session and its account: as old may a new role or
/// name be. That a session has ended is known at once, by its revocation.
const FRESH: Duration = Duration::from_secs(60);

/// So long a worker leaves a database alone that did not answer, while it can do without.
const PAUSE: Duration = Duration::from_secs(5);

/// A session that was looked at longer ago, when the database was last heard of, is not believed
/// without it: that it ended may have been forgotten again. Revocations are remembered for twice as
/// long.
const OLDEST: Duration = Duration::from_secs(3600);

/// The browsers' sessions as one worker knows them.
pub struct Sessions {
    accounts: Accounts,
    /// Where the database is asked: no worker waits for it itself.
    control: Handle,
    clock: Clock,
    known: RefCell<Cache<TokenDigest, Known, Weight>>,
}

/// Whom a session cookie named.
#[derive(Debug)]
pub(super) struct Named {
    pub session: SessionId,
    /// When it ends unless it is used before.
    pub until: Timestamp,
    pub claims: Arc<Claims>,
    pub token: TokenDigest,
    /// The cookie again, when the session was extended and the browser shall keep it as long.
    pub renewal: Option<HeaderValue>,
}

/// What a cookie that this gateway wrote stands for.
#[derive(Clone)]
enum Known {
    Live(Live),
    /// It has ended, and no session begins again.
    Over,
}

#[derive(Clone)]
struct Live {
    claims: Arc<Claims>,
    session: SessionId,
    keep: Keep,
    /// The generation of the revocations in which it was last found alive.
    alive_in: u64,
    looked_at: Timestamp,
    fresh_until: Timestamp,
    /// When its use is to be recorded next.
    use_due: Timestamp,
    expires_at: Timestamp,
    ends_at: Timestamp,
}

#[derive(Clone)]
struct Weight;

impl Sessions {
    /// The sessions as a new worker knows them: none. `control` is the runtime for what waits.
    pub fn new(size: CacheSize, accounts: Accounts, control: Handle, clock: Clock) -> Self {
        let CacheSize { entries, bytes } = size;
        Self {
            accounts,
            control,
            clock,
            known: RefCell::new(Cache::with_weighter(entries, bytes, Weight)),
        }
    }

    /// Whom this cookie names. `None`: nobody; it was made up, or its session is over. What was
    /// judged before costs a SHA-256, a look-up, some comparisons and an atomic load; what was
    /// made up, an HMAC.
    ///
    /// # Errors
    ///
    /// When the database, or news of revocations, are away for too long to tell.
    pub(super) async fn judge(
        &self,
        (cookie, text): (&SessionCookie, &str),
        client: ClientIp,
        tokens: &Tokens,
    ) -> Result<Option<Named>, AuthnError> {
        let token = TokenDigest::of(text);
        let revocations = self.accounts.revocations();
        // Read before the database and the revocations are: one that arrives in between is seen
        // next time.
        let generation = revocations.generation();
        let now = self.clock.now();
        let known = self.known.borrow().get(&token).cloned();
        let (mut live, mut news) = match known {
            Some(Known::Over) => return Ok(None),
            Some(Known::Live(live)) if now < live.fresh_until && now < live.expires_at => {
                (live, false)
            }
            Some(Known::Live(live)) => match self.read(live.browser_session(), tokens).await {
                Ok(Some(read)) => (read.in_generation(generation), true),
                Ok(None) => return Ok(self.is_over(token)),
                Err(AuthnError::Store(_))
                    if now < live.expires_at && self.is_recent(&live, now) =>
                {
                    let fresh_until = now + PAUSE;
                    (
                        Live {
                            fresh_until,
                            ..live
                        },
                        true,
                    )
                }
                Err(error) => return Err(error),
            },
            None => {
                let Some(shown) = self.accounts.read_cookie(text) else {
                    return Ok(None);
                };
                if self.is_revoked(shown.session) {
                    return Ok(self.is_over(token));
                }
                match self.read(shown, tokens).await? {
                    Some(read) => (read.in_generation(generation), true),
                    None => return Ok(self.is_over(token)),
                }
            }
        };
        if live.alive_in != generation {
            if self.is_revoked(live.session) {
                return Ok(self.is_over(token));
            }
            live.alive_in = generation;
            news = true;
        }
        if revocations.staleness() > tokens.max_staleness {
            return Err(AuthnError::Unavailable);
        }
        let mut renewal = None;
        if now >= live.use_due {
            self.record_use(&mut live, client, now);
            news = true;
            renewal = match live.keep {
                Keep::UntilClosed => None,
                Keep::Remembered => cookie.set(text, Some(live.expires_at.since(now))),
            };
        }
        let (session, until, claims) = (live.session, live.expires_at, live.claims.clone());
        if news {
            self.known.borrow_mut().insert(token, Known::Live(live));
        }
        Ok(Some(Named {
            session,
            until,
            claims,
            token,
            renewal,
        }))
    }

    /// What the database says of a session; `None`: it is over.
    async fn read(
        &self,
        shown: BrowserSession,
        tokens: &Tokens,
    ) -> Result<Option<Live>, AuthnError> {
        let accounts = self.accounts.clone();
        let reading = self
            .control
            .spawn(async move { accounts.live_session(shown.session).await });
        let read = reading.await.unwrap_or(Err(StoreError::Closed));
        let Some(read) = read.map_err(AuthnError::Store)? else {
            return Ok(None);
        };
        self.live(shown, &read, tokens).map(Some)
    }

    fn live(
        &self,
        shown: BrowserSession,
        read: &LiveSession,
        tokens: &Tokens,
    ) -> Result<Live, AuthnError> {
        let now = self.clock.now();
        let claims = AccessTokenClaims::of(
            &read.account,
            (shown.session, read.factors),
            &tokens.attributes,
        );
        let claims = tokens.claims(&claims, now, read.expires_at);
        let idle = self.accounts.browser_idle(shown.keep);
        Ok(Live {
            claims: Arc::new(claims.map_err(AuthnError::Token)?),
            session: shown.session,
            keep: shown.keep,
            alive_in: 0,
            looked_at: now,
            fresh_until: now + FRESH,
            use_due: read.last_used_at + Accounts::use_interval(idle),
            expires_at: read.expires_at,
            ends_at: read.ends_at,
        })
    }

    fn record_use(&self, live: &mut Live, client: ClientIp, now: Timestamp) {
        let idle = self.accounts.browser_idle(live.keep);
        live.use_due = now + Accounts::use_interval(idle);
        live.expires_at = live.expires_at.max((now + idle).min(live.ends_at));
        self.accounts.used(SessionUse {
            session: live.session,
            at: now,
            client,
            until: live.expires_at,
        });
    }

    /// Whether all that was revoked since this session was looked at is still remembered.
    fn is_recent(&self, live: &Live, now: Timestamp) -> bool {
        let silent = self.accounts.revocations().staleness();
        now.since(live.looked_at).saturating_sub(silent) < OLDEST
    }

    fn is_revoked(&self, session: SessionId) -> bool {
        let revocations = self.accounts.revocations();
        revocations.is_revoked(Some(session), "", self.clock.now())
    }

    /// Remembers that a cookie of ours names a session that is over.
    fn is_over(&self, token: TokenDigest) -> Option<Named> {
        self.known.borrow_mut().insert(token, Known::Over);
        None
    }
}

impl Live {
    fn in_generation(self, alive_in: u64) -> Self {
        Self { alive_in, ..self }
    }

    fn browser_session(&self) -> BrowserSession {
        BrowserSession {
            session: self.session,
            keep: self.keep,
        }
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sessions({} known)", self.known.borrow().len())
    }
}

impl Weighter<TokenDigest, Known> for Weight {
    /// As for verified tokens: a claims set is held about six times over.
    fn weight(&self, _key: &TokenDigest, known: &Known) -> u64 {
        match known {
            Known::Live(live) => 896 + 6 * live.claims.size() as u64,
            Known::Over => 128,
        }
    }
}

#[cfg(test)]
mod tests;
