//! Where accounts, sessions, revocations and the audit log live: the boundary that every database
//! stands behind.

mod accounts;
mod api_keys;
mod audit;
mod change;
#[cfg(test)]
mod conformance;
mod copy;
mod invitations;
mod login_codes;
mod postgres;
mod revocations;
mod ring_keys;
mod rows;
mod second_factors;
mod services;
mod sessions;
mod signing_keys;
mod sql;
mod sqlite;
mod status;
mod uses;
mod writing;

use std::path::PathBuf;
use std::sync::Arc;

use postgres::PostgresStore;
use sql::{Reader, query};
use sqlite::SqliteStore;
use writing::Writing;

pub use change::{
    Change, ConfirmSecondFactor, CreateAccount, CreateApiKey, CreateInvitation, CreateService,
    Created, Delete, DeleteService, EndSessions, Ending, IssueLoginCode, KeepRingKey, KeyCreated,
    NewSession, NoteKeyUses, OfferSecondFactor, OpenSession, RedeemLoginCode, Redeemed, Register,
    Rehash, RemoveSecondFactor, ReplaceRecoveryCodes, ResealSecondFactor, RevokeApiKey,
    RevokeInvitation, Revoked, Rotate, RotateApiKey, Rotation, SessionOpened, SessionUse,
    SetAttributes, SetPassword, SetRoles, SetServiceRoles, SetServiceStatus, SetStatus, Sweep,
    Unlock, UseRecoveryCode, UseSecondFactor, UseSessions, VerifyEmail, Which,
};
pub use copy::{Copied, CopyError, Copying, copy};
pub use postgres::{Authorities, Encryption, NotAnAddress, PostgresAddress, PostgresSettings};
pub use revocations::{Place, RevocationNews};
pub use second_factors::{SealedFactor, SecondFactor};
pub use signing_keys::{
    AddSigningKey, ForgetSigningKeys, OrderSigningKey, Pace, ResealSigningKey, RetireSigningKey,
    Retired, SealedKey,
};
pub use uses::LiveSession;

/// Which database, and how it is talked to.
#[derive(Clone, Debug)]
pub enum Database {
    /// A file of this machine.
    Sqlite(PathBuf),
    Postgres(Box<PostgresSettings>),
}

/// Which database, as the configuration names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseName {
    Sqlite(PathBuf),
    Postgres(PostgresAddress),
}

/// The text names no database that this program knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotADatabase {
    #[error("expected `sqlite:` and the path of a file, or `postgres://USER@HOST:PORT/DATABASE`")]
    Kind,
    #[error(transparent)]
    Address(#[from] NotAnAddress),
}

impl DatabaseName {
    /// Reads `sqlite:/var/lib/portcullis/accounts.db`, also with `//` after the colon, or
    /// `postgres://portcullis@db.example.com:5432/portcullis`.
    pub fn parse(text: &str) -> Result<Self, NotADatabase> {
        if text.starts_with("postgres") {
            return Ok(Self::Postgres(PostgresAddress::parse(text)?));
        }
        let path = text.strip_prefix("sqlite:").ok_or(NotADatabase::Kind)?;
        let path = path.strip_prefix("//").unwrap_or(path);
        // `:memory:` and parameters would not survive a restart, or mean something else.
        if path.is_empty() || path.starts_with(':') || path.contains('?') {
            return Err(NotADatabase::Kind);
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
    /// It cannot be reached; a change was not made.
    #[error("the database is away")]
    Away(#[source] Arc<sqlx::Error>),
    #[error("the database failed")]
    Database(#[source] Arc<sqlx::Error>),
    /// Somebody else wrote it, or the file is damaged.
    #[error("the database holds a value that cannot be read: {0}")]
    Unreadable(&'static str),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match postgres::is_away(&error) {
            true => Self::Away(Arc::new(error)),
            false => Self::Database(Arc::new(error)),
        }
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
    #[error("cannot reach the database {address}")]
    Unreachable {
        address: String,
        source: sqlx::Error,
    },
    #[error("the database cannot be used: {0}")]
    Unfit(&'static str),
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
    Sqlite(SqliteStore),
    Postgres(PostgresStore),
}

impl Store {
    /// Opens a database, making it and bringing its tables up to date where needed.
    pub async fn open(database: &Database) -> Result<Self, OpenError> {
        match database {
            Database::Sqlite(path) => SqliteStore::open(path).await.map(Self::Sqlite),
            Database::Postgres(settings) => PostgresStore::open(settings).await.map(Self::Postgres),
        }
    }

    /// Makes a change wholly or not at all. When this answers, it survives a power cut. It is made
    /// even when the caller stops waiting.
    pub async fn commit<C: Change>(&self, change: C) -> Result<C::Output, StoreError> {
        let made = match self {
            Self::Sqlite(sqlite) => sqlite.commit(change).await,
            Self::Postgres(postgres) => postgres.commit(change).await,
        };
        self.writing().note(&made);
        made
    }

    /// Why the last change could not be stored, until one can.
    pub fn writes_fail(&self) -> Option<String> {
        match self {
            Self::Postgres(postgres) if postgres.is_away() => {
                Some(String::from("the PostgreSQL server is away"))
            }
            Self::Postgres(_) | Self::Sqlite(_) => self.writing().failing(),
        }
    }

    fn writing(&self) -> &Writing {
        match self {
            Self::Sqlite(sqlite) => sqlite.writing(),
            Self::Postgres(postgres) => postgres.writing(),
        }
    }

    /// Makes the changes that were handed in, then closes.
    pub async fn close(&self) {
        match self {
            Self::Sqlite(sqlite) => sqlite.close().await,
            Self::Postgres(postgres) => postgres.close().await,
        }
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        query("SELECT max(id) AS id FROM revocations")
            .fetch_all(self)
            .await
            .map(drop)
    }

    async fn reader(&self) -> Result<Reader, StoreError> {
        Ok(match self {
            Self::Sqlite(sqlite) => Reader::Sqlite(sqlite.reader().await?),
            Self::Postgres(postgres) => Reader::Postgres {
                connection: postgres.reader().await?,
                bound: postgres.answer_bound(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_by_name() {
        for text in ["sqlite:/a/b.db", "sqlite:///a/b.db"] {
            let path = PathBuf::from("/a/b.db");
            assert_eq!(
                DatabaseName::parse(text),
                Ok(DatabaseName::Sqlite(path)),
                "{text}"
            );
        }
        let text = "postgres://ann@db/accounts";
        let address = PostgresAddress::parse(text).unwrap();
        assert_eq!(
            DatabaseName::parse(text),
            Ok(DatabaseName::Postgres(address))
        );
        for text in [
            "",
            "sqlite:",
            "sqlite::memory:",
            "sqlite:a?mode=ro",
            "mysql://x/y",
        ] {
            assert_eq!(DatabaseName::parse(text), Err(NotADatabase::Kind), "{text}");
        }
    }
}
