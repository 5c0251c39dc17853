//! A client's body on its way upstream: counted against its cap, held back until it is asked for.

use std::ops::Deref;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderName;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    COOKIE, HOST, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http_body::{Frame, SizeHint};

use crate::inbound::{ClientBody, ClientBodyError};
/// Which trailer fields of a request may pass: the stripping of headers holds for them too.
pub type TrailerRule = Arc<dyn Fn(&HeaderName) -> bool + Send + Sync>;

/// A client's body on its way upstream, counted against the route's cap. Most requests have none, and a
/// request is handed on a dozen times before it is sent.
pub struct RequestBody(Option<Box<Content>>);

struct Content {
    incoming: ClientBody,
    /// Bytes that may still pass.
    left: u64,
    trailers: Option<TrailerRule>,
    upload: Option<Arc<Upload>>,
}

/// Why a client's body does not go on.
#[derive(Debug, thiserror::Error)]
pub enum RequestBodyError {
    #[error("the request's body is larger than the route takes")]
    TooLarge,
    #[error(transparent)]
    Client(ClientBodyError),
    #[error("the request was answered before its body was needed")]
    NotNeeded,
}

/// How far a body has come: written by the connection that sends it, read by the one who waits for
/// the answer. Both are on one worker; the lock is never waited for and only makes the body `Send`.
#[derive(Debug)]
pub(super) struct Upload(Mutex<Progress>);

/// What the one who waits for the answer holds of a body. Dropped, it ends the body that is still on
/// its way: an HTTP/2 stream is reset only when neither of its directions is held any more.
#[derive(Debug)]
pub(super) struct Uploading(Arc<Upload>);

#[derive(Debug)]
struct Progress {
    stage: Stage,
    /// Bytes handed over so far.
    bytes: u64,
    /// The connection's task, while it waits for the body.
    waiting: Option<Waker>,
}

/// Where a body stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Held back until the server says 100, or is taken not to (RFC 9110 §10.1.1).
    Held,
    /// The server takes bytes.
    Flowing,
    /// The server would take bytes, the client sends none.
    Starved,
    /// The whole body was handed over.
    Sent,
    TooLarge,
    /// The client's connection broke.
    Broken,
    /// The client sent more slowly than it may.
    TooSlow,
    /// There is nobody to answer any more: what is left of the body goes nowhere.
    NotNeeded,
}

