//! Where accounts, sessions and the audit log live.

use std::path::PathBuf;

/// Which database, as the configuration names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// A file of this machine.
    Sqlite(PathBuf),
}

/// Why the store did not do what was asked: the caller gets a 503.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database is closed")]
    Closed,
    #[error("too many writes are waiting for the database")]
    Busy,
    #[error("the database did not answer in time")]
    TimedOut,
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// Somebody else wrote it, or the file is damaged.
    #[error("the database holds a value that cannot be read: {0}")]
    Unreadable(&'static str),
}

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("not finished")]
    Unfinished,
}
