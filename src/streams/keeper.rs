//! Watches the sessions of one worker's streams, and ends the streams of those that are over.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::{Cause, Streams, Tether};
use crate::accounts::{Accounts, SessionId, SessionLife};
use crate::authn::{Claims, Identity, Tenure};
use crate::clock::{Clock, Timestamp};
use crate::store::StoreError;

/// How often streams are judged. What is revoked is known here after two seconds at most, and the
/// close of a WebSocket waits for a second at most: five seconds hold.
const LOOK: Duration = Duration::from_secs(1);
/// How long after its end a session is asked for: a client refreshes when it must.
const LATE: Duration = Duration::from_secs(1);
/// How long one session is asked for.
const ANSWER: Duration = Duration::from_secs(1);
/// So long after its end a session of which the database says nothing is over.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a keeper asks.
#[derive(Clone)]
pub struct Watch {
    pub streams: Streams,
    pub accounts: Accounts,
    pub clock: Clock,
    /// Where sessions are looked up.
    pub control: Handle,
}

/// Hands the streams of one worker to their watch. Clones share it.
#[derive(Clone)]
pub struct Keeper(Arc<Desk>);

struct Desk {
    arrivals: mpsc::UnboundedSender<Entry>,
    streams: Streams,
}

/// A stream that is watched.
pub(super) struct Entry {
    claims: Arc<Claims>,
    tenure: Tenure,
    teller: oneshot::Sender<Cause>,
    asking: Asking,
}

/// What is known of a stream's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asking {
    /// To be asked for from this time on.
    At(Timestamp),
    UnderWay,
}

type Lives = HashMap<SessionId, Result<Option<SessionLife>, StoreError>>;

impl Keeper {
    /// Starts the watch of one worker, on the worker: it ends with the last of its streams after
    /// the keeper is dropped.
    pub fn start(watch: Watch) -> Self {
        let (arrivals, arriving) = mpsc::unbounded_channel();
        let streams = watch.streams.clone();
        tokio::task::spawn_local(Rounds::new(watch).go(arriving));
        Self(Arc::new(Desk { arrivals, streams }))
    }

    /// What ties a stream of this caller to its session.
    pub fn tether(&self, identity: &Identity) -> Tether {
        Tether::new(identity, self.clone())
    }

    pub(super) fn streams(&self) -> &Streams {
        &self.0.streams
    }

    pub(super) fn watch(&self, entry: Entry) {
        // Nobody takes it when the worker is going, and the stream with it.
        drop(self.0.arrivals.send(entry));
    }
}

impl Entry {
    pub(super) fn new(claims: Arc<Claims>, tenure: Tenure, teller: oneshot::Sender<Cause>) -> Self {
        Self {
            claims,
            tenure,
            teller,
            asking: Asking::At(Timestamp::from_millis(0)),
        }
    }
}

/// The rounds of one keeper.
pub(super) struct Rounds {
    watch: Watch,
    entries: Vec<Entry>,
    /// Of the revocations that all entries but new ones were checked against.
    generation: Option<u64>,
    asking: Option<JoinHandle<Lives>>,
}

impl Rounds {
    pub(super) fn new(watch: Watch) -> Self {
        Self {
            watch,
            entries: Vec::new(),
            generation: None,
            asking: None,
        }
    }

