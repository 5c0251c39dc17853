//! Passwords: as typed, as stored, and which ones may be chosen.

use std::fmt;

use super::breached::BreachedPasswords;
use super::email::EmailAddress;
use crate::secret::Secret;

/// Longest password that is looked at, in octets: a bound on work, far above any policy.
const MAX_OCTETS: usize = 4096;
/// What is left of a password without a context word must be at least this many characters.
const MIN_BESIDE_CONTEXT: usize = 4;
/// Shorter words are too common inside good passwords to count as context.
const MIN_CONTEXT_WORD: usize = 4;

/// A password as somebody typed it: never trimmed, never cut short.
#[derive(Clone)]
pub struct PlainPassword(Secret);

/// The password is longer than anything that is looked at (4096 octets).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the password is too long")]
pub struct PasswordTooLong;

impl PlainPassword {
    /// Any text up to 4096 octets, the empty one too: whether it may be chosen is for the policy
    /// to say, whether it is right for the hash.
    pub fn parse(text: impl Into<String>) -> Result<Self, PasswordTooLong> {
        let secret = Secret::new(text.into().into_bytes());
        if secret.expose().len() > MAX_OCTETS {
            return Err(PasswordTooLong);
        }
        Ok(Self(secret))
    }

    pub(super) fn expose(&self) -> &[u8] {
        self.0.expose()
    }

    fn text(&self) -> &str {
        std::str::from_utf8(self.0.expose()).unwrap_or_default()
    }
}

impl fmt::Debug for PlainPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlainPassword(…)")
    }
}

/// A salted hash in PHC string format: what the store keeps.
#[derive(Clone)]
pub struct PasswordHash(Secret);

impl PasswordHash {
    pub(crate) fn from_phc(text: String) -> Self {
        Self(Secret::new(text.into_bytes()))
    }

    pub(crate) fn as_phc(&self) -> &str {
        std::str::from_utf8(self.0.expose()).unwrap_or_default()
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// Which passwords may be chosen: NIST SP 800-63B-4 §3.1.1.2, with no rules of composition.
#[derive(Clone, Debug)]
pub struct PasswordPolicy {
    /// In characters.
    pub min_length: usize,
    /// In characters.
    pub max_length: usize,
    /// Words that everybody guesses first, such as the service's name; those of the account
    /// itself are added.
    pub context: Vec<String>,
    pub own_names: OwnNames,
    pub breached: BreachedPasswords,
}

/// Whether a password may be little more than the account's own name or address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnNames {
    Refused,
    Allowed,
}

/// Why a password may not be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error("the password must have at least {min} characters")]
    TooShort { min: usize },
    #[error("the password must have at most {max} characters")]
    TooLong { max: usize },
    #[error("the password is little more than a name that belongs to the account or the service")]
    Guessable,
    #[error("the password is known from a breach")]
    Breached,
}

impl PasswordPolicy {
    /// At least 8 characters and not a context word.
    pub fn preset_default() -> Self {
        Self {
            min_length: 8,
            max_length: 256,
            context: vec![String::from("portcullis")],
            own_names: OwnNames::Refused,
            breached: BreachedPasswords::none(),
        }
    }

    /// For clients that exist and register with whatever they like, but for nothing at all.
    pub fn preset_compat() -> Self {
        Self {
            min_length: 1,
            max_length: 256,
            context: Vec::new(),
            own_names: OwnNames::Allowed,
            breached: BreachedPasswords::none(),
        }
    }

