//! `RateLimit`, `RateLimit-Policy` and `Retry-After`, as draft-ietf-httpapi-ratelimit-headers-10
//! and RFC 9110 §10.2.3 have them.

use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};

use super::rule::RuleSpec;
use super::rules::RuleSet;
use super::{Admitted, Limited};
use crate::values::Values;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// A rule's item of `RateLimit-Policy`: the quota is what may come at once, its window the time
/// in which that much grows back.
pub(super) fn policy(spec: &RuleSpec) -> HeaderValue {
    let (limit, window) = (spec.allowance.burst.get(), spec.allowance.window());
    policy_of(spec.name.as_str(), limit, window)
}

impl RuleSet {
    /// Writes where the client stands with the tightest of the rules that it met.
    pub fn write_headers(&self, admitted: Admitted, values: &Values, headers: &mut HeaderMap) {
        let Some(standing) = admitted.tightest else {
            return;
        };
        let Some(rule) = self.rule(standing.rule) else {
            return;
        };
        headers.append(RATE_LIMIT_POLICY, rule.policy.clone());
        let spent = standing.burst.saturating_sub(standing.remaining);
        let full_in = rule.spec.allowance.rate.interval().saturating_mul(spent);
        let limit = values.make(|draft| {
            draft.text("\"").text(&rule.name).text("\";r=");
            draft.number(standing.remaining);
            draft.text(";t=").number(seconds(full_in));
        });
        if let Some(mut limit) = limit {
            // It differs from answer to answer, and HTTP/2's table of fields is for what comes again: a
            // sensitive value is never put there (RFC 7541 §6.2.3).
            limit.set_sensitive(true);
            headers.append(RATE_LIMIT, limit);
        }
    }
}

impl Limited {
    /// When to come back, for `Retry-After` and bodies that repeat it.
    pub fn retry_after(&self) -> Duration {
        match self {
            Limited::Exceeded(exceeded) => exceeded.retry_after,
            Limited::Unavailable { retry_after, .. } => *retry_after,
        }
    }

    /// Writes `Retry-After`, and for a rule that was exceeded its policy and standing.
    pub fn write_headers(&self, headers: &mut HeaderMap) {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds(self.retry_after())));
        match self {
            Limited::Exceeded(over) => {
                let policy = policy_of(&over.rule, over.limit, over.window);
                headers.append(RATE_LIMIT_POLICY, policy);
                headers.append(RATE_LIMIT, limit_of(&over.rule, 0, over.full_in));
            }
            Limited::Unavailable { .. } => {}
        }
    }
}

fn policy_of(rule: &str, limit: u32, window: Duration) -> HeaderValue {
    value(format!("\"{rule}\";q={limit};w={}", seconds(window)))
}

fn limit_of(rule: &str, remaining: u32, full_in: Duration) -> HeaderValue {
    value(format!("\"{rule}\";r={remaining};t={}", seconds(full_in)))
}

/// A rule's name consists of letters that a header may carry, so this never falls back.
fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

/// Whole seconds, rounded up: a client that obeys must not come too early.
fn seconds(time: Duration) -> u64 {
    let whole = time.as_secs();
    whole
        .saturating_add(u64::from(time.subsec_nanos() > 0))
        .max(1)
}
