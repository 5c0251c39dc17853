//! The account of each request: one log line and one set of numbers, also when the client hangs up.

mod buffer;
mod entry;
mod json;
mod line;
mod pen;
mod writer;

use std::sync::Arc;

pub use entry::{AccessEntry, LoggedBody};
pub use line::QueryLogging;
pub use writer::{AccessLog, AccessLogError, AccessSettings, Destination};

use crate::clock::Clock;
use crate::telemetry::{Metrics, WorkerMetrics};

/// Where one worker's requests are written down. Each worker makes one and begins every
/// [`AccessEntry`] with it: its lock is contended only by the writer thread and by a scrape.
pub struct Recorder {
    clock: Clock,
    log: writer::WorkerLog,
    metrics: WorkerMetrics,
}

impl Recorder {
    /// A recorder for one worker.
    pub fn new(log: &AccessLog, metrics: &Metrics, clock: &Clock) -> Arc<Self> {
        Arc::new(Self {
            clock: clock.clone(),
            log: log.worker(),
            metrics: metrics.worker(),
        })
    }
}

#[cfg(test)]
mod tests;
