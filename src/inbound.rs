//! A request that has exactly one reading: host, path, client and framing, or a refusal with 400.

pub mod cookie;

mod body;
mod client;
mod flight;
mod host;
mod original;
mod path;
mod peer;
mod request_id;
mod same_origin;

use http::request::Parts;
use http::{HeaderMap, Method, Request, Version, header};
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;

pub use body::{ClientBody, ClientBodyError, MinimumRate, Pace, Sending};
pub use client::{ClientIp, ClientNet, TrustedProxies};
pub use flight::{Flight, Passage};
pub use host::{Host, HostError};
pub use original::{Askers, HandsOn, StatementError};
pub use path::{CleanPath, PathError, query_value};
pub use peer::{Peer, Scheme};
pub use request_id::{RequestId, RequestIds};
pub use same_origin::{Site, is_safe};

/// Most bytes of all `Cookie` fields together: twice what browsers keep for a small site.
const MAX_COOKIES: usize = 8 * 1024;

/// A request after its one reading: what is matched is what is forwarded.
pub struct Inbound {
    pub id: RequestId,
    /// An extended CONNECT (RFC 8441) is the GET that it stands for.
    pub method: Method,
    /// The scheme of the URL that the client used.
    pub scheme: Scheme,
    pub host: Host,
    pub path: CleanPath,
    pub version: Version,
    /// Who is calling, after trusted proxies were peeled off.
    pub client: ClientIp,
    pub peer: Peer,
    pub headers: HeaderMap,
    pub body: ClientBody,
    /// Set when the client asks to leave HTTP: `Upgrade` on HTTP/1.1, extended CONNECT on HTTP/2.
    pub upgrade: Option<Upgrade>,
}

/// The protocol a client asks to switch to, and its half of the switch.
pub struct Upgrade {
    pub protocol: UpgradeProtocol,
    pub on_upgrade: OnUpgrade,
}

/// What may be switched to. Anything else is answered as if it had not been asked for
/// (RFC 9110 §7.8 lets a server ignore `Upgrade`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpgradeProtocol {
    WebSocket,
}

