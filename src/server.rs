//! Listeners, connections and workers: from a socket to a request and back.

use std::future::Future;

use http::{Request, Response};

use crate::body::Body;
use crate::inbound::{ClientBody, Peer};

/// What answers the requests of one worker's connections. Lives on the worker's thread.
pub trait Serve: 'static {
    /// Answers one request. A panic in here costs one connection.
    fn serve(
        &self,
        peer: Peer,
        request: Request<ClientBody>,
    ) -> impl Future<Output = Response<Body>>;
}
