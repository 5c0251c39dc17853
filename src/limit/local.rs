//! Counting in this process: governor's cell rate over a bounded table, by the gateway's clock.

use std::time::Duration;

use governor::clock::Clock as GovernorClock;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};

use super::Verdict;
use super::rule::Allowance;
use crate::clock::Clock;
use crate::shared::{Change, FullAt, Key, Table};

/// One rule's counters in this process.
#[derive(Debug)]
pub(super) struct LocalLimiter(RateLimiter<Cell, Cells, Steady, StateInformationMiddleware>);

/// What is asked of a key's counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Effect {
    /// Say what would be, and leave it.
    Quote,
    Charge,
}

/// governor's key: where the counter is, and whether to change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Cell(Key, Effect);

/// governor's state behind a fixed number of places.
#[derive(Debug)]
struct Cells(Table<FullAt>);

#[derive(Debug)]
struct Steady(Clock);

impl LocalLimiter {
    pub(super) fn new(allowance: Allowance, keys: usize, clock: Clock) -> Self {
        // A rate's interval is never zero, which is all that `with_period` refuses.
        let quota = Quota::with_period(allowance.rate.interval());
        let quota = quota.unwrap_or(Quota::per_second(allowance.burst));
        let cells = Cells(Table::with_room_for(keys));
        let quota = quota.allow_burst(allowance.burst);
        Self(RateLimiter::new(quota, cells, Steady(clock)))
    }

    pub(super) fn decide(&self, key: Key, effect: Effect) -> Verdict {
        match self.0.check_key(&Cell(key, effect)) {
            Ok(state) => Verdict::Admitted {
                remaining: state.remaining_burst_capacity(),
            },
            Err(until) => Verdict::Refused {
                retry_after: until.wait_time_from(self.0.clock().now()),
            },
        }
    }
}

impl StateStore for Cells {
    type Key = Cell;

    fn measure_and_replace<T, F, E>(&self, key: &Cell, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let Cell(key, effect) = *key;
        self.0.update(key, |held| {
            match (measure(held.map(|at| Nanos::new(at.0))), effect) {
                (Ok((outcome, next)), Effect::Charge) => {
                    (Change::Put(FullAt(next.as_u64())), Ok(outcome))
                }
                (Ok((outcome, _)), Effect::Quote) => (Change::Keep, Ok(outcome)),
                (Err(refusal), Effect::Charge | Effect::Quote) => (Change::Keep, Err(refusal)),
            }
        })
    }
}

impl GovernorClock for Steady {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.steady()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::limit::Rate;
    use crate::shared::Keyring;

    fn admits(limiter: &LocalLimiter, key: Key, effect: Effect) -> bool {
        matches!(limiter.decide(key, effect), Verdict::Admitted { .. })
    }

    #[test]
    fn a_key_gets_its_burst_then_one_an_interval() {
        let clock = Clock::manual(Timestamp::from_seconds(0));
        let allowance = Allowance::of(Rate::parse("3/min").unwrap());
        let limiter = LocalLimiter::new(allowance, 100, clock.clone());
        let keys = Keyring::default();
        let (one, two) = (keys.key("one"), keys.key("two"));
        for remaining in [2, 1, 0] {
            let verdict = limiter.decide(one, Effect::Charge);
            assert_eq!(verdict, Verdict::Admitted { remaining });
        }
        let retry_after = Duration::from_secs(20);
        let refused = Verdict::Refused { retry_after };
        assert_eq!(limiter.decide(one, Effect::Charge), refused);
        assert!(admits(&limiter, two, Effect::Charge));
        clock.advance(retry_after);
        assert!(admits(&limiter, one, Effect::Charge));
        assert!(!admits(&limiter, one, Effect::Charge));
    }

    #[test]
    fn a_quote_costs_nothing() {
        let clock = Clock::manual(Timestamp::from_seconds(0));
        let allowance = Allowance::of(Rate::parse("1/min").unwrap());
        let limiter = LocalLimiter::new(allowance, 100, clock);
        let key = Keyring::default().key("a");
        assert!(admits(&limiter, key, Effect::Quote));
        assert!(admits(&limiter, key, Effect::Quote));
        assert!(admits(&limiter, key, Effect::Charge));
        assert!(!admits(&limiter, key, Effect::Quote));
    }
}
