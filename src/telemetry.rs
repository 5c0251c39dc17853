//! Numbers about the running gateway in Prometheus' text form, with label sets that only the
//! configuration can widen.

mod event;
mod exposition;
mod histogram;
mod log;
mod process;
mod worker;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub use event::Event;
pub use exposition::{Exposition, Kind};
pub use log::{LogError, LogFormat, LogLevel, LogSettings, ProgramLog};
pub use worker::{AnsweredBy, RequestFigures, WorkerMetrics};

use crate::clock::{Clock, Timestamp};

/// The counters of the process. Clones share them.
#[derive(Clone)]
pub struct Metrics(Arc<Shared>);

struct Shared {
    started: Timestamp,
    events: [AtomicU64; Event::COUNT],
    workers: Mutex<Vec<Arc<worker::Shard>>>,
    collectors: Mutex<Vec<Collector>>,
}

/// Writes a part's own figures when they are asked for.
type Collector = Box<dyn Fn(&mut Exposition) + Send + Sync>;

impl Metrics {
    pub fn new(clock: &Clock) -> Self {
        Self(Arc::new(Shared {
            started: clock.now(),
            events: [const { AtomicU64::new(0) }; Event::COUNT],
            workers: Mutex::default(),
            collectors: Mutex::default(),
        }))
    }

    /// Counters for one worker thread.
    pub fn worker(&self) -> WorkerMetrics {
        let shard = Arc::new(worker::Shard::default());
        self.0
            .workers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(shard.clone());
        WorkerMetrics::new(shard)
    }

    /// Counts one `event`: for what happens per connection or per login, not per request.
    pub fn count(&self, event: Event) {
        self.count_many(event, 1);
    }

    pub fn count_many(&self, event: Event, times: u64) {
        if let Some(counter) = self.0.events.get(event.index()) {
            counter.fetch_add(times, Ordering::Relaxed);
        }
    }

    /// How often `event` was counted.
    pub fn counted(&self, event: Event) -> u64 {
        self.0
            .events
            .get(event.index())
            .map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// Has `collector` write a part's own figures at each scrape. It must not wait for anything.
    pub fn collect(&self, collector: impl Fn(&mut Exposition) + Send + Sync + 'static) {
        self.0
            .collectors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Box::new(collector));
    }

    /// Everything, in the text form 0.0.4 that Prometheus reads.
    pub fn render(&self) -> String {
        let mut out = Exposition::default();
        out.family(
            "portcullis_build_info",
            Kind::Gauge,
            "The version that runs.",
        );
        out.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
        worker::expose(&self.workers(), &mut out);
        event::expose(|event| self.counted(event), &mut out);
        process::expose(self.0.started, &mut out);
        let collectors = self
            .0
            .collectors
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for collector in collectors.iter() {
            collector(&mut out);
        }
        out.into_text()
    }

    fn workers(&self) -> Vec<Arc<worker::Shard>> {
        self.0
            .workers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[cfg(test)]
mod tests;
