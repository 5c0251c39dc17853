//! What was seen to be wrong, and the log of the run.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// So many and the run ends: more would tell nothing more.
const ENOUGH: usize = 30;

/// Written by clients, backends and faults alike.
pub struct Findings {
    began: Instant,
    wrong: Mutex<Vec<String>>,
    counts: Mutex<BTreeMap<&'static str, u64>>,
    arrived: AtomicU64,
}

impl Findings {
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
            wrong: Mutex::default(),
            counts: Mutex::default(),
            arrived: AtomicU64::new(0),
        }
    }

    /// A line of the log, with the time since the beginning.
    pub fn say(&self, what: &str) {
        let since = self.began.elapsed();
        let (minutes, seconds) = (since.as_secs() / 60, since.as_secs() % 60);
        println!(
            "{minutes:02}:{seconds:02}.{:03}  {what}",
            since.subsec_millis()
        );
    }

    /// Something that must not be.
    pub fn wrong(&self, what: impl Into<String>) {
        let what = what.into();
        self.say(&format!("WRONG: {what}"));
        self.wrong.lock().unwrap().push(what);
    }

    pub fn is_enough(&self) -> bool {
        self.wrong.lock().unwrap().len() >= ENOUGH
    }

    /// Counts something that happened, so that the end tells what was tried at all.
    pub fn count(&self, what: &'static str) {
        *self.counts.lock().unwrap().entry(what).or_default() += 1;
    }

    /// A request has reached a backend.
    pub fn arrived(&self) {
        self.arrived.fetch_add(1, Ordering::Relaxed);
    }

    /// Prints what happened how often, and fails when something was wrong or nothing was tried.
    pub fn conclude(&self, tried: &[&str]) {
        let counts = self.counts.lock().unwrap();
        let told: Vec<_> = counts
            .iter()
            .map(|(what, n)| format!("{what} {n}"))
            .collect();
        self.say(&told.join(", "));
        let arrived = self.arrived.load(Ordering::Relaxed);
        self.say(&format!(
            "{arrived} requests reached a backend, each as it may"
        ));
        let idle: Vec<_> = tried
            .iter()
            .filter(|what| !counts.contains_key(**what))
            .collect();
        assert!(idle.is_empty(), "never seen: {idle:?}");
        let wrong = self.wrong.lock().unwrap();
        assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    }
}
