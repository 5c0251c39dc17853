//! Counting together with other nodes: Redis holds the budget, each node a lease of it.

use std::time::Duration;

use super::Verdict;
use super::local::{Effect, LocalLimiter};
use super::rule::{RuleSpec, Scope};
use crate::clock::Clock;
use crate::shared::{Away, Bucket, Change, Digest, Expiring, Key, Redis, Table, Taken, nanos};

/// Budgets below this are asked of Redis one by one: a lease of them would distort them.
const SMALLEST_LEASED: u32 = 20;

/// A lease is this part of the budget, so that the nodes together are off by little.
const LEASES_PER_BUDGET: u32 = 10;

/// However large the budget: what a node may admit beyond it, and what dies with the node.
const LARGEST_LEASE: u32 = 100;

/// One rule's counters in Redis, with what this node holds of them.
#[derive(Debug)]
pub(super) struct SharedLimiter {
    redis: Redis,
    clock: Clock,
    /// Stands before each key. Names the allowance, so that a changed one starts fresh.
    prefix: String,
    bucket: Bucket,
    /// How much is asked for at a time; one for exact rules.
    lease: u32,
    leases: Table<Lease>,
    /// This node's share of the rule, for while Redis is away. `None` for a strict rule.
    shadow: Option<LocalLimiter>,
}

/// What this node knows of one key without asking.
#[derive(Clone, Copy, Debug)]
enum Lease {
    /// So much may be admitted, until the budget would be full again anyway.
    Granted { left: u32, beyond: u32, until: u64 },
    /// Nothing will be admitted before then, whoever asks: rates only refuse, nobody gives back.
    Denied { until: u64 },
}

impl SharedLimiter {
    pub(super) fn new(spec: &RuleSpec, redis: Redis, clock: Clock) -> Self {
        let allowance = spec.allowance;
        let (rate, burst) = (allowance.rate, allowance.burst.get());
        let (name, per) = (spec.name.as_str(), rate.per().as_secs());
        let shadow = match spec.scope {
            Scope::Strict => None,
            Scope::Shared | Scope::Node => {
                let share = allowance.share(redis.nodes());
                Some(LocalLimiter::new(share, spec.keys, clock.clone()))
            }
        };
        Self {
            prefix: format!(
                "{}:limit:{name}:{}-{per}-{burst}:",
                redis.prefix(),
                rate.count()
            ),
            bucket: Bucket {
                interval: rate.interval(),
                burst,
            },
            lease: lease(burst, spec.keyed_on.login),
            leases: Table::with_room_for(spec.keys),
            shadow,
            redis,
            clock,
        }
    }

    /// Charges one: from the lease, else from Redis, else from this node's share.
    ///
    /// # Errors
    /// Redis is away, and the rule is strict.
    pub(super) async fn charge(
        &self,
        key: Key,
        name: impl FnOnce() -> Digest,
    ) -> Result<Verdict, Away> {
        if let Some(verdict) = self.spend(key) {
            return Ok(verdict);
        }
        let place = format!("{}{}", self.prefix, name());
        match (
            self.redis.take(&place, self.bucket, self.lease).await,
            &self.shadow,
        ) {
            (Ok(taken), _) => Ok(self.note(key, taken)),
            (Err(Away), Some(shadow)) => Ok(shadow.decide(key, Effect::Charge)),
            (Err(Away), None) => Err(Away),
        }
    }

    /// Whether a charge is known to be refused, without asking Redis: a node learns of an empty
    /// budget when it charges one itself.
    pub(super) fn quote(&self, key: Key) -> Verdict {
        let now = nanos(self.clock.steady());
        let held = self.leases.update(key, |held| (Change::Keep, held));
        if let Some(Lease::Denied { until }) = held
            && until > now
        {
            return refused(until, now);
        }
        match &self.shadow {
            Some(shadow) if !self.redis.answers() => shadow.decide(key, Effect::Quote),
            Some(_) | None => Verdict::Admitted {
                remaining: self.bucket.burst,
            },
        }
    }

    fn spend(&self, key: Key) -> Option<Verdict> {
        let now = nanos(self.clock.steady());
        self.leases.update(key, |held| match held {
            Some(Lease::Granted {
                left,
                beyond,
                until,
            }) if until > now && left > 0 => {
                let left = left - 1;
                let remaining = left.saturating_add(beyond);
                let rest = Lease::Granted {
                    left,
                    beyond,
                    until,
                };
                (Change::Put(rest), Some(Verdict::Admitted { remaining }))
            }
            Some(Lease::Denied { until }) if until > now => {
                (Change::Keep, Some(refused(until, now)))
            }
            Some(Lease::Granted { .. } | Lease::Denied { .. }) => (Change::Remove, None),
            None => (Change::Keep, None),
        })
    }

    /// Keeps what Redis gave beyond the one that was needed, or that it gave nothing.
    fn note(&self, key: Key, taken: Taken) -> Verdict {
        let now = nanos(self.clock.steady());
        let Some(rest) = taken.taken.checked_sub(1) else {
            let until = now.saturating_add(nanos(taken.wait));
            self.leases.update(key, |held| match held {
                Some(Lease::Granted { left, until, .. }) if left > 0 && until > now => {
                    (Change::Keep, ())
                }
                Some(Lease::Granted { .. } | Lease::Denied { .. }) | None => {
                    (Change::Put(Lease::Denied { until }), ())
                }
            });
            return refused(until, now);
        };
        if rest > 0 {
            self.keep(key, rest, taken.left);
        }
        Verdict::Admitted {
            remaining: rest.saturating_add(taken.left),
        }
    }

    fn keep(&self, key: Key, rest: u32, beyond: u32) {
        let now = nanos(self.clock.steady());
        let spent = self.bucket.burst.saturating_sub(beyond);
        let full_in = nanos(self.bucket.interval).saturating_mul(u64::from(spent));
        let until = now.saturating_add(full_in);
        self.leases.update(key, |held| {
            let had = match held {
                Some(Lease::Granted { left, until, .. }) if until > now => left,
                Some(Lease::Granted { .. } | Lease::Denied { .. }) | None => 0,
            };
            let left = had.saturating_add(rest);
            (
                Change::Put(Lease::Granted {
                    left,
                    beyond,
                    until,
                }),
                (),
            )
        });
    }
}

impl Expiring for Lease {
    fn until(&self) -> u64 {
        match self {
            Lease::Granted { until, .. } | Lease::Denied { until } => *until,
        }
    }
}

/// How much to ask for at a time. Guesses at a login are counted one by one.
fn lease(burst: u32, login: bool) -> u32 {
    if login || burst < SMALLEST_LEASED {
        return 1;
    }
    (burst / LEASES_PER_BUDGET).min(LARGEST_LEASE)
}

fn refused(until: u64, now: u64) -> Verdict {
    Verdict::Refused {
        retry_after: Duration::from_nanos(until.saturating_sub(now)),
    }
}
