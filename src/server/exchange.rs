//! One request and its answer as the connection sees them: under way, answered, or abandoned.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

use super::counters::Counters;
use super::io::Wire;
use crate::body::{Body, BodyError};
use crate::inbound::{ClientBody, MinimumRate, Pace, Passage, Sending};

/// An HTTP/2 connection keeps the last piece of an answer until its next one. A piece is cut from the
/// 20 KiB that were read from the upstream, and a small one would keep them all.
const WORTH_COPYING: usize = 2 * 1024;

/// One request under way. Dropped without an answer, it counts as abandoned, or as a panic.
pub(super) struct Exchange {
    wire: Arc<Wire>,
    counters: Arc<Counters>,
    version: Version,
    /// Tells a paced request body that the answer has begun.
    begun: Option<Arc<AtomicBool>>,
    /// `None` once the answer has taken it over.
    passage: Option<Passage>,
}

/// An answer's body on its way out: keeps the connection busy until it is sent.
pub(super) struct AnswerBody {
    body: Body,
    /// Of HTTP/2 only.
    delivery: Option<Rc<Delivery>>,
    _busy: Option<Passage>,
}

/// Whether the client takes an answer. A piece that was handed out and is not followed by a question
/// for the next one stands in the client's way, not in ours.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    pieces: Cell<u64>,
    handed_out: Cell<bool>,
}

impl Exchange {
    /// Takes a request off the connection: its body is paced, and keeps the connection busy. Boxed, since
    /// the request is handed on from here to where it is read.
    pub(super) fn begin(
        mut request: Request<Incoming>,
        wire: &Arc<Wire>,
        counters: &Arc<Counters>,
        rate: MinimumRate,
    ) -> (Self, Box<Request<ClientBody>>) {
        wire.head_complete();
        let passage = wire.flight.enter();
        let mut begun = None;
        let version = request.version();
        if request.method() == Method::CONNECT {
            // A tunnel outlives its answer, and other requests of HTTP/2 come and go beside it.
            let tunnel = Arc::new(wire.flight.enter());
            request.extensions_mut().insert(tunnel);
        }
        let request = request.map(|body| {
            if body.is_end_stream() {
                return ClientBody::incoming(body, None);
            }
            let answered = Arc::clone(begun.insert(Arc::default()));
            let sending = Sending::new(Pace::new(rate, answered), wire.flight.enter());
            ClientBody::incoming(body, Some(sending))
        });
        let exchange = Self {
            wire: Arc::clone(wire),
            counters: Arc::clone(counters),
            version,
            begun,
            passage: Some(passage),
        };
        (exchange, Box::new(request))
    }

    /// Gives the answer to the connection; `closing` ends an HTTP/1.1 connection with it.
    pub(super) fn answer(
        mut self,
        response: Response<Body>,
        delivery: Option<Rc<Delivery>>,
        closing: Closing,
    ) -> Response<AnswerBody> {
        self.wire.flight.count_answered();
        if let Some(begun) = &self.begun {
            begun.store(true, Ordering::Relaxed);
        }
        let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if switched {
            self.wire.set_tunnelled();
        }
        let busy = self.passage.take();
        let mut response = response.map(|body| AnswerBody {
            body,
            delivery,
            _busy: busy,
        });
        if self.version == Version::HTTP_2 {
            detach(response.headers_mut());
        }
        if closing == Closing::AfterThis && !switched && self.version != Version::HTTP_2 {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        response
    }
}

/// Whether the connection goes on after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closing {
    No,
    AfterThis,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if self.passage.is_none() {
            return;
        }
        if std::thread::panicking() {
            self.counters.panics.add_one();
        } else {
            self.wire.flight.count_abandoned();
        }
    }
}

impl Delivery {
    /// The number of the piece that the client does not take, if there is one.
    pub(super) fn stuck(&self) -> Option<u64> {
        self.handed_out.get().then(|| self.pieces.get())
    }

    /// A piece is the client's to take.
    pub(super) fn hand_out(&self) {
        self.pieces.set(self.pieces.get() + 1);
        self.handed_out.set(true);
    }
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self { body, delivery, .. } = self.get_mut();
        if let Some(delivery) = delivery {
            delivery.handed_out.set(false);
        }
        let frame = ready!(Pin::new(body).poll_frame(cx));
        let Some(delivery) = delivery else {
            return Poll::Ready(frame);
        };
        if let Some(Ok(_)) = &frame {
            delivery.hand_out();
        }
        Poll::Ready(frame.map(|frame| {
            frame.map(|frame| {
                let mut frame = frame.map_data(detached);
                if let Some(trailers) = frame.trailers_mut() {
                    detach(trailers);
                }
                frame
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The same bytes, without what lies around them when that is much more.
fn detached(data: Bytes) -> Bytes {
    match data.len() {
        ..=WORTH_COPYING => Bytes::copy_from_slice(&data),
        _ => data,
    }
}

/// Leaves the fields without what their values were cut from. HTTP/2 keeps values in the table of its
/// compression (RFC 7541 §2.3.2): every other `Date` there would keep 20 KiB, sixty of them 1.2 MB of a
/// connection.
fn detach(fields: &mut HeaderMap) {
    for value in fields.values_mut() {
        let Ok(mut copy) = HeaderValue::from_bytes(value.as_bytes()) else {
            continue;
        };
        copy.set_sensitive(value.is_sensitive());
        *value = copy;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_piece_does_not_keep_what_it_was_cut_from() {
        let read = Bytes::from(vec![b'x'; 20 * 1024]);
        let (small, large) = (read.slice(..200), read.slice(..8 * 1024));
        assert_eq!(detached(small.clone()), small);
        assert_ne!(detached(small.clone()).as_ptr(), small.as_ptr());
        assert_eq!(detached(large.clone()).as_ptr(), large.as_ptr());
    }

    #[test]
    fn fields_do_not_keep_what_their_values_were_cut_from() {
        let read = Bytes::from(vec![b'x'; 20 * 1024]);
        let mut fields = HeaderMap::new();
        for name in ["date", "etag"] {
            let mut value = HeaderValue::from_maybe_shared(read.slice(..29)).unwrap();
            value.set_sensitive(name == "etag");
            fields.append(name, value);
        }
        let before = fields.clone();
        assert!(!read.is_unique());
        detach(&mut fields);
        assert_eq!(fields, before);
        assert!(fields["etag"].is_sensitive() && !fields["date"].is_sensitive());
        drop(before);
        assert!(read.is_unique());
    }

    #[test]
    fn an_answer_of_http2_keeps_nothing_of_what_its_fields_were_cut_from() {
        for (version, keeps) in [(Version::HTTP_2, false), (Version::HTTP_11, true)] {
            let read = Bytes::from(vec![b'x'; 20 * 1024]);
            let mut response = Response::new(Body::Empty);
            let date = HeaderValue::from_maybe_shared(read.slice(..29)).unwrap();
            response.headers_mut().insert(header::DATE, date);
            let exchange = Exchange {
                wire: Wire::new(),
                counters: Arc::default(),
                version,
                begun: None,
                passage: None,
            };
            let answer = exchange.answer(response, None, Closing::No);
            assert_eq!(answer.headers()[header::DATE].len(), 29);
            assert_eq!(!read.is_unique(), keeps, "{version:?}");
        }
    }
}
