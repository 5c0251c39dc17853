//! Opens connections: name, TCP, TLS, HTTP, all within their caller's deadline.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::address::Scheme;
use super::error::ConnectError;
use super::server::Server;
use super::tls::{Versions, agreed_on_http2};
use super::upload::RequestBody;
use crate::tcp::Tcp;

/// Read buffer of an HTTP/1.1 connection in bytes; the head of an answer may be as large. A fixed
/// one reads large answers with the fewest system calls.
const READ_BUFFER: usize = 20 * 1024;

/// Most requests at a time on one HTTP/2 connection; a further one opens another connection.
pub(super) const STREAMS: usize = 100;

/// Window of each HTTP/2 stream in bytes: what a slow client can make us hold.
const STREAM_WINDOW: u32 = 64 * 1024;

/// Window of an HTTP/2 connection in bytes: all streams' windows, so that no slow client stops others.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * STREAMS as u32;

const HEADER_LIST: u32 = 32 * 1024;

/// How often a busy HTTP/2 connection is asked whether it is alive, and how long it may think.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_PATIENCE: Duration = Duration::from_secs(10);

/// The sending half of a new connection; the connection itself runs as a task of this worker.
pub(super) enum Connection {
    Http1(http1::SendRequest<RequestBody>),
    Http2(http2::SendRequest<RequestBody>),
}

/// Opens a connection to `server` that speaks one of `versions`. The caller ends it when it is
/// not there `within` that time.
pub(super) async fn connect(
    server: &Server,
    versions: Versions,
    within: Duration,
) -> Result<Connection, ConnectError> {
    let tcp = Tcp(dial(server, within).await?);
    match (server.address.scheme(), &server.tls) {
        (Scheme::Https, Some(tls)) => {
            let name = ServerName::try_from(server.address.host().to_owned())
                .map_err(|e| ConnectError::Tls(io::Error::other(e)))?;
            let connector = tls.connector(versions);
            let io = connector
                .connect(name, tcp)
                .await
                .map_err(ConnectError::Tls)?;
            if agreed_on_http2(io.get_ref().1.alpn_protocol()) {
                http2(io).await
            } else {
                http1(io).await
            }
        }
        (Scheme::H2c, _) => http2(tcp).await,
        (Scheme::Http | Scheme::Https, _) => http1(tcp).await,
    }
}

async fn dial(server: &Server, within: Duration) -> Result<TcpStream, ConnectError> {
    let (host, port) = (server.address.host(), server.address.port());
    let stream = match host.parse::<IpAddr>() {
        Ok(ip) => TcpStream::connect(SocketAddr::new(ip, port)).await,
        Err(_) => {
            let found = tokio::net::lookup_host((host, port)).await;
            let addresses: Vec<_> = found.map_err(ConnectError::Resolve)?.collect();
            dial_in_turn(&addresses, within).await
        }
    }
    .map_err(ConnectError::Tcp)?;
    stream.set_nodelay(true).map_err(ConnectError::Tcp)?;
    Ok(stream)
}

/// Tries a name's addresses in the order in which the resolver gives them. Each has its share of
/// the time, so that one that swallows packets leaves some for the next.
async fn dial_in_turn(addresses: &[SocketAddr], within: Duration) -> io::Result<TcpStream> {
    let count = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    let share = within.checked_div(count).unwrap_or(within);
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::Error::from(io::ErrorKind::TimedOut),
        }
    }
    Err(last)
}

async fn http1<T>(io: T) -> Result<Connection, ConnectError>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .read_buf_exact_size(Some(READ_BUFFER))
        .handshake(TokioIo::new(io))
        .await
        .map_err(ConnectError::Http)?;
    // By itself, though each request could poll it: docs/performance.md, Many at a time.
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "upstream connection ended");
        }
    });
    Ok(Connection::Http1(sender))
}

async fn http2<T>(io: T) -> Result<Connection, ConnectError>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(STREAM_WINDOW as usize)
        .max_header_list_size(HEADER_LIST)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_PATIENCE)
        .handshake(TokioIo::new(io))
        .await
        .map_err(ConnectError::Http)?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "upstream connection ended");
        }
    });
    Ok(Connection::Http2(sender))
}
