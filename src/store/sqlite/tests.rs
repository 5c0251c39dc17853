//! SQLite: the suite of every store, and what is special about files.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::accounts::{
    Account, AccountId, Attributes, DisplayName, EmailAddress, LoginName, Origin, PasswordHash,
    Status,
    audit::{Entry, Event},
};
use crate::clock::Timestamp;
use crate::secret::Secret;
use crate::store::sql::{Connection, query};
use crate::store::{CreateAccount, Created, Database, KeepRingKey, Store, conformance};

fn folder() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("accounts.db");
    (folder, path)
}

async fn open(path: &Path) -> Store {
    Store::open(&Database::Sqlite(path.to_owned()))
        .await
        .unwrap()
}

async fn inside(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new()
        .filename(path)
        .connect()
        .await
        .unwrap()
}

fn key(id: u8) -> KeepRingKey {
    KeepRingKey {
        ring: "test",
        id,
        secret: Secret::new(vec![id]),
        at: Timestamp::from_seconds(1),
    }
}

fn account(email: &str) -> CreateAccount {
    let email = EmailAddress::parse(email).unwrap();
    let id = AccountId::random();
    let at = Timestamp::from_seconds(1);
    CreateAccount {
        account: Account {
            id,
            name: DisplayName::from_email(&email),
            email,
            email_verified: false,
            username: None,
            roles: Vec::new(),
            attributes: Attributes::default(),
            status: Status::Active,
            created_at: at,
            updated_at: at,
        },
        password: PasswordHash::from_phc(String::from("x")),
        invitation: None,
        entry: Entry {
            event: Event::Registered,
            account: Some(id),
            session: None,
            origin: Origin::gateway(),
        },
    }
}

#[tokio::test]
async fn sqlite_conforms() {
    conformance::run(|| async {
        let (folder, path) = folder();
        (open(&path).await, folder)
    })
    .await;
}

/// Asks the writer's own connection what it was told.
struct Durability;

impl Change for Durability {
    type Output = (String, i64, i64);

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Self::Output, StoreError> {
        let mut told = async |pragma| {
            let row = query(pragma).fetch_optional(&mut *connection).await?;
            row.ok_or(StoreError::Unreadable("a pragma"))
        };
        Ok((
            told("PRAGMA journal_mode").await?.try_get("journal_mode")?,
            told("PRAGMA synchronous").await?.try_get("synchronous")?,
            told("PRAGMA foreign_keys").await?.try_get("foreign_keys")?,
        ))
    }
}

#[tokio::test]
async fn every_commit_is_synced_to_a_write_ahead_log() {
    let (folder, path) = folder();
    let store = open(&path).await;
    let told = store.commit(Durability).await.unwrap();
    assert_eq!(told, (String::from("wal"), 2, 1));
    assert!(folder.path().join("accounts.db-wal").exists());
}

#[tokio::test]
async fn what_was_confirmed_is_in_the_files_before_anything_is_closed() {
    let (folder, path) = folder();
    let store = open(&path).await;
    let created = store.commit(account("ann@example.com")).await.unwrap();
    assert_eq!(created, Created::Done);

    // The files as a machine that loses its power now would have them.
    let after = TempDir::new().unwrap();
    for file in ["accounts.db", "accounts.db-wal"] {
        std::fs::copy(folder.path().join(file), after.path().join(file)).unwrap();
    }
    let reopened = open(&after.path().join("accounts.db")).await;
    let name = LoginName::parse("ann@example.com").unwrap();
    assert!(reopened.account_by_login(&name).await.unwrap().is_some());
}

#[tokio::test]
async fn nobody_else_may_read_the_files() {
    let (folder, path) = folder();
    let store = open(&path).await;
    store.commit(key(1)).await.unwrap();
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert!(files.len() >= 2);
    for file in files {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?}", file.path());
    }
}

/// Fails after it has written.
struct Half;

impl Change for Half {
    type Output = ();

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<(), StoreError> {
        key(9).apply(connection).await?;
        Err(StoreError::Unreadable("on purpose"))
    }
}

#[tokio::test]
async fn a_change_that_fails_is_undone_alone() {
    let (_folder, path) = folder();
    let store = open(&path).await;
    // Handed in together, so that they share a transaction.
    let (one, half, two) = tokio::join!(
        store.commit(key(1)),
        store.commit(Half),
        store.commit(key(2))
    );
    assert!(one.is_ok() && two.is_ok());
    assert!(matches!(half, Err(StoreError::Unreadable(_))));
    let ids: Vec<_> = store
        .ring_keys("test")
        .await
        .unwrap()
        .iter()
        .map(|(id, _)| *id)
        .collect();
    assert_eq!(ids, [1, 2]);
}

