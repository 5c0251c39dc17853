//! How long a failed log-in takes: always the same, so that it does not tell which names are known,
//! nor whose password is hashed by which scheme.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::Accounts;
use crate::store::StoreError;

/// A failed log-in takes so many times what the slowest scheme took when it was measured: the
/// processors have other work too.
const MARGIN: u32 = 2;

/// What failed log-ins take, and the measurements behind it.
#[derive(Debug, Default)]
pub(super) struct FailureTime {
    /// `None` until the first measurement.
    time: watch::Sender<Option<Duration>>,
    /// `None` while a scheme is being measured.
    measured: Mutex<BTreeMap<String, Option<Duration>>>,
    outlasted: AtomicBool,
}

impl FailureTime {
    /// Waits for the first measurement.
    async fn get(&self) -> Duration {
        let mut time = self.time.subscribe();
        let known = time.wait_for(Option::is_some).await;
        // Never an error: `self` is the sender.
        known.ok().and_then(|time| *time).unwrap_or_default()
    }

    /// Whether a scheme is to be measured: it has not been, nor does anybody else do it.
    fn begin(&self, scheme: &str) -> bool {
        let mut measured = self.measured();
        let is_new = !measured.contains_key(scheme);
        if is_new {
            measured.insert(scheme.to_owned(), None);
        }
        is_new
    }

    fn learn(&self, scheme: String, took: Duration) {
        self.measured().insert(scheme, Some(took));
    }

    fn give_up(&self, scheme: &str) {
        self.measured().remove(scheme);
    }

    /// From now on as long as the slowest of these takes.
    fn settle(&self, schemes: &[String]) {
        let measured = self.measured();
        let times = schemes.iter().filter_map(|scheme| *measured.get(scheme)?);
        if let Some(slowest) = times.max() {
            self.time.send_replace(Some(slowest * MARGIN));
        }
    }

    fn measured(&self) -> MutexGuard<'_, BTreeMap<String, Option<Duration>>> {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Accounts {
    /// Has the schemes measured by which the accounts' passwords are hashed, as far as that has not
    /// been done: failed log-ins take longer than the slowest of them. To be called before the first
    /// log-in can come; [`follow`](Self::follow) does it when accounts move in. The hashing threads
    /// have been asked when this returns; what it returns waits until they have answered.
    ///
    /// # Errors
    /// The database does not answer. Then nothing changes.
    pub async fn calibrate(&self) -> Result<impl Future<Output = ()> + use<>, StoreError> {
        let mut schemes = self.store().password_schemes().await?;
        schemes.push(self.hasher().own_scheme());
        let measure = |scheme: &String| (scheme.clone(), self.hasher().measure(scheme));
        let unknown = schemes.iter().filter(|scheme| self.0.failing.begin(scheme));
        let measuring: Vec<_> = unknown.map(measure).collect();
        let accounts = self.clone();
        Ok(async move {
            let failing = &accounts.0.failing;
            for (scheme, took) in measuring {
                match took.await {
                    Ok(took) => failing.learn(scheme, took),
                    // Busy: another time. Unreadable: such a password is answered like nobody's.
                    Err(error) => {
                        tracing::debug!(%error, scheme, "a scheme could not be measured");
                        failing.give_up(&scheme);
                    }
                }
            }
            failing.settle(&schemes);
        })
    }

    /// Waits until a log-in that has failed may be answered. `took` is what its hash took; the wait
    /// for a thread before that was the same for everybody.
    pub(super) async fn wait_for_failure(&self, took: Duration) {
        let failing = &self.0.failing;
        let time = failing.get().await;
        if took > time && !failing.outlasted.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                took_ms = took.as_millis(),
                failures_take_ms = time.as_millis(),
                "a password hash took longer than failed log-ins do: is the machine overloaded?"
            );
        }
        // By a timer, not by work: an attacker must not be able to keep the processors busy.
        tokio::time::sleep(time.saturating_sub(took)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn failures_take_longer_than_the_slowest_scheme_that_is_in_use() {
        let failing = FailureTime::default();
        let [fast, slow] = ["fast", "slow"].map(String::from);
        failing.learn(fast.clone(), Duration::from_millis(20));
        failing.learn(slow.clone(), Duration::from_millis(300));
        failing.settle(&[fast.clone(), slow]);
        assert_eq!(failing.get().await, Duration::from_millis(600));
        failing.settle(&[fast, String::from("never measured")]);
        assert_eq!(failing.get().await, Duration::from_millis(40));
    }

    #[tokio::test]
    async fn a_failure_waits_for_the_first_measurement() {
        let failing = FailureTime::default();
        let mut waiting = Box::pin(failing.get());
        let early = poll_once(waiting.as_mut());
        assert_eq!(early.await, None);
        failing.settle(&[]);
        assert_eq!(poll_once(waiting.as_mut()).await, None, "nothing measured");
        failing.learn(String::from("own"), Duration::from_millis(1));
        failing.settle(&[String::from("own")]);
        assert_eq!(waiting.await, Duration::from_millis(2));
    }

    /// What a future answers at once.
    async fn poll_once<T>(mut future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }
}
