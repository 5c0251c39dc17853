//! Real servers on loopback: what a client gets from an upstream in each of its moods.

mod attempts;
mod bodies;
mod secure;
mod websocket;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;

use super::{Mapping, Pools, Request, RequestBody, ServerAddress, Settings, TrailerRule, Upstream};
use crate::body::Body;
use crate::clock::{Clock, Timestamp};
use crate::inbound::{ClientBody, Scheme, Upgrade, UpgradeProtocol};
use crate::route::Rewrite;

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

const MAPPING: Mapping<'static> = Mapping {
    scheme: Scheme::Https,
    host: &"public.example",
    rewrite: &Rewrite::Keep,
    own_cookies: |name| name == b"own",
};

/// Which HTTP a test server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaks {
    Http1,
    Http2,
}

/// A server on loopback.
struct Backend {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Backend {
    /// Answers every request by `handler`.
    async fn serve<F, A>(speaks: Speaks, handler: F) -> Self
    where
        F: Fn(http::Request<Incoming>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Answer> + Send + 'static,
    {
        Self::accept(move |stream| {
            let handler = handler.clone();
            async move {
                let service = service_fn(move |request| {
                    let answer = handler(request);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                let io = TokioIo::new(stream);
                let _ = match speaks {
                    Speaks::Http1 => {
                        let connection = http1::Builder::new().serve_connection(io, service);
                        connection.with_upgrades().await
                    }
                    Speaks::Http2 => {
                        let builder = http2::Builder::new(TokioExecutor::new());
                        builder.serve_connection(io, service).await
                    }
                };
            }
        })
        .await
    }

    /// Hands every connection to `handler`.
    async fn accept<F, A>(handler: F) -> Self
    where
        F: Fn(TcpStream) -> A + Send + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, handler)
    }

    fn on<F, A>(listener: TcpListener, handler: F) -> Self
    where
        F: Fn(TcpStream) -> A + Send + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let accepted = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(handler(stream));
            }
        });
        Self { port, connections }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// A server that says what it saw: method, target, and each header on a line.
async fn mirror(speaks: Speaks) -> Backend {
    Backend::serve(speaks, |request| async move {
        let mut seen = format!(
            "{:?} {} {}\n",
            request.version(),
            request.method(),
            request.uri()
        );
        for (name, value) in request.headers() {
            seen.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
        }
        let body = request.into_body().collect().await.unwrap().to_bytes();
        seen.push_str(&format!("\n{}", String::from_utf8_lossy(&body)));
        whole(seen)
    })
    .await
}

/// A body whose frames the test sends.
struct Fed(mpsc::UnboundedReceiver<Frame<Bytes>>);

impl Fed {
    fn new() -> (mpsc::UnboundedSender<Frame<Bytes>>, Self) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (sender, Self(receiver))
    }
}

impl http_body::Body for Fed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

/// A socket that has an address and does not listen there.
fn silent() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    (socket, url)
}

/// An address at which nobody listens, and which no other test is given.
fn nobody() -> String {
    let (socket, url) = silent();
    std::mem::forget(socket);
    url
}

fn whole(text: impl Into<Bytes>) -> Answer {
    Response::new(Full::new(text.into()).boxed_unsync())
}

fn settings(servers: &[String]) -> Settings {
    Settings {
        name: Arc::from("app"),
        servers: servers
            .iter()
            .map(|url| ServerAddress::parse(url).unwrap())
            .collect(),
        ca: None,
        connect: Duration::from_secs(5),
        first_byte: Duration::from_secs(20),
        idle: Duration::from_secs(20),
        keep: Duration::from_secs(20),
        keep_connections: 8,
        max_outstanding: 64,
        retries: 2,
        retry_budget: 20,
        failures: 3,
        rest: Duration::from_secs(1),
        max_rest: Duration::from_secs(8),
    }
}

/// An upstream, one worker's pools for it, and a clock to turn.
#[derive(Clone)]
struct Bench {
    upstream: Arc<Upstream>,
    pools: Pools,
    clock: Clock,
}

