//! An upstream's cookies (RFC 6265 §4.1): their path and domain become public ones.

use super::reference::Sides;

/// The name that a `Set-Cookie` sets, as the most lenient browser reads it: without blanks, and
/// found also where it hides behind an empty one.
pub(super) fn name(cookie: &[u8]) -> &[u8] {
    let pair = cookie.split(|b| *b == b';').next().unwrap_or_default();
    let mut pair = pair.trim_ascii();
    while let Some(rest) = pair.strip_prefix(b"=") {
        pair = rest.trim_ascii_start();
    }
    let name = pair.split(|b| *b == b'=').next().unwrap_or_default();
    name.trim_ascii_end()
}

/// The cookie as the public host sets it; `None` when it stays as it is.
pub(super) fn map(cookie: &[u8], sides: &Sides<'_>) -> Option<Vec<u8>> {
    let mut parts = cookie.split(|b| *b == b';');
    let pair = parts.next()?;
    // A browser takes a cookie with this prefix only with the path `/`.
    let rooted = starts_with(pair.trim_ascii(), b"__Host-");
    let mut mapped = pair.to_vec();
    let mut changed = false;
    for part in parts {
        let (name, value) = attribute(part);
        if name.eq_ignore_ascii_case(b"domain") {
            let host = value.strip_prefix(b".").unwrap_or(value);
            if sides.is_upstream_name(host) {
                // Without a domain the cookie is the public host's alone.
                changed = true;
                continue;
            }
        } else if name.eq_ignore_ascii_case(b"path")
            && !rooted
            && value.first() == Some(&b'/')
            && let Some(path) = sides.map_path(value)
        {
            // `/app/` would not match `/app` itself (RFC 6265 §5.1.4).
            let path = match path.strip_suffix(b"/") {
                Some(stem) if !stem.is_empty() && value == b"/" => stem,
                Some(_) | None => &path,
            };
            mapped.extend_from_slice(b"; Path=");
            mapped.extend_from_slice(path);
            changed = true;
            continue;
        }
        mapped.push(b';');
        mapped.extend_from_slice(part);
    }
    changed.then_some(mapped)
}

fn attribute(part: &[u8]) -> (&[u8], &[u8]) {
    let at = part.iter().position(|b| *b == b'=').unwrap_or(part.len());
    let (name, value) = part.split_at_checked(at).unwrap_or((part, &[]));
    let value = value.strip_prefix(b"=").unwrap_or(value);
    (name.trim_ascii(), value.trim_ascii())
}

fn starts_with(text: &[u8], prefix: &[u8]) -> bool {
    text.get(..prefix.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::super::{Mapping, Sent};
    use super::*;
    use crate::inbound::Scheme;
    use crate::route::Rewrite;

    #[test]
    fn path_and_domain_become_public() {
        let rewrite = Rewrite::Prefix {
            from: String::from("/app"),
            to: String::from("/v2"),
        };
        let mapping = Mapping {
            scheme: Scheme::Https,
            host: &"public.example",
            rewrite: &rewrite,
            own_cookies: |_| false,
        };
        let sent = Sent {
            host: None,
            server: HeaderValue::from_static("inner.example:8000"),
        };
        let sides = Sides::new(&mapping, &sent);
        for (cookie, expected) in [
            ("a=b", "a=b"),
            ("a=b; Path=/v2", "a=b; Path=/app"),
            ("a=b; path = /v2/x ; Secure", "a=b; Path=/app/x; Secure"),
            ("a=b; Path=/other", "a=b; Path=/other"),
            ("a=b; Domain=inner.example; HttpOnly", "a=b; HttpOnly"),
            ("a=b; Domain=.INNER.example", "a=b"),
            ("a=b; Domain=public.example", "a=b; Domain=public.example"),
            (
                "a=b; Domain=elsewhere.example",
                "a=b; Domain=elsewhere.example",
            ),
            ("__Host-a=b; Path=/; Secure", "__Host-a=b; Path=/; Secure"),
            ("a=Path=/v2; Path=/v2", "a=Path=/v2; Path=/app"),
        ] {
            let mapped = map(cookie.as_bytes(), &sides);
            let mapped = mapped.map_or(cookie.to_owned(), |m| String::from_utf8(m).unwrap());
            assert_eq!(mapped, expected, "{cookie}");
        }
    }

    #[test]
    fn a_root_path_becomes_the_prefix_itself() {
        let rewrite = Rewrite::Prefix {
            from: String::from("/app"),
            to: String::new(),
        };
        let mapping = Mapping {
            scheme: Scheme::Https,
            host: &"public.example",
            rewrite: &rewrite,
            own_cookies: |_| false,
        };
        let sent = Sent {
            host: None,
            server: HeaderValue::from_static("inner.example"),
        };
        let mapped = map(b"a=b; Path=/", &Sides::new(&mapping, &sent)).unwrap();
        assert_eq!(mapped, b"a=b; Path=/app");
    }
}