/// RFC 9110 §6.5.1: fields of framing, routing, authentication and content are no trailers.
const NEVER_TRAILERS: [HeaderName; 13] = [
    AUTHORIZATION,
    CONNECTION,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    COOKIE,
    HOST,
    SET_COOKIE,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

impl RequestBody {
    /// The client's body, of which at most `max` bytes go on. Trailers are dropped.
    pub fn new(incoming: ClientBody, max: u64) -> Self {
        if http_body::Body::is_end_stream(&incoming) {
            return Self::empty();
        }
        Self(Some(Box::new(Content {
            incoming,
            left: max,
            trailers: None,
            upload: None,
        })))
    }

    pub fn empty() -> Self {
        Self(None)
    }

    /// Lets those trailer fields pass that `rule` admits.
    #[must_use]
    pub fn with_trailers(mut self, rule: &TrailerRule) -> Self {
        if let Some(content) = &mut self.0 {
            content.trailers = Some(rule.clone());
        }
        self
    }

    /// Whether the announced length is over the cap already.
    pub(super) fn is_too_large(&self) -> bool {
        let left = self.0.as_ref().map_or(0, |content| content.left);
        http_body::Body::size_hint(self).lower() > left
    }

    /// Watches the body from now on, as it stands at `stage`. There is nothing to watch of an
    /// empty one.
    pub(super) fn watch(&mut self, stage: Stage) -> Option<Uploading> {
        let content = self.0.as_mut()?;
        if http_body::Body::is_end_stream(&content.incoming) {
            return None;
        }
        let upload = Arc::new(Upload(Mutex::new(Progress {
            stage,
            bytes: 0,
            waiting: None,
        })));
        content.upload = Some(upload.clone());
        Some(Uploading(upload))
    }
}

impl Content {
    fn note(&self, stage: Stage) {
        if let Some(upload) = &self.upload {
            upload.lock().stage = stage;
        }
    }

    /// The frame as it may pass, or `None` when nothing of it may.
    fn admit(&mut self, frame: Frame<Bytes>) -> Option<Result<Frame<Bytes>, RequestBodyError>> {
        let frame = match frame.into_data() {
            Ok(data) => {
                let length = data.len() as u64;
                let Some(left) = self.left.checked_sub(length) else {
                    self.note(Stage::TooLarge);
                    return Some(Err(RequestBodyError::TooLarge));
                };
                self.left = left;
                let whole = http_body::Body::is_end_stream(&self.incoming);
                if let Some(upload) = &self.upload {
                    upload.moved(length, if whole { Stage::Sent } else { Stage::Flowing });
                }
                return Some(Ok(Frame::data(data)));
            }
            Err(frame) => frame,
        };
        self.note(Stage::Sent);
        let mut trailers = frame.into_trailers().ok()?;
        let rule = self.trailers.as_ref()?;
        let refused: Vec<HeaderName> = trailers
            .keys()
            .filter(|name| NEVER_TRAILERS.contains(name) || !rule(name))
            .cloned()
            .collect();
        for name in refused {
            trailers.remove(name);
        }
        (!trailers.is_empty()).then(|| Ok(Frame::trailers(trailers)))
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let Some(this) = &mut self.0 else {
            return Poll::Ready(None);
        };
        if let Some(upload) = &this.upload {
            match upload.hold(cx) {
                Stage::Held => return Poll::Pending,
                Stage::NotNeeded => return Poll::Ready(Some(Err(RequestBodyError::NotNeeded))),
                Stage::Flowing
                | Stage::Starved
                | Stage::Sent
                | Stage::TooLarge
                | Stage::Broken
                | Stage::TooSlow => {}
            }
        }
        match Pin::new(&mut this.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(this.admit(frame)),
            Poll::Ready(Some(Err(error))) => {
                this.note(match error {
                    ClientBodyError::Broken(_) => Stage::Broken,
                    ClientBodyError::TooSlow => Stage::TooSlow,
                });
                Poll::Ready(Some(Err(RequestBodyError::Client(error))))
            }
            Poll::Ready(None) => {
                this.note(Stage::Sent);
                Poll::Ready(None)
            }
            Poll::Pending => {
                if let Some(upload) = &this.upload {
                    upload.starve(cx);
                }
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let content = self.0.as_ref();
        content.is_none_or(|content| content.incoming.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let content = self.0.as_ref();
        content.map_or(SizeHint::with_exact(0), |content| {
            content.incoming.size_hint()
        })
    }
}

impl Uploading {
    /// For whoever hears that the server wants the body.
    pub fn share(&self) -> Arc<Upload> {
        self.0.clone()
    }
}

impl Deref for Uploading {
    type Target = Upload;

    fn deref(&self) -> &Upload {
        &self.0
    }
}

impl Drop for Uploading {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl Upload {
    /// Where the body stands, and how many bytes were handed over.
    pub fn reached(&self) -> (Stage, u64) {
        let progress = self.lock();
        (progress.stage, progress.bytes)
    }

    /// Whether nothing of the body is on its way any more.
    pub fn is_sent(&self) -> bool {
        match self.lock().stage {
            Stage::Held | Stage::Flowing | Stage::Starved => false,
            Stage::Sent | Stage::TooLarge | Stage::Broken | Stage::TooSlow | Stage::NotNeeded => {
                true
            }
        }
    }

    /// Lets a body flow that was held back.
    pub fn release(&self) {
        let mut progress = self.lock();
        if progress.stage == Stage::Held {
            progress.stage = Stage::Flowing;
            progress.wake();
        }
    }

    /// Ends a body that is still on its way: its answer is complete, or nobody waits for it.
    pub fn abandon(&self) {
        let mut progress = self.lock();
        match progress.stage {
            Stage::Held | Stage::Flowing | Stage::Starved => {
                progress.stage = Stage::NotNeeded;
                progress.wake();
            }
            Stage::Sent | Stage::TooLarge | Stage::Broken | Stage::TooSlow | Stage::NotNeeded => {}
        }
    }

    fn moved(&self, bytes: u64, stage: Stage) {
        let mut progress = self.lock();
        progress.bytes = progress.bytes.saturating_add(bytes);
        progress.stage = stage;
    }

    /// The stage; a task that has to wait in it is woken when it ends.
    fn hold(&self, cx: &Context<'_>) -> Stage {
        let mut progress = self.lock();
        if progress.stage == Stage::Held {
            progress.waiting = Some(cx.waker().clone());
        }
        progress.stage
    }

    fn starve(&self, cx: &Context<'_>) {
        let mut progress = self.lock();
        progress.stage = Stage::Starved;
        progress.waiting = Some(cx.waker().clone());
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    fn wake(&mut self) {
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }
}
