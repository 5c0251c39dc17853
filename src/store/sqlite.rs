//! SQLite: one connection writes, a few read. Every commit is on the disk before it is answered.

mod migrations;
#[cfg(test)]
mod tests;
mod writer;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Row, Sqlite};

use super::{Change, OpenError, StoreError, Writing};
use writer::Writer;

/// How long a write waits for another process to finish its own.
const BUSY: Duration = Duration::from_secs(5);
/// How long a read waits for a connection.
const ACQUIRE: Duration = Duration::from_secs(5);
/// Connections that read: reads are short and the control runtime has few threads.
const READERS: u32 = 4;

/// An open SQLite database.
#[derive(Clone)]
pub struct SqliteStore {
    writer: Writer,
    readers: SqlitePool,
    writing: Writing,
}

impl SqliteStore {
    pub(super) async fn open(path: &Path) -> Result<Self, OpenError> {
        make_private(path)?;
        let connect = cannot_connect(path);
        let writing = for_writing(path);
        let mut connection = writing.connect().await.map_err(&connect)?;
        check_durable(&mut connection).await?;
        migrations::run(&mut connection).await?;

        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(ACQUIRE)
            .connect_with(for_reading(path))
            .await
            .map_err(connect)?;
        Ok(Self {
            writer: Writer::start(writing, connection),
            readers,
            writing: Writing::default(),
        })
    }

    pub(super) fn writing(&self) -> &Writing {
        &self.writing
    }

    pub(super) async fn commit<C: Change>(&self, change: C) -> Result<C::Output, StoreError> {
        self.writer.commit(change).await
    }

    pub(super) async fn close(&self) {
        self.writer.close().await;
        self.readers.close().await;
    }

    pub(super) async fn reader(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        Ok(self.readers.acquire().await?)
    }
}

/// A connection of its own to a database that is there.
pub(super) async fn connect(options: SqliteConnectOptions) -> Result<SqliteConnection, OpenError> {
    let cannot = cannot_connect(options.get_filename());
    options.connect().await.map_err(cannot)
}

/// An empty database in memory, to look at its tables.
pub(super) async fn example() -> Result<SqliteConnection, OpenError> {
    let mut connection = connect(SqliteConnectOptions::new().in_memory(true)).await?;
    migrations::run(&mut connection).await?;
    Ok(connection)
}

pub(super) fn for_writing(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY)
        // A file that vanishes while the gateway runs is an error, not a fresh start.
        .create_if_missing(false)
        .disable_statement_logging()
}

pub(super) fn for_reading(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(BUSY)
        .disable_statement_logging()
}

fn cannot_connect(path: &Path) -> impl Fn(sqlx::Error) -> OpenError + use<> {
    let path = path.to_owned();
    move |source| OpenError::Connect {
        path: path.clone(),
        source,
    }
}

/// Makes the file when it is not there: nobody but us may read it. SQLite gives the same mode to
/// the log beside it.
fn make_private(path: &Path) -> Result<(), OpenError> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map(drop)
        .map_err(|source| OpenError::File {
            path: path.to_owned(),
            source,
        })
}

/// Asks the connection what it was told: some file systems have no shared memory for the log, and
/// SQLite then says so only here.
async fn check_durable(connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let journal: String = sqlx::query("PRAGMA journal_mode")
        .fetch_one(&mut *connection)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(StoreError::from)?;
    let synchronous: i64 = sqlx::query("PRAGMA synchronous")
        .fetch_one(&mut *connection)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(StoreError::from)?;
    if journal != "wal" {
        return Err(OpenError::NotDurable("no write-ahead log is possible here"));
    }
    // https://sqlite.org/pragma.html#pragma_synchronous: 2 is FULL
    if synchronous != 2 {
        return Err(OpenError::NotDurable("synchronous is not FULL"));
    }
    Ok(())
}
