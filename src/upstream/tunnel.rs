//! The switch to WebSocket, and the bytes that flow both ways after it.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::answer;
use super::answer_body::InFlight;
use super::error::ProtocolError;
use super::request::Outgoing;
use super::server::Outstanding;
use crate::body::Body;
use crate::inbound::{Upgrade, UpgradeProtocol};
use crate::secret;

/// RFC 6455 §1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Bytes held for each direction of a tunnel.
const BUFFER: usize = 8 * 1024;

/// A client's wish to switch to WebSocket, which HTTP/1.1 asks for by `Upgrade` and HTTP/2 by
/// extended CONNECT (RFC 8441). The server is always asked in HTTP/1.1.
pub(super) struct Switch {
    client: OnUpgrade,
    asked_in: AskedIn,
    /// What the server has to prove that it read.
    key: Option<HeaderValue>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AskedIn {
    Http1,
    Http2,
}

impl Switch {
    /// Makes `outgoing` ask for the switch. HTTP/2 knows no key: the server gets one of ours.
    pub fn prepare(upgrade: Upgrade, version: Version, outgoing: &mut Outgoing) -> Self {
        match upgrade.protocol {
            UpgradeProtocol::WebSocket => {}
        }
        outgoing.method = Method::GET;
        let headers = &mut outgoing.headers;
        let asked_in = if version == Version::HTTP_2 {
            AskedIn::Http2
        } else {
            AskedIn::Http1
        };
        if asked_in == AskedIn::Http2 {
            let key = STANDARD.encode(secret::random::<16>());
            if let Ok(key) = HeaderValue::try_from(key) {
                headers.insert(SEC_WEBSOCKET_KEY, key);
            }
            headers
                .entry(SEC_WEBSOCKET_VERSION)
                .or_insert(HeaderValue::from_static("13"));
        }
        Self {
            client: upgrade.on_upgrade,
            asked_in,
            key: headers.get(SEC_WEBSOCKET_KEY).cloned(),
        }
    }

    /// Whether any 2xx would tell the client that the tunnel is there.
    pub fn is_refused_only_by_failure(&self) -> bool {
        match self.asked_in {
            AskedIn::Http1 => false,
            AskedIn::Http2 => true,
        }
    }

    /// Answers the client's wish and lets the bytes flow: not one passes before the server's 101
    /// was checked and our answer has gone out.
    ///
    /// # Errors
    ///
    /// When the server's 101 is not the answer to this handshake.
    pub fn complete(
        self,
        mut head: Response<Incoming>,
        in_flight: InFlight,
        idle: Duration,
    ) -> Result<Response<Body>, ProtocolError> {
        if !self.is_answered_by(head.headers()) {
            return Err(ProtocolError::Handshake);
        }
        let server = hyper::upgrade::on(&mut head);
        let mut headers = std::mem::take(head.headers_mut());
        answer::clean(&mut headers)?;
        headers.remove(CONTENT_LENGTH);
        let mut response = Response::new(Body::Empty);
        match self.asked_in {
            AskedIn::Http1 => {
                headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            }
            AskedIn::Http2 => {
                headers.remove(SEC_WEBSOCKET_ACCEPT);
            }
        }
        *response.headers_mut() = headers;
        let tunnel = Tunnel {
            client: self.client,
            server,
            idle,
            _outstanding: in_flight.server,
        };
        // Nothing ends a tunnel from outside yet: a session that ends would complete this future.
        tokio::spawn(tunnel.run(std::future::pending()));
        Ok(response)
    }

    fn is_answered_by(&self, headers: &HeaderMap) -> bool {
        let websocket = headers
            .get(UPGRADE)
            .is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"));
        let proof = headers.get(SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
        let expected = self.key.as_ref().map(|key| accept(key.as_bytes()));
        websocket && expected.is_some() && proof == expected.as_deref().map(str::as_bytes)
    }
}

/// Two switched connections.
struct Tunnel {
    client: OnUpgrade,
    server: OnUpgrade,
    idle: Duration,
    _outstanding: Outstanding,
}

impl Tunnel {
    /// Copies both ways until both sides have closed, nothing moved for the idle time, or `ended`
    /// completes.
    async fn run(self, ended: impl Future<Output = ()>) {
        let (client, server) = match tokio::try_join!(self.client, self.server) {
            Ok(sides) => sides,
            Err(error) => {
                tracing::debug!(%error, "tunnel was not opened");
                return;
            }
        };
        let moved = AtomicBool::new(false);
        let mut client = Watched::new(TokioIo::new(client), &moved);
        let mut server = Watched::new(TokioIo::new(server), &moved);
        let copied =
            tokio::io::copy_bidirectional_with_sizes(&mut client, &mut server, BUFFER, BUFFER);
        tokio::select! {
            copied = copied => match copied {
                Ok((up, down)) => tracing::debug!(up, down, "tunnel closed"),
                Err(error) => tracing::debug!(%error, "tunnel broke"),
            },
            () = silence(&moved, self.idle) => tracing::debug!("tunnel was idle for too long"),
            () = ended => tracing::debug!("tunnel was ended"),
        }
    }
}

/// Completes when nothing moved for `idle`, and less than twice as long.
async fn silence(moved: &AtomicBool, idle: Duration) {
    loop {
        tokio::time::sleep(idle).await;
        if !moved.swap(false, Ordering::Relaxed) {
            return;
        }
    }
}

/// A side of a tunnel that notes when something came from it.
struct Watched<'a, T> {
    io: T,
    moved: &'a AtomicBool,
}

impl<'a, T> Watched<'a, T> {
    fn new(io: T, moved: &'a AtomicBool) -> Self {
        Self { io, moved }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<'_, T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        if polled.is_ready() {
            self.moved.store(true, Ordering::Relaxed);
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<'_, T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// The proof that a server read `key` (RFC 6455 §4.2.2).
pub(super) fn accept(key: &[u8]) -> String {
    // The standard names SHA-1: a checksum here, nothing secret hangs on it.
    let mut digest = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY);
    digest.update(key);
    digest.update(GUID);
    STANDARD.encode(digest.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_is_that_of_the_standard() {
        // RFC 6455 §1.3
        assert_eq!(
            accept(b"dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_noticed_and_movement_puts_it_off() {
        let moved = AtomicBool::new(true);
        let idle = Duration::from_secs(60);
        let begun = crate::clock::timer_now();
        silence(&moved, idle).await;
        assert_eq!(crate::clock::timer_now() - begun, 2 * idle);
    }
}