    /// Whether the owner of these names may choose this password.
    pub fn check(&self, password: &PlainPassword, owner: &Owner<'_>) -> Result<(), PolicyError> {
        let length = password.text().chars().count();
        if length < self.min_length {
            return Err(PolicyError::TooShort {
                min: self.min_length,
            });
        }
        if length > self.max_length {
            return Err(PolicyError::TooLong {
                max: self.max_length,
            });
        }
        let own = match self.own_names {
            OwnNames::Refused => owner.words(),
            OwnNames::Allowed => Vec::new(),
        };
        let folded = Secret::new(password.text().to_lowercase().into_bytes());
        let folded = std::str::from_utf8(folded.expose()).unwrap_or_default();
        let context = self.context.iter().map(String::as_str).chain(own);
        if context.into_iter().any(|word| is_mostly(folded, word)) {
            return Err(PolicyError::Guessable);
        }
        if self.breached.contains(password) {
            return Err(PolicyError::Breached);
        }
        Ok(())
    }
}

/// The names of whoever chooses a password.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    pub email: &'a EmailAddress,
    pub username: Option<&'a str>,
    pub name: Option<&'a str>,
}

impl<'a> Owner<'a> {
    fn words(&self) -> Vec<&'a str> {
        let own = [self.email.as_str(), self.email.local_part()].into_iter();
        let site = self.email.domain().split('.').next();
        let given = self.name.into_iter().flat_map(str::split_whitespace);
        own.chain(site).chain(self.username).chain(given).collect()
    }
}

/// Whether `password` (folded) is `word` with hardly anything around it.
fn is_mostly(password: &str, word: &str) -> bool {
    let word = word.to_lowercase();
    if password == word {
        return true;
    }
    if word.chars().count() < MIN_CONTEXT_WORD || !password.contains(&word) {
        return false;
    }
    let rest = Secret::new(password.replace(&word, "").into_bytes());
    let rest = std::str::from_utf8(rest.expose()).unwrap_or_default();
    rest.chars().count() < MIN_BESIDE_CONTEXT
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(policy: &PasswordPolicy, password: &str) -> Result<(), PolicyError> {
        let email = EmailAddress::parse("ann.lee@example.com").unwrap();
        let owner = Owner {
            email: &email,
            username: Some("annlee"),
            name: Some("Ann Lee"),
        };
        policy.check(&PlainPassword::parse(password).unwrap(), &owner)
    }

    #[test]
    fn the_default_policy() {
        let policy = PasswordPolicy::preset_default();
        for good in [
            "correct horse battery",
            "пароль-дня",
            "annlee has a long one",
            &"x".repeat(256),
        ] {
            assert_eq!(check(&policy, good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("", PolicyError::TooShort { min: 8 }),
            ("1234567", PolicyError::TooShort { min: 8 }),
            ("пароль", PolicyError::TooShort { min: 8 }),
            (&"x".repeat(257), PolicyError::TooLong { max: 256 }),
            ("AnnLee12", PolicyError::Guessable),
            ("ann.lee@example.com", PolicyError::Guessable),
            ("Portcullis1", PolicyError::Guessable),
            ("example!!!", PolicyError::Guessable),
        ] {
            assert_eq!(check(&policy, bad), Err(why), "{bad}");
        }
    }

    #[test]
    fn the_compat_policy_takes_what_existing_clients_send() {
        let policy = PasswordPolicy::preset_compat();
        for good in ["pass", "annlee1", "x"] {
            assert_eq!(check(&policy, good), Ok(()), "{good}");
        }
        assert_eq!(check(&policy, ""), Err(PolicyError::TooShort { min: 1 }));
    }

    #[test]
    fn a_breached_password_is_refused() {
        let policy = PasswordPolicy {
            breached: BreachedPasswords::from_lines("correct horse battery\n".as_bytes()).unwrap(),
            ..PasswordPolicy::preset_default()
        };
        assert_eq!(
            check(&policy, "correct horse battery"),
            Err(PolicyError::Breached)
        );
        assert_eq!(check(&policy, "correct horse battery 2"), Ok(()));
    }

    #[test]
    fn a_password_is_not_printed_and_not_changed() {
        let password = PlainPassword::parse(" hunter2 ").unwrap();
        assert!(!format!("{password:?}").contains("hunter2"));
        assert_eq!(password.expose(), b" hunter2 ");
        assert!(PlainPassword::parse("x".repeat(4097)).is_err());
    }
}
