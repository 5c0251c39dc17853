//! A deployment moved to the other database and back.

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::secret::Secret;
use crate::store::conformance::{self, T0, created, is_successor, opened, rotate};
use crate::store::postgres::test_server::{PASSWORD, TestServer};
use crate::store::{
    Encryption, EndSessions, KeepRingKey, Place, PostgresAddress, PostgresSettings, Which,
};

fn file(folder: &TempDir, name: &str) -> Database {
    Database::Sqlite(folder.path().join(name))
}

fn on(server: &Arc<TestServer>) -> Database {
    let address = server.address(&server.database());
    Database::Postgres(Box::new(PostgresSettings {
        address: PostgresAddress::parse(&address).unwrap(),
        password: Some(Secret::new(PASSWORD.as_bytes().to_vec())),
        encryption: Encryption::Off,
        connections: 2,
        connect_timeout: std::time::Duration::from_secs(20),
        statement_timeout: std::time::Duration::from_secs(20),
    }))
}

fn rows(copied: &[Copied], table: &str) -> u64 {
    let found = copied.iter().find(|copied| copied.table == table);
    found.unwrap_or_else(|| panic!("{table}: {copied:?}")).rows
}

#[tokio::test]
async fn a_deployment_moves_to_the_other_database_and_back() {
    let server = TestServer::shared();
    let folder = tempfile::tempdir().unwrap();
    let (first, second, third) = (file(&folder, "a.db"), on(&server), file(&folder, "b.db"));
    let store = Store::open(&first).await.unwrap();
    // More than a page of some table.
    for number in 0..PAGE + 3 {
        created(&store, &format!("user{number}@example.com")).await;
    }
    let ann = created(&store, "ann@example.com").await;
    let live = opened(&store, &ann).await;
    assert!(is_successor(&rotate(&store, live, 0, T0).await));
    let gone = opened(&store, &ann).await;
    let end = EndSessions {
        account: ann.id,
        which: Which::Only(gone),
        ending: conformance::ending(T0),
    };
    let revoked = store.commit(end).await.unwrap();
    let key = KeepRingKey {
        ring: "test",
        id: 3,
        secret: Secret::new(vec![0, 1, 255]),
        at: T0,
    };
    store.commit(key).await.unwrap();
    store.close().await;

    let promised = copy(&first, &second, Copying::OnlyInWords).await.unwrap();
    assert_eq!(rows(&promised, "accounts"), PAGE as u64 + 4);
    let there = copy(&first, &second, Copying::Really).await.unwrap();
    assert_eq!(there, promised, "a dry run changes nothing and is right");
    assert_eq!(rows(&there, "sessions"), 2);
    let back = copy(&second, &third, Copying::Really).await.unwrap();
    assert_eq!(back, there);

    for database in [second, third] {
        let store = Store::open(&database).await.unwrap();
        let (found, password) = store.account(ann.id).await.unwrap().unwrap();
        assert_eq!((&found, password.as_phc()), (&ann, "first"));
        assert_eq!(store.accounts(None, 9_999).await.unwrap().len(), PAGE + 4);
        let news = store.revocations(&Place::default()).await.unwrap();
        assert_eq!(news.revocations, revoked);
        let keys = store.ring_keys("test").await.unwrap();
        assert_eq!((keys[0].0, keys[0].1.expose()), (3, &[0, 1, 255][..]));
        // The refresh family goes on where it stood, and new rows get new numbers.
        assert!(is_successor(&rotate(&store, live, 1, T0).await));
        let all = EndSessions {
            account: ann.id,
            which: Which::All,
            ending: conformance::ending(T0),
        };
        assert_eq!(store.commit(all).await.unwrap().len(), 2);
        let news = store.revocations(&news.place).await.unwrap();
        assert_eq!(news.revocations.len(), 2);
    }
}

/// The tables of a SQLite database that the gateway has anything in, as SQLite lists them.
async fn own_tables(side: &mut Side) -> Vec<String> {
    let listed = query(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' \
         AND name NOT IN ('_sqlx_migrations', 'sqlite_schema', 'sqlite_sequence') ORDER BY name",
    );
    let rows = listed.fetch_all(&mut side.connection()).await.unwrap();
    rows.iter()
        .map(|row| row.try_get("name").unwrap())
        .collect()
}

