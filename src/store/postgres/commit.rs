//! One change in one transaction: made anew when it met another, and asked after when the
//! connection broke while it was being committed.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::{PgConnection, PgDatabaseError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, oneshot};
use tokio::time::timeout;

use super::{Held, PostgresStore};
use crate::secret;
use crate::store::sql::Connection;
use crate::store::{Change, StoreError};

/// Changes that may be under way or wait for a connection.
const ROOM: u32 = 1024;
/// How long a caller waits for its change.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a change is made anew before the caller is told to come again.
const ATTEMPTS: u32 = 30;
/// How long it is asked what became of a commit whose answer was lost: longer than a server needs
/// to come back from a crash.
const ASKING: Duration = Duration::from_secs(60);
/// Between two such questions.
const PAUSE: Duration = Duration::from_millis(100);

/// What one attempt came to.
enum Attempt<T> {
    Committed(T),
    /// Nothing was changed.
    Undone(StoreError),
    /// Nothing was changed since somebody else was changing the same; it may work now.
    Met(StoreError),
    /// The answer to the commit of this transaction was lost.
    Unknown(T, String),
}

/// What the server says of a transaction.
enum Fate {
    Committed,
    Undone,
}

/// Room for changes under way.
pub(super) fn room() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(ROOM as usize))
}

/// Waits until the changes that were handed in are made; no more are taken.
pub(super) async fn wait_for_all(room: &Semaphore) {
    if let Ok(all) = room.acquire_many(ROOM).await {
        room.close();
        drop(all);
    }
}

impl PostgresStore {
    pub(in crate::store) async fn commit<C: Change>(
        &self,
        change: C,
    ) -> Result<C::Output, StoreError> {
        let room = Arc::clone(&self.commits);
        let place = room.try_acquire_owned().map_err(|refused| match refused {
            TryAcquireError::NoPermits => StoreError::Busy,
            TryAcquireError::Closed => StoreError::Closed,
        })?;
        let (answer, answered) = oneshot::channel();
        let store = self.clone();
        tokio::spawn(async move {
            // Whoever asked may have gone; the change is made all the same.
            drop(answer.send(store.carry_out(&change, place).await));
        });
        timeout(PATIENCE, answered)
            .await
            .map_err(|_| StoreError::TimedOut)?
            .map_err(|_| StoreError::Closed)?
    }

    async fn carry_out<C: Change>(
        &self,
        change: &C,
        _place: OwnedSemaphorePermit,
    ) -> Result<C::Output, StoreError> {
        let mut attempt = 1;
        loop {
            match self.attempt(change).await? {
                Attempt::Committed(output) => return Ok(output),
                Attempt::Undone(error) => return Err(error),
                Attempt::Met(error) if attempt >= ATTEMPTS => {
                    tracing::warn!(%error, "a change met others too often");
                    return Err(StoreError::Busy);
                }
                Attempt::Met(_) => tokio::time::sleep(pause(attempt)).await,
                Attempt::Unknown(output, transaction) => match self.fate(&transaction).await? {
                    Fate::Committed => return Ok(output),
                    Fate::Undone if attempt >= ATTEMPTS => return Err(StoreError::Busy),
                    Fate::Undone => tokio::time::sleep(pause(attempt)).await,
                },
            }
            attempt += 1;
        }
    }

    async fn attempt<C: Change>(&self, change: &C) -> Result<Attempt<C::Output>, StoreError> {
        let mut connection = self.reader().await?;
        let prepared = timeout(self.answer_bound, prepare(&mut connection, change)).await;
        let (output, transaction) = match prepared {
            Ok(Ok(prepared)) => prepared,
            Ok(Err(error)) => {
                let undone = timeout(self.answer_bound, run(&mut connection, "ROLLBACK")).await;
                if !matches!(undone, Ok(Ok(()))) {
                    connection.give_up();
                }
                return Ok(match error {
                    StoreError::Database(_) if is_conflict(&error) => Attempt::Met(error),
                    // The connection broke before anything was committed.
                    StoreError::Away(_) => Attempt::Met(error),
                    error => Attempt::Undone(error),
                });
            }
            Err(_) => {
                connection.give_up();
                return Ok(Attempt::Undone(StoreError::TimedOut));
            }
        };
        match timeout(self.answer_bound, run(&mut connection, "COMMIT")).await {
            Ok(Ok(())) => Ok(Attempt::Committed(output)),
            Ok(Err(error)) if is_conflict(&error) => Ok(Attempt::Met(error)),
            Ok(Err(_)) | Err(_) => {
                connection.give_up();
                Ok(Attempt::Unknown(output, transaction))
            }
        }
    }

