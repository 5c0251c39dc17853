//! How often: named rules on client network, identity, route and login name.

mod asking;
mod headers;
mod lease;
mod local;
mod rule;
mod rules;
mod shared;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use crate::accounts::LoginName;
use crate::clock::Clock;
use crate::inbound::ClientNet;
use crate::shared::{Health, Redis};

use asking::{Asking, Keyrings};

pub use rule::{
    Allowance, Counts, InvalidRate, InvalidRuleName, KeyedOn, Precision, Rate, RuleName, RuleSpec,
    Scope, Step,
};
pub use rules::{RuleId, RuleSet};

/// The counters of all rules, live for the process: they outlast the snapshots that name them.
#[derive(Debug)]
pub struct Limits {
    clock: Clock,
    redis: Option<Redis>,
    keyrings: Keyrings,
    kept: rules::Kept,
}

/// What is known of a request at one step of its path. A rule is decided at the first step at
/// which everything is known that it is keyed on, and at that step only.
#[derive(Clone, Copy, Debug)]
pub enum LimitKeys<'a> {
    /// Before authentication.
    Client { client: ClientNet, route: &'a str },
    /// After authentication; `identity` is the subject, `None` for an anonymous caller.
    Caller {
        client: ClientNet,
        route: &'a str,
        identity: Option<&'a str>,
    },
    /// In the login endpoint, before the password is hashed.
    Login {
        client: ClientNet,
        route: &'a str,
        login: &'a LoginName,
    },
}

/// A request is within its rules, and this is how near it came to the tightest of them.
#[must_use]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Admitted {
    tightest: Option<Standing>,
}

/// What is left of one rule's budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standing {
    rule: RuleId,
    burst: u32,
    remaining: u32,
}

/// A request is over a rule (429), or a strict rule cannot be decided (503).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Limited {
    #[error("the limit `{}` is exceeded", .0.rule)]
    Exceeded(Exceeded),
    #[error("the limit `{rule}` is strict, and the shared counters are away")]
    Unavailable {
        rule: Arc<str>,
        retry_after: Duration,
    },
}

/// The rule that refused, as the refusal's headers and body tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exceeded {
    pub rule: Arc<str>,
    /// How many are admitted at once.
    pub limit: u32,
    /// How long an empty budget takes to be full again.
    pub window: Duration,
    /// When one more will be admitted.
    pub retry_after: Duration,
    full_in: Duration,
}

/// One rule's answer for one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Admitted { remaining: u32 },
    Refused { retry_after: Duration },
}

impl Limits {
    /// Counters in this process, or in Redis when there is one.
    pub fn new(clock: Clock, redis: Option<Redis>) -> Self {
        Self {
            clock,
            redis,
            keyrings: Keyrings::default(),
            kept: rules::Kept::default(),
        }
    }

    /// Where the counters live now; for `/readyz`.
    pub fn health(&self) -> Health {
        self.redis.as_ref().map_or(Health::Local, Redis::health)
    }

    /// Charges every rule of `ids` (and those that hold everywhere) that is decided at this step.
    ///
    /// In process this never waits. With Redis it waits at most the response time-out; not at all
    /// while a lease lasts, which is renewed before it is used up, or Redis is known to be away.
    ///
    /// # Errors
    /// The first rule that is exceeded, or that is strict and cannot be decided.
    pub async fn admit(
        &self,
        rules: &RuleSet,
        ids: &[RuleId],
        keys: &LimitKeys<'_>,
    ) -> Result<Admitted, Limited> {
        let mut asking = Asking::new(self, keys);
        let mut admitted = Admitted::default();
        for (id, rule) in rules.chosen(ids) {
            if rule.step != asking.step() {
                continue;
            }
            match rule.spec.counts {
                Counts::Requests => {
                    let remaining = rule.charge(&mut asking).await?;
                    admitted = admitted.and(rule.standing(id, remaining));
                }
                Counts::FailedAuthentications => rule.quote(&mut asking)?,
            }
        }
        Ok(admitted)
    }

    /// Charges the rule called `name` for a caller who is bound to it beside the route's own rules.
    /// `None`: there is no such rule, or it does not count callers apart.
    ///
    /// # Errors
    /// The rule is exceeded, or is strict and cannot be decided.
    pub async fn admit_bound(
        &self,
        rules: &RuleSet,
        name: &str,
        keys: &LimitKeys<'_>,
    ) -> Result<Option<Admitted>, Limited> {
        let found = rules.find(name).and_then(|id| Some((id, rules.rule(id)?)));
        let Some((id, rule)) = found.filter(|(_, rule)| rule.spec.keyed_on.identity) else {
            return Ok(None);
        };
        let remaining = rule.charge(&mut Asking::new(self, keys)).await?;
        Ok(Some(rule.standing(id, remaining)))
    }

    /// Charges the rules that count failed authentications; `keys` is [`LimitKeys::Client`].
    /// When one is used up, [`Limits::admit`] refuses.
    pub async fn charge_failure(&self, rules: &RuleSet, ids: &[RuleId], keys: &LimitKeys<'_>) {
        let mut asking = Asking::new(self, keys);
        for (_, rule) in rules.chosen(ids) {
            match rule.spec.counts {
                // This request is refused already: that its rule is used up now is for the next.
                Counts::FailedAuthentications => drop(rule.charge(&mut asking).await),
                Counts::Requests => {}
            }
        }
    }
}

impl Admitted {
    /// The tighter of two standings: a request meets rules at more than one step.
    pub fn and(self, other: Admitted) -> Admitted {
        match (self.tightest, other.tightest) {
            (Some(one), Some(two)) if two.is_tighter_than(one) => other,
            (Some(_), _) => self,
            (None, _) => other,
        }
    }
}

impl Standing {
    fn is_tighter_than(self, other: Standing) -> bool {
        let (one, two) = (u64::from(self.remaining), u64::from(other.remaining));
        one * u64::from(other.burst) < two * u64::from(self.burst)
    }
}
