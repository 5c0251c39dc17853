//! The gateway's own address as clients write it.

use crate::inbound::Host;

/// `https://host[:port]`: what links and redirects are built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    host: Host,
    text: String,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a public URL is https://host or https://host:port, without a path")]
pub struct PublicUrlError;

impl PublicUrl {
    pub fn parse(text: &str) -> Result<Self, PublicUrlError> {
        let authority = text.strip_prefix("https://").ok_or(PublicUrlError)?;
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let host = Host::parse(authority.as_bytes()).map_err(|_| PublicUrlError)?;
        let text = format!("https://{host}");
        Ok(Self { host, text })
    }

    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Without a slash at the end.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_urls_of_a_host_are_public_urls() {
        for (text, expected) in [
            ("https://api.example.com", Some("https://api.example.com")),
            ("https://API.example.com/", Some("https://api.example.com")),
            ("https://localhost:8443", Some("https://localhost:8443")),
            ("http://api.example.com", None),
            ("https://api.example.com/app", None),
            ("https://user@api.example.com", None),
            ("https://", None),
        ] {
            let url = PublicUrl::parse(text).ok();
            assert_eq!(url.as_ref().map(PublicUrl::as_str), expected, "{text}");
        }
    }
}
