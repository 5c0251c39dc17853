//! The body of an upstream's answer: its idle deadline, and its connection's way back to the pool.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use super::answer;
use super::pool::{Keeping, Lease, Pools};
use super::server::Outstanding;
use super::upload::{Stage, Upload};
use crate::body::BodyError;
use crate::streams::{Cause, Close, Ended, Tether};

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
    bond: Bond,
    pieces: u32,
    /// It was ended before its end: nothing of the server's is sent any more.
    over: bool,
}

type LastFrame = Option<Result<Frame<Bytes>, BodyError>>;

/// What ties an answer to the session of its caller.
enum Bond {
    /// Nobody's session, or an answer that has ended.
    None,
    /// Nothing is watched yet: most answers end before it is worth it.
    Loose {
        tether: Tether,
        close: Close,
    },
    Held {
        ended: Ended,
        close: Close,
    },
}

/// An answer that takes longer than this is a stream, and watched.
const LASTING: Duration = Duration::from_secs(1);
/// Pieces that may come without a pause before an answer counts as lasting: a flood has none.
const MANY_PIECES: u32 = 256;

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
            bond: Bond::None,
            pieces: 0,
            over: false,
        }
    }

    /// Ties the answer to its caller's session: it ends as `close` says when the session does.
    pub fn tie(&mut self, tether: Tether, close: Close) {
        self.bond = match close {
            // It will last: that is what it is for.
            Close::Quietly => Bond::Held {
                ended: tether.hold(),
                close,
            },
            Close::Grpc | Close::Cut => Bond::Loose { tether, close },
        };
    }

    /// From now on the session is watched.
    fn hold(&mut self) {
        self.bond = match std::mem::replace(&mut self.bond, Bond::None) {
            Bond::Loose { tether, close } => Bond::Held {
                ended: tether.hold(),
                close,
            },
            bond @ (Bond::None | Bond::Held { .. }) => bond,
        };
    }

    /// The last frame of an answer whose session is over.
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<LastFrame> {
        let (cause, close) = match &mut self.bond {
            Bond::None | Bond::Loose { .. } => return Poll::Pending,
            Bond::Held { ended, close } => (ready!(Pin::new(ended).poll(cx)), *close),
        };
        self.bond = Bond::None;
        // Closes the connection to the server, or resets the stream.
        self.in_flight = None;
        self.over = true;
        Poll::Ready(match close {
            Close::Quietly => None,
            Close::Grpc => Some(Ok(Frame::trailers(grpc_status(cause)))),
            Close::Cut => Some(Err(BodyError::SessionEnded)),
        })
    }

    fn settle(&mut self) {
        if let Some(in_flight) = self.in_flight.take() {
            in_flight.settle();
        }
    }

    /// Whether the upstream has been silent for too long.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Bond::Loose { .. } = self.bond {
            // The timer that is needed anyhow says first that the answer lasts.
            let lasting = LASTING.min(self.idle);
            let timer = self
                .silence
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(lasting)));
            ready!(timer.as_mut().poll(cx));
            self.hold();
            self.moved = true;
            // Asked at once, so that it knows whom to wake.
            if let Bond::Held { ended, .. } = &mut self.bond
                && Pin::new(ended).poll(cx).is_ready()
            {
                cx.waker().wake_by_ref();
            }
        }
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
        if this.over {
            return Poll::Ready(None);
        }
        if let Poll::Ready(last) = this.poll_ended(cx) {
            return Poll::Ready(last);
        }
        match Pin::new(&mut this.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.moved = true;
                this.pieces = this.pieces.saturating_add(1);
                if this.pieces == MANY_PIECES {
                    this.hold();
                }
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
        self.over || self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// What tells a gRPC client that its call is over (gRPC over HTTP/2, "Responses").
fn grpc_status(cause: Cause) -> HeaderMap {
    let (status, message) = match cause {
        Cause::Revoked => ("16", "the session has ended"),
        Cause::Expired => ("16", "the session has expired"),
        Cause::Unknown => ("14", "try again later"),
        Cause::TooMany => ("8", "too many open streams"),
    };
    let mut trailers = HeaderMap::with_capacity(2);
    let status_name = HeaderName::from_static("grpc-status");
    trailers.insert(status_name, HeaderValue::from_static(status));
    let message_name = HeaderName::from_static("grpc-message");
    trailers.insert(message_name, HeaderValue::from_static(message));
    trailers
}
