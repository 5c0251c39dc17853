//! References (RFC 3986 §4.1) in an answer: the upstream's own are mapped to their public form.

use std::fmt::Write;

use http::HeaderValue;

use super::{Mapping, Sent};
use crate::inbound::Scheme;
use crate::route::Rewrite;

/// The public and the upstream's side of one answer.
pub(super) struct Sides<'a> {
    mapping: &'a Mapping<'a>,
    sent: &'a Sent,
}

impl<'a> Sides<'a> {
    pub fn new(mapping: &'a Mapping<'a>, sent: &'a Sent) -> Self {
        Self { mapping, sent }
    }

    /// The public form of a reference to the upstream; `None` when it stays as it is: it is relative,
    /// or points elsewhere.
    pub fn map(&self, reference: &[u8]) -> Option<Vec<u8>> {
        let (scheme, rest) = split_scheme(reference);
        let Some(rest) = rest.strip_prefix(b"//") else {
            // A scheme without an authority is no reference to a server; no slash is relative.
            return match (scheme, rest.first()) {
                (None, Some(b'/')) => self.map_local(rest),
                (Some(_) | None, _) => None,
            };
        };
        let end = rest
            .iter()
            .position(|b| matches!(b, b'/' | b'?' | b'#' | b'\\'))
            .unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(end)?;
        if !self.is_the_upstream(authority, scheme) {
            return None;
        }
        let path = self.map_path(target).unwrap_or_else(|| target.to_vec());
        Some(self.absolute(&path))
    }

    /// The public form of a path with what follows it; `None` when it stays as it is.
    pub fn map_path(&self, target: &[u8]) -> Option<Vec<u8>> {
        let Rewrite::Prefix { from, to } = self.mapping.rewrite else {
            return None;
        };
        let from = from.trim_end_matches('/').as_bytes();
        let to = to.trim_end_matches('/').as_bytes();
        let rest = target.strip_prefix(to)?;
        if !matches!(rest.first(), None | Some(b'/' | b'?' | b'#')) {
            return None;
        }
        let mut mapped = from.to_vec();
        if mapped.is_empty() && rest.first() != Some(&b'/') {
            mapped.push(b'/');
        }
        mapped.extend_from_slice(rest);
        Some(mapped)
    }

    /// Whether a host name alone, as cookies name it, is the upstream's and not the public one.
    pub fn is_upstream_name(&self, name: &[u8]) -> bool {
        !without_port(self.public_host().as_bytes()).eq_ignore_ascii_case(name)
            && self
                .upstream_authorities()
                .any(|authority| without_port(authority.as_bytes()).eq_ignore_ascii_case(name))
    }

    fn map_local(&self, reference: &[u8]) -> Option<Vec<u8>> {
        let mapped = self.map_path(reference)?;
        // Taking a prefix off must not turn a path into another server's name.
        if mapped.starts_with(b"//") || mapped.starts_with(b"/\\") {
            return Some(self.absolute(&mapped));
        }
        Some(mapped)
    }

    fn absolute(&self, target: &[u8]) -> Vec<u8> {
        let mut url = String::new();
        let scheme = self.mapping.scheme.as_str();
        // Writing to a string cannot fail.
        let _ = write!(url, "{scheme}://{}", self.mapping.host);
        let mut url = url.into_bytes();
        url.extend_from_slice(target);
        url
    }

    /// Whether an authority is one under which the server was asked. The public host is, with
    /// either scheme: a server that got it as `Host` does not know that there is TLS.
    fn is_the_upstream(&self, authority: &[u8], scheme: Option<Scheme>) -> bool {
        let plain = without_usual_port(authority, scheme);
        let same = |other: &[u8]| {
            other.eq_ignore_ascii_case(authority)
                || without_usual_port(other, scheme).eq_ignore_ascii_case(plain)
        };
        self.upstream_authorities()
            .any(|known| same(known.as_bytes()))
            || same(self.public_host().as_bytes())
    }

    fn upstream_authorities(&self) -> impl Iterator<Item = &HeaderValue> {
        self.sent.host.iter().chain([&self.sent.server])
    }

    fn public_host(&self) -> String {
        self.mapping.host.to_string()
    }
}

fn split_scheme(reference: &[u8]) -> (Option<Scheme>, &[u8]) {
    for (name, scheme) in [
        (&b"https:"[..], Scheme::Https),
        (&b"http:"[..], Scheme::Http),
    ] {
        if let Some((written, rest)) = reference.split_at_checked(name.len())
            && written.eq_ignore_ascii_case(name)
        {
            return (Some(scheme), rest);
        }
    }
    (None, reference)
}

