//! An e-mail address: the strict, unquoted ASCII form of RFC 5321 with a domain that has a dot.

use std::fmt;

/// Longest address (RFC 3696, erratum 1690), in octets.
const MAX_ADDRESS: usize = 254;
/// Longest local part (RFC 5321 §4.5.3.1.1), in octets.
const MAX_LOCAL: usize = 64;
/// Longest label of a domain (RFC 1035 §2.3.4), in octets.
const MAX_LABEL: usize = 63;

/// An address as its owner writes it: the local part keeps its case, the domain is lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EmailAddress(String);

/// Why a text is no address, in the words that clients of the published server know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmailError {
    #[error("An email address must have an @-sign.")]
    NoAt,
    #[error("There must be something before the @-sign.")]
    EmptyLocal,
    #[error("There must be something after the @-sign.")]
    EmptyDomain,
    #[error("The email address is too long.")]
    TooLong,
    #[error("The email address is too long before the @-sign.")]
    LocalTooLong,
    #[error("The email address contains invalid characters before the @-sign.")]
    LocalCharacter,
    #[error("An email address cannot start with a period.")]
    LeadingPeriod,
    #[error("An email address cannot have a period immediately before the @-sign.")]
    TrailingPeriod,
    #[error("An email address cannot have two periods in a row.")]
    DoublePeriod,
    #[error("The part after the @-sign contains invalid characters.")]
    DomainCharacter,
    #[error("The part after the @-sign is not valid. It should have a period.")]
    NoPeriod,
    #[error("The part after the @-sign is not valid.")]
    Domain,
}

impl EmailAddress {
    /// What was parsed before it was stored: a rule that has become stricter since must not lock
    /// its owner out.
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }

    /// Reads an address; blanks around it are dropped.
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        let (local, domain) = text.rsplit_once('@').ok_or(EmailError::NoAt)?;
        if text.len() > MAX_ADDRESS {
            return Err(EmailError::TooLong);
        }
        check_local(local)?;
        let domain = domain.to_ascii_lowercase();
        check_domain(&domain)?;
        Ok(Self(format!("{local}@{domain}")))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is before the last `@`.
    pub fn local_part(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(local, _)| local)
    }

    /// What is after the last `@`, in lower case.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A dot-atom (RFC 5322 §3.2.3); a quoted string is refused, since half of the world's mail
/// systems read it differently.
fn check_local(local: &str) -> Result<(), EmailError> {
    if local.is_empty() {
        return Err(EmailError::EmptyLocal);
    }
    if local.len() > MAX_LOCAL {
        return Err(EmailError::LocalTooLong);
    }
    let atom = |c: char| c.is_ascii_alphanumeric() || ".!#$%&'*+-/=?^_`{|}~".contains(c);
    if !local.chars().all(atom) {
        return Err(EmailError::LocalCharacter);
    }
    if local.starts_with('.') {
        return Err(EmailError::LeadingPeriod);
    }
    if local.ends_with('.') {
        return Err(EmailError::TrailingPeriod);
    }
    if local.contains("..") {
        return Err(EmailError::DoublePeriod);
    }
    Ok(())
}

fn check_domain(domain: &str) -> Result<(), EmailError> {
    if domain.is_empty() {
        return Err(EmailError::EmptyDomain);
    }
    if !domain
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.')
    {
        return Err(EmailError::DomainCharacter);
    }
    if !domain.contains('.') {
        return Err(EmailError::NoPeriod);
    }
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= MAX_LABEL
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let top = domain.rsplit('.').next().unwrap_or_default();
    if !domain.split('.').all(label) || top.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(EmailError::Domain);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_its_local_part_and_lowers_its_domain() {
        let address = EmailAddress::parse("  Ann.Lee+x@Example.COM\n").unwrap();
        assert_eq!(address.as_str(), "Ann.Lee+x@example.com");
        assert_eq!(address.local_part(), "Ann.Lee+x");
        assert_eq!(address.domain(), "example.com");
    }

    #[test]
    fn every_refusal_says_why() {
        let long = format!("{}@example.com", "a".repeat(65));
        let longer = format!("a@{}com", "abcdefghi.".repeat(26));
        for (text, why) in [
            ("not-an-email", EmailError::NoAt),
            ("", EmailError::NoAt),
            ("@example.com", EmailError::EmptyLocal),
            ("a@", EmailError::EmptyDomain),
            ("a@evil.com@example.com", EmailError::LocalCharacter),
            ("a b@example.com", EmailError::LocalCharacter),
            ("\"a\"@example.com", EmailError::LocalCharacter),
            ("jörg@example.com", EmailError::LocalCharacter),
            ("a\n@example.com", EmailError::LocalCharacter),
            (".a@example.com", EmailError::LeadingPeriod),
            ("a.@example.com", EmailError::TrailingPeriod),
            ("a..b@example.com", EmailError::DoublePeriod),
            ("a@exam_ple.com", EmailError::DomainCharacter),
            ("a@[127.0.0.1]", EmailError::DomainCharacter),
            ("a@bücher.de", EmailError::DomainCharacter),
            ("a@localhost", EmailError::NoPeriod),
            ("a@-x.com", EmailError::Domain),
            ("a@x..com", EmailError::Domain),
            ("a@x.com.", EmailError::Domain),
            ("a@127.0.0.1", EmailError::Domain),
            (long.as_str(), EmailError::LocalTooLong),
            (longer.as_str(), EmailError::TooLong),
        ] {
            assert_eq!(EmailAddress::parse(text), Err(why), "{text:?}");
        }
    }
}