    /// What became of a transaction whose commit was not answered.
    async fn fate(&self, transaction: &str) -> Result<Fate, StoreError> {
        let asking = async {
            loop {
                if let Some(fate) = self.ask_fate(transaction).await {
                    return fate;
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        timeout(ASKING, asking)
            .await
            .map_err(|_| StoreError::TimedOut)?
    }

    /// `None`: not known yet.
    async fn ask_fate(&self, transaction: &str) -> Option<Result<Fate, StoreError>> {
        // Not by way of `reader`: that gives up at once while the server is away.
        let mut connection = match self.pool.acquire().await {
            Ok(connection) => Held::new(connection),
            Err(sqlx::Error::PoolClosed) => return Some(Err(StoreError::Closed)),
            Err(_) => return None,
        };
        let asked = sqlx::query("SELECT pg_xact_status($1::text::xid8) AS fate")
            .bind(transaction.to_owned())
            .fetch_one(&mut *connection);
        let Ok(answer) = timeout(self.answer_bound, asked).await else {
            connection.give_up();
            return None;
        };
        let fate: Option<String> = answer.and_then(|row| row.try_get("fate")).ok()?;
        match fate.as_deref() {
            Some("committed") => Some(Ok(Fate::Committed)),
            Some("aborted") => Some(Ok(Fate::Undone)),
            // The server has not noticed yet that its client has gone.
            Some("in progress") => None,
            // Another server, or one restored from a backup.
            Some(_) | None => Some(Err(StoreError::TimedOut)),
        }
    }
}

/// Makes the change but for its commit; answers the number of its transaction too.
async fn prepare<C: Change>(
    connection: &mut PgConnection,
    change: &C,
) -> Result<(C::Output, String), StoreError> {
    // Serializable: a change may be written as if it were alone, as on SQLite, where it is.
    let begin = "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT pg_current_xact_id()::text AS id";
    let transaction = sqlx::raw_sql(begin)
        .fetch_one(&mut *connection)
        .await?
        .try_get("id")?;
    let output = change.apply(&mut Connection::Postgres(connection)).await?;
    Ok((output, transaction))
}

async fn run(connection: &mut PgConnection, sql: &'static str) -> Result<(), StoreError> {
    sqlx::raw_sql(sql).execute(connection).await?;
    Ok(())
}

/// Whether two changes met. A unique key that was free when it was looked for is such a case: on
/// the next attempt it is seen to be taken.
fn is_conflict(error: &StoreError) -> bool {
    let StoreError::Database(error) = error else {
        return false;
    };
    // serialization_failure, deadlock_detected, unique_violation, lock_not_available
    // (https://www.postgresql.org/docs/current/errcodes-appendix.html)
    code(error).is_some_and(|code| matches!(code, "40001" | "40P01" | "23505" | "55P03"))
}

/// The server's own code for an error.
pub(super) fn code(error: &sqlx::Error) -> Option<&str> {
    let error = error.as_database_error()?;
    Some(error.try_downcast_ref::<PgDatabaseError>()?.code())
}

/// Longer from attempt to attempt, and never the same for two that met.
fn pause(attempt: u32) -> Duration {
    let [random] = secret::random::<1>();
    let most = 2_u64 << attempt.min(6);
    Duration::from_micros(most * 1000 * u64::from(random) / 255)
}
