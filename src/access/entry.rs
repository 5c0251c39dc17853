//! What is learned about one request on its way, written down once when it is over.

use std::error::Error;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::{Body as _, Frame, SizeHint};

use crate::access::Recorder;
use crate::access::line::Line;
use crate::authn::{Caller, Claims};
use crate::body::{Body, BodyError};
use crate::causes::with_causes;
use crate::inbound::{ClientIp, Inbound, Peer, RequestId, Scheme};
use crate::route::{Route, Target};
use crate::telemetry::{AnsweredBy, RequestFigures};
use crate::upstream::{self, Passed, Traffic};

/// The account of one request. It is written when it is dropped: after the last byte of the answer,
/// or wherever the client hung up. Boxed, since it goes with the request to the answer's end.
pub struct AccessEntry(Box<Record>);

struct Record {
    recorder: Arc<Recorder>,
    /// On the steady clock.
    began: Duration,
    method: Method,
    target: Option<PathAndQuery>,
    version: Version,
    scheme: Scheme,
    host: Host,
    agent: Option<HeaderValue>,
    client: ClientIp,
    /// The proxy that asked whether this request may pass.
    asked_by: Option<IpAddr>,
    id: RequestId,
    by: AnsweredBy,
    caller: Option<Arc<Claims>>,
    rejection: Option<Box<Refused>>,
    answer: Option<Answer>,
    sent: u64,
    /// What goes on after the answer, when it opened a tunnel.
    tunnel: Option<Arc<Passed>>,
    end: End,
}

/// The host that was asked for, in the client's words.
enum Host {
    Field(HeaderValue),
    Target(Authority),
    Unnamed,
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
        let (mut host, mut agent) = (None, None);
        // Two look-ups cost more than a look at each field.
        for (name, value) in req.headers() {
            if *name == header::HOST {
                host.get_or_insert(value);
            } else if *name == header::USER_AGENT {
                agent.get_or_insert(value);
            }
        }
        let host = match (host, req.uri().authority()) {
            (Some(field), _) => Host::Field(field.clone()),
            (None, Some(authority)) => Host::Target(authority.clone()),
            (None, None) => Host::Unnamed,
        };
        Self(Box::new(Record {
            recorder: recorder.clone(),
            began: recorder.clock.steady(),
            method: req.method().clone(),
            target: req.uri().path_and_query().cloned(),
            version: req.version(),
            scheme: peer.scheme,
            host,
            agent: agent.cloned(),
            client: ClientIp::new(peer.address.ip()),
            asked_by: None,
            id,
            by: AnsweredBy::default(),
            caller: None,
            rejection: None,
            answer: None,
            sent: 0,
            tunnel: None,
            end: End::Abandoned,
        }))
    }

    pub fn id(&self) -> RequestId {
        self.0.id
    }

    /// The request has one reading: its client is known, after trusted proxies were peeled off.
    pub fn parsed(&mut self, req: &Inbound) {
        self.0.client = req.client;
    }

    /// Another proxy asks about `req`: the account is of that request.
    pub fn verifies(&mut self, req: &Inbound) {
        self.parsed(req);
        let record = &mut *self.0;
        record.method = req.method.clone();
        record.target = Some(req.path.target().clone());
        record.scheme = req.scheme;
        record.host = HeaderValue::from_str(req.host.as_str()).map_or(Host::Unnamed, Host::Field);
        record.asked_by = Some(req.peer.address.ip());
    }

    /// The route was found.
    pub fn routed(&mut self, route: &Route) {
        self.0.by.route = Some(route.name.clone());
    }

    /// The caller is known, or known to be anonymous.
    pub fn identified(&mut self, caller: &Caller) {
        match caller {
            Caller::Anonymous => {}
            Caller::Identified(identity) => self.0.caller = Some(identity.claims.clone()),
        }
    }

    /// The policy let the caller through: the route's target answers now.
    pub fn permitted(&mut self, route: &Route) {
        match &route.target {
            Target::Endpoint(_) | Target::Elsewhere(_) => {}
            Target::Upstream(forwarding) => {
                self.0.by.upstream = Some(forwarding.upstream.name().clone());
            }
        }
    }

    /// The request was refused: `word` is the stable word that the client also sees, `error` and
    /// its sources are for the log alone.
    pub fn rejected(&mut self, word: &'static str, error: &dyn Error) {
        let cause = with_causes(error);
        self.0.rejection = Some(Box::new(Refused { word, cause }));
    }

    /// The answer's head is ready. An answer that streams carries the account with it and closes it
    /// at its end, and so does a tunnel; any other is accounted for now.
    pub fn answered(mut self, res: &mut Response<Body>) {
        let record = &mut *self.0;
        record.answer = Some(Answer {
            status: res.status(),
            at: record.recorder.clock.steady(),
        });
        if let Some(traffic) = res.extensions_mut().remove::<Traffic>() {
            record.tunnel = Some(traffic.passed());
            record.end = End::Complete;
            return traffic.keep(self);
        }
        *res.body_mut() = match std::mem::take(res.body_mut()) {
            Body::Upstream(stream) => Body::Logged(LoggedBody {
                stream,
                entry: self,
            }),
            whole @ (Body::Empty | Body::Whole(_) | Body::Logged(_)) => {
                record.sent = match record.method {
                    Method::HEAD => 0,
                    _ => whole.size_hint().lower(),
                };
                record.end = End::Complete;
                whole
            }
        };
    }
}

