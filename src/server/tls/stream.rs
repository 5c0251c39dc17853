//! TLS over a socket. A connection on which nothing is under way keeps no buffer: what comes is read into
//! one of its thread's and decrypted there, and what goes is encrypted in another (see [`scratch`]).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::super::connection::Protocol;
use super::backlog::Backlog;
use super::scratch::{self, Scratch};
use super::session::Session;

/// Reads in a row that may tell nothing, before others have their turn: a client can send messages of TLS
/// alone, and each new key is some work.
const IDLE_READS: usize = 4;

pub(in crate::server) struct TlsStream<T> {
    below: T,
    session: Session,
    /// The beginning of a message whose end has not come.
    begun: Vec<u8>,
    /// What the client said, and nobody has read.
    heard: Backlog,
    /// Encrypted, and not taken by the socket.
    unsent: Backlog,
}

impl<T: AsyncRead + AsyncWrite + Unpin> TlsStream<T> {
    /// Does the handshake.
    pub(in crate::server) async fn accept(below: T, config: Arc<ServerConfig>) -> io::Result<Self> {
        let session = Session::new(config).map_err(io::Error::other)?;
        let mut stream = Self {
            below,
            session,
            begun: Vec::new(),
            heard: Backlog::default(),
            unsent: Backlog::default(),
        };
        std::future::poll_fn(|cx| stream.poll_handshake(cx)).await?;
        Ok(stream)
    }

    /// Which HTTP was agreed on.
    pub(in crate::server) fn protocol(&self) -> Protocol {
        self.session.protocol()
    }

    /// The socket, for who has done with TLS.
    pub(in crate::server) fn below(&mut self) -> &mut T {
        &mut self.below
    }

    /// What its buffers take, in bytes.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.begun.capacity() + self.heard.capacity() + self.unsent.capacity()
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let sent = self.poll_send(cx)?;
            // Whatever the end is, the client is told first.
            let failed = self.session.check();
            if failed.is_err() || !self.session.is_handshaking() {
                ready!(sent);
                return Poll::Ready(failed);
            }
            // Also when there is more to be sent: a client may read only after we have.
            let received = ready!(self.poll_receive(cx, &mut ReadBuf::new(&mut [])));
            if self.session.check().is_ok() {
                received?;
            }
        }
    }

    /// Reads once from the socket. What it decrypts goes into `buf`, and what that has no room for is kept.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.session.check()?;
        scratch::borrow(|Scratch { inbound, .. }| {
            let (begun, free) = inbound.split_at_mut(self.begun.len());
            begun.copy_from_slice(&self.begun);
            let mut room = ReadBuf::new(free);
            ready!(Pin::new(&mut self.below).poll_read(cx, &mut room))?;
            let came = room.filled().len();
            if came == 0 {
                // Without the client's last word this may be somebody else's doing (RFC 8446 §6.1).
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            let (wire, _) = inbound.split_at_mut(self.begun.len() + came);
            let Self {
                session,
                heard,
                unsent,
                ..
            } = self;
            let hear = |said: &[u8]| {
                let (now, later) = said.split_at(said.len().min(buf.remaining()));
                buf.put_slice(now);
                heard.push(later);
            };
            let done = session.receive(wire, hear, unsent.end())?;
            self.begun = wire.split_at(done).1.to_vec();
            if self.begun.len() == inbound.len() {
                session.fail(rustls::Error::PeerSentOversizedRecord);
            }
            Poll::Ready(session.check())
        })
    }

    /// Sends what is left over.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            let sent = ready!(Pin::new(&mut self.below).poll_write(cx, self.unsent.rest()))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unsent.drop_first(sent);
        }
        Poll::Ready(Ok(()))
    }

    /// Sends `wire` as far as the socket takes it, and keeps the rest. Nothing is left over from before.
    fn send(&mut self, cx: &mut Context<'_>, wire: &[u8]) -> io::Result<()> {
        let sent = match Pin::new(&mut self.below).poll_write(cx, wire) {
            Poll::Ready(sent) => sent?,
            Poll::Pending => 0,
        };
        self.unsent.push(wire.split_at(sent).1);
        // Until it takes no more: then the socket says when it does again.
        match self.poll_send(cx) {
            Poll::Ready(sent) => sent,
            Poll::Pending => Ok(()),
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        let before = buf.filled().len();
        stream.heard.give(buf);
        let mut reads = 0;
        while buf.filled().len() == before && buf.remaining() > 0 && !stream.session.peer_closed() {
            if reads == IDLE_READS {
                // The socket may have more, and then does not wake us.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            reads += 1;
            let received = ready!(stream.poll_receive(cx, buf));
            // What TLS itself answers is sent when it can be; what hinders that is found by who writes.
            drop(stream.poll_send(cx));
            // What came before a fault is given first. The fault is not forgotten.
            if buf.filled().len() == before {
                received?;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        ready!(stream.poll_send(cx))?;
        scratch::borrow(|Scratch { outbound, .. }| {
            let (plain, wire) = outbound.gather(bufs);
            let length = stream.session.encrypt(plain, &mut stream.begun, wire)?;
            stream.send(cx, wire.split_at(length).0)?;
            Poll::Ready(Ok(plain.len()))
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        ready!(stream.poll_send(cx))?;
        Pin::new(&mut stream.below).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        ready!(stream.poll_send(cx))?;
        if stream.session.check().is_ok() {
            scratch::borrow(|Scratch { outbound, .. }| {
                let wire = &mut outbound.wire;
                match stream.session.close(&mut stream.begun, wire)? {
                    0 => Ok(()),
                    length => stream.send(cx, wire.split_at(length).0),
                }
            })?;
            ready!(stream.poll_send(cx))?;
        }
        Pin::new(&mut stream.below).poll_shutdown(cx)
    }
}
