//! PostgreSQL: the suite of every store, and what is special about a server.

mod many;
mod wire;

use std::collections::BTreeSet;
use std::sync::Arc;

use sqlx::{ConnectOptions, PgConnection};

use super::test_server::{PASSWORD, Stop, TestServer};
use super::*;
use crate::accounts::{Revocation, SessionId};
use crate::secret::Secret;
use crate::store::conformance::{
    self, T0, create, created, is_successor, opened, rotate, try_rotate,
};
use crate::store::sql::query;
use crate::store::{Created, Database, EndSessions, KeepRingKey, Place, Rotation, Store, Which};
use wire::{Loss, Wire};

fn settings(server: &TestServer, database: &str) -> PostgresSettings {
    PostgresSettings {
        address: PostgresAddress::parse(&server.address(database)).unwrap(),
        password: Some(Secret::new(PASSWORD.as_bytes().to_vec())),
        encryption: Encryption::Off,
        connections: 5,
        connect_timeout: Duration::from_secs(20),
        statement_timeout: Duration::from_secs(20),
    }
}

async fn open(settings: &PostgresSettings) -> Result<Store, OpenError> {
    Store::open(&Database::Postgres(Box::new(settings.clone()))).await
}

async fn fresh() -> (Store, (Arc<TestServer>, String)) {
    let server = TestServer::shared();
    let database = server.database();
    let store = open(&settings(&server, &database)).await.unwrap();
    (store, (server, database))
}

/// A store behind a relay, whose bounds are short.
async fn over_a_wire() -> (Store, Wire, Arc<TestServer>) {
    let server = TestServer::shared();
    let database = server.database();
    let wire = Wire::to(server.port()).await;
    let address = format!("postgres://portcullis@127.0.0.1:{}/{database}", wire.port);
    let settings = PostgresSettings {
        address: PostgresAddress::parse(&address).unwrap(),
        connect_timeout: Duration::from_secs(6),
        statement_timeout: Duration::from_secs(4),
        ..settings(&server, &database)
    };
    (open(&settings).await.unwrap(), wire, server)
}

async fn inside(server: &TestServer, database: &str) -> PgConnection {
    let options = settings(server, database).for_migrations();
    options.connect().await.unwrap()
}

fn key(id: u8) -> KeepRingKey {
    KeepRingKey {
        ring: "test",
        id,
        secret: Secret::new(vec![id]),
        at: T0,
    }
}

fn end(account: crate::accounts::AccountId, which: Which) -> EndSessions {
    EndSessions {
        account,
        which,
        ending: conformance::ending(T0),
    }
}

