//! The end of a connection whose client is still sending: what comes is read and thrown away for a
//! while (RFC 9112 §9.6). The system would answer it with a reset, and a reset takes the answer away
//! that the client has not read yet.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::clock::timer_now;

/// A client that sends nothing for so long has read its answer, or never will.
const SILENCE: Duration = Duration::from_secs(2);
/// Nobody is listened to for longer: as long as a server of nginx's listens.
const LONGEST: Duration = Duration::from_secs(30);
/// Nor to more than this, in bytes: many clients read no answer before they have sent everything.
const MOST: usize = 128 << 20;
/// What is read at a time, in bytes.
const PIECE: usize = 16 * 1024;

/// What is left of a connection that has said everything.
pub(super) struct Linger {
    end: Instant,
    silence: Pin<Box<Sleep>>,
    read: usize,
    piece: Box<[u8]>,
}

impl Linger {
    pub(super) fn begin() -> Self {
        Self {
            end: timer_now() + LONGEST,
            silence: Box::pin(tokio::time::sleep(SILENCE)),
            read: 0,
            piece: vec![0; PIECE].into_boxed_slice(),
        }
    }

    /// Ready when the client has closed its side, or has had its time.
    pub(super) fn poll(
        &mut self,
        mut from: Pin<&mut impl AsyncRead>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        while self.read < MOST {
            let mut piece = ReadBuf::new(&mut self.piece);
            match from.as_mut().poll_read(cx, &mut piece) {
                Poll::Ready(Ok(())) if !piece.filled().is_empty() => {
                    self.read += piece.filled().len();
                    let silent = timer_now() + SILENCE;
                    self.silence.as_mut().reset(silent.min(self.end));
                }
                Poll::Ready(Ok(()) | Err(_)) => return Poll::Ready(()),
                Poll::Pending => {
                    ready!(self.silence.as_mut().poll(cx));
                    return Poll::Ready(());
                }
            }
            if timer_now() >= self.end {
                break;
            }
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncWriteExt, DuplexStream};

    use super::*;

    /// How long it lingers, and how much it reads.
    async fn lingers(mut end: DuplexStream) -> (Duration, usize) {
        let begun = timer_now();
        let mut linger = Linger::begin();
        poll_fn(|cx| linger.poll(Pin::new(&mut end), cx)).await;
        (timer_now() - begun, linger.read)
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_when_the_client_has_sent_everything() {
        let (end, mut client) = tokio::io::duplex(1000);
        let sending = async {
            client.write_all(&[0; 100_000]).await.unwrap();
            drop(client);
        };
        let (lingered, ()) = tokio::join!(lingers(end), sending);
        assert_eq!(lingered, (Duration::ZERO, 100_000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_nothing_is_not_waited_for() {
        let (end, client) = tokio::io::duplex(1000);
        let (waited, read) = lingers(end).await;
        assert!(waited >= SILENCE && waited < 2 * SILENCE, "{waited:?}");
        assert_eq!(read, 0);
        drop(client);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_drips_or_floods_is_not_listened_to_for_ever() {
        let (end, mut client) = tokio::io::duplex(1000);
        let dripping = tokio::spawn(async move {
            while client.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let (waited, _) = lingers(end).await;
        assert!(
            waited >= LONGEST && waited < LONGEST + SILENCE,
            "{waited:?}"
        );
        dripping.await.unwrap();
        let (end, mut client) = tokio::io::duplex(1 << 20);
        let flooding = tokio::spawn(async move {
            let piece = vec![0; 1 << 20];
            while client.write_all(&piece).await.is_ok() {}
        });
        let (_, read) = lingers(end).await;
        assert!((MOST..=MOST + PIECE).contains(&read), "{read}");
        flooding.await.unwrap();
    }
}
