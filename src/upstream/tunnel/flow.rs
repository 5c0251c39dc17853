//! One direction of a tunnel: bytes as they come, and a stop between two frames.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::Frames;
use super::traffic::Passed;

/// Bytes held for each direction of a tunnel.
const BUFFER: usize = 8 * 1024;

/// How far a flow goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// To the end of what is read, which is passed on.
    End,
    /// To the next boundary of frames.
    Boundary,
}

/// One direction.
pub(super) struct Flow {
    buffer: Box<[u8]>,
    /// What is held: read and not yet written.
    held: std::ops::Range<usize>,
    frames: Frames,
    /// Nothing more comes.
    ended: bool,
    unflushed: bool,
    passed: Option<Arc<Passed>>,
}

impl Flow {
    pub(super) fn new() -> Self {
        Self {
            buffer: vec![0; BUFFER].into(),
            held: 0..0,
            frames: Frames::default(),
            ended: false,
            unflushed: false,
            passed: None,
        }
    }

    /// From now on what is passed on is counted.
    pub(super) fn count_in(&mut self, passed: Arc<Passed>) {
        self.passed = Some(passed);
    }

    /// Whether a frame of ours fits after what was passed on, and means something there.
    pub(super) fn takes_a_frame(&self) -> bool {
        self.frames.at_boundary() && !self.frames.closed() && !self.ended
    }

    /// Whether a Close frame was passed on.
    pub(super) fn has_closed(&self) -> bool {
        self.frames.closed()
    }

    /// Moves bytes until there is nothing to do, or the flow has come as far as it goes.
    pub(super) fn poll<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        (reader, writer): (&mut R, &mut W),
        (until, moved): (Until, &AtomicBool),
    ) -> Poll<io::Result<()>> {
        loop {
            while let Some(held) = self.buffer.get(self.held.clone())
                && !held.is_empty()
            {
                let piece = match until {
                    Until::End => held,
                    Until::Boundary if self.frames.at_boundary() => break,
                    Until::Boundary => {
                        let rest = self.frames.rest_of_frame(held);
                        held.get(..rest).unwrap_or(held)
                    }
                };
                let written = ready!(Pin::new(&mut *writer).poll_write(cx, piece))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.frames.pass(piece.get(..written).unwrap_or(piece));
                if let Some(passed) = &self.passed {
                    passed.add(written);
                }
                self.held.start += written;
                self.unflushed = true;
            }
            if until == Until::Boundary && (self.ended || self.frames.at_boundary()) {
                ready!(self.poll_flush(cx, writer))?;
                return Poll::Ready(Ok(()));
            }
            if self.ended {
                return Pin::new(&mut *writer).poll_shutdown(cx);
            }
            let mut space = ReadBuf::new(&mut self.buffer);
            match Pin::new(&mut *reader).poll_read(cx, &mut space) {
                Poll::Ready(read) => {
                    read?;
                    self.held = 0..space.filled().len();
                    self.ended = self.held.is_empty();
                    moved.store(true, Ordering::Relaxed);
                }
                Poll::Pending => {
                    ready!(self.poll_flush(cx, writer))?;
                    return Poll::Pending;
                }
            }
        }
    }

    fn poll_flush<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        writer: &mut W,
    ) -> Poll<io::Result<()>> {
        if self.unflushed {
            ready!(Pin::new(writer).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_stop_comes_between_two_frames() {
        let (mut from, mut reader) = tokio::io::duplex(1024);
        let (mut writer, mut to) = tokio::io::duplex(1024);
        let (mut flow, moved) = (Flow::new(), AtomicBool::new(false));
        // Half a frame, and then the rest with two more behind it.
        from.write_all(&[0x82, 4, 1, 2]).await.unwrap();
        let first = poll_fn(|cx| {
            let polled = flow.poll(cx, (&mut reader, &mut writer), (Until::End, &moved));
            assert!(polled.is_pending());
            Poll::Ready(())
        });
        first.await;
        assert!(!flow.takes_a_frame());
        from.write_all(&[3, 4, 0x82, 1, 9, 0x82, 1, 9])
            .await
            .unwrap();
        poll_fn(|cx| flow.poll(cx, (&mut reader, &mut writer), (Until::Boundary, &moved)))
            .await
            .unwrap();
        assert!(flow.takes_a_frame());
        drop(writer);
        let mut passed = Vec::new();
        to.read_to_end(&mut passed).await.unwrap();
        assert_eq!(passed, [0x82, 4, 1, 2, 3, 4]);
    }

    #[tokio::test]
    async fn the_end_is_passed_on() {
        let (mut from, mut reader) = tokio::io::duplex(1024);
        let (mut writer, mut to) = tokio::io::duplex(1024);
        let (mut flow, moved) = (Flow::new(), AtomicBool::new(false));
        from.write_all(b"anything").await.unwrap();
        drop(from);
        poll_fn(|cx| flow.poll(cx, (&mut reader, &mut writer), (Until::End, &moved)))
            .await
            .unwrap();
        let mut passed = String::new();
        to.read_to_string(&mut passed).await.unwrap();
        assert_eq!(passed, "anything");
        assert!(moved.load(Ordering::Relaxed));
    }
}
