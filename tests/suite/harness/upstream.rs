//! Upstream servers: real sockets, answers that a test chooses, and a record of what arrived.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_rustls::TlsAcceptor;

use super::body::{self, SendBody};
use super::certs::Leaf;
use super::raw::{Io, Raw};
use super::received::Received;
use super::websocket::{self, WebSocket};
use super::{ports, within};

/// A server behind the gateway. Dropping it closes its listener and its connections.
pub struct Upstream {
    scheme: &'static str,
    port: u16,
    record: Record,
    connections: watch::Receiver<usize>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Clone, Default)]
struct Record(Arc<Mutex<Vec<Received>>>);

type Answering = Pin<Box<dyn Future<Output = Response<SendBody>> + Send>>;
type Handler = Arc<dyn Fn(Request<Incoming>) -> Answering + Send + Sync>;

/// How an upstream's connections speak.
enum Speech {
    Http1,
    Http2,
    Https(TlsAcceptor),
}

/// A request that waits for the test to answer it.
pub struct Exchange {
    pub request: Request<Incoming>,
    pub answer: oneshot::Sender<Response<SendBody>>,
}

/// The requests of an upstream that answers by hand.
pub struct Exchanges(mpsc::Receiver<Exchange>);

impl Exchanges {
    pub async fn next(&mut self) -> Exchange {
        within("a request reaches the upstream", self.0.recv())
            .await
            .expect("the upstream lives")
    }
}

impl Exchange {
    pub fn answer(self, response: Response<SendBody>) {
        let _ = self.answer.send(response);
    }

    /// Returns when the gateway no longer waits for an answer.
    pub async fn abandoned(&mut self) {
        within("the gateway gives the request up", self.answer.closed()).await;
    }
}

impl Upstream {
    /// Answers everything with what reached it, as JSON.
    pub async fn echo() -> Self {
        Self::echoing(Speech::Http1).await
    }

    /// The same over HTTP/2 without TLS, by prior knowledge.
    pub async fn echo_h2c() -> Self {
        Self::echoing(Speech::Http2).await
    }

    /// The same over TLS with this certificate.
    pub async fn echo_https(leaf: &Leaf) -> Self {
        let tls = TlsAcceptor::from(Arc::new(leaf.server(&[b"h2", b"http/1.1"])));
        Self::echoing(Speech::Https(tls)).await
    }

    async fn echoing(speech: Speech) -> Self {
        let record = Record::default();
        let kept = record.clone();
        let handler: Handler = Arc::new(move |request| {
            let record = record.clone();
            Box::pin(async move {
                let received = Received::read(request).await;
                let answer = received.echo();
                record.0.lock().unwrap().push(received);
                answer
            })
        });
        Self::start(speech, kept, handler).await
    }

    /// Answers with what `answer` makes of a request; its body is left unread.
    pub async fn answering(
        answer: impl Fn(&Request<Incoming>) -> Response<SendBody> + Send + Sync + 'static,
    ) -> Self {
        let record = Record::default();
        let kept = record.clone();
        let handler: Handler = Arc::new(move |request| {
            let response = answer(&request);
            record.0.lock().unwrap().push(Received::head(&request));
            Box::pin(async move { response })
        });
        Self::start(Speech::Http1, kept, handler).await
    }

    /// Answers everything on this port, which must be free.
    pub async fn answering_on(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let handler: Handler = Arc::new(|_| Box::pin(async { response(200, "here") }));
        Self::start_on((listener, port), Speech::Http1, Record::default(), handler)
    }

    /// Every request waits until the test answers it.
    pub async fn by_hand() -> (Self, Exchanges) {
        Self::handing_over(Speech::Http1).await
    }

    /// The same over HTTP/2 without TLS, by prior knowledge.
    pub async fn by_hand_h2c() -> (Self, Exchanges) {
        Self::handing_over(Speech::Http2).await
    }

    async fn handing_over(speech: Speech) -> (Self, Exchanges) {
        let (sender, receiver) = mpsc::channel(16);
        let record = Record::default();
        let kept = record.clone();
        let handler: Handler = Arc::new(move |request| {
            let sender = sender.clone();
            record.0.lock().unwrap().push(Received::head(&request));
            Box::pin(async move {
                let (answer, answered) = oneshot::channel();
                let _ = sender.send(Exchange { request, answer }).await;
                answered
                    .await
                    .unwrap_or_else(|_| response(500, "the test dropped this exchange"))
            })
        });
        (
            Self::start(speech, kept, handler).await,
            Exchanges(receiver),
        )
    }

