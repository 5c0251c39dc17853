//! Where accounts, sessions, revocations and the audit log live: the boundary that every database
//! stands behind.

mod change;
#[cfg(test)]
mod conformance;
mod sqlite;

use std::path::PathBuf;
use std::sync::Arc;

use crate::accounts::{
    Account, AccountId, LoginName, PasswordHash, Revocation, Session, SessionId,
};
use crate::clock::Timestamp;
use crate::secret::Secret;

pub use change::{
    CreateAccount, Created, Delete, EndSessions, Ending, KeepRingKey, NewSession, OpenSession,
    Rehash, Revoked, Rotate, Rotation, SetPassword, SetRoles, SetStatus, Sweep, Which,
};
pub use sqlite::Change;

/// Which database, as the configuration names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// A file of this machine.
    Sqlite(PathBuf),
}

/// The text names no database that this program knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `sqlite:` and the path of a file")]
pub struct NotADatabase;

impl Database {
    /// Reads `sqlite:/var/lib/portcullis/accounts.db`, also with `//` after the colon.
    pub fn parse(text: &str) -> Result<Self, NotADatabase> {
        let path = text.strip_prefix("sqlite:").ok_or(NotADatabase)?;
        let path = path.strip_prefix("//").unwrap_or(path);
        // `:memory:` and parameters would not survive a restart, or mean something else.
        if path.is_empty() || path.starts_with(':') || path.contains('?') {
            return Err(NotADatabase);
        }
        Ok(Self::Sqlite(PathBuf::from(path)))
    }
}

/// Why the store did not do what was asked: the caller gets a 503.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database is closed")]
    Closed,
    #[error("too many writes are waiting for the database")]
    Busy,
    /// Whether the change was made is not known.
    #[error("the database did not answer in time")]
    TimedOut,
    #[error("the database failed")]
    Database(#[source] Arc<sqlx::Error>),
    /// Somebody else wrote it, or the file is damaged.
    #[error("the database holds a value that cannot be read: {0}")]
    Unreadable(&'static str),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(Arc::new(error))
    }
}

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot make or open the database file {}", path.display())]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("cannot open the database {}", path.display())]
    Connect { path: PathBuf, source: sqlx::Error },
    #[error("cannot bring the database's tables up to date")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// A database that may lose what it confirmed is not used at all.
    #[error("the database does not keep its promises: {0}")]
    NotDurable(&'static str),
    #[error("cannot read the database")]
    Store(#[from] StoreError),
    #[error("cannot start the threads that hash passwords")]
    Threads(#[source] std::io::Error),
}

/// An open database. Clones share it.
#[derive(Clone)]
pub enum Store {
    Sqlite(sqlite::Sqlite),
}

/// Revocations, each with the time from which it need not be remembered, and the place after the
/// last one, to read on from.
#[derive(Clone, Debug, Default)]
pub struct RevocationNews {
    pub revocations: Vec<(Revocation, Timestamp)>,
    pub place: i64,
}

impl Store {
    /// Opens a database, making it and bringing its tables up to date where needed.
    pub async fn open(database: &Database) -> Result<Self, OpenError> {
        match database {
            Database::Sqlite(path) => sqlite::Sqlite::open(path).await.map(Self::Sqlite),
        }
    }

    /// Makes a change wholly or not at all. When this answers, it survives a power cut. It is made
    /// even when the caller stops waiting.
    pub async fn commit<C: Change>(&self, change: C) -> Result<C::Output, StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.commit(change).await,
        }
    }

    /// Makes the changes that were handed in, then closes.
    pub async fn close(&self) {
        match self {
            Self::Sqlite(sqlite) => sqlite.close().await,
        }
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.ping().await,
        }
    }

    /// An account that is not deleted, with its password.
    pub async fn account(
        &self,
        id: AccountId,
    ) -> Result<Option<(Account, PasswordHash)>, StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.account(id).await,
        }
    }

    /// The account that logs in with this name, with its password.
    pub async fn account_by_login(
        &self,
        name: &LoginName,
    ) -> Result<Option<(Account, PasswordHash)>, StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.account_by_login(name).await,
        }
    }

    /// Up to `limit` accounts in the order of their ids, those after `after`.
    pub async fn accounts(
        &self,
        after: Option<AccountId>,
        limit: u32,
    ) -> Result<Vec<Account>, StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.accounts(after, limit).await,
        }
    }

    /// The sessions of an account that are live at `now`, latest use first.
    pub async fn sessions(
        &self,
        account: AccountId,
        now: Timestamp,
    ) -> Result<Vec<Session>, StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.sessions(account, now).await,
        }
    }

    /// Whose session this is, if it is live at `now`.
    pub async fn session_owner(
        &self,
        session: SessionId,
        now: Timestamp,
    ) -> Result<Option<AccountId>, StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.session_owner(session, now).await,
        }
    }

    /// The revocations after this place (0: all).
    pub async fn revocations(&self, place: i64) -> Result<RevocationNews, StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.revocations(place).await,
        }
    }

    /// The keys of a ring with their ids, in the order of these.
    pub async fn ring_keys(&self, ring: &'static str) -> Result<Vec<(u8, Secret)>, StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.ring_keys(ring).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_by_name() {
        for text in ["sqlite:/a/b.db", "sqlite:///a/b.db"] {
            let path = PathBuf::from("/a/b.db");
            assert_eq!(Database::parse(text), Ok(Database::Sqlite(path)), "{text}");
        }
        for text in [
            "",
            "sqlite:",
            "sqlite::memory:",
            "sqlite:a?mode=ro",
            "postgres://x/y",
        ] {
            assert_eq!(Database::parse(text), Err(NotADatabase), "{text}");
        }
    }
}
