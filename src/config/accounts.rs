//! The section `[accounts]`: where accounts are kept, who may register, how long sessions live.

use std::time::Duration;

use http::HeaderName;

use super::database::PostgresSection;
use super::reader::{FromToml, Table, Value, Wrong};
use super::{api_keys, database, passwords};
use crate::accounts::{EmailAddress, Registration, Role, Rules, SessionRules, Settings};
use crate::endpoints::Profile;
use crate::inbound::cookie::CookieScope;
use crate::store::Database;

/// The role of somebody who registers, unless it is configured.
const DEFAULT_ROLE: &str = "member";
/// Longest grace for a refresh token: more weakens the detection of a stolen one.
const LONGEST_GRACE: Duration = Duration::from_secs(30);

/// What `[accounts]` and `[passwords]` say.
#[derive(Clone, Debug)]
pub struct AccountsSection {
    /// Read when the process starts; a reload does not change it.
    pub settings: Settings,
    pub rules: Rules,
    pub profiles: Vec<Profile>,
    /// Where an API key stands, beside `Authorization`.
    pub key_header: HeaderName,
    /// Of the session cookie.
    pub cookies: CookieScope,
}

/// Reads `[accounts]`, `[passwords]` and `[api_keys]` of the file's root; every key has a default, and so has
/// each section. `longest_token` is the longest life of any access token, leeway included.
pub fn read(root: &mut Table<'_>, longest_token: Duration) -> AccountsSection {
    let passwords = passwords::read(root);
    let api_keys = api_keys::read(root);
    let mut section = root.table("accounts");
    let mut written = section
        .as_mut()
        .map_or_else(Written::default, Written::read);
    if let Some(section) = section {
        section.finish();
    }
    written.sessions.longest_token = longest_token;
    AccountsSection {
        settings: Settings {
            database: written.database,
            hashing: passwords.hashing,
            key_prefix: api_keys.prefix,
        },
        rules: Rules {
            registration: written.registration,
            default_roles: written.roles,
            passwords: passwords.policy,
            sessions: written.sessions,
            api_keys: api_keys.rules,
            // a section of its own, with secrets that an operator's command does not read
            second_factor: None,
        },
        profiles: written.profiles,
        key_header: api_keys.header,
        cookies: written.cookies,
    }
}

/// The keys of `[accounts]`.
struct Written {
    database: Database,
    registration: Registration,
    roles: Vec<Role>,
    sessions: SessionRules,
    profiles: Vec<Profile>,
    cookies: CookieScope,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            database: PostgresSection::default().database(database::default()),
            registration: Registration::Open,
            roles: Role::parse(DEFAULT_ROLE).into_iter().collect(),
            sessions: SessionRules::default(),
            profiles: vec![Profile::Native, Profile::Browser],
            cookies: CookieScope::default(),
        }
    }
}

impl Written {
    fn read(section: &mut Table<'_>) -> Self {
        let defaults = Self::default();
        let sessions = read_sessions(section);
        Self {
            database: database::read(section),
            registration: section.or("registration", defaults.registration),
            roles: or_list(section, "default_roles", defaults.roles),
            sessions,
            profiles: or_list(section, "profiles", defaults.profiles),
            cookies: section.or("cookie_domain", defaults.cookies),
        }
    }
}

fn read_sessions(section: &mut Table<'_>) -> SessionRules {
    let defaults = SessionRules::default();
    let absolute = section.or("session_lifetime", defaults.absolute);
    let idle = section.or("session_idle", defaults.idle.min(absolute));
    let browser_idle = section.or("browser_idle", defaults.browser_idle.min(idle));
    let grace = section.or("refresh_grace", defaults.grace);
    let per_user = section.or("max_sessions_per_user", defaults.per_user);
    if per_user == 0 {
        section.wrong("max_sessions_per_user", "nobody could log in");
    }
    if absolute.is_zero() {
        section.wrong("session_lifetime", "a session must live for some time");
    }
    if idle.is_zero() {
        section.wrong("session_idle", "a session must live for some time");
    }
    if browser_idle.is_zero() {
        section.wrong("browser_idle", "a session must live for some time");
    }
    if browser_idle > absolute {
        section.wrong("browser_idle", "longer than `session_lifetime`");
    }
    if idle > absolute {
        section.wrong("session_idle", "longer than `session_lifetime`");
    }
    if grace > LONGEST_GRACE {
        let problem = "longer than 30 seconds, a stolen refresh token would go unnoticed";
        section.wrong("refresh_grace", problem);
    }
    SessionRules {
        idle,
        browser_idle,
        absolute,
        grace,
        per_user,
        ..defaults
    }
}

/// The list at `key`, which may be empty, or `default` when it is absent.
fn or_list<T: FromToml>(section: &mut Table<'_>, key: &'static str, default: Vec<T>) -> Vec<T> {
    let written = section.list(key);
    if section.has(key) { written } else { default }
}

impl FromToml for Registration {
    const EXPECTED: &'static str =
        r#""open", "invitation", "approval", "closed" or { domains = ["example.com", …] }"#;

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        if let Some(mut table) = value.as_table() {
            let domains: Vec<Domain> = table.list("domains");
            table.finish();
            return match domains.is_empty() {
                true => Err(Wrong::Expected(String::from(Self::EXPECTED))),
                false => Ok(Self::Domains(domains.into_iter().map(|d| d.0).collect())),
            };
        }
        match value.as_str() {
            Some("open") => Ok(Self::Open),
            Some("invitation") => Ok(Self::Invited),
            Some("approval") => Ok(Self::Approved),
            Some("closed") => Ok(Self::Closed),
            Some(_) | None => Err(Wrong::Expected(String::from(Self::EXPECTED))),
        }
    }
}