impl Bench {
    fn new(settings: Settings) -> Self {
        let clock = Clock::manual(Timestamp::from_seconds(1_700_000_000));
        Self {
            upstream: Arc::new(Upstream::new(settings, clock.clone(), None).unwrap()),
            pools: Pools::new(),
            clock,
        }
    }

    fn to(servers: &[String]) -> Self {
        Self::new(settings(servers))
    }

    async fn send(&self, request: Request) -> Result<Response<Body>, super::UpstreamError> {
        self.upstream
            .forward(&self.pools, (Box::new(request), &|_| {}), &MAPPING)
            .await
    }

    /// The answer's status and text.
    async fn fetch(&self, request: Request) -> (StatusCode, String) {
        let answer = self.send(request).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// A listener that forwards what it gets to the upstream, as the gateway would.
    async fn front(&self, speaks: Speaks) -> Backend {
        let bench = self.clone();
        Backend::accept(move |stream| {
            let bench = bench.clone();
            async move {
                let service = service_fn(move |request| {
                    let bench = bench.clone();
                    async move { Ok::<_, Infallible>(bench.pass(request).await) }
                });
                let io = TokioIo::new(stream);
                let _ = match speaks {
                    Speaks::Http1 => {
                        let connection = http1::Builder::new().serve_connection(io, service);
                        connection.with_upgrades().await
                    }
                    Speaks::Http2 => {
                        let mut builder = http2::Builder::new(TokioExecutor::new());
                        builder.enable_connect_protocol();
                        builder.serve_connection(io, service).await
                    }
                };
            }
        })
        .await
    }

    async fn pass(&self, mut request: http::Request<Incoming>) -> Response<Body> {
        let asks = request.headers().contains_key(http::header::UPGRADE)
            || request.method() == Method::CONNECT;
        let upgrade = asks.then(|| Upgrade {
            protocol: UpgradeProtocol::WebSocket,
            on_upgrade: hyper::upgrade::on(&mut request),
            busy: None,
        });
        let (parts, incoming) = request.into_parts();
        let body = ClientBody::incoming(incoming, None);
        let rule: TrailerRule = Arc::new(|name| !name.as_str().starts_with("x-user"));
        let request = Request {
            method: parts.method,
            path_and_query: parts.uri.path_and_query().cloned().unwrap(),
            headers: parts.headers,
            host: None,
            body: RequestBody::new(body, MAX_BODY).with_trailers(&rule),
            version: parts.version,
            upgrade,
            tether: None,
            first_byte: None,
        };
        match self.send(request).await {
            Ok(answer) => answer,
            Err(error) => {
                let mut answer = Response::new(Body::from(format!("{error:?}")));
                *answer.status_mut() = StatusCode::BAD_GATEWAY;
                answer
            }
        }
    }
}

/// Largest body that [`Bench::front`] passes on.
const MAX_BODY: u64 = 256 << 20;

fn request(method: Method, target: &'static str, body: &'static str) -> Request {
    Request {
        method,
        path_and_query: PathAndQuery::from_static(target),
        headers: HeaderMap::new(),
        host: None,
        body: RequestBody::new(ClientBody::from(Bytes::from_static(body.as_bytes())), 1024),
        version: Version::HTTP_11,
        upgrade: None,
        tether: None,
        first_byte: None,
    }
}

fn get(target: &'static str) -> Request {
    request(Method::GET, target, "")
}

fn post(target: &'static str, body: &'static str) -> Request {
    request(Method::POST, target, body)
}

/// Reads the head of a message from a raw connection, byte by byte.
async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0u8];
        if stream.read(&mut byte).await.unwrap() == 0 {
            break;
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

async fn write(stream: &mut TcpStream, bytes: &str) {
    stream.write_all(bytes.as_bytes()).await.unwrap();
}

async fn connect(backend: &Backend) -> TcpStream {
    TcpStream::connect(("127.0.0.1", backend.port))
        .await
        .unwrap()
}

fn static_value(value: &'static str) -> HeaderValue {
    HeaderValue::from_static(value)
}
