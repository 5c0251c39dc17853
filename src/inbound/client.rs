//! The client's address: the socket's peer, or what trusted proxies say.

use std::net::IpAddr;

/// A client's address; an IPv4-mapped IPv6 address is the IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientIp(IpAddr);

/// The network that shares one limit: an IPv4 address, or an IPv6 /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientNet(IpAddr);

impl ClientIp {
    pub fn new(address: IpAddr) -> Self {
        Self(address.to_canonical())
    }

    pub fn address(self) -> IpAddr {
        self.0
    }

    pub fn network(self) -> ClientNet {
        match self.0 {
            IpAddr::V4(_) => ClientNet(self.0),
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                ClientNet(IpAddr::from([a, b, c, d, 0, 0, 0, 0]))
            }
        }
    }
}

impl std::fmt::Display for ClientNet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            IpAddr::V4(v4) => write!(f, "{v4}"),
            IpAddr::V6(v6) => write!(f, "{v6}/64"),
        }
    }
}

/// Proxies whose forwarding headers are believed. Empty unless configured.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Vec<ipnet::IpNet>);
