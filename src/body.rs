//! The one body type that leaves the gateway: no boxes, no dynamic dispatch.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::access;
use crate::upstream;

/// What an answer carries: bytes of our own, or an upstream's stream.
#[derive(Default)]
pub enum Body {
    #[default]
    Empty,
    Whole(Option<Bytes>),
    /// Boxed, since an answer is handed on a dozen times before it is sent.
    Upstream(Box<upstream::AnswerBody>),
    /// A stream that carries the account of its request to its end.
    Logged(access::LoggedBody),
}

/// Why a body broke off; the connection ends with it.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the upstream's answer broke off")]
    Upstream(#[source] hyper::Error),
    #[error("the upstream sent nothing for longer than the idle time-out")]
    UpstreamIdle,
    #[error("the session that the answer belongs to has ended")]
    SessionEnded,
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            Body::Empty
        } else {
            Body::Whole(Some(bytes))
        }
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Body::from(Bytes::from(text))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Body::Empty => Poll::Ready(None),
            Body::Whole(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Body::Upstream(body) => Pin::new(&mut **body).poll_frame(cx),
            Body::Logged(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Empty | Body::Whole(None) => true,
            Body::Whole(Some(_)) => false,
            Body::Upstream(body) => body.is_end_stream(),
            Body::Logged(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Empty | Body::Whole(None) => SizeHint::with_exact(0),
            Body::Whole(Some(bytes)) => SizeHint::with_exact(bytes.len() as u64),
            Body::Upstream(body) => body.size_hint(),
            Body::Logged(body) => body.size_hint(),
        }
    }
}
