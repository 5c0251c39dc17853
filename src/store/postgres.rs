//! PostgreSQL: a pool of connections, and each change in a serializable transaction of its own.

mod commit;
mod migrations;
mod settings;
#[cfg(test)]
pub(super) mod test_server;
#[cfg(test)]
mod tests;

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use sqlx::{Connection as _, Postgres, Row};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::{OpenError, StoreError, Writing};

pub use settings::{Authorities, Encryption, NotAnAddress, PostgresAddress, PostgresSettings};

/// The oldest release that can say what became of a transaction (`pg_xact_status(xid8)`).
const OLDEST: i32 = 130_000;
/// Between two attempts to reach a server that is away, and one that may be just restarting.
const PAUSE: Duration = Duration::from_millis(500);
const RETRY: Duration = Duration::from_millis(50);
/// How long a connection that goes back to the pool may take to say that it is well.
const RETURN: Duration = Duration::from_secs(5);

/// An open PostgreSQL database.
#[derive(Clone)]
pub struct PostgresStore {
    pool: PgPool,
    commits: Arc<Semaphore>,
    /// Set when no connection could be had in time, until one can: meanwhile nobody waits.
    away: Arc<AtomicBool>,
    connect_bound: Duration,
    answer_bound: Duration,
    writing: Writing,
}

impl PostgresStore {
    pub(super) async fn open(settings: &PostgresSettings) -> Result<Self, OpenError> {
        let mut connection = connect(settings).await?;
        migrations::run(&mut connection).await?;
        // The server closes its end all the same.
        drop(connection.close().await);

        let pool = PgPoolOptions::new()
            .max_connections(settings.connections)
            .acquire_timeout(settings.connect_timeout)
            .after_connect(|connection, _| Box::pin(prepare(connection)))
            .connect_with(settings.for_serving())
            .await
            .map_err(unreachable(settings))?;
        Ok(Self {
            pool,
            commits: commit::room(),
            away: Arc::new(AtomicBool::new(false)),
            connect_bound: settings.connect_timeout,
            answer_bound: settings.answer_bound(),
            writing: Writing::default(),
        })
    }

    /// Whether no connection could be had lately.
    pub(super) fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    pub(super) fn writing(&self) -> &Writing {
        &self.writing
    }

    pub(super) async fn close(&self) {
        commit::wait_for_all(&self.commits).await;
        self.pool.close().await;
    }

    /// A connection that has just answered.
    pub(super) async fn reader(&self) -> Result<Held, StoreError> {
        if self.is_away() {
            return Err(StoreError::from(sqlx::Error::PoolTimedOut));
        }
        let acquired = tokio::time::timeout(self.connect_bound, self.acquire()).await;
        acquired.unwrap_or_else(|_| {
            self.note_away();
            Err(StoreError::from(sqlx::Error::PoolTimedOut))
        })
    }

    /// Waits for a connection as long as the server may be just restarting.
    async fn acquire(&self) -> Result<Held, StoreError> {
        loop {
            match self.pool.acquire().await {
                Ok(connection) => return Ok(Held::new(connection)),
                Err(error) if is_away(&error) => tokio::time::sleep(RETRY).await,
                Err(error) => return Err(StoreError::from(error)),
            }
        }
    }

    /// How long an answer of the server is waited for.
    pub(super) fn answer_bound(&self) -> Duration {
        self.answer_bound
    }

    /// Has one task look for the server, where all requests would each wait for it in vain.
    fn note_away(&self) {
        if self.away.swap(true, Ordering::Relaxed) {
            return;
        }
        let store = self.clone();
        tokio::spawn(async move {
            tracing::warn!("the PostgreSQL server is away");
            loop {
                match store.pool.acquire().await {
                    Ok(_) => break,
                    Err(sqlx::Error::PoolClosed) => return,
                    Err(_) => tokio::time::sleep(PAUSE).await,
                }
            }
            store.away.store(false, Ordering::Relaxed);
            // A change that timed out did so for want of the server.
            store.writing.note(&Ok(()));
            tracing::info!("the PostgreSQL server answers again");
        });
    }
}

