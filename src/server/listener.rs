//! A port and who may use it for what.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpSocket};

use super::{Inherited, Tls};
use crate::inbound::{ClientIp, Scheme};

/// How many connections the system holds for us between two accepts.
const BACKLOG: u32 = 4096;
/// After so much silence the system asks a client whether it is still there (RFC 9293 §3.8.4),
const SILENCE: Duration = Duration::from_secs(60);
/// asks again this much later,
const PROBE_INTERVAL: Duration = Duration::from_secs(15);
/// and takes it for gone after so many questions without an answer.
const PROBES: u32 = 4;

/// One listener of the configuration.
#[derive(Clone, Debug)]
pub struct Listener {
    pub address: Address,
    pub kind: ListenerKind,
    /// When set, every connection begins with a PROXY header (version 1 or 2), and only these networks
    /// may connect. When not, a PROXY header is an error: it is never guessed at.
    pub proxy_from: Option<Vec<IpNet>>,
}

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Tcp(SocketAddr),
    /// By the name that the service manager gave it.
    Inherited(String),
}

/// What a listener speaks.
#[derive(Clone, Debug)]
pub enum ListenerKind {
    /// TLS, then HTTP/2 or HTTP/1.1 by ALPN.
    Https,
    /// Plain HTTP that is answered 308 to the public https URL.
    Redirect,
    /// Plain HTTP/1.1 from a balancer that terminates TLS, only from these networks.
    Balancer { from: Vec<IpNet> },
}

/// Why a port could not be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("cannot listen on {address}: the port is in use by another process")]
    InUse { address: SocketAddr },
    #[error("cannot listen on {address}: ports below 1024 need CAP_NET_BIND_SERVICE")]
    Denied { address: SocketAddr },
    #[error("cannot listen on {address}: {source}")]
    Other {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("no listener called `{name}` was passed in (FileDescriptorName= of a .socket unit)")]
    NotInherited { name: String },
    #[error("the listener called `{name}` that was passed in cannot be used: {source}")]
    Inherited { name: String, source: io::Error },
    #[error("{address} is to speak TLS, but no certificate is configured")]
    NoCertificate { address: String },
}

/// A listener with its socket.
pub(super) struct BoundListener {
    pub(super) socket: TcpListener,
    pub(super) plan: Arc<Plan>,
}

/// What a connection needs to know of the listener it came by.
pub(super) struct Plan {
    pub(super) proxy_from: Option<Vec<IpNet>>,
    pub(super) speaks: Speaks,
    address: SocketAddr,
}

/// What is spoken once the socket's peer is admitted.
pub(super) enum Speaks {
    Https(Tls),
    Redirect,
    Balanced { from: Vec<IpNet> },
}

/// Opens what `listener` asks for: several sockets may have been passed in under one name.
pub(super) fn bind(
    listener: &Listener,
    tls: Option<&Tls>,
    inherited: &mut Inherited,
) -> Result<Vec<BoundListener>, BindError> {
    let sockets = match &listener.address {
        Address::Tcp(address) => vec![open(*address)?],
        Address::Inherited(name) => adopt(name, inherited)?,
    };
    let bound = |socket: TcpListener| {
        let address = local_address(&socket);
        if let Err(error) = probe_the_silent(&socket) {
            tracing::warn!(%address, %error, "clients that vanish are noticed late: no TCP keep-alive");
        }
        let speaks = match &listener.kind {
            ListenerKind::Https => Speaks::Https(tls.cloned().ok_or_else(|| {
                let address = address.to_string();
                BindError::NoCertificate { address }
            })?),
            ListenerKind::Redirect => Speaks::Redirect,
            ListenerKind::Balancer { from } => Speaks::Balanced { from: from.clone() },
        };
        let proxy_from = listener.proxy_from.clone();
        let plan = Arc::new(Plan {
            proxy_from,
            speaks,
            address,
        });
        Ok(BoundListener { socket, plan })
    };
    sockets.into_iter().map(bound).collect()
}

impl BoundListener {
    pub(super) fn address(&self) -> SocketAddr {
        self.plan.address
    }

    pub(super) fn https_port(&self) -> Option<u16> {
        match self.plan.speaks {
            Speaks::Https(_) => Some(self.plan.address.port()),
            Speaks::Redirect | Speaks::Balanced { .. } => None,
        }
    }
}

impl Plan {
    /// The scheme of the URL that the client used.
    pub(super) fn scheme(&self) -> Scheme {
        match self.speaks {
            // The balancer took the client's TLS off.
            Speaks::Https(_) | Speaks::Balanced { .. } => Scheme::Https,
            Speaks::Redirect => Scheme::Http,
        }
    }

    /// Whether a socket's peer is a client, rather than a balancer that speaks for many.
    pub(super) fn peer_is_client(&self) -> bool {
        match self.speaks {
            Speaks::Https(_) | Speaks::Redirect => self.proxy_from.is_none(),
            Speaks::Balanced { .. } => false,
        }
    }

    /// Whether a socket's peer may use the listener at all.
    pub(super) fn admits(&self, peer: IpAddr) -> bool {
        let balancers = match &self.speaks {
            Speaks::Balanced { from } => Some(from),
            Speaks::Https(_) | Speaks::Redirect => None,
        };
        [self.proxy_from.as_ref(), balancers]
            .into_iter()
            .flatten()
            .all(|networks| listed(networks, peer))
    }
}

/// Whether `address` is in one of `networks`; an IPv4-mapped address is its IPv4 address.
pub(super) fn listed(networks: &[IpNet], address: IpAddr) -> bool {
    let address = ClientIp::new(address).address();
    networks.iter().any(|network| network.contains(&address))
}

fn open(address: SocketAddr) -> Result<TcpListener, BindError> {
    let listen = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // A restart must not wait for the old process's connections to be forgotten.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse { address },
        io::ErrorKind::PermissionDenied => BindError::Denied { address },
        _ => BindError::Other { address, source },
    })
}

/// Has the system find out which clients are gone. Accepted sockets inherit it.
fn probe_the_silent(socket: &TcpListener) -> io::Result<()> {
    sockopt::set_tcp_keepidle(socket, SILENCE)?;
    sockopt::set_tcp_keepintvl(socket, PROBE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(socket, PROBES)?;
    Ok(sockopt::set_socket_keepalive(socket, true)?)
}

fn adopt(name: &str, inherited: &mut Inherited) -> Result<Vec<TcpListener>, BindError> {
    let named = || name.to_owned();
    let taken = inherited.take(name);
    if taken.is_empty() {
        return Err(BindError::NotInherited { name: named() });
    }
    let adopt = |listener: std::net::TcpListener| {
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    };
    let adopted: io::Result<_> = taken.into_iter().map(adopt).collect();
    adopted.map_err(|source| BindError::Inherited {
        name: named(),
        source,
    })
}

fn local_address(socket: &TcpListener) -> SocketAddr {
    let unknown = || SocketAddr::from(([0, 0, 0, 0], 0));
    socket.local_addr().unwrap_or_else(|_| unknown())
}
