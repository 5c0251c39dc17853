//! Bodies for requests and answers: whole, or sent piece by piece from a test.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use tokio::sync::mpsc;

/// What the suite's clients and servers send. An error breaks the body off.
pub type SendBody = UnsyncBoxBody<Bytes, BrokenOff>;

/// The end of a body that was cut on purpose.
#[derive(Debug, thiserror::Error)]
#[error("the body was broken off on purpose")]
pub struct BrokenOff;

/// The sending end of a body: dropping it ends the body.
#[derive(Clone)]
pub struct Pieces(mpsc::Sender<Result<Frame<Bytes>, BrokenOff>>);

impl Pieces {
    /// Sends one piece; `false` when nobody reads the body any more.
    pub async fn send(&self, piece: impl Into<Bytes>) -> bool {
        self.0.send(Ok(Frame::data(piece.into()))).await.is_ok()
    }

    pub async fn trailers(&self, trailers: http::HeaderMap) -> bool {
        self.0.send(Ok(Frame::trailers(trailers))).await.is_ok()
    }

    /// Breaks the body off in the middle.
    pub async fn break_off(&self) -> bool {
        self.0.send(Err(BrokenOff)).await.is_ok()
    }

    /// Returns when the other end has given the body up.
    pub async fn abandoned(&self) {
        self.0.closed().await;
    }
}

pub fn empty() -> SendBody {
    Empty::new().map_err(impossible).boxed_unsync()
}

pub fn full(bytes: impl Into<Bytes>) -> SendBody {
    Full::new(bytes.into()).map_err(impossible).boxed_unsync()
}

/// A body that the test sends; at most one piece waits unsent.
pub fn pieces() -> (Pieces, SendBody) {
    let (sender, receiver) = mpsc::channel(1);
    (Pieces(sender), Channel(receiver).boxed_unsync())
}

struct Channel(mpsc::Receiver<Result<Frame<Bytes>, BrokenOff>>);

impl http_body::Body for Channel {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        self.0.poll_recv(cx)
    }
}

fn impossible(never: Infallible) -> BrokenOff {
    match never {}
}
