//! The body of an upstream's answer: its idle deadline, and its connection's way back to the pool.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::answer;
use super::pool::{Keeping, Lease, Pools};
use super::server::Outstanding;
use super::upload::{Stage, Uploading};
use crate::body::BodyError;
use crate::clock::timer_now;
use crate::streams::{Close, LASTING, Tether};

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
    /// `None`: nobody's session, or an answer that has ended.
    bond: Option<Bond>,
    /// When its first piece came, of one that more pieces follow.
    begun: Option<Instant>,
    /// It was ended before its end: nothing of the server's is sent any more.
    over: bool,
}

type LastFrame = Option<Result<Frame<Bytes>, BodyError>>;

/// What ties an answer to the session of its caller. Most answers end before it is worth watching.
struct Bond {
    tether: Tether,
    close: Close,
}

/// A connection that is answering, and what is settled when the answer is complete.
pub(super) struct InFlight {
    pub server: Outstanding,
    pub lease: Lease,
    pub pools: Pools,
    pub keeping: Keeping,
    pub upload: Option<Uploading>,
}

impl AnswerBody {
    pub(super) fn new(incoming: Incoming, in_flight: InFlight, idle: Duration) -> Self {
        Self {
            incoming,
            in_flight: Some(in_flight),
            idle,
            silence: None,
            moved: true,
            bond: None,
            begun: None,
            over: false,
        }
    }

    /// Ties the answer to its caller's session: it ends as `close` says when the session does.
    pub fn tie(&mut self, mut tether: Tether, close: Close) {
        match close {
            // It will last: that is what it is for.
            Close::Quietly => tether.hold(),
            Close::Grpc | Close::Cut => tether.loosen(),
        }
        self.bond = Some(Bond { tether, close });
    }

    /// Has an answer watched that lasts although its server never pauses: a slow client takes its time
    /// for every piece.
    fn note_piece(&mut self) {
        let Some(bond) = self.bond.as_mut().filter(|bond| !bond.tether.is_held()) else {
            return;
        };
        let now = timer_now();
        if now.duration_since(*self.begun.get_or_insert(now)) >= LASTING {
            bond.tether.hold();
        }
    }

    /// The last frame of an answer whose session is over.
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<LastFrame> {
        let Some(bond) = &mut self.bond else {
            return Poll::Pending;
        };
        let (cause, close) = (ready!(bond.tether.poll_over(cx)), bond.close);
        self.bond = None;
        // Closes the connection to the server, or resets the stream.
        self.in_flight = None;
        self.over = true;
        Poll::Ready(match close {
            Close::Quietly => None,
            Close::Grpc => Some(Ok(Frame::trailers(cause.grpc_status()))),
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
        if let Some(bond) = self.bond.as_mut().filter(|bond| !bond.tether.is_held()) {
            // The timer that is needed anyhow says first that the answer lasts.
            let lasting = LASTING.min(self.idle);
            let timer = self
                .silence
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(lasting)));
            ready!(timer.as_mut().poll(cx));
            bond.tether.hold();
            self.moved = true;
            // Asked at once, so that it knows whom to wake.
            if bond.tether.poll_over(cx).is_ready() {
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
                let frame = match frame.into_trailers() {
                    Ok(mut trailers) => {
                        answer::clean_trailers(&mut trailers);
                        this.settle();
                        Frame::trailers(trailers)
                    }
                    Err(frame) => frame,
                };
                match this.incoming.is_end_stream() {
                    true => this.settle(),
                    false => this.note_piece(),
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