    /// Accepts a WebSocket on every path and sends every text frame back.
    pub async fn websocket_echo() -> Self {
        let record = Record::default();
        let kept = record.clone();
        let handler: Handler = Arc::new(move |mut request| {
            record.0.lock().unwrap().push(Received::head(&request));
            Box::pin(async move {
                if !request.headers().contains_key("upgrade") {
                    return response(426, "a WebSocket is wanted");
                }
                let key = request.headers().get("sec-websocket-key");
                let key = key.map_or_else(Vec::new, |key| key.as_bytes().to_vec());
                let upgrade = hyper::upgrade::on(&mut request);
                tokio::spawn(async move {
                    let Ok(io) = upgrade.await else { return };
                    let mut socket = WebSocket::server(TokioIo::new(io));
                    while let Some(frame) = socket.receive().await {
                        let sent = socket.send(frame.opcode, &frame.payload).await;
                        if sent.is_err() || frame.opcode == websocket::CLOSE {
                            return;
                        }
                    }
                });
                let mut answer = Response::builder()
                    .status(101)
                    .header("connection", "upgrade")
                    .header("upgrade", "websocket")
                    .header("sec-websocket-accept", websocket::accept(&key));
                if let Some(offered) = request.headers().get("sec-websocket-protocol") {
                    let first = offered
                        .to_str()
                        .unwrap_or_default()
                        .split(',')
                        .next()
                        .unwrap_or_default();
                    answer = answer.header("sec-websocket-protocol", first);
                }
                answer.body(body::empty()).unwrap()
            })
        });
        Self::start(Speech::Http1, kept, handler).await
    }

    /// No HTTP at all: each connection is given to `serve`.
    pub async fn raw<F>(serve: impl Fn(Raw) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (listener, port) = listen().await;
        let (count, connections) = watch::channel(0);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.send_modify(|n| *n += 1);
                tokio::spawn(serve(Raw::new(stream)));
            }
        });
        Self {
            scheme: "http",
            port,
            record: Record::default(),
            connections,
            task,
        }
    }

    /// A port on which nothing listens.
    pub fn nobody() -> String {
        format!("http://127.0.0.1:{}", ports::free())
    }

    async fn start(speech: Speech, record: Record, handler: Handler) -> Self {
        Self::start_on(listen().await, speech, record, handler)
    }

    fn start_on(
        (listener, port): (TcpListener, u16),
        speech: Speech,
        record: Record,
        handler: Handler,
    ) -> Self {
        let scheme = match speech {
            Speech::Http1 => "http",
            Speech::Http2 => "h2c",
            Speech::Https(_) => "https",
        };
        let speech = Arc::new(speech);
        let (count, connections) = watch::channel(0);
        let task = tokio::spawn(async move {
            let mut serving = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.send_modify(|n| *n += 1);
                serving.spawn(serve(stream, Arc::clone(&speech), Arc::clone(&handler)));
            }
        });
        Self {
            scheme,
            port,
            record,
            connections,
            task,
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        match self.scheme {
            "https" => format!("https://localhost:{}", self.port),
            scheme => format!("{scheme}://127.0.0.1:{}", self.port),
        }
    }

    /// How many connections were opened to it.
    pub fn connections(&self) -> usize {
        *self.connections.borrow()
    }

    pub fn received(&self) -> Vec<Received> {
        self.record.0.lock().unwrap().clone()
    }

    /// The latest request; fails the test when there was none.
    #[track_caller]
    pub fn last(&self) -> Received {
        self.received()
            .pop()
            .expect("a request that reached the upstream")
    }

    /// Ends it, as a backend that is stopped.
    pub async fn stop(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub fn response(status: u16, text: &str) -> Response<SendBody> {
    Response::builder()
        .status(status)
        .body(body::full(text.to_owned()))
        .unwrap()
}

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

async fn serve(stream: TcpStream, speech: Arc<Speech>, handler: Handler) {
    let _ = stream.set_nodelay(true);
    match &*speech {
        Speech::Http1 => serve_http1(stream, handler).await,
        Speech::Http2 => serve_http2(stream, handler).await,
        Speech::Https(tls) => {
            let Ok(stream) = tls.accept(stream).await else {
                return;
            };
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                serve_http2(stream, handler).await;
            } else {
                serve_http1(stream, handler).await;
            }
        }
    }
}

async fn serve_http1(io: impl Io + 'static, handler: Handler) {
    let service = service_fn(move |request| {
        let answer = handler(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(io), service);
    let _ = connection.with_upgrades().await;
}

async fn serve_http2(io: impl Io + 'static, handler: Handler) {
    let service = service_fn(move |request| {
        let answer = handler(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(io), service)
        .await;
}
