//! The server with a trivial handler, over real sockets and real TLS.

mod abuse;
mod deadlines;
mod draining;
mod listening;
mod tls;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::dev_cert::DevCertificate;
use super::*;
use crate::body::Body;
use crate::clock::Clock;
use crate::inbound::{ClientBody, ClientBodyError, Passage, Peer};

/// Long enough for anything that is to happen; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the test and the handler of every worker share.
#[derive(Clone)]
struct Gate {
    /// How many requests for `/hold` have begun.
    begun: Arc<watch::Sender<usize>>,
    open: Arc<watch::Sender<bool>>,
    served: Arc<AtomicU64>,
}

/// Answers `/hello`, `/hold` (when the gate opens), `/upload`, `/big`, `/panic`; echoes in `/tunnel`.
struct Handler(Gate);

impl Serve for Handler {
    async fn serve(&self, desk: &Desk) {
        loop {
            let (peer, request) = desk.next().await;
            desk.answer(self.answer(peer, *request).await);
        }
    }
}

impl Handler {
    async fn answer(&self, peer: Peer, mut request: Request<ClientBody>) -> Response<Body> {
        self.0.served.fetch_add(1, Ordering::Relaxed);
        let mut response = Response::builder()
            .header("peer", peer.address.to_string())
            .header("scheme", peer.scheme.as_str())
            .header("server-name", peer.server_name.as_deref().unwrap_or("-"));
        let body = match request.uri().path() {
            "/hold" => {
                self.0.begun.send_modify(|begun| *begun += 1);
                let mut open = self.0.open.subscribe();
                open.wait_for(|open| *open).await.unwrap();
                Body::from(String::from("held"))
            }
            "/upload" => match request.into_body().collect().await {
                Ok(whole) => Body::from(whole.to_bytes().len().to_string()),
                Err(ClientBodyError::TooSlow) => {
                    response = response.status(StatusCode::REQUEST_TIMEOUT);
                    Body::Empty
                }
                Err(ClientBodyError::Broken(_)) => {
                    response = response.status(StatusCode::BAD_REQUEST);
                    Body::Empty
                }
            },
            "/big" => Body::from(Bytes::from(vec![b'x'; 64 << 20])),
            "/tunnel" => {
                let tunnel = hyper::upgrade::on(&mut request);
                let busy = request.extensions_mut().remove::<Arc<Passage>>();
                tokio::task::spawn_local(async move {
                    let _busy = busy;
                    let mut tunnel = TokioIo::new(tunnel.await.unwrap());
                    let mut word = [0; 5];
                    while tunnel.read_exact(&mut word).await.is_ok() {
                        tunnel.write_all(&word).await.unwrap();
                    }
                });
                if request.version() == http::Version::HTTP_11 {
                    response = response
                        .status(StatusCode::SWITCHING_PROTOCOLS)
                        .header("connection", "upgrade")
                        .header("upgrade", "echo");
                }
                Body::Empty
            }
            "/panic" => panic!("the handler was asked to panic"),
            _ => Body::from(String::from("hello")),
        };
        response.body(body).unwrap()
    }
}

/// A running server, and what its clients need.
struct TestServer {
    addresses: Vec<SocketAddr>,
    running: Running,
    counters: Arc<Counters>,
    gate: Gate,
    tls: Tls,
    ca: CertificateDer<'static>,
    folder: TempDir,
}

impl TestServer {
    /// One https listener, with these bounds.
    fn start(bounds: Bounds) -> Self {
        Self::with(vec![listener(ListenerKind::Https)], bounds)
    }

    fn with(listeners: Vec<Listener>, bounds: Bounds) -> Self {
        Self::with_tls(listeners, bounds, OldestTls::Tls12)
    }

