//! Runs the streams of an HTTP/2 connection on its worker, each as long as its client takes the answer.

use std::cell::RefCell;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use tokio::time::Sleep;

use super::counters::Counters;
use super::exchange::Delivery;

/// The executor of one connection. hyper calls the service and hands over the stream's future in one
/// go, so the delivery that was announced last is that stream's.
#[derive(Clone)]
pub(super) struct StreamExecutor {
    announced: Rc<RefCell<Option<Rc<Delivery>>>>,
    write_time: Duration,
    counters: Arc<Counters>,
}

impl StreamExecutor {
    pub(super) fn new(write_time: Duration, counters: Arc<Counters>) -> Self {
        Self {
            announced: Rc::default(),
            write_time,
            counters,
        }
    }

    /// A delivery for the stream that hyper is about to hand over.
    pub(super) fn announce(&self) -> Rc<Delivery> {
        let delivery = Rc::new(Delivery::default());
        self.announced.replace(Some(Rc::clone(&delivery)));
        delivery
    }
}

impl<F: Future<Output = ()> + 'static> Executor<F> for StreamExecutor {
    fn execute(&self, stream: F) {
        let Some(delivery) = self.announced.take() else {
            tokio::task::spawn_local(stream);
            return;
        };
        let (write_time, counters) = (self.write_time, Arc::clone(&self.counters));
        // Boxed: a task moves its future when it begins and when it ends, and a stream's is large.
        let stream = Box::pin(stream);
        tokio::task::spawn_local(async move {
            if !deliver(stream, &delivery, write_time).await {
                counters.write_timeouts.add_one();
            }
        });
    }
}

/// Runs `stream` to its end, or until one piece of its answer has not been taken for `write_time`;
/// dropping it then resets the stream (CVE-2019-9517: a window that never opens).
async fn deliver(
    stream: impl Future<Output = ()>,
    delivery: &Delivery,
    write_time: Duration,
) -> bool {
    let mut stream = pin!(stream);
    let mut patience: Option<(u64, Pin<Box<Sleep>>)> = None;
    std::future::poll_fn(|cx: &mut Context<'_>| {
        if stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        let Some(piece) = delivery.stuck() else {
            patience = None;
            return Poll::Pending;
        };
        if patience.as_ref().is_none_or(|(stuck, _)| *stuck != piece) {
            patience = Some((piece, Box::pin(tokio::time::sleep(write_time))));
        }
        match &mut patience {
            Some((_, timer)) => timer.as_mut().poll(cx).map(|()| false),
            None => Poll::Pending,
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    /// What becomes of a stream that hands out a piece `count` times, each taken after `pause`.
    async fn delivered(count: u32, pause: Duration) -> bool {
        let delivery = Delivery::default();
        let stream = async {
            for _ in 0..count {
                delivery.hand_out();
                tokio::time::sleep(pause).await;
            }
        };
        deliver(stream, &delivery, LIMIT).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_given_up_when_one_piece_is_not_taken() {
        assert!(!delivered(1, LIMIT * 2).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_stream_goes_on_as_long_as_pieces_are_taken() {
        assert!(delivered(10, LIMIT / 2).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_stream_is_not_a_stuck_one() {
        let delivery = Delivery::default();
        let stream = tokio::time::sleep(LIMIT * 100);
        assert!(deliver(stream, &delivery, LIMIT).await);
    }
}
