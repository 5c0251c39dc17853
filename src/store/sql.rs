//! One text of SQL for every database: what our statements need of sqlx, and no more.
//!
//! Statements keep to what the databases have in common: `$1` for values, text, whole numbers of
//! 64 bits and octets for columns. Where they differ, there are two texts.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query as SqlxQuery;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{
    Decode, PgConnection, Postgres, Row as _, SqlSafeStr, SqlStr, Sqlite, SqliteConnection, Type,
};

use super::postgres::Held;
use super::{Store, StoreError};

/// A connection of one database or the other, in a change's transaction or only for reading.
pub enum Connection<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
}

/// A connection that was borrowed from those that read.
pub(super) enum Reader {
    Sqlite(PoolConnection<Sqlite>),
    Postgres { connection: Held, bound: Duration },
}

impl Reader {
    async fn rows(mut self, query: Query) -> Result<Vec<Row>, StoreError> {
        match &mut self {
            Self::Sqlite(connection) => Connection::Sqlite(connection).rows(query).await,
            Self::Postgres { connection, bound } => {
                let mut asked = Connection::Postgres(connection);
                let answer = tokio::time::timeout(*bound, asked.rows(query)).await;
                answer.unwrap_or_else(|_| {
                    connection.give_up();
                    Err(StoreError::TimedOut)
                })
            }
        }
    }
}

/// Begins a statement; its values follow with [`Query::bind`], in the order of their numbers.
pub fn query(text: impl SqlSafeStr) -> Query {
    Query {
        text: text.into_sql_str(),
        values: Vec::new(),
    }
}

/// A statement with its values.
#[derive(Clone, Debug)]
pub struct Query {
    text: SqlStr,
    values: Vec<Value>,
}

/// A value of a statement: what a column can hold.
#[derive(Clone)]
pub enum Value {
    Text(Option<String>),
    Integer(Option<i64>),
    Octets(Option<Vec<u8>>),
}

/// Values may be secret: a statement in a log shows none.
impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// One row of an answer.
pub enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Query {
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Makes a change; answers how many rows it concerned.
    pub async fn execute(self, connection: &mut Connection<'_>) -> Result<u64, StoreError> {
        match connection {
            Connection::Sqlite(connection) => {
                let done = self.for_sqlite().execute(&mut **connection).await?;
                Ok(done.rows_affected())
            }
            Connection::Postgres(connection) => {
                let done = self.for_postgres().execute(&mut **connection).await?;
                Ok(done.rows_affected())
            }
        }
    }

    pub async fn fetch_all(self, from: impl Source) -> Result<Vec<Row>, StoreError> {
        from.rows(self).await
    }

    /// The first row, if there is one: the statement must not ask for many.
    pub async fn fetch_optional(self, from: impl Source) -> Result<Option<Row>, StoreError> {
        Ok(from.rows(self).await?.into_iter().next())
    }

    fn for_sqlite(self) -> SqlxQuery<'static, Sqlite, SqliteArguments> {
        let query = sqlx::query::<Sqlite>(self.text);
        self.values
            .into_iter()
            .fold(query, |query, value| match value {
                Value::Text(text) => query.bind(text),
                Value::Integer(number) => query.bind(number),
                Value::Octets(octets) => query.bind(octets),
            })
    }

    fn for_postgres(self) -> SqlxQuery<'static, Postgres, PgArguments> {
        let query = sqlx::query::<Postgres>(self.text);
        self.values
            .into_iter()
            .fold(query, |query, value| match value {
                Value::Text(text) => query.bind(text),
                Value::Integer(number) => query.bind(number),
                Value::Octets(octets) => query.bind(octets),
            })
    }
}

/// Where rows are asked for: a store, by one of its readers, or the connection of a change.
pub trait Source {
    fn rows(self, query: Query) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send;
}

impl Connection<'_> {
    async fn rows(&mut self, query: Query) -> Result<Vec<Row>, StoreError> {
        match self {
            Connection::Sqlite(connection) => {
                let rows = query.for_sqlite().fetch_all(&mut **connection).await?;
                Ok(rows.into_iter().map(Row::Sqlite).collect())
            }
            Connection::Postgres(connection) => {
                let rows = query.for_postgres().fetch_all(&mut **connection).await?;
                Ok(rows.into_iter().map(Row::Postgres).collect())
            }
        }
    }
}

impl Source for &mut Connection<'_> {
    async fn rows(self, query: Query) -> Result<Vec<Row>, StoreError> {
        Connection::rows(self, query).await
    }
}

impl Source for &Store {
    /// Asks once more when the connection broke: reading twice does no harm.
    async fn rows(self, query: Query) -> Result<Vec<Row>, StoreError> {
        let first = self.reader().await?.rows(query.clone()).await;
        match first {
            Err(StoreError::Away(_)) => self.reader().await?.rows(query).await,
            Ok(_) | Err(_) => first,
        }
    }
}

impl Row {
    /// The value of a column: text, `i64` or octets, in an `Option` when it may be null.
    pub fn try_get<'r, T>(&'r self, column: &str) -> Result<T, StoreError>
    where
        T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>,
    {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        Self::Text(text.map(str::to_owned))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(Some(text.clone()))
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<Option<&String>> for Value {
    fn from(text: Option<&String>) -> Self {
        Self::Text(text.cloned())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(Some(number))
    }
}

impl From<Option<i64>> for Value {
    fn from(number: Option<i64>) -> Self {
        Self::Integer(number)
    }
}

impl From<u8> for Value {
    fn from(number: u8) -> Self {
        Self::Integer(Some(i64::from(number)))
    }
}

impl From<&[u8]> for Value {
    fn from(octets: &[u8]) -> Self {
        Self::Octets(Some(octets.to_vec()))
    }
}

impl From<Option<Vec<u8>>> for Value {
    fn from(octets: Option<Vec<u8>>) -> Self {
        Self::Octets(octets)
    }
}
