//! Which sessions have ended although tokens that name them are still fresh: kept in memory, asked
//! by every worker without a lock.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::session::SessionId;
use super::user::AccountId;
use crate::clock::{Clock, Timestamp};

/// How many revocations the first tier holds: each new one costs a copy of those.
const RECENT: usize = 256;

/// Each tier holds so many times what the one before it does.
const GROWTH: usize = 8;

/// A word that tokens are no longer good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// Every token of the session.
    Session(SessionId),
    /// Every token of the subject that names no session and was issued until then: those of a
    /// legacy key.
    Subject { subject: String, until: Timestamp },
}

/// The revocations in force. Clones share them.
///
/// A cache of verified tokens stores with each token the [`generation`](Self::generation) that it
/// read *before* it asked [`is_revoked`](Self::is_revoked), and asks again when the generation has
/// moved: one atomic load a request.
#[derive(Clone, Debug)]
pub struct Revocations(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Clock,
    generation: AtomicU64,
    view: ArcSwap<View>,
    /// Held by whoever publishes, never by a reader.
    publishing: Mutex<()>,
    /// When the database was last read, by the steady clock in milliseconds.
    heard: AtomicU64,
}

/// What readers see: tiers, the first small and new, each further one larger and older. One that
/// is full is merged into the next, so that a revocation is copied a few dozen times in its life,
/// however many there are: with a million in one map each new one would cost a copy of thousands.
#[derive(Clone, Debug, Default)]
struct View {
    tiers: Vec<Arc<Lists>>,
}

/// Revocations with the time from which the tokens would be stale anyhow.
#[derive(Clone, Debug, Default)]
struct Lists {
    sessions: HashMap<SessionId, Timestamp>,
    /// With the latest time of issue that is revoked.
    subjects: HashMap<String, (Timestamp, Timestamp)>,
}

impl Revocations {
    pub fn new(clock: Clock) -> Self {
        let heard = AtomicU64::new(millis(clock.steady()));
        Self(Arc::new(Shared {
            clock,
            generation: AtomicU64::new(0),
            view: ArcSwap::default(),
            publishing: Mutex::new(()),
            heard,
        }))
    }

    /// Moves whenever something was revoked.
    pub fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    /// Whether a token is revoked: by its session if it names one of ours, else by its subject
    /// and when it was issued.
    #[must_use]
    pub fn is_revoked(
        &self,
        session: Option<SessionId>,
        subject: &str,
        issued_at: Timestamp,
    ) -> bool {
        let view = self.0.view.load();
        match session {
            Some(session) => {
                let mut tiers = view.tiers.iter();
                tiers.any(|tier| tier.sessions.contains_key(&session))
            }
            // A NumericDate is a whole second: a token of the same second is revoked too.
            None => view
                .until(subject)
                .is_some_and(|until| issued_at.seconds() <= until.seconds()),
        }
    }

    /// Up to when the subject's tokens without session were last revoked: it moves whenever the
    /// subject loses something, so whoever remembers the subject looks again.
    pub fn subject_until(&self, subject: &str) -> Option<Timestamp> {
        self.0.view.load().until(subject)
    }

    /// Whether this is in force already.
    pub(crate) fn knows(&self, revocation: &Revocation) -> bool {
        self.0.view.load().has(revocation)
    }

    /// How long ago the database was last read.
    pub fn staleness(&self) -> Duration {
        let heard = Duration::from_millis(self.0.heard.load(Ordering::Relaxed));
        self.0.clock.steady().saturating_sub(heard)
    }

