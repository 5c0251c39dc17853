//! What happened to connections, in numbers: read by the metrics, written once a connection.

use std::sync::atomic::{AtomicU64, Ordering};

/// One number for each way in which a connection can go.
#[derive(Debug, Default)]
pub struct Counters {
    pub accepted: Count,
    /// The system gave no socket (file descriptors, memory); accepting backs off.
    pub accept_failures: Count,
    /// Closed as they came: the bound for all connections was reached.
    pub refused_full: Count,
    /// Closed as they came: the bound for their address was reached.
    pub refused_address: Count,
    /// Closed as they came: not from a network that may use the listener.
    pub refused_network: Count,
    /// A PROXY header was missing or wrong.
    pub proxy_failures: Count,
    /// The TLS handshake failed.
    pub handshake_failures: Count,
    /// PROXY header and TLS handshake took too long.
    pub handshake_timeouts: Count,
    pub header_timeouts: Count,
    pub idle_timeouts: Count,
    /// The client took nothing of its answer for too long.
    pub write_timeouts: Count,
    /// The client reset most of its streams.
    pub abusive: Count,
    /// A request's handling panicked.
    pub panics: Count,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Counters {
    /// Every number with its name, for metrics.
    pub fn named(&self) -> [(&'static str, u64); 13] {
        [
            ("accepted", self.accepted.value()),
            ("accept_failures", self.accept_failures.value()),
            ("refused_full", self.refused_full.value()),
            ("refused_address", self.refused_address.value()),
            ("refused_network", self.refused_network.value()),
            ("proxy_failures", self.proxy_failures.value()),
            ("handshake_failures", self.handshake_failures.value()),
            ("handshake_timeouts", self.handshake_timeouts.value()),
            ("header_timeouts", self.header_timeouts.value()),
            ("idle_timeouts", self.idle_timeouts.value()),
            ("write_timeouts", self.write_timeouts.value()),
            ("abusive", self.abusive.value()),
            ("panics", self.panics.value()),
        ]
    }
}
