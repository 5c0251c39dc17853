//! The one writer: takes the changes that wait, makes them in one transaction, and answers each
//! when it is on the disk. One wait for the disk serves them all.

use std::pin::Pin;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection as _};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::store::sql::Connection;
use crate::store::{Change, StoreError};

/// Changes that may wait. At a millisecond a commit of 64, more would wait longer than a client.
const QUEUE: usize = 1024;
/// Most changes in one transaction.
const BATCH: usize = 64;
/// How long a caller waits for its change, the wait for other processes included.
const PATIENCE: Duration = Duration::from_secs(10);

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A change with whoever waits for it.
trait Job: Send {
    fn apply<'a>(&'a mut self, connection: &'a mut SqliteConnection) -> BoxFuture<'a, Applied>;
    fn answer(self: Box<Self>, committed: &Result<(), StoreError>);
}

/// Whether a change was made or must be undone.
enum Applied {
    Done,
    Failed,
}

struct Pending<C: Change> {
    change: C,
    outcome: Option<Result<C::Output, StoreError>>,
    answer: oneshot::Sender<Result<C::Output, StoreError>>,
}

impl<C: Change> Job for Pending<C> {
    fn apply<'a>(&'a mut self, connection: &'a mut SqliteConnection) -> BoxFuture<'a, Applied> {
        Box::pin(async move {
            let outcome = self.change.apply(&mut Connection::Sqlite(connection)).await;
            let applied = match &outcome {
                Ok(_) => Applied::Done,
                Err(_) => Applied::Failed,
            };
            self.outcome = Some(outcome);
            applied
        })
    }

    fn answer(self: Box<Self>, committed: &Result<(), StoreError>) {
        let answer = match (committed, self.outcome) {
            (Ok(()), Some(outcome)) => outcome,
            (Ok(()), None) => Err(StoreError::Closed),
            (Err(error), _) => Err(error.clone()),
        };
        // Whoever asked may have gone; the change is made all the same.
        drop(self.answer.send(answer));
    }
}

enum Message {
    Job(Box<dyn Job>),
    Close(oneshot::Sender<()>),
}

/// The way to the writer.
#[derive(Clone)]
pub(super) struct Writer {
    messages: mpsc::Sender<Message>,
}

impl Writer {
    /// Starts the writer on this connection; it opens another with these options when that fails.
    pub(super) fn start(options: SqliteConnectOptions, connection: SqliteConnection) -> Self {
        let (messages, taken) = mpsc::channel(QUEUE);
        let desk = Desk {
            options,
            connection: Some(connection),
        };
        tokio::spawn(desk.work(taken));
        Self { messages }
    }

    pub(super) async fn commit<C: Change>(&self, change: C) -> Result<C::Output, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job = Message::Job(Box::new(Pending {
            change,
            outcome: None,
            answer,
        }));
        self.messages
            .try_send(job)
            .map_err(|refused| match refused {
                TrySendError::Full(_) => StoreError::Busy,
                TrySendError::Closed(_) => StoreError::Closed,
            })?;
        tokio::time::timeout(PATIENCE, answered)
            .await
            .map_err(|_| StoreError::TimedOut)?
            .map_err(|_| StoreError::Closed)?
    }

    /// Waits until everything that was handed in is done and the connection is closed.
    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.messages.send(Message::Close(done)).await.is_ok() {
            // An error means that the writer has ended, which is what was asked.
            drop(closed.await);
        }
    }
}

/// Where the writer works.
struct Desk {
    options: SqliteConnectOptions,
    /// None after it failed, until the next change.
    connection: Option<SqliteConnection>,
}

impl Desk {
    async fn work(mut self, mut messages: mpsc::Receiver<Message>) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut closing = Vec::new();
        while messages.recv_many(&mut batch, BATCH).await > 0 {
            let mut jobs = Vec::with_capacity(batch.len());
            for message in batch.drain(..) {
                match message {
                    Message::Job(job) => jobs.push(job),
                    Message::Close(done) => {
                        messages.close();
                        closing.push(done);
                    }
                }
            }
            self.commit(jobs).await;
        }
        if let Some(connection) = self.connection.take() {
            // Moves the log into the database; when that fails, the next start does it.
            drop(connection.close().await);
        }
        for done in closing {
            let _ = done.send(());
        }
    }

    async fn commit(&mut self, mut jobs: Vec<Box<dyn Job>>) {
        let committed = match self.connection().await {
            Ok(connection) => transact(connection, &mut jobs).await,
            Err(error) => Err(error),
        };
        if committed.is_err() {
            // Whatever state it is in, closing it undoes what was not committed.
            self.connection = None;
        }
        for job in jobs {
            job.answer(&committed);
        }
    }

    async fn connection(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        if self.connection.is_none() {
            self.connection = Some(self.options.connect().await?);
        }
        self.connection.as_mut().ok_or(StoreError::Closed)
    }
}

/// Makes all the jobs' changes in one transaction, each undone by itself when it fails.
async fn transact(
    connection: &mut SqliteConnection,
    jobs: &mut [Box<dyn Job>],
) -> Result<(), StoreError> {
    if jobs.is_empty() {
        return Ok(());
    }
    // IMMEDIATE: a transaction that begins by reading could not be made to write when another
    // process wrote in between (https://sqlite.org/lang_transaction.html).
    run(connection, "BEGIN IMMEDIATE").await?;
    for job in jobs {
        run(connection, "SAVEPOINT change").await?;
        if let Applied::Failed = job.apply(connection).await {
            run(connection, "ROLLBACK TO change").await?;
        }
        run(connection, "RELEASE change").await?;
    }
    run(connection, "COMMIT").await
}

async fn run(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), StoreError> {
    sqlx::query(sql).execute(connection).await?;
    Ok(())
}