    /// How many are in force.
    pub fn len(&self) -> usize {
        let view = self.0.view.load();
        view.tiers.iter().map(|tier| tier.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Notes that the database was read as it was at `time` of the steady clock.
    pub(crate) fn heard(&self, time: Duration) {
        self.0.heard.store(millis(time), Ordering::Relaxed);
    }

    /// Adds revocations, each with the time from which it need not be remembered. Those that are
    /// known already change nothing.
    pub fn add(&self, revocations: impl IntoIterator<Item = (Revocation, Timestamp)>) {
        let _publishing = self
            .0
            .publishing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut view = View::clone(&self.0.view.load());
        let mut news = Lists::default();
        for (revocation, expires) in revocations {
            if !view.has(&revocation) {
                news.put(revocation, expires);
            }
        }
        if news.len() == 0 {
            return;
        }
        view.take_up(news, self.0.clock.now());
        self.0.view.store(Arc::new(view));
        // After the store: who reads the new generation sees the new view.
        self.0.generation.fetch_add(1, Ordering::Release);
    }
}

impl View {
    /// Up to when the subject's tokens are revoked. An account is kept under its id in the one form
    /// of ids: other makers of tokens write a UUID in capitals.
    fn until(&self, subject: &str) -> Option<Timestamp> {
        let account = AccountId::parse(subject).ok();
        let subject = account.as_ref().map_or(subject, AccountId::as_str);
        let found = self.tiers.iter().filter_map(|t| t.subjects.get(subject));
        found.map(|(until, _)| *until).max()
    }

    fn has(&self, revocation: &Revocation) -> bool {
        self.tiers.iter().any(|tier| tier.has(revocation))
    }

    /// Merges the new ones into the first tier that has room for them and for what is in the tiers
    /// before it; forgets what has expired on the way.
    fn take_up(&mut self, mut news: Lists, now: Timestamp) {
        let mut room = RECENT;
        for tier in &mut self.tiers {
            // Readers have the tier: it is copied rather than changed.
            let mut merged = Lists::clone(tier);
            merged.forget(now);
            merged.extend(news);
            if merged.len() <= room {
                *tier = Arc::new(merged);
                return;
            }
            news = merged;
            *tier = Arc::default();
            room = room.saturating_mul(GROWTH);
        }
        self.tiers.push(Arc::new(news));
    }
}

impl Lists {
    fn len(&self) -> usize {
        self.sessions.len() + self.subjects.len()
    }

    fn has(&self, revocation: &Revocation) -> bool {
        match revocation {
            Revocation::Session(session) => self.sessions.contains_key(session),
            Revocation::Subject { subject, until } => self
                .subjects
                .get(subject)
                .is_some_and(|(known, _)| known >= until),
        }
    }

    fn put(&mut self, revocation: Revocation, expires: Timestamp) {
        if self.has(&revocation) {
            return;
        }
        match revocation {
            Revocation::Session(session) => {
                self.sessions.insert(session, expires);
            }
            Revocation::Subject { subject, until } => {
                self.subjects.insert(subject, (until, expires));
            }
        }
    }

    /// Adds newer ones; of a subject's two words the newer reaches further.
    fn extend(&mut self, newer: Lists) {
        self.sessions.extend(newer.sessions);
        self.subjects.extend(newer.subjects);
    }

    fn forget(&mut self, now: Timestamp) {
        self.sessions.retain(|_, expires| *expires > now);
        self.subjects.retain(|_, (_, expires)| *expires > now);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn a_session_is_revoked_whatever_its_tokens_say_of_their_age() {
        let revocations = Revocations::new(Clock::manual(at(1_000)));
        let (ended, other) = (SessionId::random(), SessionId::random());
        revocations.add([(Revocation::Session(ended), at(2_000))]);
        assert!(revocations.is_revoked(Some(ended), "x", at(5_000)));
        assert!(!revocations.is_revoked(Some(other), "x", at(0)));
    }

    #[test]
    fn a_subject_is_revoked_until_a_second_and_only_for_tokens_without_session() {
        let revocations = Revocations::new(Clock::manual(at(1_000)));
        let until = Timestamp::from_millis(1_000_500);
        let subject = String::from("ann");
        revocations.add([(Revocation::Subject { subject, until }, at(2_000))]);
        assert!(revocations.is_revoked(None, "ann", at(1_000)));
        assert!(!revocations.is_revoked(None, "ann", at(1_001)));
        assert!(!revocations.is_revoked(None, "bob", at(1_000)));
        assert!(!revocations.is_revoked(Some(SessionId::random()), "ann", at(1_000)));
    }

    #[test]
    fn an_account_is_revoked_however_a_token_writes_its_id() {
        let revocations = Revocations::new(Clock::manual(at(1_000)));
        let (subject, until) = (AccountId::random().to_string(), at(1_000));
        let spellings = [subject.clone(), subject.to_uppercase()];
        revocations.add([(Revocation::Subject { subject, until }, at(2_000))]);
        for written in spellings {
            assert!(revocations.is_revoked(None, &written, at(1_000)));
            assert_eq!(revocations.subject_until(&written), Some(until));
        }
    }

    #[test]
    fn the_generation_moves_only_for_news() {
        let revocations = Revocations::new(Clock::manual(at(1_000)));
        let news = [(Revocation::Session(SessionId::random()), at(2_000))];
        let before = revocations.generation();
        revocations.add(news.clone());
        let after = revocations.generation();
        assert_ne!(before, after);
        revocations.add(news);
        assert_eq!(revocations.generation(), after);
    }

    #[test]
    fn many_revocations_all_hold_and_the_expired_are_forgotten() {
        let clock = Clock::manual(at(1_000));
        let revocations = Revocations::new(clock.clone());
        let sessions: Vec<_> = (0..1_000).map(|_| SessionId::random()).collect();
        for &session in &sessions {
            revocations.add([(Revocation::Session(session), at(2_000))]);
        }
        for &session in &sessions {
            assert!(revocations.is_revoked(Some(session), "", at(0)));
        }
        clock.advance(Duration::from_secs(1_500));
        for _ in 0..=RECENT {
            let session = SessionId::random();
            revocations.add([(Revocation::Session(session), at(9_000))]);
        }
        assert!(revocations.len() <= 2 * RECENT, "{}", revocations.len());
    }

    #[test]
    fn the_latest_word_on_a_subject_holds_in_whichever_tier_it_is() {
        let revocations = Revocations::new(Clock::manual(at(1_000)));
        let word = |until: i64| {
            let (subject, until) = (String::from("ann"), at(until));
            (Revocation::Subject { subject, until }, at(90_000))
        };
        for until in (1_000..1_000 + 3 * 256).step_by(3) {
            let others = (0..40).map(|_| (Revocation::Session(SessionId::random()), at(90_000)));
            revocations.add(others.chain([word(until)]));
            assert_eq!(revocations.subject_until("ann"), Some(at(until)));
            assert!(revocations.is_revoked(None, "ann", at(until)));
            assert!(!revocations.is_revoked(None, "ann", at(until + 1)));
        }
        let before = revocations.generation();
        revocations.add([word(1_000)]);
        assert_eq!(
            revocations.generation(),
            before,
            "an earlier word is no news"
        );
    }

    #[test]
    fn staleness_is_the_time_since_the_database_was_read() {
        let clock = Clock::manual(at(1_000));
        let revocations = Revocations::new(clock.clone());
        clock.advance(Duration::from_secs(7));
        assert_eq!(revocations.staleness(), Duration::from_secs(7));
        revocations.heard(clock.steady());
        assert_eq!(revocations.staleness(), Duration::ZERO);
    }
}
