//! One connection from its first byte to its last: PROXY header, TLS, HTTP, and every deadline.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Serve;
use super::deadlines::{Deadlines, Expired};
use super::drain::Stage;
use super::exchange::{AnswerBody, Delivery, Exchange};
use super::executor::StreamExecutor;
use super::io::{Io, Socket, Stream, Wire};
use super::listener::{Plan, Speaks, listed};
use super::proxy::{self, Source};
use super::settings::Bounds;
use super::slots::Slot;
use super::tls::{Accepted, Tls};
use super::worker::{Arrival, Worker};
use crate::body::Body;
use crate::inbound::{ClientIp, Peer};

/// hyper's own number of header fields in HTTP/1.1: parsed on the stack, where any other is not.
const FIELDS_ON_THE_STACK: usize = 100;
/// What is read or held of HTTP/1.1 at once, in bytes; a head larger than this is refused unread.
const H1_BUFFER: usize = 64 * 1024;
/// What a stream may have under way in either direction, in bytes.
const H2_WINDOW: u32 = 64 * 1024;
/// What a connection may send us unread over all its streams, in bytes.
const H2_CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Streams that the client may make us reset (CVE-2025-8671) before the connection is closed.
const H2_LOCAL_RESETS: usize = 128;
/// Streams that the client may reset before we have seen them (CVE-2023-44487).
const H2_PENDING_RESETS: usize = 20;

/// Serves what arrived, to its end.
pub(super) async fn serve<S: Serve>(arrival: Arrival, worker: Rc<Worker<S>>) {
    let wire = Wire::new();
    let Arrival {
        stream,
        peer,
        plan,
        mut slot,
    } = arrival;
    let Ok(tcp) = TcpStream::from_std(stream) else {
        return;
    };
    let establish = async {
        let mut socket = Socket::new(tcp, Arc::clone(&wire));
        let mut peer = Peer {
            address: peer,
            scheme: plan.scheme(),
            server_name: None,
        };
        if plan.proxy_from.is_some() {
            read_proxy_header(&mut socket, &mut peer, &mut slot, &worker).await?;
        }
        secure(socket, peer, &plan, &worker).await
    };
    let within = worker.shared.bounds.handshake_time;
    let established = match tokio::time::timeout(within, establish).await {
        Ok(Some(established)) => established,
        Ok(None) => return,
        Err(_) => return worker.shared.counters.handshake_timeouts.add_one(),
    };
    let (stream, peer, protocol) = established;
    let io = Io::new(stream, Arc::clone(&wire), protocol, slot);
    let client = Rc::new(Client {
        worker,
        wire,
        peer,
        protocol,
    });
    // Tasks of their own: this one has room for a handshake, which an open connection need not keep.
    match protocol {
        Protocol::Http1 | Protocol::Redirect => tokio::task::spawn_local(client.speak_http1(io)),
        Protocol::Http2 => tokio::task::spawn_local(client.speak_http2(io)),
    };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
    /// HTTP/1.1, answered by a redirect.
    Redirect,
}

/// Takes the PROXY header off; the client that it names is the peer, and counts as one more from there.
async fn read_proxy_header<S>(
    socket: &mut Socket,
    peer: &mut Peer,
    slot: &mut Slot,
    worker: &Worker<S>,
) -> Option<()> {
    let counters = &worker.shared.counters;
    match proxy::read(socket).await {
        Ok(Source::Peer) => Some(()),
        Ok(Source::Client(address)) => {
            peer.address = address;
            if listed(&worker.shared.proxies, address.ip()) {
                return Some(());
            }
            let claimed = slot.claim(ClientIp::new(address.ip()));
            claimed.map_err(|_| counters.refused_address.add_one()).ok()
        }
        Err(error) => {
            tracing::debug!(peer = %peer.address, %error, "no usable PROXY header");
            counters.proxy_failures.add_one();
            None
        }
    }
}

