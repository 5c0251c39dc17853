//! Whether what is written reaches the database: reads may go on while its disk is full.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::StoreError;
use crate::causes::with_causes;

/// What became of the last change. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Writing(Arc<ArcSwapOption<String>>);

impl Writing {
    /// Why the last change failed; `None` when it did not, or when there was none yet.
    pub(super) fn failing(&self) -> Option<String> {
        self.0.load().as_deref().cloned()
    }

    /// Notes what became of a change, and logs it when that is news.
    pub(super) fn note<T>(&self, made: &Result<T, StoreError>) {
        match made {
            Ok(_) => {
                if self.0.load().is_some() && self.0.swap(None).is_some() {
                    tracing::info!("changes can be stored again");
                }
            }
            Err(error @ (StoreError::TimedOut | StoreError::Database(_))) => {
                let why = with_causes(error);
                let news = self.0.swap(Some(Arc::new(why.clone()))).is_none();
                if news {
                    tracing::error!(why, "changes cannot be stored");
                }
            }
            // A server that is away is away for reads too, and is seen to come back by itself.
            Err(StoreError::Away(_)) => {}
            // Too many at a time, a gateway that ends, a row that cannot be read: the database is
            // well.
            Err(StoreError::Busy | StoreError::Closed | StoreError::Unreadable(_)) => {}
        }
    }
}
