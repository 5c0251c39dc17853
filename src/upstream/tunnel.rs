//! The switch to WebSocket, and the bytes that flow both ways after it.

mod flow;
mod frames;
mod traffic;

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
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
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use flow::{Flow, Until};
use traffic::Running;

pub use traffic::{Passed, Traffic};

use super::answer::{self, Mapping, Sent};
use super::answer_body::InFlight;
use super::error::ProtocolError;
use super::request::Outgoing;
use super::server::Outstanding;
use crate::body::Body;
use crate::inbound::{Passage, Upgrade, UpgradeProtocol};
use crate::secret;
use crate::streams::{Cause, Tether, over};

/// RFC 6455 §1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// How long the end of a frame is waited for, and then how long each step of the farewell.
const CLOSING: Duration = Duration::from_secs(1);

/// A client's wish to switch to WebSocket, which HTTP/1.1 asks for by `Upgrade` and HTTP/2 by
/// extended CONNECT (RFC 8441). The server is always asked in HTTP/1.1.
pub(super) struct Switch {
    client: OnUpgrade,
    busy: Option<Arc<Passage>>,
    asked_in: AskedIn,
    /// What the server has to prove that it read.
    key: Option<HeaderValue>,
    /// Whose tunnel it becomes; `None`: nobody's whose session could end.
    tether: Option<Tether>,
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
            busy: upgrade.busy,
            asked_in,
            key: headers.get(SEC_WEBSOCKET_KEY).cloned(),
            tether: None,
        }
    }

    /// The tunnel ends when this session does.
    #[must_use]
    pub fn tied_by(self, tether: Option<Tether>) -> Self {
        Self { tether, ..self }
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
        (mut head, in_flight): (Response<Incoming>, InFlight),
        idle: Duration,
        (mapping, sent): (&Mapping<'_>, &Sent),
    ) -> Result<Response<Body>, ProtocolError> {
        if !self.is_answered_by(head.headers()) {
            return Err(ProtocolError::Handshake);
        }
        let server = hyper::upgrade::on(&mut head);
        let mut headers = std::mem::take(head.headers_mut());
        answer::clean(&mut headers)?;
        // A browser takes the cookies of a 101 like those of any other answer (RFC 6455 §4.1).
        answer::map_back(&mut headers, mapping, sent);
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
        let traffic = Traffic::default();
        let tunnel = Tunnel {
            traffic: traffic.begin(),
            client: self.client,
            server,
            idle,
            _busy: self.busy,
            _outstanding: in_flight.server,
        };
        response.extensions_mut().insert(traffic);
        let mut tether = self.tether;
        if let Some(tether) = &mut tether {
            tether.hold();
        }
        tokio::spawn(tunnel.run(tether));
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
    traffic: Running,
    _busy: Option<Arc<Passage>>,
    _outstanding: Outstanding,
}

impl Tunnel {
    /// Copies both ways until both sides have closed, nothing moved for the idle time, or the session
    /// is over: then both sides are told why.
    async fn run(self, mut tether: Option<Tether>) {
        let (client, server) = match tokio::try_join!(self.client, self.server) {
            Ok(sides) => sides,
            Err(error) => {
                tracing::debug!(%error, "tunnel was not opened");
                return;
            }
        };
        let moved = AtomicBool::new(false);
        let passed = self.traffic.passed();
        let mut sides = Sides::new(TokioIo::new(client), TokioIo::new(server));
        sides.down.count_in(Arc::clone(&passed));
        let cause = tokio::select! {
            copied = sides.copy(Until::End, &moved) => {
                return match copied {
                    Ok(()) => tracing::debug!("tunnel closed"),
                    // Many a client leaves TLS without a word once it has nothing more to say.
                    Err(_) if sides.have_closed() => tracing::debug!("tunnel closed"),
                    Err(error) => {
                        passed.has_broken();
                        tracing::debug!(%error, "tunnel broke");
                    }
                };
            }
            () = silence(&moved, self.idle) => {
                return tracing::debug!("tunnel was idle for too long");
            }
            cause = over(tether.as_mut()) => cause,
        };
        tracing::debug!(cause = cause.name(), "tunnel is ended");
        sides.close(cause).await;
    }
}

/// The two ends of a tunnel, and what flows between them.
struct Sides<T> {
    client: T,
    server: T,
    up: Flow,
    down: Flow,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Sides<T> {
    fn new(client: T, server: T) -> Self {
        Self {
            client,
            server,
            up: Flow::new(),
            down: Flow::new(),
        }
    }

    /// Lets both flows go as far as `until`.
    async fn copy(&mut self, until: Until, moved: &AtomicBool) -> io::Result<()> {
        let Self {
            client,
            server,
            up,
            down,
        } = self;
        let (mut up_done, mut down_done) = (false, false);
        poll_fn(|cx| {
            if !up_done {
                up_done = up.poll(cx, (client, server), (until, moved))?.is_ready();
            }
            if !down_done {
                down_done = down.poll(cx, (server, client), (until, moved))?.is_ready();
            }
            match up_done && down_done {
                true => Poll::Ready(Ok(())),
                false => Poll::Pending,
            }
        })
        .await
    }

    /// Whether each side has sent the other its Close frame: all was said (RFC 6455 §7.1.1).
    fn have_closed(&self) -> bool {
        self.up.has_closed() && self.down.has_closed()
    }

    /// Tells both sides why they are closed, each as soon as the frame that it is being sent has
    /// come to its end. A side whose frame does not end in time is cut off without a word.
    async fn close(mut self, cause: Cause) {
        let moved = AtomicBool::new(false);
        // An error is of one side; what is known of the other still holds.
        drop(timeout(CLOSING, self.copy(Until::Boundary, &moved)).await);
        let (code, reason) = cause.close_code();
        let farewell = async {
            if self.down.takes_a_frame() {
                let frame = frames::close_for_client(code, reason);
                self.client.write_all(&frame).await?;
            }
            self.client.shutdown().await
        };
        let towards_server = async {
            if self.up.takes_a_frame() {
                let frame = frames::close_for_server(code, reason);
                self.server.write_all(&frame).await?;
            }
            self.server.shutdown().await
        };
        let both = async { tokio::join!(farewell, towards_server) };
        if timeout(CLOSING, both).await.is_ok() {
            // What the client has sent meanwhile is read, or the system answers it with a reset
            // that overtakes the frame.
            let mut sink = tokio::io::sink();
            drop(timeout(CLOSING, tokio::io::copy(&mut self.client, &mut sink)).await);
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
    use tokio::io::{AsyncReadExt, DuplexStream};

    use super::*;

    #[test]
    fn the_proof_is_that_of_the_standard() {
        // RFC 6455 §1.3
        assert_eq!(
            accept(b"dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    /// Two sides whose other ends a test holds.
    fn sides() -> (Sides<DuplexStream>, DuplexStream, DuplexStream) {
        let (client, far_client) = tokio::io::duplex(1024);
        let (server, far_server) = tokio::io::duplex(1024);
        (Sides::new(client, server), far_client, far_server)
    }

    async fn all(mut side: DuplexStream) -> Vec<u8> {
        let mut bytes = Vec::new();
        side.read_to_end(&mut bytes).await.unwrap();
        bytes
    }

    #[tokio::test(start_paused = true)]
    async fn both_sides_are_told_why() {
        let (sides, client, server) = sides();
        let ((), client, server) =
            tokio::join!(sides.close(Cause::Revoked), all(client), all(server));
        assert_eq!(
            client,
            frames::close_for_client(1008, "the session has ended")
        );
        assert_eq!(server[..2], [0x88, 0x80 | 23], "masked");
    }

    #[tokio::test(start_paused = true)]
    async fn a_side_whose_frame_does_not_end_is_cut_off_within_seconds() {
        let (mut sides, client, mut server) = sides();
        server.write_all(&[0x82, 4, 1, 2]).await.unwrap();
        let moved = AtomicBool::new(false);
        let flowing = sides.copy(Until::End, &moved);
        assert!(timeout(Duration::from_millis(1), flowing).await.is_err());
        let begun = crate::clock::timer_now();
        let ((), client, server) =
            tokio::join!(sides.close(Cause::Expired), all(client), all(server));
        assert_eq!(client, [0x82, 4, 1, 2], "nothing is put into a frame");
        assert_eq!(server[..2], [0x88, 0x80 | 25]);
        assert!(crate::clock::timer_now() - begun <= 3 * CLOSING);
    }

    #[tokio::test(start_paused = true)]
    async fn a_side_that_takes_nothing_is_cut_off_within_seconds() {
        let (mut sides, client, mut server) = sides();
        server.write_all(&[0x82, 126, 0x7f, 0xff]).await.unwrap();
        let moved = AtomicBool::new(false);
        let flood = async { while server.write_all(&[0; 100]).await.is_ok() {} };
        let flowing = async {
            let copied = timeout(Duration::from_secs(1), sides.copy(Until::End, &moved)).await;
            assert!(copied.is_err(), "the client takes nothing");
            timeout(3 * CLOSING, sides.close(Cause::Revoked))
                .await
                .unwrap();
        };
        tokio::join!(flood, flowing);
        drop(client);
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
