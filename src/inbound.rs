//! A request that has exactly one reading: host, path, client and framing, or a refusal with 400.

pub mod cookie;

mod body;
mod client;
mod fields;
mod flight;
mod host;
mod original;
mod path;
mod peer;
mod request_id;
mod same_origin;

use std::sync::Arc;

use http::{HeaderMap, Method, Request, Version, header};
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;

use fields::{Count, Found};

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
    /// Keeps an HTTP/2 connection busy: to be held as long as what comes of the switch.
    pub busy: Option<Arc<Passage>>,
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
    /// Reads `req` in the only way there is, or refuses it. Boxed, since it is handed on from step to
    /// step.
    pub fn parse(
        id: RequestId,
        peer: Peer,
        mut req: Request<ClientBody>,
        trusted: &TrustedProxies,
    ) -> Result<Box<Self>, Malformed> {
        let found = Found::of(req.headers());
        check_transfer_coding(found.transfer_coding)?;
        if found.cookies > MAX_COOKIES {
            return Err(Malformed::Cookies);
        }
        let protocol = UpgradeProtocol::asked_for(&req, found.upgrade);
        let method = method_of(&req, protocol)?;
        let host = host_of(&req, found.host)?;
        let upgrade = protocol.map(|protocol| Upgrade {
            protocol,
            on_upgrade: hyper::upgrade::on(&mut req),
            busy: req.extensions_mut().remove(),
        });
        let (parts, body) = req.into_parts();
        let path = CleanPath::parse(parts.uri.path_and_query().ok_or(Malformed::Target)?)?;
        let forwarded = trusted.read(peer.address.ip(), &parts.headers);
        Ok(Box::new(Self {
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
        }))
    }

    /// The query, without its question mark.
    pub fn query(&self) -> Option<&str> {
        self.path.query()
    }
}

impl UpgradeProtocol {
    /// The switch that `req` asks for, when it is one that we know.
    fn asked_for(req: &Request<ClientBody>, upgrade: Count<'_>) -> Option<Self> {
        let websocket = match req.version() {
            Version::HTTP_2 => {
                let protocol = req.extensions().get::<Protocol>();
                req.method() == Method::CONNECT
                    && protocol.is_some_and(|p| p.as_str().eq_ignore_ascii_case("websocket"))
            }
            Version::HTTP_11 => {
                req.method() == Method::GET
                    && upgrade.is("websocket")
                    && has_token(req.headers(), header::CONNECTION, "upgrade")
            }
            _other_versions => false,
        };
        websocket.then_some(UpgradeProtocol::WebSocket)
    }
}

impl Upgrade {
    /// A switch on another proxy's connection: known of, and never ours to make.
    fn elsewhere(protocol: UpgradeProtocol) -> Self {
        Self {
            protocol,
            on_upgrade: hyper::upgrade::on(Request::new(())),
            busy: None,
        }
    }
}

fn method_of(
    req: &Request<ClientBody>,
    upgrade: Option<UpgradeProtocol>,
) -> Result<Method, Malformed> {
    match (req.method(), upgrade) {
        (&Method::CONNECT, Some(_)) => Ok(Method::GET),
        (&Method::CONNECT, None) => Err(Malformed::Connect),
        (method, _) => Ok(method.clone()),
    }
}

/// The host, from the target's authority (HTTP/2, absolute form) or the Host field. When there are
/// both they must agree: a backend may read either (RFC 9112 §3.2.2, RFC 9113 §8.3.1).
fn host_of(req: &Request<ClientBody>, field: Count<'_>) -> Result<Host, Malformed> {
    let field = match field {
        Count::One(field) => Some(Host::read(field)?),
        Count::None => None,
        Count::Several => return Err(Malformed::HostCount),
    };
    let authority = match req.uri().authority() {
        Some(authority) => Some(Host::parse(authority.as_str().as_bytes())?),
        None => None,
    };
    match (authority, field) {
        (Some(authority), Some(field)) if authority != field => Err(Malformed::HostConflict),
        (Some(authority), None) if req.version() >= Version::HTTP_2 => Ok(authority),
        (_, Some(field)) => Ok(field),
        (Some(_) | None, None) => Err(Malformed::HostCount),
    }
}

/// hyper lets `gzip, chunked` and repeated fields through to the service; we do not guess
/// (RFC 9112 §6.1, §6.3).
fn check_transfer_coding(coding: Count<'_>) -> Result<(), Malformed> {
    match coding {
        Count::None => Ok(()),
        Count::One(_) if coding.is("chunked") => Ok(()),
        Count::One(_) | Count::Several => Err(Malformed::TransferCoding),
    }
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
