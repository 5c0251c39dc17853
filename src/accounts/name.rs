//! Names of a person: what they log in with, and what others see.

use std::fmt;

use super::email::EmailAddress;

/// Longest login name: as long as an e-mail address, in octets.
const MAX_LOGIN: usize = 254;
/// Longest username without `@`, in octets.
const MAX_USERNAME: usize = 64;
/// Longest name for display, in characters.
const MAX_DISPLAY: usize = 128;

/// What a person types to log in: an e-mail address or a username, in one namespace in which case
/// does not matter.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct LoginName(String);

impl LoginName {
    /// Folds what was typed into the form that is looked up. Anything that could not be a name
    /// (empty, too long, with control characters) is refused before it costs a look-up.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > MAX_LOGIN {
            return Err(NameError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(NameError::Character);
        }
        Ok(Self(text.to_lowercase()))
    }

    /// The folded form: the key of look-ups and of limits.
    pub fn key(&self) -> &str {
        &self.0
    }
}

impl From<&EmailAddress> for LoginName {
    fn from(email: &EmailAddress) -> Self {
        Self(email.as_str().to_ascii_lowercase())
    }
}

impl From<&Username> for LoginName {
    fn from(username: &Username) -> Self {
        Self(username.as_str().to_ascii_lowercase())
    }
}

/// A login name may be somebody's e-mail address, or a password typed into the wrong field.
impl fmt::Debug for LoginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginName(…)")
    }
}

/// A second name to log in with. With an `@` it must be the account's own address, which
/// registration checks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Username(String);

impl Username {
    /// What was parsed before it was stored: a rule that has become stricter since must not lock
    /// its owner out.
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }

    /// Letters, digits and `._-`, beginning with a letter or digit; or an e-mail address.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let text = text.trim();
        if text.contains('@') {
            return EmailAddress::parse(text)
                .map(|email| Self(email.as_str().to_owned()))
                .map_err(|_| NameError::Character);
        }
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > MAX_USERNAME {
            return Err(NameError::TooLong);
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if !text.chars().all(fits) || text.starts_with(['.', '_', '-']) {
            return Err(NameError::Character);
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it looks like an address.
    pub(super) fn is_address(&self) -> bool {
        self.0.contains('@')
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name that others see: any script, but nothing that could break a header, a log line or the
/// direction of the text around it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DisplayName(String);

impl DisplayName {
    /// What was parsed before it was stored: a rule that has become stricter since must not lock
    /// its owner out.
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }

    /// Reads a name; blanks around it are dropped.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.chars().count() > MAX_DISPLAY {
            return Err(NameError::TooLong);
        }
        if text.chars().any(is_disruptive) {
            return Err(NameError::Character);
        }
        Ok(Self(text.to_owned()))
    }

    /// The name of somebody who gave none: the local part of the address.
    pub fn from_email(email: &EmailAddress) -> Self {
        Self(email.local_part().to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DisplayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("the name is empty")]
    Empty,
    #[error("the name is too long")]
    TooLong,
    #[error("the name contains a character that is not allowed")]
    Character,
}

/// Control characters, line separators, and those that turn the direction of text (Unicode
/// TR 36 §2.5).
fn is_disruptive(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{061c}'
        )
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_name_ignores_case_and_blanks_around_it() {
        let typed = LoginName::parse(" Ann@Example.com ").unwrap();
        let own = LoginName::from(&EmailAddress::parse("ANN@example.COM").unwrap());
        assert_eq!(typed, own);
        let own = LoginName::from(&Username::parse("AnnLee").unwrap());
        assert_eq!(LoginName::parse("annlee").unwrap(), own);
    }

    #[test]
    fn a_login_name_is_not_printed() {
        let name = LoginName::parse("hunter2").unwrap();
        assert!(!format!("{name:?}").contains("hunter2"));
    }

    #[test]
    fn usernames() {
        for text in ["a", "ann.lee", "x_1-2", "ann@example.com"] {
            assert!(Username::parse(text).is_ok(), "{text}");
        }
        for (text, why) in [
            ("", NameError::Empty),
            ("-a", NameError::Character),
            ("a b", NameError::Character),
            ("a\0", NameError::Character),
            ("аnn", NameError::Character), // a Cyrillic letter that looks like an `a`
            ("ann@", NameError::Character),
        ] {
            assert_eq!(Username::parse(text), Err(why), "{text:?}");
        }
        assert_eq!(Username::parse(&"a".repeat(65)), Err(NameError::TooLong));
    }

    #[test]
    fn a_display_name_is_any_script_without_control_characters() {
        for text in ["A One", "Jörg Müller", "山田 太郎", "O'Neil, Jr."] {
            assert!(DisplayName::parse(text).is_ok(), "{text}");
        }
        for text in [
            "a\r\nX-User-Roles: admin",
            "a\0b",
            "a\u{202e}b",
            "a\u{2028}b",
            "a\u{85}b",
        ] {
            assert_eq!(
                DisplayName::parse(text),
                Err(NameError::Character),
                "{text:?}"
            );
        }
        assert_eq!(DisplayName::parse("  "), Err(NameError::Empty));
    }
}
