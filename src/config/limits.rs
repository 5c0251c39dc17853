//! `[[limit]]`: named rules, after those that hold unless the file says otherwise.

use std::num::NonZeroU32;
use std::time::Duration;

use super::reader::{FromToml, Table, Value, Wrong, WrongNames};
use crate::limit::{
    Allowance, Counts, KeyedOn, Precision, Rate, RuleId, RuleName, RuleSpec, Scope,
};

/// Before endpoints that hash a password or check a refresh token.
pub const CREDENTIAL: &str = "credential";

/// Before endpoints that make an account.
pub const REGISTRATION: &str = "registration";

/// On every route: credentials that were refused.
pub const FAILED_AUTHENTICATION: &str = "failed-authentication";

/// How many keys a rule remembers unless it says otherwise: half a megabyte, four when all are in use.
const KEYS: usize = 100_000;

/// More would take memory that nobody expects a limit to take.
const MOST_KEYS: usize = 10_000_000;

/// What `key` lists.
#[derive(Clone, Copy)]
enum Part {
    Client,
    Identity,
    Route,
    Login,
}

/// `key`: one part or several.
struct Parts(Vec<Part>);

/// Reads every `[[limit]]`. A rule with the name of a default one takes its place.
pub fn read(root: &mut Table<'_>) -> (Vec<RuleSpec>, WrongNames) {
    let mut rules: Vec<RuleSpec> = Vec::new();
    let mut wrong = WrongNames::default();
    let sections = root.tables("limit");
    if root.is_misread("limit") {
        wrong.add(None);
    }
    for mut section in sections {
        let name = section.required::<RuleName>("name");
        match read_rule(&mut section, name.clone()) {
            Some(rule) => {
                if rules.iter().any(|other| other.name == rule.name) {
                    section.wrong("name", "two limits have this name");
                }
                rules.push(rule);
            }
            None => wrong.add(name.map(|name| name.as_str().to_owned())),
        }
        section.finish();
    }
    for default in defaults() {
        if rules.iter().all(|rule| rule.name != default.name) {
            rules.push(default);
        }
    }
    (rules, wrong)
}

/// The place of the rule with this name.
pub fn place_of(name: &str, rules: &[RuleSpec]) -> Option<RuleId> {
    let at = rules.iter().position(|rule| rule.name.as_str() == name);
    at.and_then(RuleId::of_place)
}

/// Generous enough for an office behind one address, far below what guessing needs.
fn defaults() -> Vec<RuleSpec> {
    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3_600);
    let failures = client_rule(FAILED_AUTHENTICATION, Rate::slow(120, MINUTE));
    let failures = failures.map(|rule| RuleSpec {
        counts: Counts::FailedAuthentications,
        everywhere: true,
        ..rule
    });
    let of_endpoints = [
        client_rule(CREDENTIAL, Rate::slow(60, MINUTE)),
        client_rule(REGISTRATION, Rate::slow(60, HOUR)),
    ];
    let of_endpoints = of_endpoints.map(|rule| {
        rule.map(|rule| RuleSpec {
            precision: Precision::Exact,
            ..rule
        })
    });
    of_endpoints
        .into_iter()
        .chain([failures])
        .flatten()
        .collect()
}

fn client_rule(name: &str, rate: Rate) -> Option<RuleSpec> {
    Some(RuleSpec {
        name: RuleName::parse(name).ok()?,
        keyed_on: KeyedOn {
            client: true,
            ..KeyedOn::default()
        },
        counts: Counts::Requests,
        allowance: Allowance::of(rate),
        scope: Scope::Shared,
        precision: Precision::Leased,
        keys: KEYS,
        everywhere: false,
    })
}

