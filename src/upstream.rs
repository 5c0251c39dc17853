//! Existing backends: their servers, connections, health, deadlines; and the answer on its way back.

mod address;
mod answer;
mod answer_body;
mod balance;
mod budget;
mod connect;
mod error;
mod exchange;
mod health;
mod pool;
mod request;
mod server;
mod tls;
mod tunnel;
mod upload;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Response;

use crate::body::Body;
use crate::clock::Clock;

use budget::RetryBudget;
use health::{Failure, Rests};
use pool::Keeping;
use server::{Counts, Server};
use tls::Tls;

pub use address::{AddressError, Scheme, ServerAddress};
pub use answer::Mapping;
pub use answer_body::AnswerBody;
pub use error::{AuthoritiesError, ConnectError, ProtocolError, UpstreamError};
pub use pool::Pools;
pub use request::{Request, Stamping};
pub use tunnel::{Passed, Traffic};
pub use upload::{RequestBody, RequestBodyError, TrailerRule};

/// What the configuration says of one upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The name in the configuration, for routes, logs and metrics.
    pub name: Arc<str>,
    pub servers: Vec<ServerAddress>,
    /// PEM file of the only authorities that `https` servers may be signed by; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// Longest time for name look-up, TCP and TLS together.
    pub connect: Duration,
    /// Longest wait for the head of an answer, once the request is sent.
    pub first_byte: Duration,
    /// Longest silence inside an answer or a tunnel.
    pub idle: Duration,
    /// How long an unused connection is kept: less than the server itself keeps it.
    pub keep: Duration,
    /// Most unused HTTP/1.1 connections that each worker keeps to each server.
    pub keep_connections: usize,
    /// Most requests and tunnels outstanding on each server, over all workers.
    pub max_outstanding: u32,
    /// How many more servers or connections a request may be tried on.
    pub retries: u32,
    /// Retries for every hundred requests to this upstream. A connection that the server had closed
    /// before the request was sent costs none.
    pub retry_budget: u32,
    /// Failures in a row after which a server rests.
    pub failures: u32,
    /// The first rest of a failing server; each further one is twice as long.
    pub rest: Duration,
    /// The longest rest.
    pub max_rest: Duration,
}

/// A named upstream of the configuration. Shared by all workers: health and outstanding counts are
/// atomics. Idle connections are each worker's own ([`Pools`]).
pub struct Upstream {
    settings: Settings,
    servers: Vec<Arc<Server>>,
    budget: RetryBudget,
    rests: Rests,
    clock: Clock,
}

/// One server as an operator sees it. The counts are totals since it was first configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerStatus {
    pub address: String,
    /// Whether it is left alone because it failed.
    pub resting: bool,
    /// Requests and tunnels that it has not finished.
    pub outstanding: u32,
    pub connects: u64,
    pub reuses: u64,
    pub retries: u64,
    pub failures: u64,
}

impl Upstream {
    /// An upstream as `settings` say. Servers that `previous` has too keep their health, counts and
    /// connections.
    ///
    /// # Errors
    ///
    /// When the file of authorities cannot be used.
    pub fn new(
        settings: Settings,
        clock: Clock,
        previous: Option<&Upstream>,
    ) -> Result<Self, AuthoritiesError> {
        let https = |address: &ServerAddress| address.scheme() == Scheme::Https;
        let tls = match settings.servers.iter().any(https) {
            true => Some(Arc::new(Tls::new(settings.ca.as_deref(), &clock)?)),
            false => None,
        };
        let known = previous.map_or(&[][..], |p| &p.servers);
        let servers = settings.servers.iter().map(|address| {
            let tls = tls.clone().filter(|_| https(address));
            let same = known
                .iter()
                .find(|server| server.is(address, tls.as_deref()));
            same.cloned()
                .unwrap_or_else(|| Arc::new(Server::new(address.clone(), tls)))
        });
        Ok(Self {
            servers: servers.collect(),
            budget: match previous {
                Some(previous) => previous.budget.with_share(settings.retry_budget),
                None => RetryBudget::new(settings.retry_budget),
            },
            rests: Rests {
                after: settings.failures,
                first: settings.rest,
                longest: settings.max_rest,
            },
            settings,
            clock,
        })
    }

    pub fn name(&self) -> &Arc<str> {
        &self.settings.name
    }

    /// Requests that were not tried again because too many were.
    pub fn retries_withheld(&self) -> u64 {
        self.budget.withheld()
    }

    /// Each server as it stands, for metrics and readiness.
    pub fn servers(&self) -> impl Iterator<Item = ServerStatus> {
        self.servers.iter().map(|server| ServerStatus {
            address: server.address.to_string(),
            resting: server.health.rests_until().is_some(),
            outstanding: server.outstanding(),
            connects: server.counts.connects.load(Ordering::Relaxed),
            reuses: server.counts.reuses.load(Ordering::Relaxed),
            retries: server.counts.retries.load(Ordering::Relaxed),
            failures: server.counts.failures.load(Ordering::Relaxed),
        })
    }

    /// Sends `request` to the server with the least to do, and gives its answer with hop-by-hop
    /// fields removed and `mapping` undone; a switch to WebSocket runs on by itself. Tried again on
    /// another server or connection are a request that was not sent, and one that is idempotent and
    /// has no body. Dropping the future or the answer's body stops the upstream's work.
    ///
    /// To be called on a worker: connections and tunnels run as tasks of the current runtime.
    ///
    /// # Errors
    ///
    /// When no server gave an answer, or the request's own body was the reason.
    pub fn forward(
        &self,
        pools: &Pools,
        request: (Box<Request>, Stamping<'_>),
        mapping: &Mapping<'_>,
    ) -> impl Future<Output = Result<Response<Body>, UpstreamError>> {
        exchange::exchange(self, pools, request, mapping)
    }

    fn keeping(&self) -> Keeping {
        Keeping {
            connect: self.settings.connect,
            keep: self.settings.keep,
            connections: self.settings.keep_connections,
        }
    }

    fn note(&self, server: &Server, failure: Failure) {
        Counts::add(&server.counts.failures);
        server
            .health
            .failed(failure, self.clock.steady(), &self.rests);
    }
}

#[cfg(test)]
mod tests;
