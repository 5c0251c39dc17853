//! How long a failed log-in takes: always the same, so that it does not tell which names are known,
//! nor whose password is hashed by which scheme.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Accounts;
use crate::store::StoreError;

/// A failed log-in takes so many times what the slowest scheme took when it was measured: the
/// processors have other work too.
const MARGIN: u32 = 2;

/// What failed log-ins take, and the measurements behind it.
#[derive(Debug, Default)]
pub(super) struct FailureTime {
    /// In microseconds. Zero until the first measurement.
    micros: AtomicU64,
    measured: Mutex<BTreeMap<String, Duration>>,
    outlasted: AtomicBool,
}

impl FailureTime {
    fn get(&self) -> Duration {
        Duration::from_micros(self.micros.load(Ordering::Relaxed))
    }

    fn knows(&self, scheme: &str) -> bool {
        let measured = self.measured.lock();
        measured
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(scheme)
    }

    fn learn(&self, scheme: String, took: Duration) {
        let measured = self.measured.lock();
        measured
            .unwrap_or_else(PoisonError::into_inner)
            .insert(scheme, took);
    }

    /// From now on as long as the slowest of these takes.
    fn settle(&self, schemes: &[String]) {
        let measured = self.measured.lock();
        let measured = measured.unwrap_or_else(PoisonError::into_inner);
        let slowest = schemes
            .iter()
            .filter_map(|scheme| measured.get(scheme))
            .max();
        let time = slowest.map_or(Duration::ZERO, |slowest| *slowest * MARGIN);
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.micros.store(micros, Ordering::Relaxed);
    }
}

impl Accounts {
    /// Measures the schemes by which the accounts' passwords are hashed, as far as that has not been
    /// done: failed log-ins take longer than the slowest of them. To be called before the first log-in;
    /// [`follow`](Self::follow) does it when accounts move in.
    ///
    /// # Errors
    /// The database does not answer. Then nothing changes.
    pub async fn calibrate(&self) -> Result<(), StoreError> {
        let failing = &self.0.failing;
        let mut schemes = self.store().password_schemes().await?;
        schemes.push(self.hasher().own_scheme());
        for scheme in &schemes {
            if failing.knows(scheme) {
                continue;
            }
            match self.hasher().measure(scheme).await {
                Ok(took) => failing.learn(scheme.clone(), took),
                // Busy: another time. Unreadable: such a password is answered like nobody's.
                Err(error) => tracing::debug!(%error, scheme, "a scheme could not be measured"),
            }
        }
        failing.settle(&schemes);
        Ok(())
    }

    /// Waits until a log-in that has failed may be answered. `took` is what its hash took; the wait
    /// for a thread before that was the same for everybody.
    pub(super) async fn wait_for_failure(&self, took: Duration) {
        let failing = &self.0.failing;
        let time = failing.get();
        if took > time && !time.is_zero() && !failing.outlasted.swap(true, Ordering::Relaxed) {
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
    use super::*;

    #[test]
    fn failures_take_longer_than_the_slowest_scheme_that_is_in_use() {
        let failing = FailureTime::default();
        let [fast, slow] = ["fast", "slow"].map(String::from);
        failing.learn(fast.clone(), Duration::from_millis(20));
        failing.learn(slow.clone(), Duration::from_millis(300));
        failing.settle(&[fast.clone(), slow]);
        assert_eq!(failing.get(), Duration::from_millis(600));
        failing.settle(&[fast, String::from("never measured")]);
        assert_eq!(failing.get(), Duration::from_millis(40));
    }
}
