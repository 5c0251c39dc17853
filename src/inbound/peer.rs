//! The other end of a connection, as the server saw it before any HTTP.

use std::net::SocketAddr;
use std::sync::Arc;

/// Who opened the connection, and over what.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The socket's peer, or the source that a trusted peer's PROXY header named.
    pub address: SocketAddr,
    pub scheme: Scheme,
    /// The name the client asked for in TLS (SNI), lower case.
    pub server_name: Option<Arc<str>>,
}

/// The scheme of the public URL that the client used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub const fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}
