//! The host that a request is for.

use std::fmt;
use std::sync::Arc;

use http::HeaderValue;

/// Most bytes of a host with its port.
const LONGEST: usize = 253 + ":65535".len();

/// A host name or address literal, lower case, with the port when one was given.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Host {
    /// Shared, since what outlives the request is told of it.
    text: Arc<str>,
    /// Where the name ends in `text`.
    name: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    #[error("the host is not a name or address with an optional port")]
    Syntax,
    #[error("the host is longer than 253 characters")]
    Length,
}

impl Host {
    /// Reads `name[:port]`. Userinfo, blanks, empty labels and percent signs are refused.
    pub fn parse(bytes: &[u8]) -> Result<Self, HostError> {
        if bytes.len() > LONGEST {
            return Err(HostError::Length);
        }
        Self::from_text(std::str::from_utf8(bytes).map_err(|_| HostError::Syntax)?)
    }

    /// Reads a Host field.
    pub(super) fn read(field: &HeaderValue) -> Result<Self, HostError> {
        if field.len() > LONGEST {
            return Err(HostError::Length);
        }
        Self::from_text(field.to_str().map_err(|_| HostError::Syntax)?)
    }

    fn from_text(text: &str) -> Result<Self, HostError> {
        let (name, port) = split_port(text)?;
        let literal = name.starts_with('[');
        if !(literal && is_address(name) || !literal && is_name(name)) {
            return Err(HostError::Syntax);
        }
        // The root's dot names the same host (RFC 1034 §3.1).
        let stem = name.strip_suffix('.').unwrap_or(name);
        let is_normal = stem.len() == name.len() && !name.bytes().any(|b| b.is_ascii_uppercase());
        Ok(Self {
            text: match (is_normal, port) {
                (true, _) => text.into(),
                (false, None) => stem.to_ascii_lowercase().into(),
                (false, Some(port)) => format!("{}:{port}", stem.to_ascii_lowercase()).into(),
            },
            name: stem.len(),
        })
    }

    /// Without the port.
    pub fn name(&self) -> &str {
        self.text.get(..self.name).unwrap_or_default()
    }

    pub fn port(&self) -> Option<u16> {
        self.text.get(self.name + 1..)?.parse().ok()
    }

    /// As it stands in a Host field.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn split_port(text: &str) -> Result<(&str, Option<&str>), HostError> {
    let bytes = text.as_bytes();
    let after_literal = match bytes.first() {
        Some(b'[') => bytes
            .iter()
            .rposition(|b| *b == b']')
            .map_or(0, |at| at + 1),
        Some(_) | None => 0,
    };
    let rest = bytes.get(after_literal..).unwrap_or_default();
    let Some(colon) = rest.iter().position(|b| *b == b':') else {
        return Ok((text, None));
    };
    let (name, port) = text.split_at(after_literal + colon);
    let port = port.get(1..).unwrap_or_default();
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    if digits && port.parse::<u16>().is_ok() {
        Ok((name, Some(port)))
    } else {
        Err(HostError::Syntax)
    }
}

fn is_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut label = 0;
    for byte in name.bytes() {
        label = match byte {
            b'.' if label == 0 => return false,
            b'.' => 0,
            b'-' | b'_' => label + 1,
            byte if byte.is_ascii_alphanumeric() => label + 1,
            _other => return false,
        };
    }
    label > 0 && name.len() <= 253
}

fn is_address(literal: &str) -> bool {
    let inner = literal
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    inner.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_one_form() {
        for (written, name, port) in [
            ("Example.COM", "example.com", None),
            ("example.com.", "example.com", None),
            ("example.com:8443", "example.com", Some(8443)),
            ("[::1]:80", "[::1]", Some(80)),
            ("127.0.0.1", "127.0.0.1", None),
        ] {
            let host = Host::parse(written.as_bytes()).unwrap();
            assert_eq!((host.name(), host.port()), (name, port), "{written}");
        }
    }

    #[test]
    fn what_is_not_a_host_is_refused() {
        for written in [
            "",
            ".",
            "a..b",
            "user@host",
            "a b",
            "a/b",
            "a:b",
            "a:",
            "a:99999",
            "[::1",
            "::1",
            "a%41",
            "a:80:90",
            "[a]",
            "h\u{e9}",
            "a,b",
        ] {
            assert_eq!(
                Host::parse(written.as_bytes()),
                Err(HostError::Syntax),
                "{written}"
            );
        }
        assert_eq!(Host::parse(&[b'a'; 300]), Err(HostError::Length));
    }
}
