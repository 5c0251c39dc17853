//! The tables of a database as the database itself describes them: a copy forgets none.

use std::collections::BTreeMap;

use crate::store::StoreError;
use crate::store::sql::{Connection, query};

/// Where migrations are noted, which every database does for itself.
const MIGRATIONS: &str = "_sqlx_migrations";
/// The number of the transaction that wrote a row: of this one server.
const TRANSACTION: &str = "transaction_id";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
}

#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Whether PostgreSQL numbers its rows by a sequence.
    pub(super) numbered: bool,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Integer,
    Octets,
}

/// How rows are numbered is the database's own business.
impl PartialEq for Column {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.kind) == (&other.name, other.kind)
    }
}

impl Eq for Column {}

impl Table {
    /// The names of its columns, for a statement.
    pub(super) fn columns_quoted(&self) -> String {
        let quoted = self
            .columns
            .iter()
            .map(|column| format!("\"{}\"", column.name));
        quoted.collect::<Vec<_>>().join(", ")
    }
}

/// The tables of ours, by name.
pub(super) async fn read(connection: &mut Connection<'_>) -> Result<Vec<Table>, StoreError> {
    let described = match connection {
        Connection::Sqlite(_) => {
            "SELECT t.name AS of, c.name AS name, c.type AS kind, 'NO' AS numbered \
             FROM sqlite_schema t, pragma_table_info(t.name) c \
             WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
             ORDER BY t.name, c.cid"
        }
        Connection::Postgres(_) => {
            "SELECT c.table_name::text AS of, c.column_name::text AS name, \
             c.data_type::text AS kind, c.is_identity::text AS numbered \
             FROM information_schema.columns c JOIN information_schema.tables t \
             USING (table_schema, table_name) \
             WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE' \
             ORDER BY c.table_name, c.ordinal_position"
        }
    };
    let mut tables: BTreeMap<String, Vec<Column>> = BTreeMap::new();
    for row in query(described).fetch_all(connection).await? {
        let (table, name): (String, String) = (row.try_get("of")?, row.try_get("name")?);
        if table == MIGRATIONS || name == TRANSACTION {
            continue;
        }
        let kind = match row.try_get::<&str>("kind")? {
            "TEXT" | "text" => Kind::Text,
            "INTEGER" | "bigint" => Kind::Integer,
            "BLOB" | "bytea" => Kind::Octets,
            _ => return Err(StoreError::Unreadable("a column of another kind")),
        };
        let numbered = row.try_get::<&str>("numbered")? == "YES";
        tables.entry(table).or_default().push(Column {
            name,
            kind,
            numbered,
        });
    }
    let named = |(name, columns)| Table { name, columns };
    Ok(tables.into_iter().map(named).collect())
}
