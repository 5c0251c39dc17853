//! The body of an upstream's answer: its idle deadline, and its connection's way back to the pool.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use super::answer;
use super::pool::{Keeping, Lease, Pools};
use super::server::Outstanding;
use super::upload::{Stage, Upload};
use crate::body::BodyError;

/// An upstream's answer body with its idle deadline. Dropped before its end, it closes the
/// HTTP/1.1 connection or resets the HTTP/2 stream, so that the upstream stops working.
pub struct AnswerBody {
    incoming: Incoming,
    in_flight: Option<InFlight>,
    idle: Duration,
    /// Made when the upstream pauses for the first time: short answers need none.
    silence: Option<Pin<Box<Sleep>>>,
    /// Whether something came since `silence` was set.
    moved: bool,
}

/// A connection that is answering, and what is settled when the answer is complete.
pub(super) struct InFlight {
    pub server: Outstanding,
    pub lease: Lease,
    pub pools: Pools,
    pub keeping: Keeping,
    pub upload: Option<Arc<Upload>>,
}

impl AnswerBody {
    pub(super) fn new(incoming: Incoming, in_flight: InFlight, idle: Duration) -> Self {
        Self {
            incoming,
            in_flight: Some(in_flight),
            idle,
            silence: None,
            moved: true,
        }
    }

    fn settle(&mut self) {
        if let Some(in_flight) = self.in_flight.take() {
            in_flight.settle();
        }
    }

    /// Whether the upstream has been silent for too long.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let silence = match &mut self.silence {
            Some(silence) => {
                if self.moved {
                    silence.set(tokio::time::sleep(self.idle));
                }
                silence
            }
            None => self.silence.insert(Box::pin(tokio::time::sleep(self.idle))),
        };
        self.moved = false;
        silence.as_mut().poll(cx)
    }
}

impl InFlight {
    /// Puts the connection back after a complete answer. What is left of the request's body then
    /// goes nowhere, and the connection with it.
    pub fn settle(self) {
        if let Some(upload) = &self.upload {
            upload.abandon();
            let (stage, _) = upload.reached();
            if stage != Stage::Sent {
                return;
            }
        }
        self.pools
            .give_back(self.server.id, self.lease, self.keeping);
    }
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        match Pin::new(&mut this.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.moved = true;
                let frame = match frame.into_trailers() {
                    Ok(mut trailers) => {
                        answer::clean_trailers(&mut trailers);
                        this.settle();
                        Frame::trailers(trailers)
                    }
                    Err(frame) => frame,
                };
                if this.incoming.is_end_stream() {
                    this.settle();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                this.in_flight = None;
                Poll::Ready(Some(Err(BodyError::Upstream(error))))
            }
            Poll::Ready(None) => {
                this.settle();
                Poll::Ready(None)
            }
            Poll::Pending => match this.poll_silence(cx) {
                Poll::Ready(()) => {
                    this.in_flight = None;
                    Poll::Ready(Some(Err(BodyError::UpstreamIdle)))
                }
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
