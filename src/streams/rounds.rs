//! Watches the sessions of one worker's streams, and ends the streams of those that are over.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::keeper::Watch;
use super::tether::Term;
use super::{Admitted, Cause};
use crate::accounts::{Accounts, ApiKeyId, SessionId, SessionLife};
use crate::authn::{Grounds, Tenure};
use crate::clock::Timestamp;
use crate::store::StoreError;

/// How often streams are judged. What is revoked is known here after two seconds at most, and the
/// close of a WebSocket waits for a second at most: five seconds hold.
const LOOK: Duration = Duration::from_secs(1);
/// How long after its end a session is asked for: a client refreshes when it must.
const LATE: Duration = Duration::from_secs(1);
/// How often a key is asked for: no revocation tells that a rotation has given it an end, which is
/// minutes away then.
const AGAIN: Duration = Duration::from_secs(60);
/// How long one session is asked for.
const ANSWER: Duration = Duration::from_secs(1);
/// So long after its end a session of which the database says nothing is over.
const PATIENCE: Duration = Duration::from_secs(2);
const NEVER: Timestamp = Timestamp::from_millis(i64::MAX);

/// A stream that is watched.
pub(super) struct Entry {
    admitted: Arc<Admitted>,
    term: Term,
    tenure: Tenure,
    /// When it ends, as far as is known.
    until: Timestamp,
    /// The generation of the revocations in which it was last found alive.
    alive_in: Option<u64>,
    /// The configuration by which it was last judged.
    judged_by: Option<u64>,
    asking: Asking,
    teller: oneshot::Sender<Cause>,
}

/// What is known of a stream's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asking {
    /// To be asked for from this time on.
    At(Timestamp),
    UnderWay,
}

/// What the database is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Question {
    Session(SessionId),
    Key(ApiKeyId),
}

/// How a live session or key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Session(SessionLife),
    Key { expires: Option<Timestamp> },
}

/// What the database said, as far as it answered. `None`: it is over.
type Lives = HashMap<Question, Result<Option<Life>, StoreError>>;

/// The rounds of one keeper.
pub(super) struct Rounds<J> {
    watch: Watch<J>,
    entries: Vec<Entry>,
    asking: Option<JoinHandle<Lives>>,
}

impl<J: Fn(&Admitted, Tenure) -> Option<Tenure>> Rounds<J> {
    pub(super) fn new(watch: Watch<J>) -> Self {
        Self {
            watch,
            entries: Vec::new(),
            asking: None,
        }
    }

    pub(super) async fn go(mut self, mut arriving: mpsc::UnboundedReceiver<Entry>) {
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if self.entries.is_empty() {
                // Nothing to watch: nothing to wake for.
                match arriving.recv().await {
                    Some(entry) => self.entries.push(entry),
                    None => return,
                }
            }
            tokio::select! {
                _ = ticks.tick() => {
                    while let Ok(entry) = arriving.try_recv() {
                        self.entries.push(entry);
                    }
                    self.round();
                }
                lives = answered(&mut self.asking) => {
                    self.asking = None;
                    self.heard(&lives);
                }
            }
        }
    }

    /// Judges every stream by what is known here, and asks the database for what is not.
    pub(super) fn round(&mut self) {
        let now = self.watch.clock.now();
        self.entries.retain(|entry| !entry.teller.is_closed());
        let watch = &self.watch;
        let stale = watch.accounts.revocations().staleness();
        let verdicts = self.entries.iter_mut().map(|entry| {
            if entry.is_revoked(watch) {
                return Some(Cause::Revoked);
            }
            if !entry.is_permitted(watch) {
                return Some(Cause::Denied);
            }
            if stale > entry.tenure.max_staleness {
                return Some(Cause::Unknown);
            }
            entry.has_expired(now).then_some(Cause::Expired)
        });
        let verdicts = verdicts.collect();
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
        let due = self.entries.iter_mut().filter_map(|entry| entry.ask(now));
        let mut due: Vec<_> = due.collect();
        if due.is_empty() {
            return;
        }
        due.sort_unstable();
        due.dedup();
        let accounts = self.watch.accounts.clone();
        self.asking = Some(self.watch.control.spawn(look_up(accounts, due)));
    }

    /// Takes what the database said of the sessions that were asked for.
    pub(super) fn heard(&mut self, lives: &Lives) {
        let now = self.watch.clock.now();
        let verdicts = self.entries.iter_mut().map(|entry| {
            let life = entry.question().and_then(|question| lives.get(&question));
            match (entry.asking, life) {
                (Asking::UnderWay, Some(Ok(life))) => entry.learn(*life, now),
                (Asking::UnderWay, Some(Err(_)) | None) => {
                    entry.asking = Asking::At(now);
                    (now >= entry.until + PATIENCE).then_some(Cause::Unknown)
                }
                (Asking::At(_), _) => None,
            }
        });
        let verdicts = verdicts.collect();
        self.end(verdicts);
    }
}

