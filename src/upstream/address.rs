//! Where a server of an upstream listens, and what it speaks.

use std::fmt;

use http::HeaderValue;

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP/1.1.
    Http,
    /// HTTP/2 or HTTP/1.1 over TLS, as ALPN agrees.
    Https,
    /// HTTP/2 without TLS, known beforehand (RFC 9113 §3.3).
    H2c,
}

/// A server of an upstream: `http://127.0.0.1:8000`, `https://agents.internal`, `h2c://[::1]:50051`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAddress {
    scheme: Scheme,
    /// A name or an address, without the brackets of IPv6.
    host: Box<str>,
    port: u16,
    /// As `Host` and `:authority` carry it: without the scheme's usual port.
    authority: HeaderValue,
}

/// Why a text is no server's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("the address is not `http://host:port`, `https://host:port` or `h2c://host:port`")]
    Form,
    #[error("an address has no path: rewrite it on the route")]
    Path,
    #[error("an address holds no user or password")]
    Userinfo,
}

impl ServerAddress {
    /// Reads a URL of scheme `http`, `https` or `h2c` with nothing behind host and port.
    ///
    /// # Errors
    ///
    /// When it is none of these.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (scheme, rest) = text.split_once("://").ok_or(AddressError::Form)?;
        let (scheme, usual_port) = match scheme {
            "http" => (Scheme::Http, 80),
            "https" => (Scheme::Https, 443),
            "h2c" => (Scheme::H2c, 80),
            _ => return Err(AddressError::Form),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains('@') {
            return Err(AddressError::Userinfo);
        }
        if rest.contains(['/', '?', '#']) {
            return Err(AddressError::Path);
        }
        let authority: http::uri::Authority = rest.parse().map_err(|_| AddressError::Form)?;
        let port = match rest.strip_prefix(authority.host()) {
            Some("") => usual_port,
            Some(_) => authority.port_u16().ok_or(AddressError::Form)?,
            None => return Err(AddressError::Form),
        };
        let named = authority.host().to_ascii_lowercase();
        let host = named.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || port == 0 {
            return Err(AddressError::Form);
        }
        let written = if port == usual_port {
            named.clone()
        } else {
            format!("{named}:{port}")
        };
        Ok(Self {
            scheme,
            host: host.into(),
            port,
            authority: HeaderValue::try_from(written).map_err(|_| AddressError::Form)?,
        })
    }

    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// A name or an address, without the brackets of IPv6.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// As `Host` and `:authority` carry it.
    pub fn authority(&self) -> &HeaderValue {
        &self.authority
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
            Scheme::H2c => "h2c",
        };
        let authority = self.authority.to_str().unwrap_or(&self.host);
        write!(f, "{scheme}://{authority}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_to_host_port_and_authority() {
        for (text, scheme, host, port, authority) in [
            (
                "http://127.0.0.1:8000",
                Scheme::Http,
                "127.0.0.1",
                8000,
                "127.0.0.1:8000",
            ),
            ("http://Agents/", Scheme::Http, "agents", 80, "agents"),
            (
                "https://a.internal:443",
                Scheme::Https,
                "a.internal",
                443,
                "a.internal",
            ),
            (
                "h2c://[::1]:50051",
                Scheme::H2c,
                "::1",
                50051,
                "[::1]:50051",
            ),
        ] {
            let address = ServerAddress::parse(text).unwrap();
            assert_eq!(address.scheme(), scheme, "{text}");
            assert_eq!(address.host(), host, "{text}");
            assert_eq!(address.port(), port, "{text}");
            assert_eq!(address.authority(), authority, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_its_reason() {
        for (text, reason) in [
            ("127.0.0.1:8000", AddressError::Form),
            ("ftp://a", AddressError::Form),
            ("http://", AddressError::Form),
            ("http://a:0", AddressError::Form),
            ("http://a:99999", AddressError::Form),
            ("http://a:", AddressError::Form),
            ("http://a b", AddressError::Form),
            ("http://a/x", AddressError::Path),
            ("http://a?x", AddressError::Path),
            ("http://u:p@a", AddressError::Userinfo),
        ] {
            assert_eq!(ServerAddress::parse(text), Err(reason), "{text}");
        }
    }
}
