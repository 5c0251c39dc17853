//! HTTP clients over TLS: one request a connection, HTTP/1.1 or HTTP/2.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::body::{self, SendBody};
use super::raw::{Io, Raw};
use super::{certs, within};

/// Where requests go, and how.
#[derive(Clone)]
pub struct Client {
    to: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    host: String,
    from: Option<IpAddr>,
    http2: bool,
    /// What stands before TLS: a PROXY header.
    preamble: Vec<u8>,
}

/// An answer that has been read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: Option<HeaderMap>,
}

impl Client {
    /// Over TLS, to `localhost`, believing the suite's authority.
    pub fn https(port: u16) -> Self {
        Self {
            to: SocketAddr::from(([127, 0, 0, 1], port)),
            tls: Some(Arc::new(certs::authority().client(&[]))),
            host: String::from("localhost"),
            from: None,
            http2: false,
            preamble: Vec::new(),
        }
    }

    /// Without TLS.
    pub fn http(port: u16) -> Self {
        Self {
            tls: None,
            ..Self::https(port)
        }
    }

    /// Over TLS, believing the authorities in this PEM file.
    pub fn believing(port: u16, pem: &Path) -> Self {
        let tls = certs::client_believing(pem, &[]);
        Self {
            tls: Some(Arc::new(tls)),
            ..Self::https(port)
        }
    }

    pub fn h2(mut self) -> Self {
        self.http2 = true;
        self
    }

    /// Opens its connections from this loopback address.
    pub fn from(mut self, address: &str) -> Self {
        self.from = Some(address.parse().unwrap());
        self
    }

    /// Asks for this name in TLS and in Host.
    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// Sends these bytes before TLS.
    pub fn preamble(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.preamble = bytes.into();
        self
    }

    pub fn tls(mut self, change: impl FnOnce(&mut ClientConfig)) -> Self {
        let mut config = (**self.tls.as_ref().expect("a TLS client")).clone();
        change(&mut config);
        self.tls = Some(Arc::new(config));
        self
    }

    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.to.port())
    }

    pub fn url(&self, path: &str) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.authority())
    }

    pub fn get(&self, path: &str) -> Call {
        self.call("GET", path)
    }

    pub fn post(&self, path: &str) -> Call {
        self.call("POST", path)
    }

    pub fn call(&self, method: &str, path: &str) -> Call {
        let request = Request::builder().method(method).uri(self.target(path));
        let request = match self.http2 {
            true => request,
            false => request.header("host", self.authority()),
        };
        Call {
            client: self.clone(),
            request,
            body: body::empty(),
        }
    }

    fn target(&self, path: &str) -> String {
        if self.http2 {
            self.url(path)
        } else {
            path.to_owned()
        }
    }

    /// Opens the TCP connection, and sends what stands before TLS.
    pub async fn tcp(&self) -> std::io::Result<TcpStream> {
        use tokio::io::AsyncWriteExt;

        let socket = TcpSocket::new_v4()?;
        if let Some(from) = self.from {
            socket.bind(SocketAddr::new(from, 0))?;
        }
        let mut stream = socket.connect(self.to).await?;
        stream.set_nodelay(true)?;
        stream.write_all(&self.preamble).await?;
        Ok(stream)
    }

    /// Opens a TLS connection that offers these protocols.
    pub async fn handshake(&self, alpn: &[&[u8]]) -> std::io::Result<TlsStream<TcpStream>> {
        let mut config = (**self.tls.as_ref().expect("a TLS client")).clone();
        config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
        let name = ServerName::try_from(self.host.clone()).unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, self.tcp().await?)
            .await
    }

    /// Opens a connection, over TLS unless this client has none.
    pub async fn open(&self, alpn: &[&[u8]]) -> std::io::Result<Box<dyn Io>> {
        match self.tls {
            Some(_) => Ok(Box::new(self.handshake(alpn).await?)),
            None => Ok(Box::new(self.tcp().await?)),
        }
    }

    /// A connection on which the test writes the bytes of HTTP/1.1 itself.
    pub async fn raw(&self) -> Raw {
        Raw::new(self.open(&[b"http/1.1"]).await.unwrap())
    }

    /// An HTTP/2 connection by the `h2` crate, for what hyper would not send.
    pub async fn h2_sender(
        &self,
    ) -> (
        h2::client::SendRequest<Bytes>,
        h2::client::Connection<Box<dyn Io>, Bytes>,
    ) {
        let io = self.open(&[b"h2"]).await.unwrap();
        h2::client::handshake(io).await.unwrap()
    }

    /// A connection for several requests.
    pub async fn connect(&self) -> Connection {
        self.try_connect().await.unwrap()
    }

    pub async fn try_connect(&self) -> Result<Connection, Failure> {
        let opening = async {
            if self.http2 {
                let io = TokioIo::new(self.open(&[b"h2"]).await?);
                let (sender, task) =
                    hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await?;
                let task = tokio::spawn(async move {
                    let _ = task.await;
                });
                Ok(Connection {
                    sender: Sender::Http2(sender),
                    task,
                })
            } else {
                let io = TokioIo::new(self.open(&[b"http/1.1"]).await?);
                let (sender, task) = hyper::client::conn::http1::handshake(io).await?;
                let task = tokio::spawn(async move {
                    let _ = task.with_upgrades().await;
                });
                Ok(Connection {
                    sender: Sender::Http1(sender),
                    task,
                })
            }
        };
        within("a connection opens", opening).await
    }
}

