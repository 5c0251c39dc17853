//! SQLite: one connection writes, a few read. Every commit is on the disk before it is answered.

mod migrations;
#[cfg(test)]
mod tests;
mod writer;

use std::fs::OpenOptions;
use std::io::ErrorKind;
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
/// How often, and after which pause, the first connection is tried while another process has the
/// file: as long as `BUSY`.
const ATTEMPTS: u32 = 250;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(20);
const SQLITE_BUSY: i32 = 5;
/// How long a read waits for a connection.
const ACQUIRE: Duration = Duration::from_secs(5);
/// Connections that read, each with a thread and a quarter of a megabyte of its own. Reads are short, and wait for the
/// disk at most.
const READERS: u32 = 2;

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
        let mut connection = first_connection(&writing).await.map_err(&connect)?;
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
/// the log beside it. A file that is there is not touched: whoever closes it loses all the locks
/// that SQLite holds on it for this process (<https://sqlite.org/howtocorrupt.html>, 2.2).
fn make_private(path: &Path) -> Result<(), OpenError> {
    let made = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path);
    match made {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(OpenError::File {
            path: path.to_owned(),
            source,
        }),
    }
}

/// The switch to the write-ahead log needs the file alone, and SQLite does not wait for that with
/// `busy_timeout`: another process that starts at this moment is waited for here.
async fn first_connection(options: &SqliteConnectOptions) -> Result<SqliteConnection, sqlx::Error> {
    for _ in 0..ATTEMPTS {
        match options.connect().await {
            Err(error) if is_busy(&error) => tokio::time::sleep(BETWEEN_ATTEMPTS).await,
            outcome => return outcome,
        }
    }
    options.connect().await
}

/// <https://sqlite.org/rescode.html>: the primary code is in the lowest octet.
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    let code = code.and_then(|code| code.parse::<i32>().ok());
    code.is_some_and(|code| code & 0xff == SQLITE_BUSY)
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
