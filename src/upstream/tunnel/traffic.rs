//! What passes through a tunnel, for those who account for it: it begins when the answer has long
//! gone out.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The traffic of one tunnel, as an extension of the answer that opens it.
#[derive(Clone, Default)]
pub struct Traffic(Arc<Shared>);

#[derive(Default)]
struct Shared {
    passed: Arc<Passed>,
    witness: Mutex<Witness>,
}

/// What has passed so far.
#[derive(Debug, Default)]
pub struct Passed {
    down: AtomicU64,
    broke: AtomicBool,
}

#[derive(Default)]
enum Witness {
    #[default]
    None,
    Kept {
        _witness: Box<dyn Send>,
    },
    /// The tunnel is over.
    Gone,
}

/// The tunnel's end of it: dropped when the tunnel is over.
pub(super) struct Running(Traffic);

impl Traffic {
    pub(super) fn begin(&self) -> Running {
        Running(self.clone())
    }

    /// Keeps `witness` until the tunnel is over, and drops it then.
    pub fn keep(&self, witness: impl Send + 'static) {
        let mut kept = self
            .0
            .witness
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !matches!(*kept, Witness::Gone) {
            *kept = Witness::Kept {
                _witness: Box::new(witness),
            };
        }
    }

    pub fn passed(&self) -> Arc<Passed> {
        Arc::clone(&self.0.passed)
    }
}

impl Passed {
    /// Bytes that the client was sent.
    pub fn down(&self) -> u64 {
        self.down.load(Ordering::Relaxed)
    }

    /// Whether a side went without closing.
    pub fn broke(&self) -> bool {
        self.broke.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, bytes: usize) {
        self.down.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn has_broken(&self) {
        self.broke.store(true, Ordering::Relaxed);
    }
}

impl Running {
    pub(super) fn passed(&self) -> Arc<Passed> {
        self.0.passed()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut witness = self
            .0
            .0
            .witness
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let witness = std::mem::replace(&mut *witness, Witness::Gone);
        drop(witness);
    }
}

impl fmt::Debug for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Traffic").field(&self.0.passed).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_witness_is_kept_as_long_as_the_tunnel() {
        let traffic = Traffic::default();
        let running = traffic.begin();
        let witness = Arc::new(());
        traffic.keep(Arc::clone(&witness));
        assert_eq!(Arc::strong_count(&witness), 2);
        running.passed().add(7);
        assert_eq!(traffic.passed().down(), 7);
        drop(running);
        assert_eq!(Arc::strong_count(&witness), 1);
        traffic.keep(Arc::clone(&witness));
        assert_eq!(Arc::strong_count(&witness), 1, "too late");
    }
}
