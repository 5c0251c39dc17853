//! Sessions of browsers: named by a cookie that only this gateway can have written, and extended
//! by their use.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::audit::Origin;
use super::session::SessionId;
use super::{Accounts, Device, OpenSessionError, Proof, Ring};
use crate::store::{LiveSession, SessionUse, StoreError, UseSessions};

/// Most sessions whose use waits to be written. Beyond it, while the database is away, uses are
/// forgotten: a session's last use is then an older one.
const MOST_USES: usize = 100_000;

/// So many uses are written as one change: a hundred thousand, after the database was away, would
/// take longer than a change may, and would never be written.
const USES_AT_ONCE: usize = 500;

/// The last use of a session is recorded at most so often.
const USE_INTERVAL: Duration = Duration::from_secs(3600);

/// How long the browser keeps the cookie of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Until the browser is closed.
    UntilClosed,
    /// Until the session ends: somebody asked to be remembered.
    Remembered,
}

/// What a session cookie says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrowserSession {
    pub session: SessionId,
    pub keep: Keep,
}

/// A session that was just opened for a browser.
#[derive(Debug)]
pub struct OpenedInBrowser {
    pub session: BrowserSession,
    /// The value of its cookie, to be handed out once.
    pub cookie: String,
    /// How long the browser shall keep it; `None`: until it is closed.
    pub max_age: Option<Duration>,
}

/// Uses that wait to be written, at most one for each session.
#[derive(Clone, Debug, Default)]
pub(super) struct Uses(Arc<Mutex<HashMap<SessionId, SessionUse>>>);

impl BrowserSession {
    /// `None`: the ring has no key.
    fn sealed(self, ring: &Ring) -> Option<String> {
        let mut payload = Vec::with_capacity(17);
        payload.push(match self.keep {
            Keep::UntilClosed => 0,
            Keep::Remembered => 1,
        });
        payload.extend_from_slice(&self.session.to_bytes());
        ring.seal(&payload)
    }

    /// Reads a cookie; `None` for whatever is not one of ours.
    fn opened(text: &str, ring: &Ring) -> Option<Self> {
        let payload = ring.open(text)?;
        let (keep, session) = payload.split_first()?;
        Some(Self {
            session: SessionId::from_bytes(session.try_into().ok()?),
            keep: match keep {
                0 => Keep::UntilClosed,
                1 => Keep::Remembered,
                _another_version => return None,
            },
        })
    }
}

impl Accounts {
    /// Opens a session for somebody who has proved in a browser who they are. It has an id of its
    /// own, whatever session the browser had before.
    pub async fn open_in_browser(
        &self,
        proof: &Proof,
        device: Device,
        keep: Keep,
    ) -> Result<OpenedInBrowser, OpenSessionError> {
        let idle = self.browser_idle(keep);
        let opened = self.open_for(proof, device, idle).await?;
        let named = BrowserSession {
            session: opened.id,
            keep,
        };
        let max_age = match keep {
            Keep::UntilClosed => None,
            Keep::Remembered => Some(idle.min(self.rules().sessions.absolute)),
        };
        Ok(self.cookie_of(named, max_age)?)
    }

    /// A session with its cookie, which the browser shall keep for so long.
    pub(super) fn cookie_of(
        &self,
        session: BrowserSession,
        max_age: Option<Duration>,
    ) -> Result<OpenedInBrowser, StoreError> {
        let cookie = session.sealed(&self.0.session_ring);
        Ok(OpenedInBrowser {
            session,
            cookie: cookie.ok_or(StoreError::Closed)?,
            max_age,
        })
    }

    /// What a session cookie says, without asking whether the session lives. `None`: not ours.
    pub fn read_cookie(&self, text: &str) -> Option<BrowserSession> {
        BrowserSession::opened(text, &self.0.session_ring)
    }

    /// The session and its account, if both are live.
    pub async fn live_session(
        &self,
        session: SessionId,
    ) -> Result<Option<LiveSession>, StoreError> {
        let found = self.store().live_session(session, self.now()).await?;
        if found.is_some() || !self.0.uses.lock().contains_key(&session) {
            return Ok(found);
        }
        // Another worker has just extended it, and that waits to be written.
        self.write_uses().await?;
        self.store().live_session(session, self.now()).await
    }

    /// Ends the session that a cookie names, for a browser that gets another one. What is not a
    /// cookie of ours is ignored.
    pub async fn end_session_of_cookie(
        &self,
        text: &str,
        origin: &Origin,
    ) -> Result<(), StoreError> {
        let Some(BrowserSession { session, .. }) = self.read_cookie(text) else {
            return Ok(());
        };
        match self.store().session_owner(session, self.now()).await? {
            Some(account) => self.end_session(account, session, origin).await.map(drop),
            None => Ok(()),
        }
    }

    /// How long a browser's session lives without being used.
    pub fn browser_idle(&self, keep: Keep) -> Duration {
        let rules = self.rules();
        match keep {
            Keep::UntilClosed => rules.sessions.browser_idle,
            Keep::Remembered => rules.sessions.idle,
        }
    }

    /// How often a use is worth a write: seldom, but often enough for a session in use to live on.
    pub fn use_interval(idle: Duration) -> Duration {
        USE_INTERVAL.min(idle / 4)
    }

    /// Notes a use of a session, to be written soon with others.
    pub fn used(&self, used: SessionUse) {
        let mut uses = self.0.uses.lock();
        if uses.len() < MOST_USES || uses.contains_key(&used.session) {
            uses.insert(used.session, used);
        }
    }

    /// Writes the uses that were noted. While the database is away they wait.
    pub async fn write_uses(&self) -> Result<(), StoreError> {
        loop {
            let part = self.0.uses.take();
            if part.is_empty() {
                return Ok(());
            }
            let written = self.store().commit(UseSessions(part.clone())).await;
            if written.is_err() {
                let mut uses = self.0.uses.lock();
                for used in part {
                    uses.entry(used.session).or_insert(used);
                }
                return written;
            }
        }
    }
}

impl Uses {
    /// Some of those that wait, as many as one change may have; they are the caller's to write.
    fn take(&self) -> Vec<SessionUse> {
        let mut uses = self.lock();
        let some: Vec<SessionId> = uses.keys().take(USES_AT_ONCE).copied().collect();
        some.iter()
            .filter_map(|session| uses.remove(session))
            .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SessionId, SessionUse>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::samples;
    use crate::clock::{Clock, Timestamp};
    use crate::inbound::ClientIp;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn noted(count: usize) -> HashMap<SessionId, SessionUse> {
        let client = ClientIp::new([192, 0, 2, 1].into());
        let used = || SessionUse {
            session: SessionId::random(),
            at: NOW,
            client,
            until: NOW,
        };
        let uses = std::iter::repeat_with(used).take(count);
        uses.map(|used| (used.session, used)).collect()
    }

    #[test]
    fn uses_are_taken_in_parts_and_none_is_lost() {
        let noted = noted(1201);
        let uses = Uses(Arc::new(Mutex::new(noted.clone())));
        let mut taken = HashMap::new();
        for most in [500, 500, 201, 0] {
            let part = uses.take();
            assert_eq!(part.len(), most);
            taken.extend(part.into_iter().map(|used| (used.session, used)));
        }
        assert_eq!(taken, noted);
    }

    #[tokio::test]
    async fn all_parts_are_written_at_one_go() {
        let (accounts, _folder) = samples::open(&Clock::manual(NOW)).await;
        accounts.0.uses.lock().extend(noted(1201));
        accounts.write_uses().await.unwrap();
        assert!(accounts.0.uses.lock().is_empty());
    }
}