/// How often the session was refreshed: what the row says.
fn counter(server: &TestServer, database: &str, session: SessionId) -> String {
    let asked = format!("SELECT counter FROM sessions WHERE id = '{session}'");
    server.sql(database, &asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_conforms() {
    conformance::run(fresh).await;
}

#[tokio::test]
async fn a_revocation_that_is_committed_after_later_ones_is_read_once() {
    let (store, (server, database)) = fresh().await;
    let ann = created(&store, "ann@example.com").await;
    let session = opened(&store, &ann).await;
    let mut slow = inside(&server, &database).await;
    sqlx::raw_sql(
        "BEGIN; INSERT INTO revocations (session_id, expires_at) \
         VALUES ('000102030405060708090a0b0c0d0e0f', 9000000000000)",
    )
    .execute(&mut slow)
    .await
    .unwrap();

    let later = store
        .commit(end(ann.id, Which::Only(session)))
        .await
        .unwrap();
    let first = store.revocations(&Place::default()).await.unwrap();
    assert_eq!(first.revocations, later);
    let second = store.revocations(&first.place).await.unwrap();
    assert_eq!(second.revocations, vec![]);

    sqlx::raw_sql("COMMIT").execute(&mut slow).await.unwrap();
    let third = store.revocations(&second.place).await.unwrap();
    let slow_one = SessionId::parse("000102030405060708090a0b0c0d0e0f").unwrap();
    let read: Vec<_> = third
        .revocations
        .into_iter()
        .map(|(what, _)| what)
        .collect();
    assert_eq!(read, [Revocation::Session(slow_one)]);
    let fourth = store.revocations(&third.place).await.unwrap();
    assert_eq!(fourth.revocations, vec![]);
}

#[tokio::test]
async fn a_copy_of_the_server_with_other_numbers_is_read_from_the_beginning() {
    let (store, _server) = fresh().await;
    let ann = created(&store, "ann@example.com").await;
    let session = opened(&store, &ann).await;
    // As another cluster counts: its transactions are far ahead.
    let elsewhere = Place::at(9_000_000_000);
    let revoked = store.commit(end(ann.id, Which::Only(session)));
    let revoked = revoked.await.unwrap();
    let news = store.revocations(&elsewhere).await.unwrap();
    assert_eq!(news.revocations, revoked);
    let next = store.revocations(&news.place).await.unwrap();
    assert_eq!(next.revocations, vec![]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_register_with_one_address_at_one_time_one_does() {
    let (store, _server) = fresh().await;
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(
                async move { create(&store, &conformance::account("ann@example.com")).await },
            )
        })
        .collect();
    let mut made = 0;
    for task in tasks {
        match task.await.unwrap() {
            Created::Done => made += 1,
            Created::Taken | Created::Known | Created::NotInvited => {}
        }
    }
    assert_eq!(made, 1);
    assert_eq!(store.accounts(None, 99).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_shown_one_refresh_token_rotate_it_once() {
    let (one, (server, database)) = fresh().await;
    let two = open(&settings(&server, &database)).await.unwrap();
    let ann = created(&one, "ann@example.com").await;
    for _ in 0..10 {
        let session = opened(&one, &ann).await;
        let (a, b) = tokio::join!(rotate(&one, session, 0, T0), rotate(&two, session, 0, T0));
        assert!(is_successor(&a) && is_successor(&b));
        assert_eq!(counter(&server, &database, session), "1");
    }
}

#[tokio::test]
async fn a_commit_that_never_reached_the_server_is_made_anew() {
    let (store, wire, _server) = over_a_wire().await;
    let ann = created(&store, "ann@example.com").await;
    let session = opened(&store, &ann).await;
    wire.lose(Loss::Commit);
    assert!(is_successor(&rotate(&store, session, 0, T0).await));
    assert_eq!(wire.losses(), 1);
    // Were it not there, this would be a token from the future; twice, one from the past.
    assert!(is_successor(&rotate(&store, session, 1, T0).await));
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_found_to_have_been_made() {
    let (store, wire, _server) = over_a_wire().await;
    let ann = created(&store, "ann@example.com").await;
    let session = opened(&store, &ann).await;
    wire.lose(Loss::Answer);
    assert!(is_successor(&rotate(&store, session, 0, T0).await));
    wire.lose(Loss::Answer);
    let created = create(&store, &conformance::account("bob@example.com")).await;
    assert_eq!(created, Created::Done, "not taken, by itself");
    assert_eq!(wire.losses(), 2);
    assert!(is_successor(&rotate(&store, session, 1, T0).await));
}

#[tokio::test]
async fn a_server_that_answers_nothing_costs_a_bounded_wait_and_then_none() {
    let (store, wire, _server) = over_a_wire().await;
    store.commit(key(1)).await.unwrap();
    wire.lose(Loss::Everything);
    let bounded = Duration::from_secs(60);
    let asked = tokio::time::timeout(bounded, store.ring_keys("test")).await;
    assert!(asked.expect("a bound").is_err());
    let asked = tokio::time::timeout(bounded, store.commit(key(2))).await;
    assert!(asked.expect("a bound").is_err());
    let began = tokio::time::Instant::now();
    for _ in 0..100 {
        let refused = store.ring_keys("test").await;
        assert!(matches!(refused, Err(StoreError::Away(_))), "{refused:?}");
    }
    // A hundred that each waited would take minutes.
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "known to be away"
    );
    wire.lose(Loss::Nothing);
    let back = async { while store.commit(key(3)).await.is_err() {} };
    tokio::time::timeout(bounded, back)
        .await
        .expect("it is back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_restarts_in_the_middle_of_a_refresh_leaves_one_outcome() {
    for how in [Stop::Fast, Stop::Crash] {
        let server = Arc::new(TestServer::start(&[]));
        let database = server.database();
        let store = open(&settings(&server, &database)).await.unwrap();
        let ann = created(&store, "ann@example.com").await;
        let session = opened(&store, &ann).await;

        // The refresh waits in the middle of its transaction for somebody who holds the row.
        let mut holder = inside(&server, &database).await;
        let hold = "BEGIN; SELECT counter FROM sessions FOR UPDATE";
        sqlx::raw_sql(hold).execute(&mut holder).await.unwrap();
        let refreshing = tokio::spawn({
            let store = store.clone();
            async move {
                // A restart may take longer than anybody waits: then they ask again.
                loop {
                    match try_rotate(&store, session, 0, T0).await {
                        Err(StoreError::TimedOut | StoreError::Away(_)) => {}
                        rotation => return rotation.unwrap(),
                    }
                }
            }
        });
        let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted";
        while server.sql(&database, waits) == "0" {
            tokio::task::yield_now().await;
        }
        let stopped = tokio::task::spawn_blocking({
            let server = Arc::clone(&server);
            move || {
                server.stop(how);
                server.resume();
            }
        });
        stopped.await.unwrap();
        let rotation = refreshing.await.unwrap();
        assert!(
            matches!(rotation, Rotation::Successor { .. }),
            "{how:?}: {rotation:?}"
        );
        assert_eq!(counter(&server, &database, session), "1", "{how:?}");
        assert_eq!(store.accounts(None, 9).await.unwrap(), [ann]);
    }
}

#[tokio::test]
async fn a_server_that_was_away_is_found_again() {
    let server = TestServer::start(&[]);
    let database = server.database();
    let settings = PostgresSettings {
        connect_timeout: Duration::from_secs(1),
        ..settings(&server, &database)
    };
    let store = open(&settings).await.unwrap();
    store.commit(key(1)).await.unwrap();
    server.stop(Stop::Fast);
    for _ in 0..3 {
        let refused = store.commit(key(2)).await;
        assert!(matches!(refused, Err(StoreError::Away(_))), "{refused:?}");
    }
    assert!(store.ping().await.is_err());
    server.resume();
    let back = async { while store.commit(key(2)).await.is_err() {} };
    let bound = Duration::from_secs(60);
    tokio::time::timeout(bound, back).await.expect("it is back");
    assert_eq!(store.ring_keys("test").await.unwrap().len(), 2);
}

#[tokio::test]
async fn nodes_that_start_at_one_time_make_the_tables_once() {
    let server = TestServer::shared();
    let database = server.database();
    let settings = settings(&server, &database);
    let node = || open(&settings);
    let (one, two, three) = tokio::join!(node(), node(), node());
    assert!(one.is_ok() && two.is_ok() && three.is_ok());
}

#[tokio::test]
async fn a_newer_binary_may_migrate_while_this_one_runs() {
    let (store, (server, database)) = fresh().await;
    let ann = created(&store, "ann@example.com").await;
    assert_eq!(store.accounts(None, 9).await.unwrap(), [ann]);
    server.sql(
        &database,
        "ALTER TABLE accounts ADD COLUMN shoe_size BIGINT; \
         INSERT INTO _sqlx_migrations VALUES (999, 'newer', now(), true, '\\x00', 0)",
    );
    let bob = created(&store, "bob@example.com").await;
    let older = open(&settings(&server, &database)).await.unwrap();
    assert_eq!(older.accounts(None, 9).await.unwrap().len(), 2);
    assert!(older.account(bob.id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_server_that_may_lose_what_it_confirmed_is_not_used() {
    let server = TestServer::start(&["fsync=off"]);
    let database = server.database();
    let opened = open(&settings(&server, &database)).await;
    assert!(matches!(opened, Err(OpenError::NotDurable(_))));
}

#[tokio::test]
async fn commits_are_synchronous_also_where_the_database_is_set_otherwise() {
    let server = TestServer::shared();
    let database = server.database();
    let set = format!("ALTER DATABASE {database} SET synchronous_commit = off");
    server.sql("postgres", &set);
    let store = open(&settings(&server, &database)).await.unwrap();
    let row = query("SELECT current_setting('synchronous_commit') AS it")
        .fetch_optional(&store)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.try_get::<String>("it").unwrap(), "on");
}

#[tokio::test]
async fn a_wrong_password_and_a_missing_database_are_said_at_the_start() {
    let server = TestServer::shared();
    let database = server.database();
    let wrong = PostgresSettings {
        password: Some(Secret::new(b"wrong".to_vec())),
        ..settings(&server, &database)
    };
    let missing = settings(&server, "missing");
    for settings in [wrong, missing] {
        let refused = open(&settings).await.err().unwrap();
        let OpenError::Unreachable { address, source } = &refused else {
            panic!("{refused:?}");
        };
        assert!(address.contains("portcullis@127.0.0.1"), "{address}");
        assert!(!format!("{refused:?} {source}").contains(PASSWORD));
    }
}

/// What the tables hold: each column with its kind. SQLite's names for the kinds.
const COLUMNS_OF_POSTGRES: &str = "SELECT table_name || '.' || column_name || ' ' || \
    CASE data_type WHEN 'bigint' THEN 'INTEGER' WHEN 'text' THEN 'TEXT' \
    WHEN 'bytea' THEN 'BLOB' ELSE data_type END || ' ' || is_nullable AS it \
    FROM information_schema.columns WHERE table_schema = current_schema()";
const COLUMNS_OF_SQLITE: &str = "SELECT t.name || '.' || c.name || ' ' || c.type || ' ' || \
    CASE c.\"notnull\" WHEN 1 THEN 'NO' ELSE 'YES' END AS it \
    FROM sqlite_schema t, pragma_table_info(t.name) c \
    WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";

async fn columns(store: &Store, asked: &'static str) -> BTreeSet<String> {
    let rows = query(asked).fetch_all(store).await.unwrap();
    rows.iter()
        .map(|row| row.try_get::<String>("it").unwrap())
        .filter(|column| !column.starts_with("_sqlx_migrations"))
        .collect()
}

#[tokio::test]
async fn both_databases_have_the_same_tables() {
    let (store, _server) = fresh().await;
    let folder = tempfile::tempdir().unwrap();
    let file = Database::Sqlite(folder.path().join("accounts.db"));
    let sqlite = columns(&Store::open(&file).await.unwrap(), COLUMNS_OF_SQLITE).await;
    let mut postgres = columns(&store, COLUMNS_OF_POSTGRES).await;
    assert!(sqlite.len() > 30, "{sqlite:?}");
    // Only where ids are committed out of order.
    assert!(postgres.remove("revocations.transaction_id INTEGER NO"));
    let missing: Vec<_> = sqlite.difference(&postgres).collect();
    let more: Vec<_> = postgres.difference(&sqlite).collect();
    assert!(
        missing.is_empty() && more.is_empty(),
        "not in PostgreSQL: {missing:?}, only there: {more:?}"
    );
}

#[tokio::test]
async fn references_are_deferrable_so_that_a_copy_may_fill_the_tables_in_any_order() {
    let (_store, (server, database)) = fresh().await;
    let rigid = "SELECT conname FROM pg_constraint WHERE contype = 'f' AND NOT condeferrable";
    assert_eq!(server.sql(&database, rigid), "");
}
