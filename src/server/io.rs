//! A connection's bytes, plain or under TLS, and the marks that its deadlines are read from.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Duration, Instant};

use super::connection::Protocol;
use super::linger::Linger;
use super::slots::Slot;
use super::tls::stream::TlsStream;
use crate::clock::timer_now;
use crate::inbound::Flight;
use crate::tcp::Tcp;

/// What HTTP reads from and writes to. Holds the connection's place until it is dropped, also when the
/// connection was upgraded and lives on elsewhere.
pub(super) struct Io {
    stream: Stream,
    wire: Arc<Wire>,
    protocol: Protocol,
    /// Set when everything has been said.
    linger: Option<Box<Linger>>,
    _slot: Slot,
}

pub(super) enum Stream {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

/// A socket that marks when its client stops taking what is written: below TLS, whose buffer would
/// hide it.
pub(super) struct Socket {
    tcp: Tcp,
    wire: Arc<Wire>,
}

/// The marks of one connection, set by its bytes and read by its driver.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) flight: Arc<Flight>,
    start: Instant,
    /// The first byte that came while no request was under way.
    head: Mark,
    /// The first write that the client did not take.
    blocked: Mark,
    /// Set when the connection has become a tunnel, which has deadlines of its own.
    tunnelled: AtomicBool,
}

/// A moment, or none: milliseconds from the connection's start, plus one.
#[derive(Debug, Default)]
struct Mark(AtomicU64);

impl Io {
    pub(super) fn new(stream: Stream, wire: Arc<Wire>, protocol: Protocol, slot: Slot) -> Self {
        Self {
            stream,
            wire,
            protocol,
            linger: None,
            _slot: slot,
        }
    }

    /// Whether the client may be sending something that nobody reads. In HTTP/2 it is told to stop
    /// (RST_STREAM), and everything is read.
    fn leaves_something_unread(&self) -> bool {
        match self.protocol {
            Protocol::Http2 => false,
            // What still comes through a tunnel is its own.
            Protocol::Http1 | Protocol::Redirect if self.wire.is_tunnelled() => false,
            Protocol::Http1 | Protocol::Redirect => {
                self.wire.flight.is_unread() || self.wire.head_since().is_some()
            }
        }
    }
}

impl Socket {
    pub(super) fn new(tcp: TcpStream, wire: Arc<Wire>) -> Self {
        Self {
            tcp: Tcp(tcp),
            wire,
        }
    }
}

impl Wire {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            flight: Flight::new(),
            start: timer_now(),
            head: Mark::default(),
            blocked: Mark::default(),
            tunnelled: AtomicBool::new(false),
        })
    }

    /// Since when a request's head has been coming in.
    pub(super) fn head_since(&self) -> Option<Instant> {
        self.head.read(self.start)
    }

    /// The head is complete: its request is under way.
    pub(super) fn head_complete(&self) {
        self.head.clear();
        self.flight.begin_anew();
    }

    /// Since when the client has taken nothing of what we have to send.
    pub(super) fn blocked_since(&self) -> Option<Instant> {
        self.blocked.read(self.start)
    }

    pub(super) fn set_tunnelled(&self) {
        self.tunnelled.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_tunnelled(&self) -> bool {
        self.tunnelled.load(Ordering::Relaxed)
    }
}

impl Mark {
    fn set_once(&self, start: Instant) {
        if self.0.load(Ordering::Relaxed) == 0 {
            let millis = timer_now().duration_since(start).as_millis();
            let millis = u64::try_from(millis).unwrap_or(u64::MAX - 1);
            self.0.store(millis + 1, Ordering::Relaxed);
        }
    }

    fn clear(&self) {
        if self.0.load(Ordering::Relaxed) != 0 {
            self.0.store(0, Ordering::Relaxed);
        }
    }

    fn read(&self, start: Instant) -> Option<Instant> {
        let millis = self.0.load(Ordering::Relaxed).checked_sub(1)?;
        Some(start + Duration::from_millis(millis))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_read(cx, buf)
    }
}

impl Socket {
    fn wrote(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &result {
            Poll::Ready(_) => self.wire.blocked.clear(),
            Poll::Pending => self.wire.blocked.set_once(self.wire.start),
        }
        result
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.tcp).poll_write(cx, buf);
        self.wrote(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs);
        self.wrote(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, wire, .. } = self.get_mut();
        let before = buf.filled().len();
        let result = match stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        };
        if buf.filled().len() > before && !wire.flight.is_busy() {
            wire.head.set_once(wire.start);
        }
        result
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let io = self.get_mut();
        if io.linger.is_none() {
            ready!(match &mut io.stream {
                Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
                Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
            })?;
            if !io.leaves_something_unread() {
                return Poll::Ready(Ok(()));
            }
        }
        // Below TLS: there is nothing in it that has to be read.
        let socket = match &mut io.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream.below(),
        };
        let linger = io.linger.get_or_insert_with(|| Box::new(Linger::begin()));
        linger.poll(Pin::new(socket), cx).map(Ok)
    }
}
