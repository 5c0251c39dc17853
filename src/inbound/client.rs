//! The client's address: the socket's peer, or what trusted proxies say.

use std::fmt;
use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;

use super::Scheme;

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

impl ClientNet {
    /// The network as one number, different for each.
    pub(crate) fn bits(self) -> u128 {
        match self.0 {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
            IpAddr::V6(v6) => v6.to_bits(),
        }
    }
}

impl fmt::Display for ClientNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(v4) => write!(f, "{v4}"),
            IpAddr::V6(v6) => write!(f, "{v6}/64"),
        }
    }
}

impl fmt::Display for ClientIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Proxies whose forwarding headers are believed. Empty unless configured.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Vec<IpNet>);

/// What trusted proxies say of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarded {
    pub client: ClientIp,
    pub scheme: Option<Scheme>,
}

impl TrustedProxies {
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client behind `peer`: the last address of `X-Forwarded-For` that is not itself a trusted
    /// proxy. Reading stops at the first entry that is not an address, so a forged one is never
    /// looked at and a broken one never hides its sender.
    pub fn read(&self, peer: IpAddr, headers: &HeaderMap) -> Forwarded {
        let mut client = ClientIp::new(peer);
        if self.0.is_empty() || !self.contains(peer) {
            return Forwarded {
                client,
                scheme: None,
            };
        }
        for entry in stated_backwards(headers) {
            let Some(address) = parse_entry(entry) else {
                break;
            };
            client = address;
            if !self.contains(address.address()) {
                break;
            }
        }
        let scheme = headers.get_all("x-forwarded-proto").iter().next_back();
        let scheme = scheme.and_then(|value| match value.as_bytes() {
            b"http" => Some(Scheme::Http),
            b"https" => Some(Scheme::Https),
            _other => None,
        });
        Forwarded { client, scheme }
    }
}

/// The entries of `X-Forwarded-For`, the last first.
fn stated_backwards(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let fields: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
    let backwards = fields.into_iter().rev();
    backwards.flat_map(|field| field.as_bytes().rsplit(|b| *b == b','))
}

/// The address that the nearest proxy states, when it states one.
pub(super) fn last_stated(headers: &HeaderMap) -> Option<ClientIp> {
    stated_backwards(headers).next().and_then(parse_entry)
}

/// `203.0.113.7`, `203.0.113.7:4711`, `2001:db8::1`, `[2001:db8::1]:4711`.
fn parse_entry(entry: &[u8]) -> Option<ClientIp> {
    let text = std::str::from_utf8(entry).ok()?.trim();
    let bare = text.parse::<IpAddr>().ok();
    let with_port = || {
        text.parse::<std::net::SocketAddr>()
            .map(|socket| socket.ip())
            .ok()
    };
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    bare.or_else(with_port)
        .or_else(in_brackets)
        .map(ClientIp::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &[&str], peer: &str, forwarded: &[&str]) -> String {
        let networks = trusted.iter().map(|net| net.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        let read = TrustedProxies::new(networks).read(peer.parse().unwrap(), &headers);
        read.client.to_string()
    }

    #[test]
    fn the_client_is_the_last_address_that_no_trusted_proxy_owns() {
        let proxies = ["10.0.0.0/8", "fd00::/8"];
        for (peer, forwarded, expected) in [
            ("10.0.0.1", &["203.0.113.7"][..], "203.0.113.7"),
            ("10.0.0.1", &["1.1.1.1, 203.0.113.7"], "203.0.113.7"),
            (
                "10.0.0.1",
                &["1.1.1.1", "203.0.113.7, 10.0.0.2"],
                "203.0.113.7",
            ),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &["203.0.113.7:99"], "203.0.113.7"),
            ("10.0.0.1", &["[2001:db8::1]:99"], "2001:db8::1"),
            ("10.0.0.1", &["a"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.7, a, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("::ffff:10.0.0.1", &["203.0.113.7"], "203.0.113.7"),
            ("192.0.2.1", &["203.0.113.7"], "192.0.2.1"),
        ] {
            assert_eq!(
                client(&proxies, peer, forwarded),
                expected,
                "{peer} {forwarded:?}"
            );
        }
        assert_eq!(client(&[], "192.0.2.1", &["203.0.113.7"]), "192.0.2.1");
    }

    #[test]
    fn a_network_is_an_address_or_a_slash_64() {
        let network = |text: &str| ClientIp::new(text.parse().unwrap()).network().to_string();
        assert_eq!(network("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
    }
}
