//! The command line's side of the admin socket.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use crate::admin::api::Failure;
use crate::admin::operation::Operation;

/// A gateway hashes within a second or two, or says that it is busy.
const PATIENCE: Duration = Duration::from_secs(30);
/// A page of accounts in bytes, generously.
const MOST_ANSWER: usize = 8 * 1024 * 1024;

/// Why a running gateway did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No gateway runs with this socket.
    #[error("no gateway serves the admin socket")]
    Absent,
    #[error("the admin socket cannot be used")]
    Connect(#[source] io::Error),
    #[error("the gateway broke off")]
    Http(#[source] hyper::Error),
    #[error("the gateway's answer cannot be read")]
    Answer(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the gateway does not answer")]
    TimedOut,
    /// The command was understood and not carried out.
    #[error("{0}")]
    Refused(String),
}

/// Has the gateway behind `socket` carry out `command`.
///
/// # Errors
/// [`ClientError::Absent`] when no gateway runs: then the caller may open the database itself.
pub async fn command<O: Operation>(socket: &Path, command: &O) -> Result<O::Answer, ClientError> {
    let stream = match UnixStream::connect(socket).await {
        Ok(stream) => stream,
        Err(error) => {
            return Err(match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::Absent,
                _ => ClientError::Connect(error),
            });
        }
    };
    tokio::time::timeout(PATIENCE, exchange(stream, command))
        .await
        .unwrap_or(Err(ClientError::TimedOut))
}

async fn exchange<O: Operation>(stream: UnixStream, command: &O) -> Result<O::Answer, ClientError> {
    let body = serde_json::to_vec(command).map_err(|e| ClientError::Answer(e.into()))?;
    let mut req = Request::post(O::PATH)
        .body(Full::new(Bytes::from(body)))
        .map_err(|e| ClientError::Answer(e.into()))?;
    req.headers_mut()
        .insert(header::HOST, HeaderValue::from_static("admin"));
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(ClientError::Http)?;
    // Ends with the exchange: `sender` is dropped with this function.
    let driver = tokio::spawn(connection);
    let res = sender.send_request(req).await.map_err(ClientError::Http)?;
    let status = res.status();
    let body = Limited::new(res.into_body(), MOST_ANSWER)
        .collect()
        .await
        .map_err(ClientError::Answer)?
        .to_bytes();
    driver.abort();
    if status.is_success() {
        return serde_json::from_slice(&body).map_err(|e| ClientError::Answer(e.into()));
    }
    let failure: Failure =
        serde_json::from_slice(&body).map_err(|e| ClientError::Answer(e.into()))?;
    Err(ClientError::Refused(failure.message))
}
