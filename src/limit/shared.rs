//! Counting together with other nodes: Redis holds the budget, each node a lease of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::Verdict;
use super::lease::{Found, Lease, Settled, Terms, Wish};
use super::local::{Effect, LocalLimiter};
use super::rule::{Precision, RuleSpec, Scope};
use crate::clock::Clock;
use crate::shared::{Away, Bucket, Change, Digest, Key, Redis, Table, nanos};

/// What a charge comes to.
#[derive(Debug)]
pub(super) enum Charge<'a> {
    Decided(Result<Verdict, Away>),
    Asked(Asked<'a>),
}

/// A charge that has to wait for the answer of Redis.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    limiter: &'a SharedLimiter,
    key: Key,
    answer: JoinHandle<Result<Verdict, Away>>,
}

/// One rule's counters in Redis, with what this node holds of them.
#[derive(Debug)]
pub(super) struct SharedLimiter {
    redis: Redis,
    clock: Clock,
    /// Stands before each key. Names the allowance, so that a changed one starts fresh.
    prefix: String,
    terms: Terms,
    leases: Table<Lease>,
    /// This node's share of the rule, for while Redis is away. `None` for a strict rule.
    shadow: Option<LocalLimiter>,
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
            terms: Terms {
                bucket: Bucket {
                    interval: rate.interval(),
                    burst,
                },
                lease: match spec.precision {
                    Precision::Exact => 0,
                    Precision::Leased => Terms::lease(burst, redis.nodes()),
                },
                patience: redis.response_timeout().saturating_mul(2),
            },
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
    pub(super) fn charge(
        self: &Arc<Self>,
        key: Key,
        now: Duration,
        name: impl FnOnce() -> Digest,
    ) -> Charge<'_> {
        let time = nanos(now);
        let found = self.with_lease(key, |lease| lease.spend(&self.terms, time));
        Charge::Decided(match found {
            Found::Enough { remaining } => Ok(Verdict::Admitted { remaining }),
            Found::Refused { until } => Ok(refused(until, time)),
            Found::Low { remaining, wish } => {
                if self.redis.answers() {
                    drop(self.ask(key, name(), wish));
                }
                Ok(Verdict::Admitted { remaining })
            }
            Found::Nothing(_) if !self.redis.answers() => self.charge_share(key),
            Found::Nothing(wish) => {
                return Charge::Asked(Asked {
                    answer: self.ask(key, name(), wish),
                    limiter: self,
                    key,
                });
            }
        })
    }

    /// Whether a charge is known to be refused, without asking Redis: a node learns of an empty
    /// budget when it charges one itself.
    pub(super) fn quote(&self, key: Key, now: Duration) -> Verdict {
        let held = self.leases.update(key, |held| (Change::Keep, held));
        if let Some(until) = held.and_then(|lease| lease.empty_until(nanos(now))) {
            return refused(until, nanos(now));
        }
        match &self.shadow {
            Some(shadow) if !self.redis.answers() => shadow.decide(key, Effect::Quote),
            Some(_) | None => Verdict::Admitted {
                remaining: self.terms.bucket.burst,
            },
        }
    }

    fn charge_share(&self, key: Key) -> Result<Verdict, Away> {
        let shadow = self.shadow.as_ref().ok_or(Away)?;
        Ok(shadow.decide(key, Effect::Charge))
    }

    /// Asks Redis, on the control runtime: a client that hangs up meanwhile takes nothing with it of
    /// what was asked for.
    fn ask(
        self: &Arc<Self>,
        key: Key,
        name: Digest,
        wish: Wish,
    ) -> JoinHandle<Result<Verdict, Away>> {
        let limiter = Arc::clone(self);
        self.redis.control().spawn(async move {
            let place = format!("{}{name}", limiter.prefix);
            let (bucket, want) = (limiter.terms.bucket, wish.want());
            let taken = limiter.redis.take(&place, bucket, want).await?;
            let now = nanos(limiter.clock.steady());
            let settled = limiter.with_lease(key, |lease| {
                lease.settle(&limiter.terms, (wish, taken), now)
            });
            Ok(match settled {
                Settled::Admitted { remaining } => Verdict::Admitted { remaining },
                Settled::Refused { until } => refused(until, now),
            })
        })
    }

    fn with_lease<R>(&self, key: Key, change: impl FnOnce(&mut Lease) -> R) -> R {
        self.leases.update(key, |held| {
            let mut lease = held.unwrap_or_default();
            let result = change(&mut lease);
            match lease.says_nothing() {
                true => (Change::Remove, result),
                false => (Change::Put(lease), result),
            }
        })
    }
}

impl Asked<'_> {
    pub(super) async fn verdict(self) -> Result<Verdict, Away> {
        let answer = self.answer.await.unwrap_or(Err(Away));
        answer.or_else(|Away| self.limiter.charge_share(self.key))
    }
}

fn refused(until: u64, now: u64) -> Verdict {
    Verdict::Refused {
        retry_after: Duration::from_nanos(until.saturating_sub(now)),
    }
}
