//! One server of an upstream: its address, health and counts, shared by all workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::address::{Scheme, ServerAddress};
use super::health::Health;
use super::tls::Tls;

/// One server. A reload that keeps its address and authorities keeps it whole.
pub(super) struct Server {
    pub id: ServerId,
    pub address: ServerAddress,
    /// Set for `https`.
    pub tls: Option<Arc<Tls>>,
    pub health: Health,
    pub counts: Counts,
    outstanding: AtomicU32,
}

/// A server among all that this process has known: names its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ServerId(u64);

/// Totals since the server was first configured.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub connects: AtomicU64,
    pub reuses: AtomicU64,
    /// Requests that were tried again after this server failed them.
    pub retries: AtomicU64,
    /// Connections refused, deadlines passed, garbage answered.
    pub failures: AtomicU64,
}

/// A request or tunnel that a server has not finished. Counted while this lives.
pub(super) struct Outstanding(Arc<Server>);

impl Server {
    pub fn new(address: ServerAddress, tls: Option<Arc<Tls>>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            id: ServerId(NEXT.fetch_add(1, Ordering::Relaxed)),
            address,
            tls,
            health: Health::default(),
            counts: Counts::default(),
            outstanding: AtomicU32::new(0),
        }
    }

    /// Whether this is the server that `address` and `tls` describe.
    pub fn is(&self, address: &ServerAddress, tls: Option<&Tls>) -> bool {
        let same_authorities = match (self.tls.as_deref(), tls) {
            (Some(mine), Some(other)) => mine.trusts_the_same(other),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        self.address == *address && same_authorities
    }

    /// Whether connections may turn out to be of HTTP/2.
    pub fn may_speak_http2(&self) -> bool {
        match self.address.scheme() {
            Scheme::Http => false,
            Scheme::Https | Scheme::H2c => true,
        }
    }

    /// Whether no connection can be switched to WebSocket.
    pub fn speaks_only_http2(&self) -> bool {
        self.address.scheme() == Scheme::H2c
    }

    pub fn outstanding(&self) -> u32 {
        self.outstanding.load(Ordering::Relaxed)
    }

    /// Counts one more request, unless there are `max` already.
    pub fn begin(self: &Arc<Self>, max: u32) -> Option<Outstanding> {
        if self.outstanding.fetch_add(1, Ordering::Relaxed) >= max {
            self.outstanding.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Outstanding(self.clone()))
    }
}

impl Counts {
    pub fn add(count: &AtomicU64) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

impl std::ops::Deref for Outstanding {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

impl Drop for Outstanding {
    fn drop(&mut self) {
        self.0.outstanding.fetch_sub(1, Ordering::Relaxed);
    }
}
