//! When keys were last used: gathered in memory, written in batches, at most once an hour a key.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::ApiKeyId;
use crate::clock::Timestamp;

/// Uses of a key that are nearer to each other are one use.
pub(crate) const APART: Duration = Duration::from_secs(3600);

/// Uses that have not been written. Workers touch it once an hour for a key.
#[derive(Debug, Default)]
pub(in crate::accounts) struct KeyUses(Mutex<HashMap<ApiKeyId, Timestamp>>);

impl KeyUses {
    pub(in crate::accounts) fn note(&self, key: ApiKeyId, at: Timestamp) {
        let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        uses.insert(key, at);
    }

    /// Those that have gathered; they are the caller's to write.
    pub(in crate::accounts) fn take(&self) -> Vec<(ApiKeyId, Timestamp)> {
        let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        uses.drain().collect()
    }
}
