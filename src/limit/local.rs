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
use crate::shared::{Change, Expiring, Key, Table};

/// One rule's counters in this process.
#[derive(Debug)]
pub(super) struct LocalLimiter {
    limiter: RateLimiter<Cell, Cells, Steady, StateInformationMiddleware>,
    interval: Duration,
    burst: u32,
}

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

/// The theoretical arrival time of a cell: when its budget will be full again.
#[derive(Clone, Copy, Debug)]
struct FullAt(u64);

/// governor's state behind a fixed number of places.
#[derive(Debug)]
struct Cells(Table<FullAt>);

#[derive(Debug)]
struct Steady(Clock);

impl LocalLimiter {
    pub(super) fn new(allowance: Allowance, keys: usize, clock: Clock) -> Self {
        let interval = allowance.rate.interval();
        // Quota asks for an interval that is not zero, which a rate always has.
        let quota = Quota::with_period(interval).unwrap_or(Quota::per_second(allowance.burst));
        let cells = Cells(Table::with_room_for(keys));
        Self {
            limiter: RateLimiter::new(quota.allow_burst(allowance.burst), cells, Steady(clock)),
            interval,
            burst: allowance.burst.get(),
        }
    }

    pub(super) fn decide(&self, key: Key, effect: Effect) -> Verdict {
        match self.limiter.check_key(&Cell(key, effect)) {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                let spent = self.burst.saturating_sub(remaining);
                Verdict::Admitted {
                    remaining,
                    full_in: self.interval.saturating_mul(spent),
                }
            }
            Err(until) => {
                let retry_after = until.wait_time_from(self.limiter.clock().now());
                let rest = self.interval.saturating_mul(self.burst.saturating_sub(1));
                Verdict::Refused {
                    retry_after,
                    full_in: retry_after.saturating_add(rest),
                }
            }
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

impl Expiring for FullAt {
    fn until(&self) -> u64 {
        self.0
    }
}

impl GovernorClock for Steady {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.steady()
    }
}
