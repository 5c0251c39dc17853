//! Whether the gateway can serve, and what of it is degraded.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

/// Where the process is between its start and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Starting,
    Serving,
    /// No longer to be sent new connections: those that are open are served to their end.
    Draining,
}

/// How one part is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    Good,
    /// Served with something missing: stays in the load balancer, or the loss of a shared part
    /// would empty it.
    Degraded(String),
    /// Nothing useful can be served.
    Unready(String),
}

/// The state of the whole, as `/readyz` answers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// `ready`, `degraded`, `unready`, `starting` or `draining`.
    pub status: &'static str,
    pub parts: Vec<PartReport>,
}

/// One part that is not well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartReport {
    pub part: &'static str,
    pub reason: String,
}

/// The health of the process. Clones share it.
#[derive(Clone, Default)]
pub struct Health(Arc<Shared>);

#[derive(Default)]
struct Shared {
    phase: AtomicU8,
    watched: Mutex<Vec<Watched>>,
}

struct Watched {
    part: &'static str,
    condition: Box<dyn Fn() -> Condition + Send + Sync>,
}

impl Health {
    /// Asks `condition` at every probe. It must not wait for anything.
    pub fn watch(
        &self,
        part: &'static str,
        condition: impl Fn() -> Condition + Send + Sync + 'static,
    ) {
        self.0
            .watched
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Watched {
                part,
                condition: Box::new(condition),
            });
    }

    pub fn enter(&self, phase: Phase) {
        self.0.phase.store(phase as u8, Ordering::Release);
    }

    pub fn report(&self) -> Report {
        let watched = self
            .0
            .watched
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut status = "ready";
        let mut parts = Vec::new();
        for Watched { part, condition } in watched.iter() {
            match condition() {
                Condition::Good => {}
                Condition::Degraded(reason) => {
                    if status == "ready" {
                        status = "degraded";
                    }
                    parts.push(PartReport { part, reason });
                }
                Condition::Unready(reason) => {
                    status = "unready";
                    parts.push(PartReport { part, reason });
                }
            }
        }
        let phase = self.0.phase.load(Ordering::Acquire);
        if phase == Phase::Starting as u8 {
            status = "starting";
        } else if phase == Phase::Draining as u8 {
            status = "draining";
        }
        Report { status, parts }
    }
}

impl Report {
    /// Whether new connections should be sent here.
    #[must_use]
    pub fn accepts(&self) -> bool {
        matches!(self.status, "ready" | "degraded")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn degraded_is_still_served_and_unready_is_not() {
        let health = Health::default();
        assert_eq!(health.report().status, "starting");
        assert!(!health.report().accepts());
        health.enter(Phase::Serving);
        assert_eq!(health.report().status, "ready");
        health.watch("redis", || Condition::Degraded(String::from("away")));
        let report = health.report();
        assert!(report.accepts());
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            r#"{"status":"degraded","parts":[{"part":"redis","reason":"away"}]}"#
        );
        health.watch("database", || Condition::Unready(String::from("away")));
        health.watch("limits", || Condition::Degraded(String::from("local")));
        assert_eq!(health.report().status, "unready");
        assert!(!health.report().accepts());
        health.enter(Phase::Draining);
        assert_eq!(health.report().status, "draining");
    }
}
