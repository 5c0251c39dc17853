//! The gateway's own name for one request.

use std::cell::Cell;
use std::fmt;

use crate::secret;

/// Names one request in logs and towards upstreams; unique, and not a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId {
    worker: u64,
    count: u64,
}

/// Gives out one worker's request ids: 64 random bits drawn at its start, then a count.
#[derive(Debug)]
pub struct RequestIds {
    worker: u64,
    next: Cell<u64>,
}

impl RequestIds {
    pub fn new() -> Self {
        Self {
            worker: u64::from_ne_bytes(secret::random()),
            next: Cell::new(0),
        }
    }

    pub fn next(&self) -> RequestId {
        let count = self.next.get();
        self.next.set(count.wrapping_add(1));
        RequestId {
            worker: self.worker,
            count,
        }
    }
}

impl Default for RequestIds {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.worker, self.count)
    }
}
