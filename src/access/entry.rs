//! What is learned about one request on its way, written down once when it is over.

use std::error::Error;
use std::fmt::Write;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use http_body::{Frame, SizeHint};

use crate::access::Recorder;
use crate::access::line::Line;
use crate::authn::{Caller, Claims};
use crate::body::{Body, BodyError};
use crate::inbound::{ClientIp, Inbound, Peer, RequestId, Scheme};
use crate::route::{Route, Target};
use crate::telemetry::RequestFigures;
use crate::upstream::{Passed, Traffic};

/// The account of one request. It is written when it is dropped: after the last byte of the answer,
/// or wherever the client hung up.
pub struct AccessEntry {
    recorder: Arc<Recorder>,
    /// On the steady clock.
    began: Duration,
    method: Method,
    uri: Uri,
    version: Version,
    scheme: Scheme,
    host: Option<HeaderValue>,
    agent: Option<HeaderValue>,
    client: ClientIp,
    /// The proxy that asked whether this request may pass.
    asked_by: Option<IpAddr>,
    id: RequestId,
    route: Option<Arc<str>>,
    upstream: Option<Arc<str>>,
    caller: Option<Arc<Claims>>,
    rejection: Option<Refused>,
    answer: Option<Answer>,
    sent: u64,
    /// What goes on after the answer, when it opened a tunnel.
    tunnel: Option<Arc<Passed>>,
    end: End,
}

struct Refused {
    word: &'static str,
    cause: String,
}

struct Answer {
    status: StatusCode,
    /// On the steady clock.
    at: Duration,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Dropped on the way: the client went, or the server is going.
    Abandoned,
    Complete,
    /// The upstream's answer broke off, or a side of the tunnel did.
    Broken,
}

impl AccessEntry {
    /// Begins the account of `req`, before anything about it is believed.
    pub fn begin<B>(
        recorder: &Arc<Recorder>,
        id: RequestId,
        peer: &Peer,
        req: &Request<B>,
    ) -> Self {
        Self {
            recorder: recorder.clone(),
            began: recorder.clock.steady(),
            method: req.method().clone(),
            uri: req.uri().clone(),
            version: req.version(),
            scheme: peer.scheme,
            host: the_only(req.headers(), header::HOST),
            agent: the_only(req.headers(), header::USER_AGENT),
            client: ClientIp::new(peer.address.ip()),
            asked_by: None,
            id,
            route: None,
            upstream: None,
            caller: None,
            rejection: None,
            answer: None,
            sent: 0,
            tunnel: None,
            end: End::Abandoned,
        }
    }

    /// The request has one reading: its client is known, after trusted proxies were peeled off.
    pub fn parsed(&mut self, req: &Inbound) {
        self.client = req.client;
    }

    /// Another proxy asks about `req`: the account is of that request.
    pub fn verifies(&mut self, req: &Inbound) {
        self.parsed(req);
        self.method = req.method.clone();
        self.uri = Uri::from(req.path.target().clone());
        self.scheme = req.scheme;
        self.host = HeaderValue::from_str(req.host.as_str()).ok();
        self.asked_by = Some(req.peer.address.ip());
    }

    /// The route was found.
    pub fn routed(&mut self, route: &Route) {
        self.route = Some(route.name.clone());
    }

    /// The caller is known, or known to be anonymous.
    pub fn identified(&mut self, caller: &Caller) {
        match caller {
            Caller::Anonymous => {}
            Caller::Identified(identity) => self.caller = Some(identity.claims.clone()),
        }
    }

    /// The policy let the caller through: the route's target answers now.
    pub fn permitted(&mut self, route: &Route) {
        match &route.target {
            Target::Endpoint(_) | Target::Elsewhere(_) => {}
            Target::Upstream(forwarding) => {
                self.upstream = Some(forwarding.upstream.name().clone());
            }
        }
    }

    /// The request was refused: `word` is the stable word that the client also sees, `error` and
    /// its sources are for the log alone.
    pub fn rejected(&mut self, word: &'static str, error: &dyn Error) {
        self.rejection = Some(Refused {
            word,
            cause: chain(error),
        });
    }