impl Entry {
    pub(super) fn new(admitted: Arc<Admitted>, term: Term, teller: oneshot::Sender<Cause>) -> Self {
        let tenure = admitted.identity.tenure;
        Self {
            admitted,
            term,
            tenure,
            until: term.limit(tenure.until),
            // Something may have happened since its request was judged.
            alive_in: None,
            judged_by: None,
            asking: Asking::At(term.first_question(tenure)),
            teller,
        }
    }

    fn is_revoked<J>(&mut self, watch: &Watch<J>) -> bool {
        let revocations = watch.accounts.revocations();
        // Read before the revocations are asked: one that arrives in between is seen next time.
        let generation = Some(revocations.generation());
        if self.alive_in == generation {
            return false;
        }
        self.alive_in = generation;
        let subject = self.admitted.identity.claims.subject();
        self.tenure.grounds.are_revoked(subject, revocations)
    }

    /// Whether the configuration would let it in. A key that was taken out of it, or given another
    /// end, counts for tokens that name no session.
    fn is_permitted<J>(&mut self, watch: &Watch<J>) -> bool
    where
        J: Fn(&Admitted, Tenure) -> Option<Tenure>,
    {
        // Read before the configuration is, as above.
        let configuration = Some(watch.streams.configuration());
        if self.judged_by == configuration {
            return true;
        }
        self.judged_by = configuration;
        let Some(tenure) = (watch.judge)(&self.admitted, self.tenure) else {
            return false;
        };
        self.tenure = tenure;
        match tenure.grounds {
            Grounds::Token { .. } => self.until = self.term.limit(tenure.until),
            // What the database said of them holds.
            Grounds::Session(_) | Grounds::Key { .. } => {}
        }
        true
    }

    fn has_expired(&self, now: Timestamp) -> bool {
        match self.tenure.grounds {
            // It may have been extended: the database is asked.
            Grounds::Session(_) => false,
            Grounds::Token { .. } | Grounds::Key { .. } => now >= self.until,
        }
    }

    /// What the database knows of it.
    fn question(&self) -> Option<Question> {
        match self.tenure.grounds {
            Grounds::Session(id) => Some(Question::Session(id)),
            Grounds::Key { id, .. } => Some(Question::Key(id)),
            Grounds::Token { .. } => None,
        }
    }

    /// The question that is due.
    fn ask(&mut self, now: Timestamp) -> Option<Question> {
        let question = self.question()?;
        let Asking::At(at) = self.asking else {
            return None;
        };
        if now < at {
            return None;
        }
        self.asking = Asking::UnderWay;
        Some(question)
    }

    /// Whether the stream goes on, and until when.
    fn learn(&mut self, life: Option<Life>, now: Timestamp) -> Option<Cause> {
        match life {
            None => Some(Cause::Revoked),
            Some(Life::Key { expires }) => {
                self.until = self.term.limit(expires.unwrap_or(NEVER));
                self.asking = Asking::At(now + AGAIN);
                None
            }
            Some(Life::Session(life)) => {
                let extended = life.refreshed_at + self.tenure.by;
                self.until = extended.max(self.until).min(life.expires_at);
                let over = self.until + LATE;
                self.asking = Asking::At(over);
                (now >= over).then_some(Cause::Expired)
            }
        }
    }
}

impl Term {
    /// When the database is asked first.
    fn first_question(self, tenure: Tenure) -> Timestamp {
        match (self, tenure.grounds) {
            // Its next request would not be asked for the session either.
            (Term::Request | Term::Sent, Grounds::Session(_)) => tenure.until + LATE,
            (Term::Stream, _) | (_, Grounds::Key { .. } | Grounds::Token { .. }) => {
                Timestamp::from_millis(0)
            }
        }
    }

    fn limit(self, credential: Timestamp) -> Timestamp {
        match self {
            Term::Stream | Term::Request => credential,
            Term::Sent => NEVER,
        }
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

async fn look_up(accounts: Accounts, questions: Vec<Question>) -> Lives {
    let mut lives = Lives::with_capacity(questions.len());
    for question in questions {
        let life = tokio::time::timeout(ANSWER, ask(&accounts, question)).await;
        let life = life.unwrap_or(Err(StoreError::TimedOut));
        let away = life.is_err();
        lives.insert(question, life);
        if away {
            // Each of the others would wait as long, and is asked for again.
            return lives;
        }
    }
    lives
}

async fn ask(accounts: &Accounts, question: Question) -> Result<Option<Life>, StoreError> {
    Ok(match question {
        Question::Session(id) => accounts.session_life(id).await?.map(Life::Session),
        Question::Key(id) => {
            let key = accounts.api_key(id).await?;
            let live = key.filter(|key| key.revoked_at.is_none());
            live.map(|key| Life::Key {
                expires: key.expires_at,
            })
        }
    })
}