fn read_rule(section: &mut Table<'_>, name: Option<RuleName>) -> Option<RuleSpec> {
    let keyed_on = section
        .required::<Parts>("key")
        .map(|parts| parts.keyed_on());
    let rate = section.required::<Rate>("rate");
    let burst = section.optional::<NonZeroU32>("burst");
    let guards = matches!(&name, Some(name) if [CREDENTIAL, REGISTRATION].contains(&name.as_str()));
    let counts = section.or("counts", Counts::Requests);
    let scope = section.or("scope", Scope::Shared);
    let keys = section.or("keys", KEYS);
    if !(1..=MOST_KEYS).contains(&keys) {
        section.wrong("keys", format!("expected 1 to {MOST_KEYS}"));
    }
    let keyed_on = keyed_on?;
    // No route can name the rules of login endpoints, which come with their profiles.
    let everywhere = section.or("everywhere", keyed_on.login);
    let precision = section.or(
        "exact",
        match guards || keyed_on.login {
            true => Precision::Exact,
            false => Precision::Leased,
        },
    );
    if keyed_on.login && precision == Precision::Leased {
        section.wrong(
            "exact",
            "guesses at a login name are always counted one by one",
        );
    }
    if counts == Counts::FailedAuthentications && (keyed_on.identity || keyed_on.login) {
        let problem = "whose authentication failed has no identity";
        section.wrong_with_help("key", problem, "key = \"client\", or with \"route\"");
    }
    let allowance = Allowance::of(rate?);
    Some(RuleSpec {
        name: name?,
        keyed_on,
        counts,
        allowance: Allowance {
            burst: burst.unwrap_or(allowance.burst),
            ..allowance
        },
        scope,
        precision,
        keys,
        everywhere,
    })
}

impl Parts {
    fn keyed_on(&self) -> KeyedOn {
        let mut on = KeyedOn::default();
        for part in &self.0 {
            match part {
                Part::Client => on.client = true,
                Part::Identity => on.identity = true,
                Part::Route => on.route = true,
                Part::Login => on.login = true,
            }
        }
        on
    }
}

impl FromToml for Parts {
    const EXPECTED: &'static str =
        "\"client\", \"identity\", \"route\" or \"login\", or a list of several";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        let wrong = || Wrong::Expected(Self::EXPECTED.to_owned());
        let part = |value: &Value<'_>| match value.as_str()? {
            "client" => Some(Part::Client),
            "identity" => Some(Part::Identity),
            "route" => Some(Part::Route),
            "login" => Some(Part::Login),
            _ => None,
        };
        let parts = match value.elements() {
            Some(list) => list.iter().map(part).collect::<Option<Vec<_>>>(),
            None => part(value).map(|part| vec![part]),
        };
        let parts = parts.filter(|parts| !parts.is_empty());
        parts.map(Self).ok_or_else(wrong)
    }
}

impl FromToml for RuleName {
    const EXPECTED: &'static str = "1 to 64 small letters, digits, `-` and `_`";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        let name = value.as_str().and_then(|text| Self::parse(text).ok());
        name.ok_or_else(|| Wrong::Expected(Self::EXPECTED.to_owned()))
    }
}

impl FromToml for Rate {
    const EXPECTED: &'static str =
        "a rate such as \"10/s\", \"60/min\", \"5/15min\", \"100/h\" or \"1000/d\"";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        let rate = value.as_str().and_then(|text| Self::parse(text).ok());
        rate.ok_or_else(|| Wrong::Expected(Self::EXPECTED.to_owned()))
    }
}

impl FromToml for NonZeroU32 {
    const EXPECTED: &'static str = "a whole number from 1 to 4294967295";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        let whole = value.as_integer().and_then(|n| u32::try_from(n).ok());
        whole
            .and_then(NonZeroU32::new)
            .ok_or_else(|| Wrong::Expected(Self::EXPECTED.to_owned()))
    }
}

impl FromToml for Counts {
    const EXPECTED: &'static str = "\"requests\" or \"failed-authentications\"";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        match value.as_str() {
            Some("requests") => Ok(Counts::Requests),
            Some("failed-authentications") => Ok(Counts::FailedAuthentications),
            Some(_) | None => Err(Wrong::Expected(Self::EXPECTED.to_owned())),
        }
    }
}

