//! The section `[api_keys]`: how keys look, where they are shown, what users may do about theirs.

use std::time::Duration;

use http::HeaderName;

use super::headers::FieldName;
use super::reader::{FromToml, Table, Value, Wrong};
use crate::accounts::{ApiKeyRules, KeyPrefix, Scope};
use crate::authn::DEFAULT_KEY_HEADER;

/// What `[api_keys]` says.
#[derive(Clone, Debug)]
pub struct ApiKeysSection {
    /// Read when the process starts: keys with another prefix are not this gateway's.
    pub prefix: KeyPrefix,
    /// Where a key stands, beside `Authorization`.
    pub header: HeaderName,
    pub rules: ApiKeyRules,
}

/// Reads `[api_keys]` of the file's root; every key has a default.
pub fn read(root: &mut Table<'_>) -> ApiKeysSection {
    let defaults = ApiKeyRules::default();
    let mut read = ApiKeysSection {
        prefix: KeyPrefix::default(),
        header: DEFAULT_KEY_HEADER,
        rules: defaults.clone(),
    };
    let Some(mut section) = root.table("api_keys") else {
        return read;
    };
    read.prefix = section.or("prefix", read.prefix);
    read.header = section.or("header", FieldName(read.header)).0;
    read.rules = ApiKeyRules {
        self_service: section.or("self_service", defaults.self_service),
        scopes: section.list("scopes"),
        longest: section.or("max_lifetime", defaults.longest),
        per_user: section.or("max_per_user", defaults.per_user),
    };
    if read.rules.longest < Duration::from_secs(60) {
        section.wrong("max_lifetime", "a key must live for a minute at least");
    }
    section.count_at_start(&["prefix"]);
    section.finish();
    read
}

impl FromToml for KeyPrefix {
    const EXPECTED: &'static str =
        "2 to 16 small letters, digits and `_`, beginning with a letter, such as \"acme_live\"";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        value
            .as_str()
            .and_then(|text| KeyPrefix::parse(text).ok())
            .ok_or_else(|| Wrong::Expected(String::from(Self::EXPECTED)))
    }
}

impl FromToml for Scope {
    const EXPECTED: &'static str = "a scope: 1 to 64 letters, digits and `-_.:/`";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        value
            .as_str()
            .and_then(|text| Scope::parse(text).ok())
            .ok_or_else(|| Wrong::Expected(String::from(Self::EXPECTED)))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::reader;

    fn section(text: &str) -> Result<ApiKeysSection, String> {
        let outcome = reader::read(Path::new("p.toml"), text, |mut root| {
            let section = read(&mut root);
            root.finish();
            Some(section)
        });
        outcome.map_err(|wrong| wrong.to_string())
    }

    #[test]
    fn every_key_has_a_default_and_is_read() {
        let read = section("").unwrap();
        assert_eq!(read.prefix, KeyPrefix::default());
        assert_eq!(read.header, "x-api-key");
        assert_eq!(read.rules, ApiKeyRules::default());
        let read = section(
            "[api_keys]\nprefix = \"acme_live\"\nheader = \"X-Acme-Key\"\nself_service = false\n\
             scopes = [\"agents:read\"]\nmax_lifetime = \"90d\"\nmax_per_user = 3\n",
        )
        .unwrap();
        assert_eq!(read.prefix, KeyPrefix::parse("acme_live").unwrap());
        assert_eq!(read.header, "x-acme-key");
        let rules = ApiKeyRules {
            self_service: false,
            scopes: vec![Scope::parse("agents:read").unwrap()],
            longest: Duration::from_secs(90 * 86_400),
            per_user: 3,
        };
        assert_eq!(read.rules, rules);
    }

    #[test]
    fn mistakes_are_named() {
        for (line, said) in [
            ("prefix = \"PCK\"", "small letters"),
            ("header = \"authorization\"", "a meaning of its own"),
            ("header = \"a b\"", "not a header name"),
            ("scopes = [\"a b\"]", "a scope"),
            ("max_lifetime = \"1s\"", "a minute"),
            ("self_servce = true", "did you mean `self_service`?"),
        ] {
            let said_so = section(&format!("[api_keys]\n{line}\n")).unwrap_err();
            assert!(said_so.contains(said), "{line}: {said_so}");
        }
    }
}
