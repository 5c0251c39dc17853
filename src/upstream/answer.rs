//! An answer on its way back: hop-by-hop fields off, the upstream's own names mapped to the public ones.

use std::fmt;

use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_LOCATION, HeaderName, LOCATION, REFRESH, SET_COOKIE, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue};

use super::error::ProtocolError;
use crate::inbound::Scheme;
use crate::route::Rewrite;

mod cookie;
mod reference;

use reference::Sides;

/// What the answer's `Location`, `Content-Location`, `Refresh` and `Set-Cookie` are mapped back with.
/// The upstream's side is the server's authority and the Host that was sent.
pub struct Mapping<'a> {
    /// The public URL's scheme, as the client used it.
    pub scheme: Scheme,
    /// The public host, with its port when the client gave one. Written only when needed.
    pub host: &'a (dyn fmt::Display + Sync),
    /// What was done to the path on the way there.
    pub rewrite: &'a Rewrite,
    /// Whether a cookie of this name is the gateway's own: an upstream cannot set it.
    pub own_cookies: fn(&[u8]) -> bool,
}

/// The names under which the server was asked.
pub(super) struct Sent {
    /// The `Host` that was sent, when it was not the server's own.
    pub host: Option<HeaderValue>,
    pub server: HeaderValue,
}

/// Takes off what was meant for the gateway (RFC 9110 §7.6.1), and with it a length that the
/// transfer coding overrules (RFC 9112 §6.3).
///
/// # Errors
///
/// When the body comes in a transfer coding that the gateway cannot take off.
pub(super) fn clean(headers: &mut HeaderMap) -> Result<(), ProtocolError> {
    let of_the_hop = headers.keys().filter(|name| is_of_the_hop(name));
    let mut doomed: Vec<HeaderName> = of_the_hop.cloned().collect();
    if doomed.is_empty() {
        return Ok(());
    }
    if let Some(coding) = headers.get(TRANSFER_ENCODING) {
        let coding = coding.as_bytes().trim_ascii();
        if !coding.eq_ignore_ascii_case(b"chunked") {
            return Err(ProtocolError::TransferCoding);
        }
        doomed.push(CONTENT_LENGTH);
    }
    for field in headers.get_all(CONNECTION) {
        let named = field.as_bytes().split(|b| *b == b',');
        doomed.extend(named.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok()));
    }
    for name in doomed {
        headers.remove(name);
    }
    Ok(())
}

/// Whether a field is valid for one connection only, or a proxy's.
fn is_of_the_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-connection"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Takes off trailer fields that would change what the head said (RFC 9110 §6.5.1).
pub(super) fn clean_trailers(trailers: &mut HeaderMap) {
    for name in [
        CONNECTION,
        CONTENT_LENGTH,
        LOCATION,
        REFRESH,
        SET_COOKIE,
        TE,
        TRANSFER_ENCODING,
        UPGRADE,
    ] {
        trailers.remove(name);
    }
}

/// Maps the upstream's own scheme, host and prefix back to the public ones, and drops cookies with
/// names of the gateway's own.
pub(super) fn map_back(headers: &mut HeaderMap, mapping: &Mapping<'_>, sent: &Sent) {
    if !headers.keys().any(names_the_upstream) {
        return;
    }
    for name in [LOCATION, CONTENT_LOCATION] {
        if let Some(value) = headers.get(&name)
            && let Some(mapped) = Sides::new(mapping, sent).map(value.as_bytes())
        {
            set(headers, name, &mapped);
        }
    }
    if let Some(value) = headers.get(REFRESH)
        && let Some(mapped) = refresh(value.as_bytes(), &Sides::new(mapping, sent))
    {
        set(headers, REFRESH, &mapped);
    }
    if headers.contains_key(SET_COOKIE) {
        map_cookies(headers, mapping, sent);
    }
}

/// Whether a field may hold what only the upstream's side knows: most answers have none.
fn names_the_upstream(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "content-location" | "location" | "refresh" | "set-cookie"
    )
}

