//! How many retries an upstream bears: a share of its requests, so that retries do not make an outage
//! worse than it is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What one retry costs. A request earns as many of these as the share says, in percent.
const RETRY: u64 = 100;
/// Retries that may come at once, however few requests there were: what is saved up at most.
const SAVED: u64 = 10 * RETRY;
/// What is earned in a second without any request: an upstream that is rarely asked has its retries.
const A_SECOND: u64 = RETRY;

/// The retries of one upstream, over all workers and all its servers.
#[derive(Debug)]
pub(super) struct RetryBudget {
    /// Retries for every hundred requests.
    share: u64,
    saved: AtomicU64,
    /// On the steady clock, in milliseconds: until when idle time has been paid for.
    paid_until: AtomicU64,
    withheld: AtomicU64,
}

impl RetryBudget {
    pub(super) fn new(share: u32) -> Self {
        Self {
            share: u64::from(share),
            saved: AtomicU64::new(SAVED),
            paid_until: AtomicU64::new(0),
            withheld: AtomicU64::new(0),
        }
    }

    /// The same under a new share, after a reload.
    pub(super) fn with_share(&self, share: u32) -> Self {
        let copy = |number: &AtomicU64| AtomicU64::new(number.load(Ordering::Relaxed));
        Self {
            share: u64::from(share),
            saved: copy(&self.saved),
            paid_until: copy(&self.paid_until),
            withheld: copy(&self.withheld),
        }
    }

    /// A request came. While all is well this is one read.
    pub(super) fn earn(&self) {
        if self.saved.load(Ordering::Relaxed) < SAVED {
            self.add(self.share);
        }
    }

    /// Whether there may be a retry now; it is spent then.
    pub(super) fn spend(&self, now: Duration) -> bool {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let paid = self.paid_until.fetch_max(now, Ordering::Relaxed);
        self.add(now.saturating_sub(paid).saturating_mul(A_SECOND) / 1000);
        let spend = |saved: u64| saved.checked_sub(RETRY);
        let spent = self
            .saved
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend)
            .is_ok();
        if !spent {
            self.withheld.fetch_add(1, Ordering::Relaxed);
        }
        spent
    }

    /// Retries that there would have been.
    pub(super) fn withheld(&self) -> u64 {
        self.withheld.load(Ordering::Relaxed)
    }

    fn add(&self, earned: u64) {
        let add = |saved: u64| Some(saved.saturating_add(earned).min(SAVED));
        // It is never refused.
        let added = self
            .saved
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        debug_assert!(added.is_ok());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The retries of `requests` that all fail and would all be tried again.
    fn retries(budget: &RetryBudget, requests: u32, now: Duration) -> u32 {
        let one = |_| {
            budget.earn();
            u32::from(budget.spend(now))
        };
        (0..requests).map(one).sum()
    }

    #[test]
    fn an_outage_is_retried_by_a_share_of_the_requests() {
        let budget = RetryBudget::new(20);
        let now = Duration::from_secs(5);
        assert_eq!(retries(&budget, 1_000, now), 209);
        assert_eq!(budget.withheld(), 791);
        assert_eq!(retries(&RetryBudget::new(0), 1_000, now), 10);
    }

    #[test]
    fn who_is_rarely_asked_has_its_retries() {
        let budget = RetryBudget::new(20);
        let mut now = Duration::from_secs(5);
        retries(&budget, 1_000, now);
        for _ in 0..10 {
            now += Duration::from_secs(1);
            assert!(budget.spend(now));
            assert!(!budget.spend(now));
        }
        now += Duration::from_secs(3_600);
        assert_eq!(retries(&budget, 12, now), 12);
        assert_eq!(retries(&budget, 100, now), 20);
    }

    #[test]
    fn a_reload_forgives_nothing() {
        let budget = RetryBudget::new(20);
        let now = Duration::from_secs(5);
        retries(&budget, 1_000, now);
        let reloaded = budget.with_share(0);
        assert_eq!(retries(&reloaded, 100, now), 0);
        assert_eq!(reloaded.withheld(), 891);
    }
}