    async fn go(mut self, mut arriving: mpsc::UnboundedReceiver<Entry>) {
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if self.entries.is_empty() {
                // Nothing to watch: nothing to wake for.
                match arriving.recv().await {
                    Some(entry) => self.take(entry),
                    None => return,
                }
            }
            tokio::select! {
                _ = ticks.tick() => {
                    while let Ok(entry) = arriving.try_recv() {
                        self.take(entry);
                    }
                    self.round();
                }
                lives = answered(&mut self.asking) => {
                    self.asking = None;
                    self.heard(lives);
                }
            }
        }
    }

    pub(super) fn take(&mut self, entry: Entry) {
        // It may have been revoked since its request was judged.
        self.generation = None;
        self.entries.push(entry);
    }

    /// Judges every stream by what is known here, and asks the database for what is not.
    pub(super) fn round(&mut self) {
        let revocations = self.watch.accounts.revocations();
        let generation = revocations.generation();
        let stale = revocations.staleness();
        let check = self.generation != Some(generation);
        self.generation = Some(generation);
        let now = self.watch.clock.now();
        let verdict = |entry: &Entry| {
            let (grounds, subject) = (entry.tenure.grounds, entry.claims.subject());
            if check && grounds.are_revoked(subject, revocations) {
                return Some(Cause::Revoked);
            }
            if stale > entry.tenure.max_staleness {
                return Some(Cause::Unknown);
            }
            let over = now >= entry.tenure.until;
            // What names a session may have been extended: the database is asked.
            (grounds.session().is_none() && over).then_some(Cause::Expired)
        };
        self.entries.retain(|entry| !entry.teller.is_closed());
        let verdicts: Vec<_> = self.entries.iter().map(verdict).collect();
        self.end(verdicts);
        self.ask(now);
    }

    /// Ends the streams that have a verdict.
    fn end(&mut self, verdicts: Vec<Option<Cause>>) {
        if verdicts.iter().all(Option::is_none) {
            return;
        }
        let entries = std::mem::take(&mut self.entries);
        for (entry, verdict) in entries.into_iter().zip(verdicts) {
            match verdict {
                None => self.entries.push(entry),
                Some(cause) => {
                    self.watch.streams.count_ended(cause);
                    tracing::debug!(cause = cause.name(), "a stream is ended");
                    // An error: it ended by itself.
                    let _ = entry.teller.send(cause);
                }
            }
        }
    }

    /// Asks for the sessions that may be over, one question at a time.
    fn ask(&mut self, now: Timestamp) {
        if self.asking.is_some() {
            return;
        }
        let mut due = Vec::new();
        for entry in &mut self.entries {
            if let (Some(session), Asking::At(at)) = (entry.tenure.grounds.session(), entry.asking)
                && now >= at
            {
                due.push(session);
                entry.asking = Asking::UnderWay;
            }
        }
        if due.is_empty() {
            return;
        }
        due.sort_unstable();
        due.dedup();
        let accounts = self.watch.accounts.clone();
        self.asking = Some(self.watch.control.spawn(look_up(accounts, due)));
    }

    /// Takes what the database said of the sessions that were asked for.
    pub(super) fn heard(&mut self, mut lives: Lives) {
        let now = self.watch.clock.now();
        let mut verdicts = Vec::with_capacity(self.entries.len());
        for entry in &mut self.entries {
            let session = entry.tenure.grounds.session();
            let life = session.and_then(|session| lives.get_mut(&session));
            verdicts.push(match (entry.asking, life) {
                (Asking::UnderWay, Some(Ok(life))) => entry.learn(*life, now),
                (Asking::UnderWay, Some(Err(_)) | None) => {
                    entry.asking = Asking::At(now);
                    (now >= entry.tenure.until + PATIENCE).then_some(Cause::Unknown)
                }
                (Asking::At(_), _) => None,
            });
        }
        self.end(verdicts);
    }
}

impl Entry {
    /// Whether the stream goes on, and until when.
    fn learn(&mut self, life: Option<SessionLife>, now: Timestamp) -> Option<Cause> {
        let Some(life) = life else {
            return Some(Cause::Revoked);
        };
        let extended = life.refreshed_at + self.tenure.by;
        self.tenure.until = extended.max(self.tenure.until).min(life.expires_at);
        self.asking = Asking::At(self.tenure.until + LATE);
        let over = now >= self.tenure.until + LATE;
        over.then_some(Cause::Expired)
    }
}

/// Waits for the question that is under way, for ever when there is none.
async fn answered(asking: &mut Option<JoinHandle<Lives>>) -> Lives {
    match asking {
        // A look-up that panicked has no answer for anybody.
        Some(asking) => asking.await.unwrap_or_default(),
        None => std::future::pending().await,
    }
}

async fn look_up(accounts: Accounts, sessions: Vec<SessionId>) -> Lives {
    let mut lives = Lives::with_capacity(sessions.len());
    for session in sessions {
        let life = tokio::time::timeout(ANSWER, accounts.session_life(session)).await;
        let life = life.unwrap_or(Err(StoreError::TimedOut));
        let away = life.is_err();
        lives.insert(session, life);
        if away {
            // Each of the others would wait as long, and is asked for again.
            return lives;
        }
    }
    lives
}
