//! One request and its attempts: choose a server, send, wait for the head of the answer, try again
//! where that is safe.

mod failed;

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use http::{HeaderValue, Response, StatusCode};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::TrySendError;

use super::Upstream;
use super::answer::{self, Mapping, Sent};
use super::answer_body::{AnswerBody, InFlight};
use super::balance::{Choice, NoServer, choose};
use super::error::{ProtocolError, UpstreamError};
use super::health::Failure;
use super::pool::{Age, Lease, Pools};
use super::request::{Asks, Outgoing, Purpose, Request, Stamping};
use super::server::{Counts, Outstanding};
use super::tls::Versions;
use super::tunnel::Switch;
use super::upload::{RequestBody, Stage, Upload, Uploading};
use crate::body::Body;
use crate::streams::{Cause, Close, Tether, TooManyStreams, during, lapse};

use failed::{Failed, Fault, Lost, NoHead};

/// How long a body that waits for `100 Continue` is held back from a server that says nothing
/// (RFC 9110 §10.1.1: not for ever, since not every server answers).
const CONTINUE_PATIENCE: Duration = Duration::from_secs(1);

/// A head that came, and what its connection is still busy with.
struct Answered {
    head: Response<Incoming>,
    in_flight: InFlight,
}

/// An attempt that failed and may be followed by another.
struct Setback {
    at: usize,
    fault: Fault,
    error: UpstreamError,
}

/// Where and how one attempt goes.
struct Attempt<'a> {
    upstream: &'a Upstream,
    pools: &'a Pools,
    stamps: Stamping<'a>,
    purpose: Purpose,
    age: Age,
    first_byte: Duration,
    tether: Option<Tether>,
    /// The `Host` that is sent, when it is not the server's own.
    host: Option<HeaderValue>,
}

