//! Requests under way on one connection: what decides whether it is busy, quiet, or abused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use tokio::time::{Duration, Instant};

use crate::clock::timer_now;

/// What one connection is doing. Shared by the connection and by everything that keeps it busy.
#[derive(Debug)]
pub struct Flight {
    start: Instant,
    under_way: AtomicU32,
    /// Milliseconds from `start` to the moment at which the last request ended.
    quiet_since: AtomicU64,
    answered: AtomicU64,
    abandoned: AtomicU64,
    /// Nobody reads the rest of a body that the client may still be sending.
    unread: AtomicBool,
}

/// Keeps a connection busy while it lives.
#[derive(Debug)]
pub struct Passage(Arc<Flight>);

impl Flight {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            start: timer_now(),
            under_way: AtomicU32::new(0),
            quiet_since: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            unread: AtomicBool::new(false),
        })
    }

    /// Marks the connection busy until the passage is dropped.
    pub fn enter(self: &Arc<Self>) -> Passage {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        Passage(Arc::clone(self))
    }

    pub fn is_busy(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) > 0
    }

    /// A request has come: everything before it has been read.
    pub fn begin_anew(&self) {
        self.unread.store(false, Ordering::Relaxed);
    }

    /// Whether a body was given up before its end.
    pub fn is_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    /// Since when nothing has been under way; meaningless while busy.
    pub fn quiet_since(&self) -> Instant {
        self.start + Duration::from_millis(self.quiet_since.load(Ordering::Relaxed))
    }

    /// Counts a request that got its answer.
    pub fn count_answered(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request that the client took back before it was answered.
    pub fn count_abandoned(&self) {
        self.abandoned.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the client takes back most of what it asks for, and more than `tolerated` times:
    /// work for us, none for it (CVE-2023-44487).
    #[must_use]
    pub fn is_abusive(&self, tolerated: u64) -> bool {
        let abandoned = self.abandoned.load(Ordering::Relaxed);
        abandoned > tolerated && abandoned > self.answered.load(Ordering::Relaxed)
    }
}

impl Passage {
    /// The rest of what keeps the connection busy will not be read.
    pub(super) fn leaves_unread(&self) {
        self.0.unread.store(true, Ordering::Relaxed);
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        if self.0.under_way.fetch_sub(1, Ordering::Relaxed) == 1 {
            let millis = timer_now().duration_since(self.0.start).as_millis();
            let millis = u64::try_from(millis).unwrap_or(u64::MAX);
            self.0.quiet_since.store(millis, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_quiet_from_the_end_of_its_last_request() {
        let flight = Flight::new();
        let (one, two) = (flight.enter(), flight.enter());
        tokio::time::advance(Duration::from_secs(5)).await;
        drop(one);
        assert!(flight.is_busy());
        tokio::time::advance(Duration::from_secs(5)).await;
        drop(two);
        assert!(!flight.is_busy());
        assert_eq!(flight.quiet_since(), timer_now());
    }

    #[tokio::test]
    async fn only_a_client_that_mostly_abandons_is_abusive() {
        let flight = Flight::new();
        (0..101).for_each(|_| flight.count_abandoned());
        assert!(flight.is_abusive(100));
        (0..101).for_each(|_| flight.count_answered());
        assert!(!flight.is_abusive(100));
    }
}