impl FromToml for CookieScope {
    const EXPECTED: &'static str = "a domain of yours such as \"example.com\"";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        let scope = value.as_str().and_then(|text| Self::domain(text).ok());
        scope.ok_or_else(|| Wrong::Expected(String::from(Self::EXPECTED)))
    }
}

/// The domain of an e-mail address, in lower case.
pub(super) struct Domain(pub(super) String);

impl FromToml for Domain {
    const EXPECTED: &'static str = "a domain such as \"example.com\"";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        let written = value.as_str().unwrap_or_default();
        match EmailAddress::parse(&format!("somebody@{written}")) {
            Ok(email) if !written.contains('@') => Ok(Self(email.domain().to_owned())),
            Ok(_) | Err(_) => Err(Wrong::Expected(String::from(Self::EXPECTED))),
        }
    }
}

impl FromToml for EmailAddress {
    const EXPECTED: &'static str = "an e-mail address such as \"ann@example.com\"";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        value
            .as_str()
            .and_then(|text| EmailAddress::parse(text).ok())
            .ok_or_else(|| Wrong::Expected(String::from(Self::EXPECTED)))
    }
}

impl FromToml for Role {
    const EXPECTED: &'static str = "a role: 1 to 64 letters, digits and `-_.:`";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        value
            .as_str()
            .and_then(|text| Role::parse(text).ok())
            .ok_or_else(|| Wrong::Expected(String::from(Self::EXPECTED)))
    }
}

impl FromToml for Profile {
    const EXPECTED: &'static str = r#""native", "browser", "praisonai" or "rag-modulo""#;

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        value
            .as_str()
            .and_then(Profile::parse)
            .ok_or_else(|| Wrong::Expected(String::from(Self::EXPECTED)))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::reader;

    const DAY: Duration = Duration::from_secs(86_400);

    fn section(text: &str) -> Result<AccountsSection, String> {
        let outcome = reader::read(Path::new("/etc/portcullis/p.toml"), text, |mut root| {
            let section = read(&mut root, 31 * DAY);
            root.finish();
            Some(section)
        });
        outcome.map_err(|wrong| wrong.to_string())
    }

    fn file(section: &AccountsSection) -> &str {
        match &section.settings.database {
            Database::Sqlite(path) => path.to_str().unwrap(),
            Database::Postgres(settings) => panic!("{}", settings.address),
        }
    }

    #[test]
    fn every_key_has_a_default() {
        for text in ["", "[accounts]\n[passwords]\n"] {
            let read = section(text).unwrap();
            assert_eq!(file(&read), "/var/lib/portcullis/accounts.db");
            assert_eq!(read.rules.registration, Registration::Open);
            assert_eq!(read.rules.default_roles, [Role::parse("member").unwrap()]);
            assert_eq!(read.rules.sessions, SessionRules::default());
            assert_eq!(read.profiles, [Profile::Native, Profile::Browser]);
        }
    }

    #[test]
    fn every_key_is_read() {
        let read = section(
            r#"
            [accounts]
            database = "sqlite:state/accounts.db"
            registration = { domains = ["Corp.Example"] }
            profiles = ["native", "rag-modulo"]
            default_roles = []
            session_lifetime = "20d"
            session_idle = "7d"
            browser_idle = "8h"
            refresh_grace = "5s"
            max_sessions_per_user = 7
            "#,
        )
        .unwrap();
        assert_eq!(file(&read), "/etc/portcullis/state/accounts.db");
        let domains = Registration::Domains(vec![String::from("corp.example")]);
        assert_eq!(read.rules.registration, domains);
        assert_eq!(read.profiles, [Profile::Native, Profile::RagModulo]);
        assert!(read.rules.default_roles.is_empty());
        let sessions = SessionRules {
            idle: 7 * DAY,
            browser_idle: DAY / 3,
            absolute: 20 * DAY,
            grace: Duration::from_secs(5),
            per_user: 7,
            longest_token: 31 * DAY,
        };
        assert_eq!(read.rules.sessions, sessions);
    }

    #[test]
    fn a_short_lifetime_shortens_the_default_of_idleness() {
        let read = section("[accounts]\nsession_lifetime = \"1d\"").unwrap();
        assert_eq!(read.rules.sessions.idle, DAY);
    }

    #[test]
    fn mistakes_are_named() {
        for (line, said) in [
            ("database = \"sqlite::memory:\"", "sqlite:"),
            ("registration = \"opne\"", "closed"),
            ("registration = { domains = [] }", "domains"),
            ("registration = { domains = [\"a@b.com\"] }", "a domain"),
            ("profiles = [\"plai2\"]", "rag-modulo"),
            ("default_roles = [\"a,b\"]", "a role"),
            ("session_idle = \"400d\"", "longer than"),
            ("session_lifetime = \"0s\"", "some time"),
            ("refresh_grace = \"31s\"", "stolen"),
            ("max_sessions_per_user = 0", "nobody"),
            ("cookie_domain = \"com\"", "example.com"),
            ("databse = \"x\"", "did you mean `database`?"),
        ] {
            let said_so = section(&format!("[accounts]\n{line}\n")).unwrap_err();
            assert!(said_so.contains(said), "{line}: {said_so}");
        }
    }
}
