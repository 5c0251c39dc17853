//! Existing backends: their servers, connections, health, deadlines; and the answer on its way back.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;
use hyper::body::Incoming;

use crate::body::BodyError;

/// A named upstream of the configuration. Shared by all workers: health and outstanding counts are atomics.
/// Idle connections are each worker's own ([`Pools`]).
pub struct Upstream {}

/// One worker's idle connections to all upstreams.
pub struct Pools {}

/// An upstream's answer body with its idle deadline.
pub struct AnswerBody {
    incoming: Incoming,
}

/// Why an upstream gave no answer: 502, 503 or 504 in the route's shape.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    #[error("no server of upstream `{0}` can be reached")]
    Connect(String, #[source] Option<std::io::Error>),
    #[error("upstream `{0}` did not answer in time")]
    FirstByte(String),
    #[error("upstream `{0}` answered garbage")]
    Protocol(String, #[source] hyper::Error),
    #[error("upstream `{0}` has too many requests outstanding")]
    Full(String),
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.get_mut().incoming)
            .poll_frame(cx)
            .map_err(BodyError::Upstream)
    }
}
