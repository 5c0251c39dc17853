//! The request that another proxy asks about: host, path, method and client as that proxy states
//! them, read as strictly as a request of our own.

use std::net::IpAddr;

use http::uri::PathAndQuery;
use http::{HeaderMap, Method, header};
use ipnet::IpNet;

use super::client::{self, TrustedProxies};
use super::{CleanPath, Host, Inbound, Malformed, Scheme, Upgrade, UpgradeProtocol};

/// Proxies that may ask what we would decide for a request of theirs.
#[derive(Clone, Debug)]
pub struct Askers {
    may_ask: TrustedProxies,
    /// Whose `X-Forwarded-For` is read: theirs, and that of the proxies before them.
    proxies: TrustedProxies,
}

/// What the asking proxy can hand on to its client. Each kind of proxy states the request in fields of
/// its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandsOn {
    /// Whether the request may pass, and 401 or 403: nginx, by `X-Original-URL`.
    Verdict,
    /// The whole answer: Traefik and Caddy, by `X-Forwarded-Uri`.
    Answer,
}

/// Why a statement about a request has no single reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    #[error("exactly one of X-Original-URL and X-Forwarded-Uri must name the original request")]
    Url,
    #[error("X-Original-URL must be an absolute http or https URL without a fragment")]
    Syntax,
    #[error("the field {0} must be there exactly once")]
    Count(&'static str),
    #[error("the original request's method is not one")]
    Method,
    #[error("the original request's scheme is neither http nor https")]
    Scheme,
    #[error("X-Forwarded-For must name the original request's client")]
    Client,
}

impl Askers {
    /// `peers` may ask; `trusted` are the proxies that clients of theirs may come through.
    pub fn new(peers: Vec<IpNet>, trusted: &[IpNet]) -> Self {
        let proxies = peers.iter().chain(trusted).copied().collect();
        Self {
            may_ask: TrustedProxies::new(peers),
            proxies: TrustedProxies::new(proxies),
        }
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        self.may_ask.contains(address)
    }

    /// The request that `asking` is about, as if its client had come to us with it. Only for one whose
    /// peer may ask.
    ///
    /// # Errors
    ///
    /// A statement that is missing, is made twice, or that we would refuse as a request.
    pub fn original(&self, asking: Inbound) -> Result<(Inbound, HandsOn), Malformed> {
        let headers = &asking.headers;
        // A proxy passes on what its client sends beside what it states itself: with both there, one of
        // them is the client's (CVE-2026-40575).
        let (stated, hands_on) = match (one(headers, URL)?, one(headers, URI)?) {
            (Some(url), None) => (Stated::by_url(url, headers)?, HandsOn::Verdict),
            (None, Some(uri)) => (Stated::by_uri(uri, headers)?, HandsOn::Answer),
            (Some(_), Some(_)) | (None, None) => return Err(StatementError::Url.into()),
        };
        // Without it all clients of the proxy would share one limit, and one could lock out the others.
        client::last_stated(headers).ok_or(StatementError::Client)?;
        let client = self.proxies.read(asking.peer.address.ip(), headers).client;
        // Proxies keep `Upgrade` to themselves; this field is in every opening handshake (RFC 6455 §4.1).
        let upgrade = headers
            .contains_key(header::SEC_WEBSOCKET_VERSION)
            .then(|| Upgrade::elsewhere(UpgradeProtocol::WebSocket));
        let original = Inbound {
            method: stated.method,
            scheme: stated.scheme,
            host: stated.host,
            path: stated.path,
            client,
            upgrade,
            ..asking
        };
        Ok((original, hands_on))
    }
}

const URL: &str = "x-original-url";
const URL_METHOD: &str = "x-original-method";
const URI: &str = "x-forwarded-uri";
const URI_METHOD: &str = "x-forwarded-method";
const URI_HOST: &str = "x-forwarded-host";
const URI_PROTO: &str = "x-forwarded-proto";

struct Stated {
    method: Method,
    scheme: Scheme,
    host: Host,
    path: CleanPath,
}

impl Stated {
    /// `X-Original-URL: https://host/path?query` and `X-Original-Method`
    fn by_url(url: &str, headers: &HeaderMap) -> Result<Self, Malformed> {
        let (scheme, rest) = url.split_once("://").ok_or(StatementError::Syntax)?;
        let slash = rest.find('/').ok_or(StatementError::Syntax)?;
        let (host, target) = rest.split_at(slash);
        Ok(Self {
            method: method(required(headers, URL_METHOD)?)?,
            scheme: scheme_of(scheme)?,
            host: Host::parse(host.as_bytes())?,
            path: path(target)?,
        })
    }