/// Why a request has no single reading; 400, and the connection is closed where framing is in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("the request must name its host exactly once")]
    HostCount,
    #[error(transparent)]
    Host(#[from] HostError),
    #[error("the request's authority and its Host field differ")]
    HostConflict,
    #[error("the request target must be a path, or an absolute URL of this host")]
    Target,
    #[error(transparent)]
    Path(#[from] PathError),
    #[error("the only transfer coding accepted is a single `chunked`")]
    TransferCoding,
    #[error("CONNECT is not served here")]
    Connect,
    /// What another proxy states about its request, to have it verified.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// 431
    #[error("the request's cookies are longer than {MAX_COOKIES} bytes together")]
    Cookies,
}

impl Malformed {
    /// Whether the bytes that follow on the connection may not be what they seem (RFC 9112 §6.3).
    pub fn framing_in_doubt(self) -> bool {
        match self {
            Malformed::TransferCoding | Malformed::HostCount | Malformed::HostConflict => true,
            Malformed::Host(_)
            | Malformed::Target
            | Malformed::Path(_)
            | Malformed::Connect
            | Malformed::Statement(_)
            | Malformed::Cookies => false,
        }
    }
}

impl Inbound {
    /// Reads `req` in the only way there is, or refuses it.
    pub fn parse(
        id: RequestId,
        peer: Peer,
        mut req: Request<ClientBody>,
        trusted: &TrustedProxies,
    ) -> Result<Self, Malformed> {
        check_transfer_coding(req.headers())?;
        check_cookies(req.headers())?;
        let upgrade = Upgrade::asked_for(&mut req);
        let (parts, body) = req.into_parts();
        let method = method_of(&parts, upgrade.as_ref())?;
        let host = host_of(&parts)?;
        let path = CleanPath::parse(parts.uri.path_and_query().ok_or(Malformed::Target)?)?;
        let forwarded = trusted.read(peer.address.ip(), &parts.headers);
        Ok(Self {
            id,
            method,
            scheme: forwarded.scheme.unwrap_or(peer.scheme),
            host,
            path,
            version: parts.version,
            client: forwarded.client,
            peer,
            headers: parts.headers,
            body,
            upgrade,
        })
    }

    /// The query, without its question mark.
    pub fn query(&self) -> Option<&str> {
        self.path.query()
    }
}

impl Upgrade {
    /// The switch that `req` asks for, when it is one that we know.
    fn asked_for(req: &mut Request<ClientBody>) -> Option<Self> {
        let websocket = match req.version() {
            Version::HTTP_2 => {
                let protocol = req.extensions().get::<Protocol>();
                req.method() == Method::CONNECT
                    && protocol.is_some_and(|p| p.as_str().eq_ignore_ascii_case("websocket"))
            }
            Version::HTTP_11 => {
                let headers = req.headers();
                req.method() == Method::GET
                    && has_token(headers, header::CONNECTION, "upgrade")
                    && is_only(headers, header::UPGRADE, "websocket")
            }
            _other_versions => false,
        };
        websocket.then(|| Self {
            protocol: UpgradeProtocol::WebSocket,
            on_upgrade: hyper::upgrade::on(req),
        })
    }

    /// A switch on another proxy's connection: known of, and never ours to make.
    fn elsewhere(protocol: UpgradeProtocol) -> Self {
        Self {
            protocol,
            on_upgrade: hyper::upgrade::on(Request::new(())),
        }
    }
}

fn method_of(parts: &Parts, upgrade: Option<&Upgrade>) -> Result<Method, Malformed> {
    match (&parts.method, upgrade) {
        (&Method::CONNECT, Some(_)) => Ok(Method::GET),
        (&Method::CONNECT, None) => Err(Malformed::Connect),
        (method, _) => Ok(method.clone()),
    }
}

/// The host, from the target's authority (HTTP/2, absolute form) or the Host field. When there are
/// both they must agree: a backend may read either (RFC 9112 §3.2.2, RFC 9113 §8.3.1).
fn host_of(parts: &Parts) -> Result<Host, Malformed> {
    let mut fields = parts.headers.get_all(header::HOST).iter();
    let field = match (fields.next(), fields.next()) {
        (Some(field), None) => Some(Host::parse(field.as_bytes())?),
        (None, _) => None,
        (Some(_), Some(_)) => return Err(Malformed::HostCount),
    };
    let authority = match parts.uri.authority() {
        Some(authority) => Some(Host::parse(authority.as_str().as_bytes())?),
        None => None,
    };
    match (authority, field) {
        (Some(authority), Some(field)) if authority != field => Err(Malformed::HostConflict),
        (Some(authority), None) if parts.version >= Version::HTTP_2 => Ok(authority),
        (_, Some(field)) => Ok(field),
        (Some(_) | None, None) => Err(Malformed::HostCount),
    }
}

/// hyper lets `gzip, chunked` and repeated fields through to the service; we do not guess
/// (RFC 9112 §6.1, §6.3).
fn check_transfer_coding(headers: &HeaderMap) -> Result<(), Malformed> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(only), None) if only.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        (Some(_), _) => Err(Malformed::TransferCoding),
    }
}

/// HTTP/2 may split a cookie field in many (RFC 9113 §8.2.3): what counts is their sum.
fn check_cookies(headers: &HeaderMap) -> Result<(), Malformed> {
    let cookies = headers.get_all(header::COOKIE).iter();
    let total: usize = cookies.map(http::HeaderValue::len).sum();
    if total > MAX_COOKIES {
        Err(Malformed::Cookies)
    } else {
        Ok(())
    }
}

/// Whether `name` stands there once, and is `value` in any case.
fn is_only(headers: &HeaderMap, name: header::HeaderName, value: &str) -> bool {
    let mut fields = headers.get_all(name).iter();
    let first = fields.next();
    first.is_some_and(|field| field.as_bytes().eq_ignore_ascii_case(value.as_bytes()))
        && fields.next().is_none()
}

/// Whether a list-valued field holds `token`, in any case.
fn has_token(headers: &HeaderMap, name: header::HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(token))
}
