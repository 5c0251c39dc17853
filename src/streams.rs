//! Streams belong to sessions: what outlives its request ends with the session that admitted it.

mod close;
mod keeper;
mod rounds;
mod tether;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub use close::Close;
pub use keeper::{Keeper, Watch};
pub use tether::{Admitted, Asked, LASTING, Tether, during, lapse, over};

use crate::accounts::SessionId;

/// Streams open at once in one session, unless configured: as many as a browser's connection has.
pub const DEFAULT_BOUND: usize = 100;

/// Why a stream is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Its session was ended: a logout, a new password, a lost role, an account that was disabled.
    Revoked,
    /// Its credential has expired and its session was not refreshed.
    Expired,
    /// The configuration does not let its caller in any more.
    Denied,
    /// Nobody can say whether its session lives: the database is away for too long.
    Unknown,
    /// Its session has as many streams as it may.
    TooMany,
}

impl Cause {
    const ALL: [Cause; 5] = [
        Cause::Revoked,
        Cause::Expired,
        Cause::Denied,
        Cause::Unknown,
        Cause::TooMany,
    ];

    /// For logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Cause::Revoked => "revoked",
            Cause::Expired => "expired",
            Cause::Denied => "denied",
            Cause::Unknown => "unknown",
            Cause::TooMany => "too_many",
        }
    }

    const fn index(self) -> usize {
        self as usize
    }
}

/// The session has as many open streams as it may: 429.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session has as many open streams as it may")]
pub struct TooManyStreams;

/// Whose streams are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Owner {
    /// Or an API key, under the name by which it is revoked.
    Session(SessionId),
    /// Of tokens that name no session.
    Subject(Box<str>),
}

/// The streams that are open in the whole process. Clones share the counts.
#[derive(Clone)]
pub struct Streams(Arc<Counts>);

struct Counts {
    /// Most for one owner.
    bound: AtomicUsize,
    /// Touched when a stream begins and when it ends, never by an answer that is short.
    open: Mutex<HashMap<Owner, usize>>,
    /// How many owners have as many as they may: while there is none, nobody needs to look.
    full: AtomicUsize,
    ended: [AtomicU64; Cause::ALL.len()],
    refused: AtomicU64,
    /// Moves with the configuration.
    configuration: AtomicU64,
}

/// One open stream's place among those of its owner. Dropping it gives the place back.
struct Place {
    streams: Streams,
    owner: Owner,
}

/// The streams at one moment, for metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    pub open: usize,
    /// Those of the session that has most.
    pub most: usize,
    /// Totals by cause.
    pub ended: Vec<(&'static str, u64)>,
    pub refused: u64,
}

impl Streams {
    /// No owner has more than `bound`.
    pub fn new(bound: usize) -> Self {
        Self(Arc::new(Counts {
            bound: AtomicUsize::new(bound),
            open: Mutex::default(),
            full: AtomicUsize::new(0),
            ended: Default::default(),
            refused: AtomicU64::new(0),
            configuration: AtomicU64::new(0),
        }))
    }

    /// Has every stream judged again: another configuration is in force already.
    pub fn judge_again(&self) {
        self.0.configuration.fetch_add(1, Ordering::Release);
    }

    fn configuration(&self) -> u64 {
        self.0.configuration.load(Ordering::Acquire)
    }

    /// From now on no owner begins more than `bound`; those that have more keep them.
    pub fn set_bound(&self, bound: usize) {
        let open = self.open();
        self.0.bound.store(bound, Ordering::Relaxed);
        let full = open.values().filter(|count| **count >= bound).count();
        self.0.full.store(full, Ordering::Relaxed);
    }

    pub fn figures(&self) -> Figures {
        let (open, most) = {
            let open = self.open();
            (
                open.values().sum(),
                open.values().copied().max().unwrap_or(0),
            )
        };
        let count = |cause: &Cause| {
            let ended = self.0.ended.get(cause.index());
            let ended = ended.map_or(0, |count| count.load(Ordering::Relaxed));
            (cause.name(), ended)
        };
        Figures {
            open,
            most,
            ended: Cause::ALL.iter().map(count).collect(),
            refused: self.0.refused.load(Ordering::Relaxed),
        }
    }

    /// A place for one more stream of `owner`.
    fn place(&self, owner: Owner) -> Result<Place, TooManyStreams> {
        let mut open = self.open();
        let bound = self.bound();
        let count = open.entry(owner.clone()).or_insert(0);
        if *count >= bound {
            self.0.refused.fetch_add(1, Ordering::Relaxed);
            return Err(TooManyStreams);
        }
        *count += 1;
        if *count == bound {
            self.0.full.fetch_add(1, Ordering::Relaxed);
        }
        let streams = self.clone();
        Ok(Place { streams, owner })
    }

    /// Whether `owner` might begin one more.
    fn check_room(&self, owner: impl FnOnce() -> Owner) -> Result<(), TooManyStreams> {
        if self.0.full.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        let count = self.open().get(&owner()).copied().unwrap_or(0);
        if count >= self.bound() {
            self.0.refused.fetch_add(1, Ordering::Relaxed);
            return Err(TooManyStreams);
        }
        Ok(())
    }

    fn bound(&self) -> usize {
        self.0.bound.load(Ordering::Relaxed)
    }

    fn count_ended(&self, cause: Cause) {
        if let Some(count) = self.0.ended.get(cause.index()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<Owner, usize>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.streams.open();
        let bound = self.streams.bound();
        let Some(count) = open.get_mut(&self.owner) else {
            return;
        };
        *count = count.saturating_sub(1);
        if *count + 1 == bound {
            self.streams.0.full.fetch_sub(1, Ordering::Relaxed);
        }
        if *count == 0 {
            open.remove(&self.owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(name: &str) -> Owner {
        Owner::Subject(name.into())
    }

    #[test]
    fn each_owner_has_so_many_places_and_gets_them_back() {
        let streams = Streams::new(2);
        let one = streams.place(owner("ann")).unwrap();
        let two = streams.place(owner("ann")).unwrap();
        assert!(streams.place(owner("ann")).is_err());
        assert!(streams.check_room(|| owner("ann")).is_err());
        assert!(streams.check_room(|| owner("bob")).is_ok());
        let bobs = streams.place(owner("bob")).unwrap();
        let figures = streams.figures();
        assert_eq!((figures.open, figures.most, figures.refused), (3, 2, 2));
        drop(one);
        assert!(streams.check_room(|| owner("ann")).is_ok());
        drop(streams.place(owner("ann")).unwrap());
        drop((two, bobs));
        assert_eq!(streams.figures().open, 0);
        assert!(streams.open().is_empty());
    }

    #[test]
    fn a_new_bound_ends_nothing_and_holds_from_then_on() {
        let streams = Streams::new(3);
        let mut places: Vec<_> = (0..3)
            .map(|_| streams.place(owner("ann")).unwrap())
            .collect();
        streams.set_bound(2);
        for _ in 0..2 {
            assert!(streams.check_room(|| owner("ann")).is_err());
            assert!(streams.place(owner("ann")).is_err());
            places.pop();
        }
        assert!(streams.check_room(|| owner("ann")).is_ok());
        streams.set_bound(1);
        assert!(streams.check_room(|| owner("ann")).is_err());
        drop(places);
        assert_eq!(streams.0.full.load(Ordering::Relaxed), 0);
    }
}