fn map_cookies(headers: &mut HeaderMap, mapping: &Mapping<'_>, sent: &Sent) {
    let sides = Sides::new(mapping, sent);
    let cookies: Vec<HeaderValue> = headers.get_all(SET_COOKIE).iter().cloned().collect();
    headers.remove(SET_COOKIE);
    for cookie in cookies {
        if (mapping.own_cookies)(cookie::name(cookie.as_bytes())) {
            tracing::debug!("an upstream's cookie with the name of one of ours was dropped");
            continue;
        }
        let mapped = cookie::map(cookie.as_bytes(), &sides)
            .and_then(|bytes| HeaderValue::from_bytes(&bytes).ok());
        headers.append(SET_COOKIE, mapped.unwrap_or(cookie));
    }
}

/// `Refresh: 5; url=/there`
fn refresh(value: &[u8], sides: &Sides<'_>) -> Option<Vec<u8>> {
    let at = value
        .windows(4)
        .position(|w| w.eq_ignore_ascii_case(b"url="))?;
    let (before, target) = value.split_at_checked(at.checked_add(4)?)?;
    let target = match target.first() {
        Some(quote @ (b'"' | b'\'')) => target.get(1..)?.strip_suffix(&[*quote])?,
        Some(_) | None => target,
    };
    let mut mapped = before.to_vec();
    mapped.extend_from_slice(&sides.map(target)?);
    Some(mapped)
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &[u8]) {
    if let Ok(value) = HeaderValue::from_bytes(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn mapped(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = headers(fields);
        let rewrite = Rewrite::Prefix {
            from: String::from("/app"),
            to: String::new(),
        };
        let mapping = Mapping {
            scheme: Scheme::Https,
            host: &"public.example",
            rewrite: &rewrite,
            own_cookies: crate::inbound::cookie::is_ours,
        };
        let sent = Sent {
            host: None,
            server: HeaderValue::from_static("127.0.0.1:8000"),
        };
        map_back(&mut headers, &mapping, &sent);
        headers
    }

    #[test]
    fn fields_of_the_connection_are_taken_off() {
        let mut headers = headers(&[
            ("connection", "close, X-Internal"),
            ("connection", "x-other"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("transfer-encoding", "Chunked"),
            ("content-length", "7"),
            ("upgrade", "h2c"),
            ("x-internal", "1"),
            ("x-other", "2"),
            ("trailer", "x-sum"),
            ("x-kept", "3"),
        ]);
        clean(&mut headers).unwrap();
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["trailer", "x-kept"]);
    }

    #[test]
    fn a_transfer_coding_that_we_cannot_take_off_is_refused() {
        for coding in ["gzip, chunked", "gzip", "xchunked"] {
            let mut headers = headers(&[("transfer-encoding", coding)]);
            assert!(clean(&mut headers).is_err(), "{coding}");
        }
    }

    #[test]
    fn references_and_refreshes_are_mapped() {
        for (name, value, expected) in [
            (
                "location",
                "http://127.0.0.1:8000/x?y#z",
                "https://public.example/app/x?y#z",
            ),
            ("location", "/x", "/app/x"),
            ("content-location", "/x", "/app/x"),
            ("refresh", "5; url=/x", "5; url=/app/x"),
            (
                "refresh",
                "0;URL='http://127.0.0.1:8000/'",
                "0;URL=https://public.example/app/",
            ),
            ("refresh", "5", "5"),
        ] {
            assert_eq!(mapped(&[(name, value)])[name], expected, "{name}: {value}");
        }
    }

    #[test]
    fn an_upstream_cannot_set_a_cookie_of_ours() {
        let headers = mapped(&[
            ("set-cookie", "__Host-portcullis=evil; Path=/; Secure"),
            ("set-cookie", " __host-PORTCULLIS =evil"),
            ("set-cookie", "=__Host-portcullis=evil"),
            ("set-cookie", "sid=1; Path=/x; HttpOnly"),
        ]);
        let left: Vec<_> = headers.get_all(SET_COOKIE).iter().collect();
        assert_eq!(left, ["sid=1; Path=/app/x; HttpOnly"]);
    }
}
