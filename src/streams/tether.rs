//! What ties a stream to the session that admitted it, and tells it when that is over.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, HeaderValue, header};
use tokio::sync::oneshot;

use super::keeper::{Entry, Keeper};
use super::{Cause, Owner, Place, TooManyStreams};
use crate::authn::{Claims, Grounds, Identity, Tenure};

/// A caller's right to have a stream. Costs next to nothing until it is [held](Self::hold): an
/// answer that is short never does that.
pub struct Tether {
    claims: Arc<Claims>,
    tenure: Tenure,
    keeper: Keeper,
    place: Option<Place>,
}

/// Completes when the session of a stream is over. The stream counts as open until this is dropped.
pub struct Ended {
    told: Option<oneshot::Receiver<Cause>>,
    now: Option<Cause>,
    _place: Option<Place>,
}

/// How an answer is ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// `text/event-stream`: nothing more comes, and what came is whole.
    Quietly,
    /// gRPC: trailers say why.
    Grpc,
    /// Anything else would look complete: it breaks off.
    Cut,
}

impl Tether {
    pub(super) fn new(identity: &Identity, keeper: Keeper) -> Self {
        Self {
            claims: identity.claims.clone(),
            tenure: identity.tenure,
            keeper,
            place: None,
        }
    }

    /// Takes the stream's place among those of its session, or refuses the stream.
    pub fn claim(&mut self) -> Result<(), TooManyStreams> {
        if self.place.is_none() {
            self.place = Some(self.keeper.streams().place(self.owner())?);
        }
        Ok(())
    }

    /// Refuses what may become a stream when its session has enough of them.
    pub fn check_room(&self) -> Result<(), TooManyStreams> {
        self.keeper.streams().check_room(|| self.owner())
    }

    /// The same tether for the answer to a request that may also become a tunnel; the place stays
    /// with the tunnel.
    #[must_use]
    pub fn another(&self) -> Self {
        Self {
            claims: self.claims.clone(),
            tenure: self.tenure,
            keeper: self.keeper.clone(),
            place: None,
        }
    }

    /// From now on the session is watched, and the stream counts as one of it.
    pub fn hold(mut self) -> Ended {
        if self.claim().is_err() {
            self.keeper.streams().count_ended(Cause::TooMany);
            return Ended {
                told: None,
                now: Some(Cause::TooMany),
                _place: None,
            };
        }
        let (teller, told) = oneshot::channel();
        self.keeper
            .watch(Entry::new(self.claims, self.tenure, teller));
        Ended {
            told: Some(told),
            now: None,
            _place: self.place,
        }
    }

    fn owner(&self) -> Owner {
        match self.tenure.grounds {
            Grounds::Session(id) | Grounds::Key { id, .. } => Owner::Session(id),
            Grounds::Token { .. } => Owner::Subject(self.claims.subject().into()),
        }
    }
}

impl Ended {
    /// That never happens: nobody's stream.
    pub fn never() -> Self {
        Self {
            told: None,
            now: None,
            _place: None,
        }
    }
}

impl Future for Ended {
    type Output = Cause;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Cause> {
        if let Some(cause) = self.now {
            return Poll::Ready(cause);
        }
        let Some(told) = self.told.as_mut() else {
            return Poll::Pending;
        };
        match Pin::new(told).poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(cause)) => {
                self.now = Some(cause);
                Poll::Ready(cause)
            }
            // The worker is going, and its streams with it.
            Poll::Ready(Err(_)) => {
                self.told = None;
                Poll::Pending
            }
        }
    }
}

impl Close {
    /// As the head of the answer says what it is. `sized`: it has said its length.
    pub fn of(head: &HeaderMap, length: Option<u64>) -> Self {
        let kind = head.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        let kind = kind.unwrap_or_default();
        let essence = kind.split(|byte| *byte == b';').next().unwrap_or_default();
        let essence = essence.trim_ascii();
        if length.is_some() {
            Close::Cut
        } else if essence.eq_ignore_ascii_case(b"text/event-stream") {
            Close::Quietly
        } else if is_grpc(essence) {
            Close::Grpc
        } else {
            Close::Cut
        }
    }
}

/// `application/grpc`, also with its message format; not gRPC-Web, whose trailers are in the body.
fn is_grpc(essence: &[u8]) -> bool {
    let name = b"application/grpc";
    let Some((start, rest)) = essence.split_at_checked(name.len()) else {
        return false;
    };
    start.eq_ignore_ascii_case(name) && matches!(rest.first(), None | Some(b'+'))
}