impl FromToml for Scope {
    const EXPECTED: &'static str =
        "\"shared\", \"strict\" (503 while Redis is away) or \"node\" (never in Redis)";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        match value.as_str() {
            Some("shared") => Ok(Scope::Shared),
            Some("strict") => Ok(Scope::Strict),
            Some("node") => Ok(Scope::Node),
            Some(_) | None => Err(Wrong::Expected(Self::EXPECTED.to_owned())),
        }
    }
}

impl FromToml for Precision {
    const EXPECTED: &'static str = "true or false";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        Ok(match bool::from_toml(value)? {
            true => Precision::Exact,
            false => Precision::Leased,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::reader;

    fn read_text(text: &str) -> Result<Vec<RuleSpec>, String> {
        let rules = reader::read(Path::new("p.toml"), text, |mut root| {
            let (rules, _) = read(&mut root);
            root.finish();
            Some(rules)
        });
        rules.map_err(|wrong| wrong.to_string())
    }

    #[test]
    fn a_rule_is_read_with_its_defaults() {
        let text = "[[limit]]\nname = \"api\"\nkey = [\"client\", \"route\"]\nrate = \"10/min\"\n";
        let rules = read_text(text).unwrap();
        let api = &rules[0];
        assert!(api.keyed_on.client && api.keyed_on.route && !api.keyed_on.identity);
        assert_eq!(api.allowance.burst.get(), 10);
        assert_eq!((api.scope, api.everywhere), (Scope::Shared, false));
        assert_eq!(api.precision, Precision::Leased);
    }

    #[test]
    fn the_defaults_are_there_unless_the_file_has_rules_of_their_names() {
        let names = |rules: &[RuleSpec]| {
            let names = rules.iter().map(|rule| rule.name.as_str().to_owned());
            names.collect::<Vec<_>>()
        };
        let defaults = read_text("").unwrap();
        assert_eq!(
            names(&defaults),
            [CREDENTIAL, REGISTRATION, FAILED_AUTHENTICATION]
        );
        let text =
            "[[limit]]\nname = \"credential\"\nkey = \"client\"\nrate = \"7/s\"\nburst = 3\n";
        let rules = read_text(text).unwrap();
        assert_eq!(rules.len(), 3);
        assert_eq!(rules[0].allowance.burst.get(), 3);
    }

    #[test]
    fn what_guards_a_login_is_counted_exactly() {
        let rule = |name: &str, key: &str| {
            format!("[[limit]]\nname = \"{name}\"\nkey = \"{key}\"\nrate = \"9000/s\"\n")
        };
        for (text, precision) in [
            (rule("credential", "client"), Precision::Exact),
            (rule("names", "login"), Precision::Exact),
            (rule("api", "client"), Precision::Leased),
            (rule("api", "client") + "exact = true", Precision::Exact),
        ] {
            assert_eq!(read_text(&text).unwrap()[0].precision, precision, "{text}");
        }
        let shown = read_text(&(rule("names", "login") + "exact = false\n")).unwrap_err();
        assert!(shown.contains("one by one"), "{shown}");
    }

    #[test]
    fn mistakes_are_told_with_what_was_expected() {
        let rule = |key: &str, rest: &str| {
            format!("[[limit]]\nname = \"a\"\nkey = {key}\nrate = \"1/s\"\n{rest}\n")
        };
        for (text, told) in [
            (rule("\"ip\"", ""), "expected \"client\", \"identity\""),
            (rule("[]", ""), "expected \"client\", \"identity\""),
            (rule("\"client\"", "rate = 5"), "this is not TOML"),
            (
                rule("\"client\"", "burst = 0"),
                "expected a whole number from 1",
            ),
            (rule("\"client\"", "brust = 5"), "did you mean `burst`?"),
            (
                rule("\"identity\"", "counts = \"failed-authentications\""),
                "has no identity",
            ),
            (
                rule("\"client\"", "") + &rule("\"client\"", ""),
                "two limits have this name",
            ),
            (String::from("[[limit]]\n"), "the key `rate` is missing"),
        ] {
            let shown = read_text(&text).unwrap_err();
            assert!(shown.contains(told), "{text}\n{shown}");
        }
    }
}
