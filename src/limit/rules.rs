//! The rules of one snapshot, and the counters that outlast it.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use http::HeaderValue;

use super::asking::Asking;
use super::local::{Effect, LocalLimiter};
use super::rule::{RuleSpec, Scope, Step};
use super::shared::{Charge, SharedLimiter};
use super::{Admitted, Exceeded, Limited, Limits, Standing, Verdict, headers};
use crate::shared::Away;

/// When to come back after a refusal that is not the client's doing.
const RETRY_STRICT: Duration = Duration::from_secs(1);

/// A rule's place in the snapshot's list of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RuleId(pub(crate) u16);

impl RuleId {
    /// The rule at `place` of a snapshot's list.
    pub fn of_place(place: usize) -> Option<Self> {
        u16::try_from(place).ok().map(Self)
    }
}

/// The rules of one snapshot.
#[derive(Debug, Default)]
pub struct RuleSet {
    rules: Vec<Rule>,
    everywhere: Vec<RuleId>,
}

/// One rule with its counters.
#[derive(Debug)]
pub(super) struct Rule {
    pub spec: RuleSpec,
    pub name: Arc<str>,
    pub step: Step,
    pub limiter: Arc<Limiter>,
    pub policy: HeaderValue,
}

/// Who counts for a rule.
#[derive(Debug)]
pub(super) enum Limiter {
    Local(LocalLimiter),
    Shared(Arc<SharedLimiter>),
}

/// The counters in use, by the rule that they count for. A rule that a reload leaves as it was
/// keeps its counters; a changed one starts fresh, since old times mean nothing at a new rate.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<Vec<(RuleSpec, Weak<Limiter>)>>);

impl RuleSet {
    /// The rule with this name.
    pub fn find(&self, name: &str) -> Option<RuleId> {
        let at = self.rules.iter().position(|rule| &*rule.name == name)?;
        u16::try_from(at).ok().map(RuleId)
    }

    pub(super) fn rule(&self, id: RuleId) -> Option<&Rule> {
        self.rules.get(usize::from(id.0))
    }

    /// The rules that hold everywhere, then those of `ids`, each once.
    pub(super) fn chosen<'a>(
        &'a self,
        ids: &'a [RuleId],
    ) -> impl Iterator<Item = (RuleId, &'a Rule)> {
        let named = ids.iter().filter(|id| !self.everywhere.contains(id));
        let all = self.everywhere.iter().chain(named);
        all.filter_map(|id| Some((*id, self.rule(*id)?)))
    }
}

impl Limits {
    /// The rules of a new snapshot: the place of each in `specs` is its [`RuleId`].
    pub fn rules(&self, specs: &[RuleSpec]) -> RuleSet {
        let rules: Vec<Rule> = specs
            .iter()
            .map(|spec| Rule {
                name: Arc::from(spec.name.as_str()),
                step: spec.step(),
                limiter: self.kept.limiter(spec, || self.limiter(spec)),
                policy: headers::policy(spec),
                spec: spec.clone(),
            })
            .collect();
        let everywhere = (0..)
            .zip(specs)
            .filter(|(_, spec)| spec.everywhere)
            .map(|(at, _)| RuleId(at))
            .collect();
        RuleSet { rules, everywhere }
    }

    fn limiter(&self, spec: &RuleSpec) -> Limiter {
        match (&self.redis, spec.scope) {
            (None, _) | (Some(_), Scope::Node) => Limiter::Local(LocalLimiter::new(
                spec.allowance,
                spec.keys,
                self.clock.clone(),
            )),
            (Some(redis), Scope::Shared | Scope::Strict) => {
                let (redis, clock) = (redis.clone(), self.clock.clone());
                Limiter::Shared(Arc::new(SharedLimiter::new(spec, redis, clock)))
            }
        }
    }
}

impl Rule {
    /// Charges one and says what remains. Waits only for what Redis is asked.
    pub(super) async fn charge(&self, asking: &mut Asking<'_>) -> Result<u32, Limited> {
        let on = self.spec.keyed_on;
        let key = asking.key(on);
        let verdict = match &*self.limiter {
            Limiter::Local(local) => Ok(local.decide(key, Effect::Charge)),
            Limiter::Shared(shared) => match shared.charge(key, asking.now(), || asking.digest(on))
            {
                Charge::Decided(verdict) => verdict,
                Charge::Asked(asked) => {
                    let verdict = asked.verdict().await;
                    asking.has_waited();
                    verdict
                }
            },
        };
        match verdict {
            Ok(Verdict::Admitted { remaining }) => Ok(remaining),
            Ok(Verdict::Refused { retry_after }) => Err(self.exceeded(retry_after)),
            Err(Away) => Err(Limited::Unavailable {
                rule: Arc::clone(&self.name),
                retry_after: RETRY_STRICT,
            }),
        }
    }

    /// Refuses when a charge would be refused; charges nothing.
    pub(super) fn quote(&self, asking: &mut Asking<'_>) -> Result<(), Limited> {
        let key = asking.key(self.spec.keyed_on);
        let verdict = match &*self.limiter {
            Limiter::Local(local) => local.decide(key, Effect::Quote),
            Limiter::Shared(shared) => shared.quote(key, asking.now()),
        };
        match verdict {
            Verdict::Admitted { .. } => Ok(()),
            Verdict::Refused { retry_after } => Err(self.exceeded(retry_after)),
        }
    }

    pub(super) fn standing(&self, rule: RuleId, remaining: u32) -> Admitted {
        Admitted {
            tightest: Some(Standing {
                rule,
                burst: self.spec.allowance.burst.get(),
                remaining,
            }),
        }
    }

    fn exceeded(&self, retry_after: Duration) -> Limited {
        let allowance = self.spec.allowance;
        let rest = allowance.burst.get().saturating_sub(1);
        let after = allowance.rate.interval().saturating_mul(rest);
        Limited::Exceeded(Exceeded {
            rule: Arc::clone(&self.name),
            limit: allowance.burst.get(),
            window: allowance.window(),
            retry_after,
            full_in: retry_after.saturating_add(after),
        })
    }
}

impl Kept {
    fn limiter(&self, spec: &RuleSpec, make: impl FnOnce() -> Limiter) -> Arc<Limiter> {
        let counted = RuleSpec {
            everywhere: false,
            ..spec.clone()
        };
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(_, limiter)| limiter.strong_count() > 0);
        let same = kept.iter().find(|(kept, _)| *kept == counted);
        if let Some(limiter) = same.and_then(|(_, limiter)| limiter.upgrade()) {
            return limiter;
        }
        let limiter = Arc::new(make());
        kept.push((counted, Arc::downgrade(&limiter)));
        limiter
    }
}
