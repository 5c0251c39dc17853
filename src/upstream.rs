//! Existing backends: their servers, connections, health, deadlines; and the answer on its way back.

mod address;
mod answer;
mod answer_body;
mod error;
mod pool;
mod request;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Response;

use crate::body::Body;
use crate::clock::Clock;

pub use address::{AddressError, Scheme, ServerAddress};
pub use answer::Mapping;
pub use answer_body::AnswerBody;
pub use error::{ConnectError, ProtocolError, UpstreamError};
pub use pool::Pools;
pub use request::{Request, RequestBody, TrailerRule};

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
}

impl Upstream {
    /// An upstream as `settings` say. Servers that `previous` has too keep their health, counts and
    /// connections.
    ///
    /// # Errors
    ///
    /// When the file of authorities cannot be read.
    pub fn new(
        settings: Settings,
        _clock: Clock,
        _previous: Option<&Upstream>,
    ) -> Result<Self, error::AuthoritiesError> {
        Ok(Self { settings })
    }

    pub fn name(&self) -> &Arc<str> {
        &self.settings.name
    }

    /// Sends `request` to the server with the least to do, and gives its answer with hop-by-hop
    /// fields removed and `mapping` undone; a switch to WebSocket runs on by itself.
    ///
    /// # Errors
    ///
    /// When no server gave an answer, or the request's own body was the reason.
    pub async fn forward(
        &self,
        _pools: &Pools,
        _request: Request,
        _mapping: &Mapping<'_>,
    ) -> Result<Response<Body>, UpstreamError> {
        Err(UpstreamError::Full(self.settings.name.clone()))
    }
}