/// A row with something in each column of `table`. All texts are the same, so that what refers to
/// another table finds its row there. Where not all columns may be filled at one time, one is empty.
async fn fill(side: &mut Side, table: &str) {
    let described = query(
        "SELECT name, type AS kind, \"notnull\" AS needed FROM pragma_table_info($1) ORDER BY cid",
    );
    let rows = described.bind(table.to_owned());
    let rows = rows.fetch_all(&mut side.connection()).await.unwrap();
    let column = |row: &Row| {
        let value = match row.try_get::<&str>("kind").unwrap() {
            "TEXT" => "'1'",
            "INTEGER" => "1",
            _ => "x'01'",
        };
        let needed: i64 = row.try_get("needed").unwrap();
        (value, needed == 1)
    };
    let columns: Vec<_> = rows.iter().map(column).collect();
    let none_empty = columns.len();
    for empty in [none_empty].into_iter().chain(0..none_empty) {
        if columns.get(empty).is_some_and(|(_, needed)| *needed) {
            continue;
        }
        let value = |(at, (value, _)): (usize, &(&'static str, bool))| match at == empty {
            true => "NULL",
            false => *value,
        };
        let values: Vec<_> = columns.iter().enumerate().map(value).collect();
        let insert = format!("INSERT INTO \"{table}\" VALUES ({})", values.join(", "));
        if side.run(insert).await.is_ok() {
            return;
        }
    }
    panic!("{table}: no row could be made");
}

/// Every value of a table, whatever its columns are.
async fn contents(side: &mut Side, table: &str) -> Vec<String> {
    let described = query("SELECT name FROM pragma_table_info($1) ORDER BY name");
    let rows = described.bind(table.to_owned());
    let rows = rows.fetch_all(&mut side.connection()).await.unwrap();
    let quoted = |row: &Row| format!("quote(\"{}\")", row.try_get::<String>("name").unwrap());
    let values: Vec<_> = rows.iter().map(quoted).collect();
    let text = format!(
        "SELECT {} AS whole FROM \"{table}\"",
        values.join(" || ',' || ")
    );
    let rows = query(AssertSqlSafe(text));
    let rows = rows.fetch_all(&mut side.connection()).await.unwrap();
    rows.iter()
        .map(|row| row.try_get("whole").unwrap())
        .collect()
}

#[tokio::test]
async fn no_table_is_left_behind_in_either_direction() {
    let server = TestServer::shared();
    let folder = tempfile::tempdir().unwrap();
    let (first, second, third) = (file(&folder, "a.db"), on(&server), file(&folder, "b.db"));
    Store::open(&first).await.unwrap().close().await;
    let mut from = Side::connect_writing(&first).await.unwrap();
    let tables = own_tables(&mut from).await;
    for table in [
        "accounts",
        "api_keys",
        "audit",
        "invitations",
        "revocations",
        "ring_keys",
    ] {
        assert!(tables.iter().any(|name| name == table), "{tables:?}");
    }
    from.run(String::from("PRAGMA foreign_keys = OFF"))
        .await
        .unwrap();
    for table in &tables {
        fill(&mut from, table).await;
    }

    let one = |table: &String| Copied {
        table: table.clone(),
        rows: 1,
    };
    let one_of_each: Vec<_> = tables.iter().map(one).collect();
    for (from, to) in [(&first, &second), (&second, &third)] {
        for how in [Copying::OnlyInWords, Copying::Really] {
            assert_eq!(copy(from, to, how).await.unwrap(), one_of_each, "{how:?}");
        }
    }
    let mut to = Side::connect_reading(&third).await.unwrap();
    assert_eq!(own_tables(&mut to).await, tables);
    for table in &tables {
        let there = contents(&mut to, table).await;
        assert_eq!(there, contents(&mut from, table).await, "{table}");
        assert_eq!(there.len(), 1, "{table}");
    }
}

#[tokio::test]
async fn a_database_with_anything_in_it_is_not_copied_to() {
    let server = TestServer::shared();
    let folder = tempfile::tempdir().unwrap();
    let (full, empty) = (file(&folder, "full.db"), file(&folder, "empty.db"));
    let postgres = on(&server);
    for database in [&full, &postgres] {
        let store = Store::open(database).await.unwrap();
        created(&store, "ann@example.com").await;
        store.close().await;
    }
    Store::open(&empty).await.unwrap().close().await;
    for (from, to) in [(&full, &postgres), (&postgres, &full), (&empty, &full)] {
        for how in [Copying::OnlyInWords, Copying::Really] {
            let refused = copy(from, to, how).await.unwrap_err();
            let said = refused.to_string();
            assert!(said.contains("accounts (1)"), "{said}");
        }
    }
    let store = Store::open(&postgres).await.unwrap();
    assert_eq!(store.accounts(None, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_this_version_does_not_know_is_not_left_behind_in_silence() {
    let folder = tempfile::tempdir().unwrap();
    let (newer, to) = (file(&folder, "newer.db"), file(&folder, "to.db"));
    let store = Store::open(&newer).await.unwrap();
    created(&store, "ann@example.com").await;
    store.close().await;
    let mut side = Side::connect_writing(&newer).await.unwrap();
    let more = "ALTER TABLE accounts ADD COLUMN shoe_size INTEGER";
    side.run(more.to_owned()).await.unwrap();
    let refused = copy(&newer, &to, Copying::Really).await.unwrap_err();
    assert!(
        refused.to_string().contains("accounts.shoe_size"),
        "{refused}"
    );
    let to = Store::open(&to).await.unwrap();
    assert!(to.accounts(None, 9).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_database_that_is_not_there_is_not_made_to_be_copied_from() {
    let folder = tempfile::tempdir().unwrap();
    let (missing, to) = (file(&folder, "missing.db"), file(&folder, "to.db"));
    let refused = copy(&missing, &to, Copying::Really).await.unwrap_err();
    assert!(matches!(refused, CopyError::From(_)), "{refused}");
    let made: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert!(made.is_empty(), "{made:?}");
    assert!(!Path::new("missing.db").exists());
}
