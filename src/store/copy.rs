//! Moves everything from one database to another, wholly or not at all.

mod tables;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;

use super::sql::{Connection, Row, query};
use super::{Database, OpenError, Store, StoreError, postgres, sqlite};
use tables::{Kind, Table};

/// Rows that are read and written at a time: with the values of the widest table far fewer than a
/// statement may have (SQLite: 32,766).
const PAGE: usize = 500;

/// Whether anything is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copying {
    Really,
    /// Everything is looked at and nothing changed.
    OnlyInWords,
}

/// A table and how many rows of it were, or would be, copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    pub table: String,
    pub rows: u64,
}

/// Why nothing was copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error("the database that is copied from cannot be opened")]
    From(#[source] OpenError),
    #[error("the database that is copied to cannot be opened")]
    To(#[source] OpenError),
    #[error("the database that is copied to is not empty: it has rows in {0}")]
    NotEmpty(String),
    #[error("the database that is copied from has {0}, which this version does not know")]
    Newer(String),
    #[error("of {table}, {read} rows were read and {written} are there")]
    Lost {
        table: String,
        read: u64,
        written: u64,
    },
    #[error("the copy failed")]
    Store(#[from] StoreError),
}

/// Copies every row of every table, with its ids and times. Nothing stays in `to` when it fails,
/// but for empty tables. Whoever writes to `from` meanwhile is not waited for: stop it first.
///
/// # Errors
///
/// When a database cannot be used, `to` has any row, or `from` is of a newer version.
pub async fn copy(from: &Database, to: &Database, how: Copying) -> Result<Vec<Copied>, CopyError> {
    let mut source = Side::connect_reading(from).await.map_err(CopyError::From)?;
    source.begin_reading().await?;
    let tables = source.tables().await?;
    refuse_unknown(&tables, &known().await?)?;
    match how {
        Copying::OnlyInWords => rehearse(&mut source, &tables, to).await,
        Copying::Really => carry_over(&mut source, &tables, to).await,
    }
}

/// Looks at what could be in the way.
async fn rehearse(
    source: &mut Side,
    tables: &[Table],
    to: &Database,
) -> Result<Vec<Copied>, CopyError> {
    if let Some(mut target) = Side::connect_if_there(to).await? {
        let there = target.tables().await?;
        target.refuse_unless_empty(&there).await?;
    }
    let mut found = Vec::with_capacity(tables.len());
    for table in tables {
        let rows = source.count(table).await?;
        found.push(Copied {
            table: table.name.clone(),
            rows,
        });
    }
    Ok(found)
}

async fn carry_over(
    source: &mut Side,
    tables: &[Table],
    to: &Database,
) -> Result<Vec<Copied>, CopyError> {
    // Makes the tables as this version has them.
    Store::open(to).await.map_err(CopyError::To)?.close().await;
    let mut target = Side::connect_writing(to).await.map_err(CopyError::To)?;
    let there = target.tables().await?;
    target.begin_writing(&there).await?;
    target.refuse_unless_empty(&there).await?;
    let mut copied = Vec::with_capacity(tables.len());
    for table in tables {
        let rows = copy_table(source, &mut target, table).await?;
        let written = target.count(table).await?;
        if rows != written {
            return Err(CopyError::Lost {
                table: table.name.clone(),
                read: rows,
                written,
            });
        }
        copied.push(Copied {
            table: table.name.clone(),
            rows,
        });
    }
    target.number_on(&there).await?;
    target.run("COMMIT".to_owned()).await?;
    Ok(copied)
}

/// The tables as this version has them, on either database.
async fn known() -> Result<Vec<Table>, CopyError> {
    let mut example = sqlite::example().await.map_err(CopyError::To)?;
    Ok(tables::read(&mut Connection::Sqlite(&mut example)).await?)
}

/// What this version does not know would be lost.
fn refuse_unknown(tables: &[Table], known: &[Table]) -> Result<(), CopyError> {
    for table in tables {
        let Some(known) = known.iter().find(|known| known.name == table.name) else {
            return Err(CopyError::Newer(format!("the table {}", table.name)));
        };
        for column in &table.columns {
            if !known.columns.contains(column) {
                let unknown = format!("the column {}.{}", table.name, column.name);
                return Err(CopyError::Newer(unknown));
            }
        }
    }
    Ok(())
}

async fn copy_table(
    source: &mut Side,
    target: &mut Side,
    table: &Table,
) -> Result<u64, StoreError> {
    let mut pages = source.read(table).await?;
    let mut rows = 0;
    loop {
        let page = pages.next(source, table).await?;
        if page.is_empty() {
            return Ok(rows);
        }
        target.insert(table, &page).await?;
        rows += page.len() as u64;
    }
}

/// One of the two databases, with a connection of its own.
enum Side {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// How far the reading of a table has come.
enum Pages {
    /// After this row of SQLite's own numbering.
    After(i64),
    /// Where the server's cursor stands.
    Cursor,
}

impl Side {
    async fn connect_reading(database: &Database) -> Result<Self, OpenError> {
        match database {
            Database::Sqlite(path) => {
                let connection = sqlite::connect(sqlite::for_reading(path)).await?;
                Ok(Self::Sqlite(connection))
            }
            Database::Postgres(settings) => Ok(Self::Postgres(postgres::connect(settings).await?)),
        }
    }

    async fn connect_writing(database: &Database) -> Result<Self, OpenError> {
        match database {
            Database::Sqlite(path) => {
                let connection = sqlite::connect(sqlite::for_writing(path)).await?;
                Ok(Self::Sqlite(connection))
            }
            Database::Postgres(_) => Self::connect_reading(database).await,
        }
    }

    /// `None`: a file that is still to be made.
    async fn connect_if_there(database: &Database) -> Result<Option<Self>, CopyError> {
        if let Database::Sqlite(path) = database
            && !path.exists()
        {
            return Ok(None);
        }
        let connected = Self::connect_reading(database).await;
        connected.map(Some).map_err(CopyError::To)
    }

    fn connection(&mut self) -> Connection<'_> {
        match self {
            Self::Sqlite(connection) => Connection::Sqlite(connection),
            Self::Postgres(connection) => Connection::Postgres(connection),
        }
    }

    async fn run(&mut self, sql: String) -> Result<(), StoreError> {
        let run = query(AssertSqlSafe(sql));
        run.execute(&mut self.connection()).await.map(drop)
    }

    /// From now on everything is read as it is at one moment.
    async fn begin_reading(&mut self) -> Result<(), StoreError> {
        let begin = match self {
            Self::Sqlite(_) => "BEGIN",
            Self::Postgres(_) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        self.run(begin.to_owned()).await
    }

    /// From now on nobody else writes, and references are looked at when everything is there.
    async fn begin_writing(&mut self, tables: &[Table]) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(_) => {
                self.run("BEGIN IMMEDIATE".to_owned()).await?;
                self.run("PRAGMA defer_foreign_keys = ON".to_owned()).await
            }
            Self::Postgres(_) => {
                self.run("BEGIN".to_owned()).await?;
                for table in tables {
                    let name = &table.name;
                    self.run(format!("LOCK TABLE \"{name}\" IN EXCLUSIVE MODE"))
                        .await?;
                }
                self.run("SET CONSTRAINTS ALL DEFERRED".to_owned()).await
            }
        }
    }

    async fn tables(&mut self) -> Result<Vec<Table>, StoreError> {
        tables::read(&mut self.connection()).await
    }

    async fn refuse_unless_empty(&mut self, tables: &[Table]) -> Result<(), CopyError> {
        let mut full = Vec::new();
        for table in tables {
            let rows = self.count(table).await?;
            if rows > 0 {
                full.push(format!("{} ({rows})", table.name));
            }
        }
        match full.is_empty() {
            true => Ok(()),
            false => Err(CopyError::NotEmpty(full.join(", "))),
        }
    }

    async fn count(&mut self, table: &Table) -> Result<u64, StoreError> {
        let count = format!("SELECT count(*) AS number FROM \"{}\"", table.name);
        let row = query(AssertSqlSafe(count))
            .fetch_optional(&mut self.connection())
            .await?
            .ok_or(StoreError::Unreadable("a count"))?;
        let number: i64 = row.try_get("number")?;
        u64::try_from(number).map_err(|_| StoreError::Unreadable("a count"))
    }

    async fn read(&mut self, table: &Table) -> Result<Pages, StoreError> {
        match self {
            Self::Sqlite(_) => Ok(Pages::After(i64::MIN)),
            Self::Postgres(_) => {
                let (name, columns) = (&table.name, table.columns_quoted());
                self.run(format!(
                    "DECLARE \"copy_{name}\" NO SCROLL CURSOR FOR SELECT {columns} FROM \"{name}\""
                ))
                .await?;
                Ok(Pages::Cursor)
            }
        }
    }

    async fn insert(&mut self, table: &Table, rows: &[Row]) -> Result<(), StoreError> {
        let (name, columns) = (&table.name, table.columns_quoted());
        let mut text = format!("INSERT INTO \"{name}\" ({columns}) VALUES ");
        let mut number = 0;
        for row in 0..rows.len() {
            text.push_str(if row == 0 { "(" } else { ", (" });
            for column in 0..table.columns.len() {
                number += 1;
                let comma = if column == 0 { "" } else { ", " };
                // Writing to memory does not fail.
                let written = write!(text, "{comma}${number}");
                debug_assert!(written.is_ok());
            }
            text.push(')');
        }
        let mut insert = query(AssertSqlSafe(text));
        for row in rows {
            for column in &table.columns {
                insert = match column.kind {
                    Kind::Text => insert.bind(row.try_get::<Option<String>>(&column.name)?),
                    Kind::Integer => insert.bind(row.try_get::<Option<i64>>(&column.name)?),
                    Kind::Octets => insert.bind(row.try_get::<Option<Vec<u8>>>(&column.name)?),
                };
            }
        }
        insert.execute(&mut self.connection()).await.map(drop)
    }

    /// Has PostgreSQL number new rows after those that were copied; SQLite does so by itself.
    async fn number_on(&mut self, tables: &[Table]) -> Result<(), StoreError> {
        let Self::Postgres(_) = self else {
            return Ok(());
        };
        for table in tables {
            for column in table.columns.iter().filter(|column| column.numbered) {
                let (name, column) = (&table.name, &column.name);
                let text = format!(
                    "SELECT setval(pg_get_serial_sequence('\"{name}\"', '{column}'), \
                     max(\"{column}\")) FROM \"{name}\""
                );
                query(AssertSqlSafe(text))
                    .fetch_all(&mut self.connection())
                    .await?;
            }
        }
        Ok(())
    }
}

impl Pages {
    async fn next(&mut self, source: &mut Side, table: &Table) -> Result<Vec<Row>, StoreError> {
        let (name, columns) = (&table.name, table.columns_quoted());
        match self {
            Self::After(place) => {
                let text = format!(
                    "SELECT rowid AS copy_place, {columns} FROM \"{name}\" \
                     WHERE rowid > $1 ORDER BY rowid LIMIT {PAGE}"
                );
                let rows = query(AssertSqlSafe(text))
                    .bind(*place)
                    .fetch_all(&mut source.connection())
                    .await?;
                if let Some(last) = rows.last() {
                    *place = last.try_get("copy_place")?;
                }
                Ok(rows)
            }
            Self::Cursor => {
                query(AssertSqlSafe(format!("FETCH {PAGE} FROM \"copy_{name}\"")))
                    .fetch_all(&mut source.connection())
                    .await
            }
        }
    }
}
