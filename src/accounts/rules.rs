//! The rules for accounts: what a reload of the configuration may change.

use std::time::Duration;

use super::api_key::Scope;
use super::password::PasswordPolicy;
use super::second_factor::SecondFactorRules;
use super::user::Role;

/// What holds for accounts from now on.
#[derive(Clone, Debug)]
pub struct Rules {
    pub registration: Registration,
    /// The roles of somebody who registers.
    pub default_roles: Vec<Role>,
    pub passwords: PasswordPolicy,
    pub sessions: SessionRules,
    pub api_keys: ApiKeyRules,
    /// `None`: second factors are not offered.
    pub second_factor: Option<SecondFactorRules>,
}

/// What users may do about API keys of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyRules {
    /// Whether they make keys at all.
    pub self_service: bool,
    /// The scopes that they may give to keys.
    pub scopes: Vec<Scope>,
    /// No key of theirs lives longer; one that says nothing lives so long.
    pub longest: Duration,
    /// Most keys of one user that are good at a time.
    pub per_user: u32,
}

impl Default for ApiKeyRules {
    fn default() -> Self {
        Self {
            self_service: true,
            scopes: Vec::new(),
            longest: Duration::from_secs(366 * 86_400),
            per_user: 20,
        }
    }
}

/// Who may register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registration {
    Open,
    /// Addresses of these domains, in lower case; not of their subdomains.
    Domains(Vec<String>),
    /// By invitation.
    Invited,
    /// Everybody, and waits for an operator's approval.
    Approved,
    Closed,
}

/// How long sessions live, and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRules {
    /// A session that is not refreshed for so long ends.
    pub idle: Duration,
    /// The same for a browser's session that is not to be remembered.
    pub browser_idle: Duration,
    /// No session lives longer.
    pub absolute: Duration,
    /// So long after a refresh the same token gets the same successor, for two tabs or a lost
    /// answer; later it is a copy in somebody else's hands.
    pub grace: Duration,
    /// Most sessions of one account that are live at a time: a log-in beyond it ends the one that was
    /// left unused for longest.
    pub per_user: u32,
    /// The longest life of any access token, leeway included: so long a revocation is remembered.
    pub longest_token: Duration,
}

impl Default for SessionRules {
    fn default() -> Self {
        let day = Duration::from_secs(86_400);
        Self {
            idle: 30 * day,
            browser_idle: day,
            absolute: 365 * day,
            grace: Duration::from_secs(10),
            per_user: 100,
            longest_token: 31 * day,
        }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            registration: Registration::Open,
            default_roles: Vec::new(),
            passwords: PasswordPolicy::preset_default(),
            sessions: SessionRules::default(),
            api_keys: ApiKeyRules::default(),
            second_factor: None,
        }
    }
}
