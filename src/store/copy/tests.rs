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