    /// `X-Forwarded-Uri: /path?query`, and one field for each of the rest
    fn by_uri(uri: &str, headers: &HeaderMap) -> Result<Self, Malformed> {
        Ok(Self {
            method: method(required(headers, URI_METHOD)?)?,
            scheme: scheme_of(required(headers, URI_PROTO)?)?,
            host: Host::parse(required(headers, URI_HOST)?.as_bytes())?,
            path: path(uri)?,
        })
    }
}

/// The value of a field that must not be there twice.
fn one<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<Option<&'h str>, StatementError> {
    let mut fields = headers.get_all(name).iter();
    match (fields.next(), fields.next()) {
        (None, _) => Ok(None),
        (Some(field), None) => {
            let text = field.to_str().map_err(|_| StatementError::Count(name))?;
            Ok(Some(text))
        }
        (Some(_), Some(_)) => Err(StatementError::Count(name)),
    }
}

fn required<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<&'h str, StatementError> {
    one(headers, name)?.ok_or(StatementError::Count(name))
}

fn method(text: &str) -> Result<Method, StatementError> {
    match Method::from_bytes(text.as_bytes()) {
        Ok(Method::CONNECT) | Err(_) => Err(StatementError::Method),
        Ok(method) => Ok(method),
    }
}

/// `ws` and `wss` are what Traefik says of a WebSocket.
fn scheme_of(text: &str) -> Result<Scheme, StatementError> {
    match text {
        "http" | "ws" => Ok(Scheme::Http),
        "https" | "wss" => Ok(Scheme::Https),
        _other => Err(StatementError::Scheme),
    }
}

fn path(target: &str) -> Result<CleanPath, Malformed> {
    // The parser would cut a fragment off, and the backend might not.
    if target.contains('#') {
        return Err(StatementError::Syntax.into());
    }
    let target = PathAndQuery::try_from(target).map_err(|_| Malformed::Target)?;
    Ok(CleanPath::parse(&target)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbound::PathError;

    fn stated(fields: &[(&'static str, &str)]) -> Result<String, Malformed> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        let stated = match one(&headers, URL)? {
            Some(url) => Stated::by_url(url, &headers)?,
            None => Stated::by_uri(required(&headers, URI)?, &headers)?,
        };
        let (scheme, host, path) = (stated.scheme.as_str(), stated.host, stated.path.target());
        Ok(format!("{} {scheme}://{host}{path}", stated.method))
    }

    #[test]
    fn both_ways_of_stating_a_request_are_read() {
        for url in [
            "https://Api.test:8443/a?b=c",
            "https://api.test:8443/%61?b=c",
        ] {
            assert_eq!(
                stated(&[(URL, url), (URL_METHOD, "PUT")]).unwrap(),
                "PUT https://api.test:8443/a?b=c"
            );
        }
        let by_uri = |proto| {
            let fields = [
                (URI, "/a?b=c"),
                (URI_METHOD, "GET"),
                (URI_HOST, "api.test"),
                (URI_PROTO, proto),
            ];
            stated(&fields)
        };
        assert_eq!(by_uri("http").unwrap(), "GET http://api.test/a?b=c");
        assert_eq!(by_uri("wss").unwrap(), "GET https://api.test/a?b=c");
        assert_eq!(by_uri("evil_protocol"), Err(StatementError::Scheme.into()));
    }

    #[test]
    fn what_would_be_refused_as_a_request_is_refused() {
        for (url, why) in [
            ("https://h/a/../b", PathError::DotSegment.into()),
            ("https://h//b", PathError::EmptySegment.into()),
            ("https://h/a%2e%2e/../b", PathError::DotSegment.into()),
            ("https://h/b;x", PathError::Byte.into()),
            ("https://h/b#c", StatementError::Syntax.into()),
            ("https://h?b", StatementError::Syntax.into()),
            ("/b", StatementError::Syntax.into()),
            ("ftp://h/b", StatementError::Scheme.into()),
            ("https://u@h/b", super::super::HostError::Syntax.into()),
            ("https:///b", super::super::HostError::Syntax.into()),
            ("https://h/a b", Malformed::Target),
        ] {
            assert_eq!(
                stated(&[(URL, url), (URL_METHOD, "GET")]),
                Err(why),
                "{url}"
            );
        }
        let url = (URL, "https://h/");
        for (fields, why) in [
            (vec![url], StatementError::Count(URL_METHOD)),
            (
                vec![url, url, (URL_METHOD, "GET")],
                StatementError::Count(URL),
            ),
            (vec![url, (URL_METHOD, "CONNECT")], StatementError::Method),
            (vec![url, (URL_METHOD, "G T")], StatementError::Method),
            (
                vec![url, (URL_METHOD, "GET"), (URL_METHOD, "GET")],
                StatementError::Count(URL_METHOD),
            ),
        ] {
            assert_eq!(stated(&fields), Err(why.into()), "{fields:?}");
        }
    }
}
