//! One connection of the admin listeners: HTTP/1.1, small, and never for long.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections served at once: probes, scrapes and one operator need a few.
const MOST_CONNECTIONS: usize = 64;
/// From the first byte of a request's head to its last.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection's life; a scraper opens another one.
const LIFETIME: Duration = Duration::from_secs(300);
/// After a failed accept: the usual cause is that no descriptor is free.
const BACK_OFF: Duration = Duration::from_millis(100);

pub(super) type Answer = Response<Full<Bytes>>;

/// The places for connections of one listener.
#[derive(Clone)]
pub(super) struct Places(Arc<Semaphore>);

impl Places {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MOST_CONNECTIONS)))
    }

    /// Waits for a free place.
    pub(super) async fn take(&self) -> Option<OwnedSemaphorePermit> {
        self.0.clone().acquire_owned().await.ok()
    }
}

/// Serves `io` by `answer` until the client goes or has been there for long.
pub(super) async fn serve<I, F, A>(io: I, answer: F)
where
    I: AsyncRead + AsyncWrite + Unpin,
    F: Fn(Request<Incoming>) -> A,
    A: Future<Output = Answer>,
{
    let service = service_fn(async |req| Ok::<_, Infallible>(answer(req).await));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(io), service);
    match tokio::time::timeout(LIFETIME, connection).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an admin connection broke off"),
    }
}

/// Says that accepting failed and waits before the next try.
pub(super) async fn back_off(error: std::io::Error) {
    tracing::warn!(%error, "the admin listener cannot accept");
    tokio::time::sleep(BACK_OFF).await;
}

/// An answer that no cache keeps.
pub(super) fn answer(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut res = Response::new(Full::new(body.into()));
    *res.status_mut() = status;
    let headers = res.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    res
}