/// Speaks TLS where the listener does, and settles which HTTP follows.
async fn secure<S>(
    socket: Socket,
    peer: Peer,
    plan: &Plan,
    worker: &Worker<S>,
) -> Option<(Stream, Peer, Protocol)> {
    match &plan.speaks {
        Speaks::Https(tls) => match handshake(socket, peer, tls, worker).await {
            Ok(established) => Some(established),
            Err(error) => {
                tracing::debug!(%error, "the TLS handshake failed");
                worker.shared.counters.handshake_failures.add_one();
                None
            }
        },
        Speaks::Redirect => Some((Stream::Plain(socket), peer, Protocol::Redirect)),
        Speaks::Balanced { .. } => Some((Stream::Plain(socket), peer, Protocol::Http1)),
    }
}

async fn handshake<S>(
    socket: Socket,
    mut peer: Peer,
    tls: &Tls,
    worker: &Worker<S>,
) -> std::io::Result<(Stream, Peer, Protocol)> {
    let ip = peer.address.ip();
    let stands_for_one = !listed(&worker.shared.proxies, ip);
    let network = stands_for_one.then(|| ClientIp::new(ip).network());
    // While it waits for its turn, the handshake's time runs.
    let accepted = worker.handshakes.in_turn(network, tls.accept(socket));
    let Accepted {
        stream,
        server_name,
    } = accepted.await?;
    peer.server_name = server_name;
    let protocol = stream.protocol();
    Ok((Stream::Tls(Box::new(stream)), peer, protocol))
}

/// The other end of an established connection.
struct Client<S> {
    worker: Rc<Worker<S>>,
    wire: Arc<Wire>,
    peer: Peer,
    protocol: Protocol,
}

impl<S: Serve> Client<S> {
    // The connection is made before its future, which then holds it once: an argument of an async function,
    // or what it pins, would have a second place there. With a task for each protocol that is 2.8 kB of an
    // idle connection of HTTP/1.1, and 1.9 of HTTP/2.
    fn speak_http1(self: Rc<Self>, io: Io) -> impl Future<Output = ()> {
        let client = Rc::clone(&self);
        let service = service_fn(move |request| Rc::clone(&client).respond(request, None));
        let mut connection = http1_builder(&self.worker.shared.bounds)
            .serve_connection(TokioIo::new(io), service)
            .with_upgrades();
        let goodbye = http1::UpgradeableConnection::graceful_shutdown;
        async move { self.drive(Pin::new(&mut connection), goodbye).await }
    }

    fn speak_http2(self: Rc<Self>, io: Io) -> impl Future<Output = ()> {
        let shared = &self.worker.shared;
        let counters = Arc::clone(&shared.counters);
        let executor = StreamExecutor::new(shared.bounds.write_time, counters);
        let builder = http2_builder(&shared.bounds, executor.clone());
        let client = Rc::clone(&self);
        let service = service_fn(move |request| {
            Rc::clone(&client).respond(request, Some(executor.announce()))
        });
        let mut connection = builder.serve_connection(TokioIo::new(io), service);
        let goodbye = http2::Connection::graceful_shutdown;
        async move { self.drive(Pin::new(&mut connection), goodbye).await }
    }

    /// Polls the connection and its deadlines until either ends, and follows the drain's stages.
    async fn drive<C>(&self, mut connection: Pin<&mut C>, goodbye: impl Fn(Pin<&mut C>))
    where
        C: Future<Output = hyper::Result<()>>,
    {
        let mut deadlines = Deadlines::new(&self.wire, &self.worker.shared.bounds, self.protocol);
        let mut stage = self.worker.stage.clone();
        loop {
            match (*stage.borrow_and_update(), self.protocol) {
                (Stage::Serving, _) | (Stage::Draining, Protocol::Http1 | Protocol::Redirect) => {}
                (Stage::Draining | Stage::ClosingIdle, _) => goodbye(connection.as_mut()),
                (Stage::Cutting, _) => return,
            }
            let mut until_end = pin!(poll_fn(|cx| {
                if let std::task::Poll::Ready(end) = connection.as_mut().poll(cx) {
                    return std::task::Poll::Ready(End::Closed(end));
                }
                deadlines.poll(cx).map(End::Expired)
            }));
            let end = tokio::select! {
                biased;
                end = &mut until_end => end,
                changed = stage.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
            };
            match end {
                End::Closed(Ok(())) => return,
                End::Closed(Err(error)) => {
                    return tracing::debug!(peer = %self.peer.address, %error, "connection failed");
                }
                End::Expired(expired) => {
                    self.count(expired);
                    if expired != Expired::Idle {
                        return;
                    }
                    deadlines.begin_farewell();
                    goodbye(connection.as_mut());
                }
            }
        }
    }