/// Breaks the transaction that it is in.
struct Sabotage;

impl Change for Sabotage {
    type Output = ();

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<(), StoreError> {
        query("ROLLBACK").execute(connection).await?;
        Ok(())
    }
}

#[tokio::test]
async fn a_transaction_that_fails_is_nobodys_success_and_the_next_one_works() {
    let (_folder, path) = folder();
    let store = open(&path).await;
    let (lost, broken) = tokio::join!(store.commit(key(1)), store.commit(Sabotage));
    assert!(broken.is_err());
    assert_eq!(
        lost.is_ok(),
        !store.ring_keys("test").await.unwrap().is_empty()
    );
    store.commit(key(2)).await.unwrap();
    let keys = store.ring_keys("test").await.unwrap();
    assert!(keys.iter().any(|(id, _)| *id == 2));
}

/// Lets the file grow no more, as on a full disk, for as long as this connection lives.
struct FillDisk;

impl Change for FillDisk {
    type Output = ();

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<(), StoreError> {
        query("PRAGMA max_page_count = 1")
            .fetch_all(connection)
            .await?;
        Ok(())
    }
}

#[tokio::test]
async fn on_a_full_disk_writes_fail_and_reads_and_later_writes_work() {
    let (_folder, path) = folder();
    let store = open(&path).await;
    store.commit(key(1)).await.unwrap();
    store.commit(FillDisk).await.unwrap();
    let mut written = 0;
    let full = loop {
        match store
            .commit(account(&format!("a{written}@example.com")))
            .await
        {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, StoreError::Database(_)), "{full}");
    assert_eq!(store.accounts(None, 1_000).await.unwrap().len(), written);
    assert_eq!(store.ring_keys("test").await.unwrap().len(), 1);
    let lasting = async { while store.commit(account("later@example.com")).await.is_err() {} };
    let bound = Duration::from_secs(60);
    assert!(tokio::time::timeout(bound, lasting).await.is_ok());
}

#[tokio::test]
async fn a_closed_store_says_so_after_it_has_done_what_was_handed_in() {
    let (_folder, path) = folder();
    let store = open(&path).await;
    let (kept, ()) = tokio::join!(store.commit(key(1)), store.close());
    assert!(kept.is_ok());
    assert!(matches!(
        store.commit(key(2)).await,
        Err(StoreError::Closed)
    ));
    assert_eq!(open(&path).await.ring_keys("test").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_newer_binary_may_have_migrated_the_database() {
    let (_folder, path) = folder();
    open(&path).await.close().await;
    let mut newer = inside(&path).await;
    sqlx::query("ALTER TABLE accounts ADD COLUMN shoe_size INTEGER")
        .execute(&mut newer)
        .await
        .unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (999, 'from the future', TRUE, x'00', 0)",
    )
    .execute(&mut newer)
    .await
    .unwrap();
    let store = open(&path).await;
    let created = store.commit(account("ann@example.com")).await.unwrap();
    assert_eq!(created, Created::Done);
    assert_eq!(store.accounts(None, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_newer_binary_may_migrate_while_this_one_runs() {
    let (_folder, path) = folder();
    let store = open(&path).await;
    let created = store.commit(account("ann@example.com")).await.unwrap();
    assert_eq!(created, Created::Done);
    assert_eq!(store.accounts(None, 9).await.unwrap().len(), 1);
    sqlx::query("ALTER TABLE accounts ADD COLUMN shoe_size INTEGER")
        .execute(&mut inside(&path).await)
        .await
        .unwrap();
    let created = store.commit(account("bob@example.com")).await.unwrap();
    assert_eq!(created, Created::Done);
    assert_eq!(store.accounts(None, 9).await.unwrap().len(), 2);
}

#[tokio::test]
async fn two_processes_may_start_on_a_database_that_is_not_there() {
    for _ in 0..20 {
        let (_folder, path) = folder();
        let (one, two) = tokio::join!(open(&path), open(&path));
        one.commit(key(1)).await.unwrap();
        two.commit(key(2)).await.unwrap();
        assert_eq!(one.ring_keys("test").await.unwrap().len(), 2);
    }
}

#[tokio::test]
async fn a_place_where_no_database_can_be_is_named() {
    let missing = Path::new("/nonexistent/accounts.db");
    let opened = Store::open(&Database::Sqlite(missing.to_owned())).await;
    assert!(matches!(opened, Err(OpenError::File { path, .. }) if path == missing));

    let (_folder, path) = folder();
    std::fs::write(
        &path,
        "this is not a database, but it is long enough to be read as one",
    )
    .unwrap();
    let opened = Store::open(&Database::Sqlite(path)).await;
    assert!(matches!(opened, Err(OpenError::Connect { .. })));
}