    fn with_tls(listeners: Vec<Listener>, bounds: Bounds, oldest: OldestTls) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let made = DevCertificate::make(folder.path(), &clock).unwrap();
        let certificates = Certificates::load(&[made.files]).unwrap();
        let tls = Tls::new(certificates, oldest, clock).unwrap();
        let settings = Settings {
            listeners,
            tls: Some(tls.clone()),
            public_url: None,
            bounds,
            proxies: Vec::new(),
        };
        let bound = bind(settings, &mut Inherited::default()).unwrap();
        let (addresses, counters) = (bound.addresses(), bound.counters());
        let gate = Gate {
            begun: Arc::new(watch::Sender::new(0)),
            open: Arc::new(watch::Sender::new(false)),
            served: Arc::default(),
        };
        let handler = gate.clone();
        let workers = NonZeroUsize::new(2).unwrap();
        let running = bound.start(workers, move |_| Handler(handler.clone()));
        Self {
            addresses,
            running: running.unwrap(),
            counters,
            gate,
            tls,
            ca: CertificateDer::from_pem_file(made.ca).unwrap(),
            folder,
        }
    }

    async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.addresses[0]).await.unwrap()
    }

    fn trust(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.clone()).unwrap();
        roots
    }

    fn client(&self, alpn: &[&[u8]]) -> ClientConfig {
        let mut config = ClientConfig::builder_with_provider(super::tls::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.trust())
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config
    }

    async fn tls(&self, alpn: &[&[u8]]) -> TlsStream<TcpStream> {
        handshake(self.tcp().await, self.client(alpn), "localhost")
            .await
            .unwrap()
    }

    /// An HTTP/1.1 connection, by ALPN.
    async fn http1(&self) -> http1::SendRequest<Empty<Bytes>> {
        let stream = self.tls(&[b"http/1.1"]).await;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    /// An HTTP/2 connection, by ALPN.
    async fn http2(&self) -> http2::SendRequest<Empty<Bytes>> {
        let stream = TokioIo::new(self.tls(&[b"h2"]).await);
        let handshake = http2::handshake(TokioExecutor::new(), stream).await;
        let (sender, connection) = handshake.unwrap();
        tokio::spawn(connection);
        sender
    }

    /// Waits until as many requests for `/hold` have begun.
    async fn begun(&self, count: usize) {
        let mut begun = self.gate.begun.subscribe();
        within(begun.wait_for(|begun| *begun >= count))
            .await
            .unwrap();
    }

    /// Waits until every connection is gone.
    async fn emptied(&self) {
        within(self.running.workers.emptied()).await;
    }
}

fn listener(kind: ListenerKind) -> Listener {
    Listener {
        address: Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))),
        kind,
        proxy_from: None,
    }
}

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("nothing happened")
}

async fn handshake(
    tcp: TcpStream,
    config: ClientConfig,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    within(TlsConnector::from(Arc::new(config)).connect(name, tcp)).await
}

fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(path)
        .header("host", "localhost")
        .body(Empty::new())
        .unwrap()
}

fn get_h2(path: &str) -> Request<Empty<Bytes>> {
    let url = format!("https://localhost{path}");
    Request::get(url).body(Empty::new()).unwrap()
}

/// Writes `bytes` and reads to the end of the connection; a reset counts as its end.
async fn exchange<S>(stream: &mut S, bytes: &[u8]) -> String
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    // The server may have closed already.
    let _ = stream.write_all(bytes).await;
    let _ = stream.flush().await;
    read_to_end(stream).await
}

async fn read_to_end(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    let _ = within(stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// A frame of HTTP/2 (RFC 9113 §4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// What an HTTP/2 client sends first: the preface and its settings.
fn preface() -> Vec<u8> {
    [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
        &frame(4, 0, 0, &[]),
    ]
    .concat()
}

/// The error code of the GOAWAY in what the server sent, if there is one.
fn goaway(mut frames: &[u8]) -> Option<u32> {
    while let Some((head, rest)) = frames.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let payload = rest.get(..length)?;
        if head[3] == 7 {
            return Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        frames = &rest[length..];
    }
    None
}

/// The settings in what the server sent first (RFC 9113 §6.5.2).
fn settings(frames: &[u8]) -> HashMap<u16, u32> {
    assert_eq!(frames[3], 4, "the first frame is SETTINGS");
    let length = usize::from(frames[2]);
    let payload = &frames[9..9 + length];
    let read = |entry: &[u8]| {
        let value = u32::from_be_bytes(entry[2..6].try_into().unwrap());
        (u16::from_be_bytes([entry[0], entry[1]]), value)
    };
    payload.chunks(6).map(read).collect()
}