    /// Answers one request of this connection.
    fn respond(
        self: Rc<Self>,
        request: Request<Incoming>,
        delivery: Option<Rc<Delivery>>,
    ) -> impl Future<Output = Result<Response<AnswerBody>, Infallible>> {
        let shared = &self.worker.shared;
        let rate = shared.bounds.body_rate;
        // HTTP/1.1's are counted while they are parsed; the h2 crate counts bytes only.
        let too_many = request.headers().len() > shared.bounds.header_fields;
        let (exchange, request) = Exchange::begin(request, &self.wire, &shared.counters, rate);
        async move {
            let worker = &self.worker;
            let response = match self.protocol {
                Protocol::Redirect => worker.shared.redirect.answer(&request),
                Protocol::Http2 if too_many => {
                    let mut refused = Response::new(Body::Empty);
                    *refused.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
                    refused
                }
                Protocol::Http1 | Protocol::Http2 => {
                    worker.lanes.carry(self.peer.clone(), request).await
                }
            };
            Ok(exchange.answer(response, delivery, worker.closing.get()))
        }
    }

    fn count(&self, expired: Expired) {
        let counters = &self.worker.shared.counters;
        match expired {
            Expired::Head => counters.header_timeouts.add_one(),
            Expired::Idle => counters.idle_timeouts.add_one(),
            Expired::Write => counters.write_timeouts.add_one(),
            Expired::Abuse => counters.abusive.add_one(),
            Expired::Farewell => {}
        }
    }
}

enum End {
    Closed(hyper::Result<()>),
    Expired(Expired),
}

fn http1_builder(bounds: &Bounds) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // Both deadlines that hyper makes of this one are ours: see `Deadlines`.
        .header_read_timeout(None)
        .max_header_size(bounds.header_bytes)
        .max_buf_size(H1_BUFFER.max(bounds.header_bytes));
    if bounds.header_fields != FIELDS_ON_THE_STACK {
        builder.max_headers(bounds.header_fields);
    }
    builder
}

fn http2_builder(bounds: &Bounds, executor: StreamExecutor) -> http2::Builder<StreamExecutor> {
    let mut builder = http2::Builder::new(executor);
    builder
        .max_concurrent_streams(bounds.streams)
        .initial_stream_window_size(H2_WINDOW)
        .initial_connection_window_size(H2_CONNECTION_WINDOW)
        .max_send_buf_size(H2_WINDOW as usize)
        .max_header_list_size(bounds.h2_header_bytes)
        .max_pending_accept_reset_streams(H2_PENDING_RESETS)
        .max_local_error_reset_streams(H2_LOCAL_RESETS)
        .enable_connect_protocol();
    builder
}

#[cfg(test)]
mod tests {
    use super::super::Desk;
    use super::*;

    struct Nothing;

    impl Serve for Nothing {
        async fn serve(&self, _: &Desk) {}
    }

    /// The size of what `make` returns.
    fn size<A, B, F>(_make: impl Fn(A, B) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_open_connection_has_its_state_once() {
        let http1 = size(Client::<Nothing>::speak_http1);
        let http2 = size(Client::<Nothing>::speak_http2);
        assert!(http1 <= 1024, "{http1}");
        // A task has 104 bytes more: 2 KiB together, and the allocator's next size is 2.5.
        assert!(http2 <= 1944, "{http2}");
    }
}
