//! One rule as it is written: its name, what it is keyed on, what it counts, how much it admits.

use std::num::NonZeroU32;
use std::time::Duration;

/// A rule's name: 1 to 64 of `a-z`, `0-9`, `-`, `_`. Stands in response headers as it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RuleName(String);

/// The text is not a rule's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name is 1 to 64 small letters, digits, `-` and `_`")]
pub struct InvalidRuleName;

/// So many per span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    count: NonZeroU32,
    per: Duration,
}

/// The text is not a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a rate is a number, a slash and a span such as `s`, `15min`, `h` or `d`")]
pub struct InvalidRate;

/// A rate and how much of it may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Allowance {
    pub rate: Rate,
    pub burst: NonZeroU32,
}

/// What shares one budget: everything that is equal in all of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct KeyedOn {
    /// The client's network: an IPv4 address, or an IPv6 /64.
    pub client: bool,
    /// The verified caller; an anonymous one counts under its network.
    pub identity: bool,
    pub route: bool,
    /// The login name that is being tried.
    pub login: bool,
}

/// What a rule counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Counts {
    Requests,
    /// Requests whose credential was refused; when too many were, every request is.
    FailedAuthentications,
}

/// Who counts when Redis is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// All nodes together; each its share while Redis is away.
    Shared,
    /// All nodes together; while Redis is away the rule's routes answer 503.
    Strict,
    /// Each node for itself.
    Node,
}

/// How exactly nodes count together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Precision {
    /// From leases, without waiting for Redis; all together off by a tenth of the burst at most.
    Leased,
    /// Redis is asked for each.
    Exact,
}

/// When a request meets a rule: as soon as everything that the rule is keyed on is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Before authentication.
    Client,
    /// After authentication.
    Caller,
    /// Inside the login endpoint.
    Login,
}

/// One rule, ready to be counted. Two equal ones share their counters across a reload.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RuleSpec {
    pub name: RuleName,
    pub keyed_on: KeyedOn,
    pub counts: Counts,
    pub allowance: Allowance,
    pub scope: Scope,
    pub precision: Precision,
    /// How many keys are remembered at a time, at least.
    pub keys: usize,
    /// Whether it holds on every route, named there or not.
    pub everywhere: bool,
}

impl RuleName {
    pub fn parse(text: &str) -> Result<Self, InvalidRuleName> {
        let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        if !(1..=64).contains(&text.len()) || !text.bytes().all(fits) {
            return Err(InvalidRuleName);
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Rate {
    /// Reads `10/min`, `5/15min`, `5/s`, `100/h`, `1000/d`.
    pub fn parse(text: &str) -> Result<Self, InvalidRate> {
        let (count, span) = text.split_once('/').ok_or(InvalidRate)?;
        let span = span.trim();
        let digits = span.find(|c: char| !c.is_ascii_digit());
        let (many, unit) = span.split_at(digits.ok_or(InvalidRate)?);
        let seconds = match unit {
            "s" | "sec" | "second" => 1,
            "m" | "min" | "minute" => 60,
            "h" | "hour" => 3_600,
            "d" | "day" => 86_400,
            _ => return Err(InvalidRate),
        };
        let many = match many {
            "" => 1,
            digits => digits.parse::<u32>().map_err(|_| InvalidRate)?,
        };
        let count = count.trim().parse().map_err(|_| InvalidRate)?;
        Self::new(count, Duration::from_secs(seconds).saturating_mul(many))
    }

    /// At most one a microsecond, at least one in a year.
    pub fn new(count: NonZeroU32, per: Duration) -> Result<Self, InvalidRate> {
        let rate = Self { count, per };
        let year = Duration::from_secs(366 * 86_400);
        let fits = rate.interval() >= Duration::from_micros(1) && per <= year;
        fits.then_some(rate).ok_or(InvalidRate)
    }

    /// A rate of the program's own: `count` in `per`, which is a minute or more.
    pub(crate) const fn slow(count: u32, per: Duration) -> Self {
        let count = match NonZeroU32::new(count) {
            Some(count) => count,
            None => NonZeroU32::MIN,
        };
        Self { count, per }
    }

    pub fn count(self) -> NonZeroU32 {
        self.count
    }

    pub fn per(self) -> Duration {
        self.per
    }

    /// The time after which one more is admitted.
    pub fn interval(self) -> Duration {
        self.per / self.count.get()
    }
}

impl Allowance {
    /// As many at once as the rate names: `10/min` is a burst of ten.
    pub fn of(rate: Rate) -> Self {
        Self {
            rate,
            burst: rate.count,
        }
    }

    /// How long an empty budget takes to be full again.
    pub fn window(self) -> Duration {
        self.rate.interval().saturating_mul(self.burst.get())
    }

    /// This allowance's part for one of `nodes`, never less than one at a time.
    #[must_use]
    pub fn share(self, nodes: NonZeroU32) -> Self {
        let burst = NonZeroU32::new(self.burst.get() / nodes).unwrap_or(NonZeroU32::MIN);
        let rate = Rate {
            count: self.rate.count,
            per: self.rate.per.saturating_mul(nodes.get()),
        };
        Self { rate, burst }
    }
}

impl RuleSpec {
    pub(super) fn step(&self) -> Step {
        if self.keyed_on.login {
            Step::Login
        } else if self.keyed_on.identity {
            Step::Caller
        } else {
            Step::Client
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_people_write_them() {
        for (text, interval) in [
            ("10/min", Some(Duration::from_secs(6))),
            ("5/s", Some(Duration::from_millis(200))),
            ("1 / d", Some(Duration::from_secs(86_400))),
            ("5/15min", Some(Duration::from_secs(180))),
            ("5/0min", None),
            ("5/15", None),
            ("1000000/s", Some(Duration::from_micros(1))),
            ("1000001/s", None),
            ("0/s", None),
            ("-1/s", None),
            ("10", None),
            ("10/fortnight", None),
        ] {
            assert_eq!(
                Rate::parse(text).ok().map(Rate::interval),
                interval,
                "{text}"
            );
        }
    }

    #[test]
    fn a_nodes_share_is_never_nothing_and_never_more_than_its_part() {
        let whole = Allowance::of(Rate::parse("10/min").unwrap());
        let share = whole.share(NonZeroU32::new(4).unwrap());
        assert_eq!(share.burst.get(), 2);
        assert_eq!(share.rate.interval(), Duration::from_secs(24));
        let tiny = Allowance::of(Rate::parse("1/min").unwrap());
        assert_eq!(tiny.share(NonZeroU32::new(9).unwrap()).burst.get(), 1);
    }

    #[test]
    fn names_stand_in_a_header_as_they_are() {
        for (text, good) in [
            ("api", true),
            ("a_b-9", true),
            ("", false),
            ("A", false),
            ("a\"b", false),
        ] {
            assert_eq!(RuleName::parse(text).is_ok(), good, "{text}");
        }
    }
}
