//! Counting in this process: the cell rate of a bucket for each key, in a bounded table.

use std::time::Duration;

use super::Verdict;
use super::rule::Allowance;
use crate::shared::{Bucket, Change, FullAt, Key, Table};

/// One rule's counters in this process.
#[derive(Debug)]
pub(super) struct LocalLimiter {
    bucket: Bucket,
    table: Table<FullAt>,
}

/// What is asked of a key's counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Say what would be, and leave it.
    Quote,
    Charge,
}

impl LocalLimiter {
    pub(super) fn new(allowance: Allowance, keys: usize) -> Self {
        Self {
            bucket: Bucket {
                interval: allowance.rate.interval(),
                burst: allowance.burst.get(),
            },
            table: Table::with_room_for(keys),
        }
    }

    pub(super) fn decide(&self, key: Key, effect: Effect, now: Duration) -> Verdict {
        self.table
            .update(key, |held| match self.bucket.take(held, now) {
                Ok(full) => {
                    let remaining = self.bucket.left(full, now);
                    let change = match effect {
                        Effect::Quote => Change::Keep,
                        Effect::Charge => Change::Put(full),
                    };
                    (change, Verdict::Admitted { remaining })
                }
                Err(retry_after) => (Change::Keep, Verdict::Refused { retry_after }),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::Rate;
    use crate::shared::Keyring;

    const START: Duration = Duration::from_secs(1);

    fn limiter(rate: &str) -> LocalLimiter {
        LocalLimiter::new(Allowance::of(Rate::parse(rate).unwrap()), 100)
    }

    #[test]
    fn a_key_gets_its_burst_then_one_an_interval() {
        let limiter = limiter("3/min");
        let keys = Keyring::default();
        let (one, two) = (keys.key("one"), keys.key("two"));
        let charge = |key, now| limiter.decide(key, Effect::Charge, now);
        for remaining in [2, 1, 0] {
            assert_eq!(charge(one, START), Verdict::Admitted { remaining });
        }
        let retry_after = Duration::from_secs(20);
        assert_eq!(charge(one, START), Verdict::Refused { retry_after });
        assert_eq!(charge(two, START), Verdict::Admitted { remaining: 2 });
        let later = START + retry_after;
        assert_eq!(charge(one, later), Verdict::Admitted { remaining: 0 });
        assert_eq!(charge(one, later), Verdict::Refused { retry_after });
        let soon = later + Duration::from_secs(39);
        assert_eq!(charge(one, soon), Verdict::Admitted { remaining: 0 });
    }

    #[test]
    fn a_quote_costs_nothing() {
        let limiter = limiter("1/min");
        let key = Keyring::default().key("a");
        let admits = |effect| {
            let verdict = limiter.decide(key, effect, START);
            matches!(verdict, Verdict::Admitted { .. })
        };
        assert!(admits(Effect::Quote));
        assert!(admits(Effect::Quote));
        assert!(admits(Effect::Charge));
        assert!(!admits(Effect::Quote));
    }
}
