//! A request that has exactly one reading: host, path, client and framing, or a refusal with 400.

mod client;
mod host;
mod path;
mod peer;

use http::{HeaderMap, Method, Version};
use hyper::body::Incoming;

pub use client::{ClientIp, ClientNet, TrustedProxies};
pub use host::Host;
pub use path::{CleanPath, PathError};
pub use peer::{Peer, Scheme};

/// A request after its one reading: what is matched is what is forwarded.
pub struct Inbound {
    /// Ours, 128 random bits in hex; goes upstream as `X-Request-Id` and into the log.
    pub id: RequestId,
    pub method: Method,
    pub scheme: Scheme,
    pub host: Host,
    pub path: CleanPath,
    /// Without the question mark.
    pub query: Option<String>,
    pub version: Version,
    /// Who is calling, after trusted proxies were peeled off.
    pub client: ClientIp,
    pub peer: Peer,
    pub headers: HeaderMap,
    pub body: Incoming,
    /// Set when the client asks to leave HTTP: `Upgrade` on HTTP/1.1, extended CONNECT on HTTP/2.
    pub upgrade: Option<Upgrade>,
}

/// The protocol a client asks to switch to, and its half of the switch.
pub struct Upgrade {
    pub protocol: UpgradeProtocol,
    pub on_upgrade: hyper::upgrade::OnUpgrade,
}

/// What may be switched to. Anything else is answered as if it had not been asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpgradeProtocol {
    WebSocket,
}

/// The gateway's own name for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(u128);