fn without_usual_port(authority: &[u8], scheme: Option<Scheme>) -> &[u8] {
    let usual: &[u8] = match scheme {
        Some(Scheme::Http) => b":80",
        Some(Scheme::Https) => b":443",
        None => return authority,
    };
    authority.strip_suffix(usual).unwrap_or(authority)
}

/// The name or address of an authority; the brackets of IPv6 stay.
fn without_port(authority: &[u8]) -> &[u8] {
    match authority.iter().rposition(|b| matches!(b, b':' | b']')) {
        Some(at) if authority.get(at) == Some(&b':') => authority.get(..at).unwrap_or(authority),
        Some(_) | None => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(from: &str, to: &str, reference: &str) -> String {
        let rewrite = Rewrite::Prefix {
            from: from.to_owned(),
            to: to.to_owned(),
        };
        let mapping = Mapping {
            scheme: Scheme::Https,
            host: &"public.example",
            rewrite: &rewrite,
            own_cookies: |_| false,
        };
        let sent = Sent {
            host: Some(HeaderValue::from_static("inner.example")),
            server: HeaderValue::from_static("127.0.0.1:8000"),
        };
        let mapped = Sides::new(&mapping, &sent).map(reference.as_bytes());
        mapped.map_or(reference.to_owned(), |m| String::from_utf8(m).unwrap())
    }

    #[test]
    fn references_to_the_upstream_become_public_and_others_stay() {
        for (from, to, reference, expected) in [
            ("/app", "", "/x", "/app/x"),
            ("/app", "", "/", "/app/"),
            ("/app", "/v2", "/v2/x?a=/v2/b", "/app/x?a=/v2/b"),
            ("/app", "/v2", "/v2", "/app"),
            ("/app", "/v2", "/v2?x", "/app?x"),
            ("/app", "/v2", "/v22/x", "/v22/x"),
            ("/app", "/v2", "/other", "/other"),
            ("/", "/v2", "/v2/x", "/x"),
            ("", "/v2", "/v2", "/"),
            ("/app", "", "x/y", "x/y"),
            ("/app", "", "?q", "?q"),
            ("/app", "", "", ""),
            (
                "/app",
                "",
                "http://127.0.0.1:8000",
                "https://public.example/app",
            ),
            (
                "/app",
                "",
                "http://127.0.0.1:8000/x",
                "https://public.example/app/x",
            ),
            (
                "/app",
                "",
                "HTTP://INNER.example:80/x",
                "https://public.example/app/x",
            ),
            (
                "/app",
                "",
                "//inner.example/x",
                "https://public.example/app/x",
            ),
            (
                "/app",
                "",
                "http://public.example/x",
                "https://public.example/app/x",
            ),
            (
                "/app",
                "",
                "http://127.0.0.1:8001/x",
                "http://127.0.0.1:8001/x",
            ),
            (
                "/app",
                "",
                "https://elsewhere.example/x",
                "https://elsewhere.example/x",
            ),
            (
                "/app",
                "",
                "http://u@inner.example/x",
                "http://u@inner.example/x",
            ),
            ("/app", "", "mailto:a@b", "mailto:a@b"),
            (
                "",
                "/v2",
                "/v2//evil.example",
                "https://public.example//evil.example",
            ),
            (
                "",
                "/v2",
                "/v2/\\evil.example",
                "https://public.example/\\evil.example",
            ),
            ("/app", "", "\\\\evil", "\\\\evil"),
        ] {
            assert_eq!(
                map(from, to, reference),
                expected,
                "{from} {to} {reference}"
            );
        }
    }

    #[test]
    fn a_kept_path_still_gets_the_public_scheme() {
        let mapping = Mapping {
            scheme: Scheme::Https,
            host: &"public.example:8443",
            rewrite: &Rewrite::Keep,
            own_cookies: |_| false,
        };
        let sent = Sent {
            host: Some(HeaderValue::from_static("public.example:8443")),
            server: HeaderValue::from_static("127.0.0.1:8000"),
        };
        let mapped = Sides::new(&mapping, &sent).map(b"http://public.example:8443/v1/a/");
        assert_eq!(mapped.unwrap(), b"https://public.example:8443/v1/a/");
    }

    #[test]
    fn a_name_loses_its_port_and_keeps_its_brackets() {
        for (authority, name) in [
            ("a:80", "a"),
            ("a", "a"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(without_port(authority.as_bytes()), name.as_bytes());
        }
    }
}
