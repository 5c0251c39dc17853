//! A request's body on its way in: it must keep coming at a minimum rate until the answer begins.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::flight::Passage;
use crate::clock::timer_now;

/// A request's body as the client sends it. Dropping it unread is fine.
pub struct ClientBody {
    source: Source,
    /// Boxed: most requests have no body, and all are handed on by value.
    sending: Option<Box<Sending>>,
}

/// A client that is still sending.
pub struct Sending {
    pace: Pace,
    /// Its connection is not idle meanwhile.
    busy: Passage,
    ended: bool,
}

/// Why a request's body broke off.
#[derive(Debug, thiserror::Error)]
pub enum ClientBodyError {
    /// 408: the client sent slower than the minimum rate.
    #[error("the request's body came too slowly")]
    TooSlow,
    /// 400: the client went away or broke the framing.
    #[error("the request's body broke off")]
    Broken(#[source] hyper::Error),
}

/// How slowly a client may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinimumRate {
    /// Bytes per second on average; zero asks for no rate.
    pub bytes_per_second: u32,
    /// How far a client may fall behind: also the longest pause between two pieces.
    pub grace: Duration,
}

/// Holds a client to a [`MinimumRate`]. Only time spent waiting for the client counts: a slow reader on
/// our side is not its fault.
pub struct Pace {
    rate: MinimumRate,
    /// How long the client may still keep us waiting.
    allowance: Duration,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
    /// Set when the answer's head went out: what follows is a conversation, not an upload.
    answered: Arc<AtomicBool>,
}

enum Source {
    Whole(Option<Bytes>),
    Incoming(Incoming),
}

impl ClientBody {
    /// The body of a request that a connection received.
    pub fn incoming(body: Incoming, sending: Option<Sending>) -> Self {
        Self {
            source: Source::Incoming(body),
            sending: sending.map(Box::new),
        }
    }

    /// Holds the client to another rate than its listener's: zero asks for none, for uploads that are
    /// conversations (gRPC).
    #[must_use]
    pub fn at_rate(mut self, bytes_per_second: u32) -> Self {
        if let Some(pace) = self.pace() {
            pace.rate.bytes_per_second = bytes_per_second;
        }
        self
    }

    fn pace(&mut self) -> Option<&mut Pace> {
        self.sending.as_mut().map(|sending| &mut sending.pace)
    }
}

impl Sending {
    /// A client that is held to `pace`, on the connection that it keeps busy.
    pub fn new(pace: Pace, busy: Passage) -> Self {
        Self {
            pace,
            busy,
            ended: false,
        }
    }
}

impl From<Bytes> for ClientBody {
    fn from(bytes: Bytes) -> Self {
        Self {
            source: Source::Whole(Some(bytes).filter(|bytes| !bytes.is_empty())),
            sending: None,
        }
    }
}

impl Default for ClientBody {
    fn default() -> Self {
        Self::from(Bytes::new())
    }
}

impl http_body::Body for ClientBody {
    type Data = Bytes;
    type Error = ClientBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ClientBodyError>>> {
        let body = self.get_mut();
        let incoming = match &mut body.source {
            Source::Whole(bytes) => return Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Source::Incoming(incoming) => incoming,
        };
        match Pin::new(incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(pace) = body.pace() {
                    pace.received(frame.data_ref().map_or(0, Bytes::len));
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(ClientBodyError::Broken(error)))),
            Poll::Ready(None) => {
                if let Some(sending) = &mut body.sending {
                    sending.ended = true;
                }
                Poll::Ready(None)
            }
            Poll::Pending => {
                let Some(pace) = body.pace() else {
                    return Poll::Pending;
                };
                ready!(pace.poll_exhausted(cx));
                Poll::Ready(Some(Err(ClientBodyError::TooSlow)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Whole(bytes) => bytes.is_none(),
            Source::Incoming(incoming) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            Source::Incoming(incoming) => incoming.size_hint(),
        }
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        if let Some(sending) = &self.sending
            && !sending.ended
            && !http_body::Body::is_end_stream(self)
        {
            sending.busy.leaves_unread();
        }
    }
}

impl Pace {
    /// Paces one request; `answered` is set by whoever sends the answer's head.
    pub fn new(rate: MinimumRate, answered: Arc<AtomicBool>) -> Self {
        Self {
            rate,
            allowance: rate.grace,
            waiting: None,
            answered,
        }
    }

    /// Credits what came, debits how long it took.
    fn received(&mut self, bytes: usize) {
        if let Some((since, _)) = self.waiting.take() {
            let waited = timer_now().duration_since(since);
            self.allowance = self.allowance.saturating_sub(waited);
        }
        if let Some(rate) = std::num::NonZeroU32::new(self.rate.bytes_per_second) {
            let earned = Duration::from_secs_f64(bytes as f64 / f64::from(rate.get()));
            self.allowance = (self.allowance + earned).min(self.rate.grace);
        }
    }

    /// Ready when the client has kept us waiting for too long.
    fn poll_exhausted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.rate.bytes_per_second == 0 || self.answered.load(Ordering::Relaxed) {
            self.waiting = None;
            return Poll::Pending;
        }
        let (_, timer) = self.waiting.get_or_insert_with(|| {
            let timer = Box::pin(tokio::time::sleep(self.allowance));
            (timer_now(), timer)
        });
        ready!(timer.as_mut().poll(cx));
        // The answer may have begun while we waited, without anybody polling this body.
        if self.answered.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: MinimumRate = MinimumRate {
        bytes_per_second: 100,
        grace: Duration::from_secs(10),
    };

    async fn exhausted(pace: &mut Pace, within: Duration) -> bool {
        let wait = std::future::poll_fn(|cx| pace.poll_exhausted(cx));
        tokio::time::timeout(within, wait).await.is_ok()
    }

    fn pace() -> (Pace, Arc<AtomicBool>) {
        let answered = Arc::new(AtomicBool::new(false));
        (Pace::new(RATE, Arc::clone(&answered)), answered)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_drips_is_cut_off() {
        let (mut pace, _) = pace();
        assert!(!exhausted(&mut pace, Duration::from_secs(9)).await);
        pace.received(1);
        assert!(exhausted(&mut pace, Duration::from_secs(2)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_at_the_minimum_rate_goes_on_for_ever() {
        let (mut pace, _) = pace();
        for _ in 0..100 {
            assert!(!exhausted(&mut pace, Duration::from_secs(5)).await);
            pace.received(500);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nobody_waits_for_the_client_is_free() {
        let (mut pace, _) = pace();
        for _ in 0..10 {
            pace.received(1);
            tokio::time::advance(Duration::from_secs(60)).await;
        }
        assert!(!exhausted(&mut pace, Duration::from_secs(9)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_answer_began_the_client_may_pause() {
        let (mut pace, answered) = pace();
        answered.store(true, Ordering::Relaxed);
        assert!(!exhausted(&mut pace, Duration::from_secs(3600)).await);
    }
}
