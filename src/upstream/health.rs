//! Passive health: a server that fails rests, twice as long each time, and comes back by one trial.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// How failures become rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rests {
    /// Failures in a row after which a server rests.
    pub after: u32,
    pub first: Duration,
    pub longest: Duration,
}

/// What a server's last answers say of it. Read by every worker, written only when it changes.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// Failures since the last success.
    failures: AtomicU32,
    /// Rests since the last success.
    rests: AtomicU32,
    /// When the rest ends, in steady milliseconds; 0: the server does not rest.
    until: AtomicU64,
}

/// What a server did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It took no connection: it rests at once.
    Unreachable,
    /// It took the request and gave no answer in time, or garbage.
    NoAnswer,
}

impl Health {
    /// When the rest ends by the steady clock; `None`: the server does not rest.
    pub fn rests_until(&self) -> Option<Duration> {
        match self.until.load(Ordering::Relaxed) {
            0 => None,
            until => Some(Duration::from_millis(until)),
        }
    }

    /// Claims the trial of a server whose rest is over: one caller wins. The trial begins the next,
    /// longer rest, which its success ends.
    #[must_use]
    pub fn claim_trial(&self, now: Duration, rests: &Rests) -> bool {
        let until = self.until.load(Ordering::Relaxed);
        until != 0 && until <= millis(now) && self.rest(until, now, rests)
    }

    pub fn succeeded(&self) {
        // Loads first: the usual success writes nothing that other workers read.
        if self.until.load(Ordering::Relaxed) != 0 || self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
            self.rests.store(0, Ordering::Relaxed);
            self.until.store(0, Ordering::Relaxed);
        }
    }

    /// Notes a failure. One of a server that rests already changes nothing: requests that were
    /// under way together fail together.
    pub fn failed(&self, failure: Failure, now: Duration, rests: &Rests) {
        let failures = self
            .failures
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        let enough = match failure {
            Failure::Unreachable => true,
            Failure::NoAnswer => failures >= rests.after,
        };
        if enough {
            self.rest(0, now, rests);
        }
    }

    /// Begins the next rest, if the last one still ends at `until`.
    fn rest(&self, until: u64, now: Duration, rests: &Rests) -> bool {
        let doubled = 1u32.checked_shl(self.rests.load(Ordering::Relaxed));
        let length = rests
            .first
            .saturating_mul(doubled.unwrap_or(u32::MAX))
            .min(rests.longest);
        let next = millis(now.saturating_add(length)).max(1);
        let begun = self
            .until
            .compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok();
        if begun {
            self.rests.fetch_add(1, Ordering::Relaxed);
        }
        begun
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESTS: Rests = Rests {
        after: 3,
        first: Duration::from_secs(1),
        longest: Duration::from_secs(5),
    };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_server_rests_after_failures_in_a_row() {
        let health = Health::default();
        health.failed(Failure::NoAnswer, at(10), &RESTS);
        health.failed(Failure::NoAnswer, at(10), &RESTS);
        assert_eq!(health.rests_until(), None);
        health.succeeded();
        health.failed(Failure::NoAnswer, at(10), &RESTS);
        health.failed(Failure::NoAnswer, at(10), &RESTS);
        assert_eq!(health.rests_until(), None);
        health.failed(Failure::NoAnswer, at(10), &RESTS);
        assert_eq!(health.rests_until(), Some(at(11)));
    }

    #[test]
    fn a_server_that_takes_no_connection_rests_at_once() {
        let health = Health::default();
        health.failed(Failure::Unreachable, at(10), &RESTS);
        assert_eq!(health.rests_until(), Some(at(11)));
    }

    #[test]
    fn failures_together_are_one_rest() {
        let health = Health::default();
        for _ in 0..50 {
            health.failed(Failure::Unreachable, at(10), &RESTS);
        }
        assert_eq!(health.rests_until(), Some(at(11)));
    }

    #[test]
    fn rests_double_up_to_the_longest_and_one_caller_tries() {
        let health = Health::default();
        health.failed(Failure::Unreachable, at(10), &RESTS);
        assert!(!health.claim_trial(Duration::from_millis(10_999), &RESTS));
        for (now, until) in [(11, 13), (13, 17), (17, 22), (22, 27)] {
            assert!(health.claim_trial(at(now), &RESTS));
            assert!(!health.claim_trial(at(now), &RESTS));
            health.failed(Failure::Unreachable, at(now), &RESTS);
            assert_eq!(health.rests_until(), Some(at(until)));
        }
    }

    #[test]
    fn a_success_ends_the_rest_and_its_history() {
        let health = Health::default();
        health.failed(Failure::Unreachable, at(10), &RESTS);
        assert!(health.claim_trial(at(11), &RESTS));
        health.succeeded();
        assert_eq!(health.rests_until(), None);
        health.failed(Failure::Unreachable, at(20), &RESTS);
        assert_eq!(health.rests_until(), Some(at(21)));
    }
}