/// Sends `request` and gives its answer: see [`Upstream::forward`].
pub(super) async fn exchange(
    upstream: &Upstream,
    pools: &Pools,
    (request, stamps): (Box<Request>, Stamping<'_>),
    mapping: &Mapping<'_>,
) -> Result<Response<Body>, UpstreamError> {
    if request.body.is_too_large() {
        return Err(UpstreamError::BodyTooLarge);
    }
    // Boxed, since it is handed on from attempt to connection.
    let mut outgoing = Box::new(Outgoing {
        method: request.method,
        path_and_query: request.path_and_query,
        headers: request.headers,
        host: request.host,
        body: request.body,
        asks: Asks::default(),
    });
    outgoing.prepare();
    upstream.budget.earn();
    let switch = request
        .upgrade
        .map(|upgrade| Switch::prepare(upgrade, request.version, &mut outgoing));
    let mut attempt = Attempt {
        upstream,
        pools,
        stamps,
        purpose: match switch {
            Some(_) => Purpose::Switch,
            None => Purpose::Exchange,
        },
        age: Age::Any,
        first_byte: request.first_byte.unwrap_or(upstream.settings.first_byte),
        tether: request.tether,
        host: outgoing.host.clone(),
    };
    let answered = attempt.until_answered(outgoing).await?;
    let Attempt { tether, host, .. } = attempt;
    let protocol = |e| UpstreamError::Protocol(upstream.name().clone(), e);
    let idle = upstream.settings.idle;
    let sent = Sent {
        host,
        server: answered.in_flight.server.address.authority().clone(),
    };
    let head = &answered.head;
    let mut response = match switch {
        Some(switch) if head.status() == StatusCode::SWITCHING_PROTOCOLS => {
            let Answered { head, in_flight } = *answered;
            return switch
                .tied_by(tether)
                .complete((head, in_flight), idle, (mapping, &sent))
                .map_err(protocol);
        }
        // RFC 8441 §5: a 2xx to extended CONNECT would say that the tunnel is there.
        Some(switch) if switch.is_refused_only_by_failure() && head.status().is_success() => {
            Err(protocol(ProtocolError::Handshake))
        }
        Some(_) | None => respond(answered, idle, (mapping, &sent)).map_err(protocol),
    }?;
    if let Some(tether) = tether {
        tie(&mut response, tether)?;
    }
    Ok(response)
}

/// Ties an answer that comes piece by piece to the session of its caller. One that has not said
/// its length may last: it is refused when the session has enough of them.
fn tie(response: &mut Response<Body>, mut tether: Tether) -> Result<(), TooManyStreams> {
    let Body::Upstream(body) = response.body() else {
        return Ok(());
    };
    let length = http_body::Body::size_hint(body).exact();
    let close = Close::of(response.headers(), length);
    match (close, length) {
        (Close::Quietly, _) => tether.claim()?,
        (Close::Grpc | Close::Cut, None) => tether.check_room()?,
        (Close::Grpc | Close::Cut, Some(_)) => {}
    }
    if let Body::Upstream(body) = response.body_mut() {
        body.tie(tether, close);
    }
    Ok(())
}

impl Attempt<'_> {
    /// Tries servers and connections until one answers or none may be tried any more.
    async fn until_answered(
        &mut self,
        mut outgoing: Box<Outgoing>,
    ) -> Result<Box<Answered>, UpstreamError> {
        let settings = &self.upstream.settings;
        let mut tried = Vec::new();
        let mut left = settings.retries;
        let mut last: Option<Setback> = None;
        loop {
            let choice = Choice {
                tried: &tried,
                turn: self.pools.turn(),
                max_outstanding: settings.max_outstanding,
                rests: &self.upstream.rests,
            };
            let now = || self.upstream.clock.steady();
            let (at, server) = match choose(&self.upstream.servers, &choice, now) {
                Ok(chosen) => chosen,
                Err(NoServer::AllTried | NoServer::Full) => {
                    let full = || UpstreamError::Full(self.upstream.name().clone());
                    return Err(last.map_or_else(full, |setback| setback.error));
                }
            };
            if let Some(Setback { at, fault, error }) = last.take() {
                match fault {
                    // The server never saw it: that is no load.
                    Fault::Stale => {}
                    Fault::Server if self.upstream.budget.spend(now()) => {}
                    Fault::Server => return Err(error),
                }
                if let Some(server) = self.upstream.servers.get(at) {
                    Counts::add(&server.counts.retries);
                }
                tracing::debug!(upstream = %self.upstream.name(), %error, "request is tried again");
            }
            let failed = match self.once(server, outgoing).await {
                Ok(answered) => return Ok(answered),
                Err(failed) => failed,
            };
            let Some(again) = failed.again else {
                return Err(failed.error);
            };
            left = match left.checked_sub(1) {
                Some(left) => left,
                None => return Err(failed.error),
            };
            match failed.fault {
                Fault::Stale => self.age = Age::Fresh,
                Fault::Server => tried.push(at),
            }
            outgoing = again;
            last = Some(Setback {
                at,
                fault: failed.fault,
                error: failed.error,
            });
        }
    }

    /// Sends the request over one connection to `server`.
    async fn once(
        &mut self,
        server: Outstanding,
        outgoing: Box<Outgoing>,
    ) -> Result<Box<Answered>, Failed> {
        let &mut Attempt {
            upstream, pools, ..
        } = self;
        let keeping = upstream.keeping();
        let versions = match self.purpose {
            Purpose::Switch if server.speaks_only_http2() => {
                return Err(self.protocol(ProtocolError::NoSwitch));
            }
            Purpose::Switch => Versions::Http1,
            Purpose::Exchange => Versions::Any,
        };
        let leasing = pools.lease(&server, self.age, versions, &keeping);
        let mut lease = match during(self.tether.as_mut(), leasing).await {
            Err(cause) => return Err(Failed::by_client(UpstreamError::Over(cause))),
            Ok(Ok(lease)) => lease,
            Ok(Err(error)) => {
                upstream.note(&server, Failure::Unreachable);
                return Err(Failed {
                    error: UpstreamError::Connect(upstream.name().clone(), error),
                    again: Some(outgoing),
                    fault: Fault::Server,
                });
            }
        };
        let spare = match upstream.settings.retries {
            0 => None,
            _ => outgoing.repeatable(),
        };
        let mut upload = None;
        let sent = self.send(&mut lease, &server, outgoing, &mut upload);
        match sent.await {
            Ok(head) => {
                server.health.succeeded();
                Ok(Box::new(Answered {
                    head,
                    in_flight: InFlight {
                        server,
                        lease,
                        pools: pools.clone(),
                        keeping,
                        upload,
                    },
                }))
            }
            Err(error) => Err(self.judge(
                error,
                &server,
                Lost {
                    reused: lease.reused(),
                    upload,
                    spare,
                },
            )),
        }
    }

    /// Writes the request as the connection wants it, and waits for the head of the answer.
    async fn send(
        &mut self,
        lease: &mut Lease,
        server: &Outstanding,
        mut outgoing: Box<Outgoing>,
        upload: &mut Option<Uploading>,
    ) -> Result<Response<Incoming>, NoHead> {
        (self.stamps)(&mut outgoing.headers);
        match lease {
            Lease::Http1 { sender, .. } => {
                let stage = match outgoing.asks.approval {
                    true => Stage::Held,
                    false => Stage::Flowing,
                };
                *upload = outgoing.body.watch(stage);
                let mut request = outgoing
                    .into_http1(&server.address, self.purpose)
                    .map_err(NoHead::Unsendable)?;
                if stage == Stage::Held
                    && let Some(upload) = upload.as_ref().map(Uploading::share)
                {
                    hyper::ext::on_informational(&mut request, move |head| {
                        if head.status() == StatusCode::CONTINUE {
                            upload.release();
                        }
                    });
                }
                let sent = sender.try_send_request(request);
                self.head(sent, upload.as_deref()).await
            }
            Lease::Http2 { sender, .. } => {
                *upload = outgoing.body.watch(Stage::Flowing);
                let request = outgoing.into_http2(&server.address);
                let sent = sender.try_send_request(request.map_err(NoHead::Unsendable)?);
                self.head(sent, upload.as_deref()).await
            }
        }
    }

    /// Waits for the head of the answer. While the request's body moves, or the client is the one
    /// who is waited for, the server is not late.
    async fn head(
        &mut self,
        sent: impl Future<Output = Result<Response<Incoming>, TrySendError<http::Request<RequestBody>>>>,
        upload: Option<&Upload>,
    ) -> Result<Response<Incoming>, NoHead> {
        let mut sent = pin!(sent);
        loop {
            let before = upload.map(Upload::reached);
            let patience = match before {
                Some((Stage::Held, _)) => CONTINUE_PATIENCE.min(self.first_byte),
                Some(_) | None => self.first_byte,
            };
            let over = tokio::select! {
                biased;
                head = &mut sent => return head.map_err(|e| NoHead::Send(Box::new(e))),
                over = lapse(patience, self.tether.as_mut()) => over,
            };
            match over {
                Some(Cause::Expired) if upload.is_none_or(Upload::is_sent) => {
                    if let Some(tether) = &mut self.tether {
                        tether.outlive_credential();
                    }
                    continue;
                }
                Some(cause) => return Err(NoHead::Over(cause)),
                None => {}
            }
            let Some(upload) = upload else {
                return Err(NoHead::TimedOut);
            };
            match upload.reached() {
                (Stage::Held, _) => upload.release(),
                (Stage::Starved, _) => {}
                now if Some(now) != before => {}
                _ => return Err(NoHead::TimedOut),
            }
        }
    }
}

/// The answer as it may go to the client.
fn respond(
    answered: Box<Answered>,
    idle: Duration,
    (mapping, sent): (&Mapping<'_>, &Sent),
) -> Result<Response<Body>, ProtocolError> {
    let Answered {
        mut head,
        in_flight,
    } = *answered;
    if head.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(ProtocolError::UnaskedSwitch);
    }
    let mut headers = std::mem::take(head.headers_mut());
    answer::clean(&mut headers)?;
    answer::map_back(&mut headers, mapping, sent);
    // A new response: version, reason phrase and extensions are of the upstream's connection.
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = head.status();
    *response.headers_mut() = headers;
    let incoming = head.into_body();
    if incoming.is_end_stream() {
        in_flight.settle();
    } else {
        let body = AnswerBody::new(incoming, in_flight, idle);
        *response.body_mut() = Body::Upstream(Box::new(body));
    }
    Ok(response)
}
