//! What became of API keys that were shown, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

/// What became of a key that was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyLookup {
    /// It was known already, as good or as no good.
    Remembered,
    /// It was asked for, and is good.
    Found,
    /// This gateway did not make it, or does not have it any more.
    Unknown,
    /// It was revoked, has expired, or its owner may not be.
    Refused,
    /// The database did not answer.
    Unavailable,
}

/// Counts for the whole process: one relaxed addition for a request that shows a key.
#[derive(Debug, Default)]
pub struct KeyLookups([AtomicU64; KeyLookup::ALL.len()]);

impl KeyLookup {
    const ALL: [KeyLookup; 5] = [
        KeyLookup::Remembered,
        KeyLookup::Found,
        KeyLookup::Unknown,
        KeyLookup::Refused,
        KeyLookup::Unavailable,
    ];

    const fn word(self) -> &'static str {
        match self {
            KeyLookup::Remembered => "remembered",
            KeyLookup::Found => "found",
            KeyLookup::Unknown => "unknown",
            KeyLookup::Refused => "refused",
            KeyLookup::Unavailable => "unavailable",
        }
    }
}

impl KeyLookups {
    pub fn count(&self, lookup: KeyLookup) {
        if let Some(count) = self.0.get(lookup as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Every number with its word, for metrics.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.0.iter().map(|count| count.load(Ordering::Relaxed));
        KeyLookup::ALL
            .iter()
            .map(|lookup| lookup.word())
            .zip(counts)
    }
}
