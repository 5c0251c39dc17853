//! What the server is told: listeners, certificates, and a bound for everything a client can hold.

use std::time::Duration;

use ipnet::IpNet;

use super::{Listener, PublicUrl, Tls};
use crate::inbound::MinimumRate;

/// Everything the server needs to know; fixed from start to stop, certificates apart.
pub struct Settings {
    pub listeners: Vec<Listener>,
    /// Needed by listeners of [`ListenerKind::Https`](super::ListenerKind::Https).
    pub tls: Option<Tls>,
    /// Where the redirecting listener sends those whose Host no certificate covers.
    pub public_url: Option<PublicUrl>,
    pub bounds: Bounds,
    /// Networks of proxies and balancers: many clients come from one address there, so the bound for
    /// each address does not hold.
    pub proxies: Vec<IpNet>,
}

/// How much of the server a client may hold, and for how long.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Connections open at once, upgraded ones included. More are closed as they come.
    pub connections: usize,
    /// Connections open at once from one client network (an IPv4 address, an IPv6 /64).
    pub connections_per_address: u32,
    /// TLS handshakes under way at once on each worker, an eighth of them from one client network.
    /// More wait, within their own time.
    pub handshakes: usize,
    /// From the first packet to the end of the PROXY header and the TLS handshake.
    pub handshake_time: Duration,
    /// From the first byte of a request's head to its last.
    pub header_time: Duration,
    /// With no request under way.
    pub idle_time: Duration,
    /// With something to send and a client that takes nothing of it.
    pub write_time: Duration,
    /// How slowly a request's body may come, until the answer begins.
    pub body_rate: MinimumRate,
    /// A request's head in HTTP/1.1, in bytes.
    pub header_bytes: usize,
    /// Header fields of a request.
    pub header_fields: usize,
    /// A request's header list in HTTP/2, in bytes as RFC 9113 §6.5.2 counts them.
    pub h2_header_bytes: u32,
    /// Requests under way at once on one HTTP/2 connection.
    pub streams: u32,
    /// From the order to stop to the moment at which what is still open is cut.
    pub drain_time: Duration,
    /// How long idle HTTP/1.1 connections are still listened to after the order to stop: a request
    /// that is on its way to us is answered, with `Connection: close`.
    pub drain_grace: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 16_384,
            connections_per_address: 256,
            handshakes: 256,
            handshake_time: Duration::from_secs(10),
            header_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(60),
            write_time: Duration::from_secs(60),
            body_rate: MinimumRate {
                bytes_per_second: 240,
                grace: Duration::from_secs(20),
            },
            header_bytes: 32 * 1024,
            header_fields: 100,
            h2_header_bytes: 16 * 1024,
            streams: 100,
            drain_time: Duration::from_secs(30),
            drain_grace: Duration::from_secs(1),
        }
    }
}
