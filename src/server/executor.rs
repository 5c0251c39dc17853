//! Runs the streams of an HTTP/2 connection on its worker, each as long as its client takes the answer.

use std::cell::RefCell;
use std::pin::Pin;
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
        // Boxed: a task moves its future when it begins and when it ends, and a stream's is large.
        let delivering = Delivering::new(Box::pin(stream), delivery, self.write_time);
        let counters = Arc::clone(&self.counters);
        tokio::task::spawn_local(async move {
            if delivering.await == Delivered::Stuck {
                counters.write_timeouts.add_one();
            }
        });
    }
}

/// A stream that runs to its end, or until one piece of its answer has not been taken for `write_time`;
/// dropping it then resets the stream (CVE-2019-9517: a window that never opens).
struct Delivering<F> {
    stream: Pin<Box<F>>,
    delivery: Rc<Delivery>,
    write_time: Duration,
    /// The piece that is waited for, and how long yet.
    patience: Option<(u64, Pin<Box<Sleep>>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivered {
    Whole,
    Stuck,
}

impl<F> Delivering<F> {
    fn new(stream: Pin<Box<F>>, delivery: Rc<Delivery>, write_time: Duration) -> Self {
        Self {
            stream,
            delivery,
            write_time,
            patience: None,
        }
    }
}

impl<F: Future<Output = ()>> Future for Delivering<F> {
    type Output = Delivered;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Delivered> {
        let this = &mut *self;
        if this.stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Delivered::Whole);
        }
        let Some(piece) = this.delivery.stuck() else {
            this.patience = None;
            return Poll::Pending;
        };
        let (_, timer) = match &mut this.patience {
            Some(patience) if patience.0 == piece => patience,
            stale => stale.insert((piece, Box::pin(tokio::time::sleep(this.write_time)))),
        };
        timer.as_mut().poll(cx).map(|()| Delivered::Stuck)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    /// What becomes of a stream that hands out a piece `count` times, each taken after `pause`.
    async fn delivered(count: u32, pause: Duration) -> Delivered {
        let delivery = Rc::<Delivery>::default();
        let own = Rc::clone(&delivery);
        let stream = async move {
            for _ in 0..count {
                own.hand_out();
                tokio::time::sleep(pause).await;
            }
        };
        Delivering::new(Box::pin(stream), delivery, LIMIT).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_given_up_when_one_piece_is_not_taken() {
        assert_eq!(delivered(1, LIMIT * 2).await, Delivered::Stuck);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_stream_goes_on_as_long_as_pieces_are_taken() {
        assert_eq!(delivered(10, LIMIT / 2).await, Delivered::Whole);
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_stream_is_not_a_stuck_one() {
        let stream = Box::pin(tokio::time::sleep(LIMIT * 100));
        let delivering = Delivering::new(stream, Rc::default(), LIMIT);
        assert_eq!(delivering.await, Delivered::Whole);
    }
}
