//! A request on its last step: what is written to an upstream's server, and the client's body with
//! its cap.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use http_body::{Frame, SizeHint};

use crate::inbound::{ClientBody, ClientBodyError, Upgrade};

/// What is sent upstream. The headers are stripped of what a client may not say and stamped with
/// what the gateway knows; framing, `Host`, `TE` and the upgrade are written here.
pub struct Request {
    pub method: Method,
    pub path_and_query: PathAndQuery,
    pub headers: HeaderMap,
    /// `None`: the chosen server's own name and port.
    pub host: Option<HeaderValue>,
    pub body: RequestBody,
    /// The client's version of HTTP: an upgrade is answered 101 in HTTP/1.1 and 200 in HTTP/2.
    pub version: Version,
    pub upgrade: Option<Upgrade>,
    /// `None`: the upstream's own deadline.
    pub first_byte: Option<Duration>,
}

/// Which trailer fields of a request may pass: the stripping of headers holds for them too.
pub type TrailerRule = Arc<dyn Fn(&HeaderName) -> bool + Send + Sync>;

/// A client's body on its way upstream, counted against the route's cap.
pub struct RequestBody {
    incoming: ClientBody,
    left: u64,
    trailers: Option<TrailerRule>,
}

/// Why a client's body does not go on.
#[derive(Debug, thiserror::Error)]
pub enum RequestBodyError {
    #[error("the request's body is larger than the route takes")]
    TooLarge,
    #[error(transparent)]
    Client(ClientBodyError),
}

impl RequestBody {
    /// The client's body, of which at most `max` bytes go on. Trailers are dropped.
    pub fn new(incoming: ClientBody, max: u64) -> Self {
        Self {
            incoming,
            left: max,
            trailers: None,
        }
    }

    /// Lets those trailer fields pass that `rule` admits.
    #[must_use]
    pub fn with_trailers(self, rule: TrailerRule) -> Self {
        Self {
            trailers: Some(rule),
            ..self
        }
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let Some(frame) = ready!(Pin::new(&mut self.incoming).poll_frame(cx)) else {
            return Poll::Ready(None);
        };
        Poll::Ready(Some(frame.map_err(RequestBodyError::Client)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