/// Why there was no answer at all.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("the connection failed")]
    Connect(#[from] std::io::Error),
    #[error("the exchange failed")]
    Http(#[from] hyper::Error),
}

/// One open connection.
pub struct Connection {
    sender: Sender,
    task: tokio::task::JoinHandle<()>,
}

enum Sender {
    Http1(hyper::client::conn::http1::SendRequest<SendBody>),
    Http2(hyper::client::conn::http2::SendRequest<SendBody>),
}

impl Connection {
    pub async fn send(&mut self, request: Request<SendBody>) -> hyper::Result<Response<Incoming>> {
        match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }

    /// Returns when the other end has closed the connection.
    pub async fn closed(self) {
        // The sender must live: dropping it would close an idle connection from this end.
        within("the connection is closed", self.task).await.unwrap();
        drop(self.sender);
    }
}

/// A request being put together.
pub struct Call {
    client: Client,
    request: http::request::Builder,
    body: SendBody,
}

impl Call {
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let value = http::HeaderValue::from_bytes(value.as_ref()).unwrap();
        self.request = self.request.header(name, value);
        self
    }

    /// Puts another value for a header that the client sets itself.
    pub fn replace(mut self, name: &'static str, value: &str) -> Self {
        let headers = self.request.headers_mut().unwrap();
        headers.insert(name, value.parse().unwrap());
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    pub fn json(self, value: serde_json::Value) -> Self {
        self.header("content-type", "application/json")
            .bytes(value.to_string())
    }

    pub fn form(self, text: &str) -> Self {
        self.header("content-type", "application/x-www-form-urlencoded")
            .bytes(text.to_owned())
    }

    pub fn bytes(self, bytes: impl Into<Bytes>) -> Self {
        self.body(body::full(bytes))
    }

    pub fn body(mut self, body: SendBody) -> Self {
        self.body = body;
        self
    }

    pub fn build(self) -> Request<SendBody> {
        self.request.body(self.body).unwrap()
    }

    /// Sends it and reads the whole answer.
    pub async fn send(self) -> Answer {
        self.try_send().await.unwrap()
    }

    pub async fn try_send(self) -> Result<Answer, Failure> {
        let exchange = async {
            let (response, _connection) = self.exchange().await?;
            Ok(Answer::read(response).await?)
        };
        within("an answer arrives", exchange).await
    }

    /// Sends it and returns as soon as the head of the answer is there. The connection lives on
    /// while its second half is kept.
    pub async fn open(self) -> (Response<Incoming>, Connection) {
        within("the head of an answer arrives", self.exchange())
            .await
            .unwrap()
    }

    async fn exchange(self) -> Result<(Response<Incoming>, Connection), Failure> {
        let mut connection = self.client.try_connect().await?;
        let response = connection.send(self.build()).await?;
        Ok((response, connection))
    }
}

impl Answer {
    pub async fn read(response: Response<Incoming>) -> hyper::Result<Self> {
        let (head, body) = response.into_parts();
        let body = body.collect().await?;
        let trailers = body.trailers().cloned();
        Ok(Self {
            status: head.status,
            headers: head.headers,
            body: body.to_bytes(),
            trailers,
        })
    }

    /// The answer's body as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("{error}: {} {:?}", self.status, self.text()),
        }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Fails the test with the body when the status is another.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(
            self.status.as_u16(),
            status,
            "{:?} {}",
            self.headers,
            self.text()
        );
        self
    }
}