impl Record {
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
            by: &self.by,
            status,
            head: head.saturating_sub(self.began),
            sent,
            rejection: self.rejection.as_ref().map(|r| r.word),
        });
        self.recorder.log.append(|out| {
            let mut line = Line::begin(out, self.recorder.clock.now());
            self.describe(&mut line);
            line.number(br#","status":"#, u64::from(status));
            line.number(br#","bytes":"#, sent);
            line.milliseconds(br#","answered_ms":"#, head.saturating_sub(self.began));
            line.milliseconds(br#","duration_ms":"#, now.saturating_sub(self.began));
            match end {
                End::Complete => {}
                End::Abandoned => line.word(br#","ended":"#, "abandoned"),
                End::Broken => line.word(br#","ended":"#, "broken"),
            }
            line.end();
        });
    }

    fn describe(&self, line: &mut Line<'_>) {
        line.word(br#","id":"#, self.id.digits());
        line.address(br#","client":"#, self.client.address());
        if let Some(proxy) = self.asked_by {
            line.address(br#","asked_by":"#, proxy);
        }
        line.word(br#","scheme":"#, self.scheme.as_str());
        match &self.host {
            Host::Field(host) => line.text(br#","host":"#, host.as_bytes()),
            Host::Target(authority) => line.text(br#","host":"#, authority.as_str().as_bytes()),
            Host::Unnamed => {}
        }
        line.text(br#","method":"#, self.method.as_str().as_bytes());
        let target = self.target.as_ref();
        line.target(
            target.map_or("", PathAndQuery::path),
            target.and_then(PathAndQuery::query),
            self.recorder.log.query,
        );
        line.word(br#","version":"#, version(self.version));
        if let Some(agent) = &self.agent {
            line.text(br#","agent":"#, agent.as_bytes());
        }
        if let Some(route) = &self.by.route {
            line.text(br#","route":"#, route.as_bytes());
        }
        if let Some(upstream) = &self.by.upstream {
            line.text(br#","upstream":"#, upstream.as_bytes());
        }
        if let Some(caller) = &self.caller {
            line.text(br#","user":"#, caller.subject().as_bytes());
        }
        if let Some(refused) = &self.rejection {
            line.word(br#","rejection":"#, refused.word);
            line.cause(br#","cause":"#, &refused.cause);
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.write();
    }
}

/// An answer on its way with the account of its request: counts what is sent.
pub struct LoggedBody {
    stream: Box<upstream::AnswerBody>,
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
        let polled = Pin::new(&mut *this.stream).poll_frame(cx);
        let record = &mut *this.entry.0;
        match &polled {
            Poll::Pending => {}
            Poll::Ready(None) => record.end = End::Complete,
            Poll::Ready(Some(Err(_))) => record.end = End::Broken,
            Poll::Ready(Some(Ok(frame))) => {
                record.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
                // hyper does not poll again after trailers, nor after the last byte of a body of
                // known length.
                if frame.is_trailers() || this.stream.is_end_stream() {
                    record.end = End::Complete;
                }
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.stream.size_hint()
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