    /// The answer's head is ready. An answer that streams carries the account with it and closes it
    /// at its end, and so does a tunnel; any other is accounted for now.
    pub fn answered(mut self, mut res: Response<Body>) -> Response<Body> {
        self.answer = Some(Answer {
            status: res.status(),
            at: self.recorder.clock.steady(),
        });
        if let Some(traffic) = res.extensions_mut().remove::<Traffic>() {
            self.tunnel = Some(traffic.passed());
            self.end = End::Complete;
            traffic.keep(self);
            return res;
        }
        match res.body() {
            Body::Empty | Body::Whole(_) => {
                self.sent = match self.method {
                    Method::HEAD => 0,
                    _ => http_body::Body::size_hint(res.body()).lower(),
                };
                self.end = End::Complete;
                res
            }
            Body::Upstream(_) | Body::Logged(_) => {
                res.map(|body| Body::Logged(Box::new(LoggedBody { body, entry: self })))
            }
        }
    }

    fn write(&self) {
        let now = self.recorder.clock.steady();
        // What nginx writes for a client that went before its answer; it is never sent.
        let status = self.answer.as_ref().map_or(499, |a| a.status.as_u16());
        let head = self.answer.as_ref().map_or(now, |a| a.at);
        let (sent, end) = match &self.tunnel {
            None => (self.sent, self.end),
            Some(passed) if passed.broke() => (passed.down(), End::Broken),
            Some(passed) => (passed.down(), self.end),
        };
        self.recorder.metrics.record(&RequestFigures {
            route: self.route.as_ref(),
            upstream: self.upstream.as_ref(),
            status,
            head: head.saturating_sub(self.began),
            sent,
            rejection: self.rejection.as_ref().map(|r| r.word),
        });
        self.recorder.log.append(|out| {
            let mut line = Line::begin(out, self.recorder.clock.now());
            self.describe(&mut line);
            line.number("status", u64::from(status));
            line.number("bytes", sent);
            line.milliseconds("answered_ms", head.saturating_sub(self.began));
            line.milliseconds("duration_ms", now.saturating_sub(self.began));
            match end {
                End::Complete => {}
                End::Abandoned => line.word("ended", "abandoned"),
                End::Broken => line.word("ended", "broken"),
            }
            line.end();
        });
    }

    fn describe(&self, line: &mut Line<'_>) {
        line.word("id", self.id.digits().as_str());
        line.address("client", self.client.address());
        if let Some(proxy) = self.asked_by {
            line.address("asked_by", proxy);
        }
        line.word("scheme", self.scheme.as_str());
        match (&self.host, self.uri.authority()) {
            (Some(host), _) => line.text("host", host.as_bytes()),
            (None, Some(authority)) => line.text("host", authority.as_str().as_bytes()),
            (None, None) => {}
        }
        line.text("method", self.method.as_str().as_bytes());
        line.target(self.uri.path(), self.uri.query(), self.recorder.log.query);
        line.word("version", version(self.version));
        if let Some(agent) = &self.agent {
            line.text("agent", agent.as_bytes());
        }
        if let Some(route) = &self.route {
            line.text("route", route.as_bytes());
        }
        if let Some(upstream) = &self.upstream {
            line.text("upstream", upstream.as_bytes());
        }
        if let Some(caller) = &self.caller {
            line.text("user", caller.subject().as_bytes());
        }
        if let Some(refused) = &self.rejection {
            line.word("rejection", refused.word);
            line.cause("cause", &refused.cause);
        }
    }
}

impl Drop for AccessEntry {
    fn drop(&mut self) {
        self.write();
    }
}

/// An answer on its way with the account of its request: counts what is sent.
pub struct LoggedBody {
    body: Body,
    entry: AccessEntry,
}

impl http_body::Body for LoggedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(None) => this.entry.end = End::Complete,
            Poll::Ready(Some(Err(_))) => this.entry.end = End::Broken,
            Poll::Ready(Some(Ok(frame))) => {
                this.entry.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
                // hyper does not poll again after trailers, nor after the last byte of a body of
                // known length.
                if frame.is_trailers() || http_body::Body::is_end_stream(&this.body) {
                    this.entry.end = End::Complete;
                }
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        http_body::Body::is_end_stream(&self.body)
    }

    fn size_hint(&self) -> SizeHint {
        http_body::Body::size_hint(&self.body)
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2.0",
        _later_versions => "HTTP/3.0",
    }
}

fn the_only(headers: &HeaderMap, name: header::HeaderName) -> Option<HeaderValue> {
    headers.get(name).cloned()
}

/// An error and its causes in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        // Writing to memory does not fail.
        let written = write!(text, ": {cause}");
        debug_assert!(written.is_ok());
        next = cause.source();
    }
    text
}