/// A connection of its own, to a server that is fit: for what takes longer than a statement of
/// those who serve may.
pub(super) async fn connect(settings: &PostgresSettings) -> Result<PgConnection, OpenError> {
    let unreachable = unreachable(settings);
    let options = settings.for_migrations();
    let connecting = PgConnection::connect_with(&options);
    let mut connection = match tokio::time::timeout(settings.connect_timeout, connecting).await {
        Ok(connected) => connected.map_err(unreachable)?,
        Err(_) => return Err(unreachable(sqlx::Error::PoolTimedOut)),
    };
    check_server(&mut connection).await?;
    prepare(&mut connection).await.map_err(StoreError::from)?;
    Ok(connection)
}

fn unreachable(settings: &PostgresSettings) -> impl Fn(sqlx::Error) -> OpenError + use<> {
    let address = settings.address.to_string();
    move |source| OpenError::Unreachable {
        address: address.clone(),
        source,
    }
}

/// A connection out of the pool, which goes back when it is dropped.
pub(super) struct Held {
    connection: PoolConnection<Postgres>,
    broken: bool,
}

impl Held {
    fn new(connection: PoolConnection<Postgres>) -> Self {
        Self {
            connection,
            broken: false,
        }
    }

    /// Does not put it back: nobody knows what it would answer next.
    pub(super) fn give_up(&mut self) {
        self.broken = true;
        self.connection.close_on_drop();
    }
}

impl Deref for Held {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Drop for Held {
    /// The pool asks a connection whether it is well before it takes it back, without a bound: a
    /// server that vanished just then would take the connection's place in the pool with it.
    fn drop(&mut self) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if !self.broken {
            let returned = self.connection.return_to_pool();
            runtime.spawn(tokio::time::timeout(RETURN, returned));
        }
    }
}

/// Whether `error` means that the server cannot be talked to now, while nothing is wrong with what
/// it was asked.
pub(super) fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut => true,
        // Connection exceptions, refused log-ins, too many connections, shutting down or starting,
        // and a primary that has become a standby: read_only_sql_transaction
        // (https://www.postgresql.org/docs/current/errcodes-appendix.html).
        _ => commit::code(error).is_some_and(|code| {
            code.starts_with("08")
                || code.starts_with("28")
                || matches!(code, "53300" | "57P01" | "57P02" | "57P03" | "25006")
        }),
    }
}

/// Refuses a server that would break promises, before anything is written.
async fn check_server(connection: &mut PgConnection) -> Result<(), OpenError> {
    let told = sqlx::query(
        "SELECT current_setting('server_version_num')::int AS version, \
         current_setting('fsync') AS fsync, pg_is_in_recovery() AS standby",
    )
    .fetch_one(connection)
    .await
    .map_err(StoreError::from)?;
    let (version, fsync, standby): (i32, &str, bool) = (
        told.try_get("version").map_err(StoreError::from)?,
        told.try_get("fsync").map_err(StoreError::from)?,
        told.try_get("standby").map_err(StoreError::from)?,
    );
    if version < OLDEST {
        return Err(OpenError::Unfit("PostgreSQL 13 or newer is needed"));
    }
    if standby {
        return Err(OpenError::Unfit(
            "the server is a standby, which takes no writes",
        ));
    }
    if fsync == "off" {
        return Err(OpenError::NotDurable("fsync is off"));
    }
    Ok(())
}

/// Makes a new connection one that may serve: of the primary, whose commits are on the disk when
/// they are answered.
async fn prepare(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let told = sqlx::query(
        "SELECT pg_is_in_recovery() AS standby, CASE current_setting('synchronous_commit') \
         WHEN 'off' THEN set_config('synchronous_commit', 'on', false) END",
    )
    .fetch_one(connection)
    .await?;
    if told.try_get("standby")? {
        let refused = std::io::Error::other("the server is a standby, which takes no writes");
        return Err(sqlx::Error::Io(refused));
    }
    Ok(())
}
