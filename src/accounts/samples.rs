//! Accounts for the tests of those who use them: a database of their own, and hashes that cost little.

use std::num::NonZeroUsize;

use tempfile::TempDir;

use super::{
    Account, Accounts, Cost, EmailAddress, HashSettings, KeyPrefix, NewAccount, Origin,
    PlainPassword, Rules, Settings,
};
use crate::clock::Clock;
use crate::store::Database;

/// Accounts under `clock`, in a folder that lives as long as the test keeps it.
pub(crate) async fn open(clock: &Clock) -> (Accounts, TempDir) {
    let folder = TempDir::new().unwrap();
    let settings = Settings {
        database: Database::Sqlite(folder.path().join("accounts.db")),
        hashing: HashSettings {
            cost: Cost::new(64, 1, 1).unwrap(),
            threads: NonZeroUsize::MIN,
            queue: NonZeroUsize::new(8).unwrap(),
        },
        key_prefix: KeyPrefix::default(),
    };
    let opening = Accounts::open(&settings, Rules::default(), clock.clone());
    (opening.await.unwrap(), folder)
}

/// The account of `ann@example.com`.
pub(crate) async fn ann(accounts: &Accounts, origin: &Origin) -> Account {
    let new = NewAccount {
        email: EmailAddress::parse("ann@example.com").unwrap(),
        password: PlainPassword::parse(String::from("correct horse")).unwrap(),
        username: None,
        name: None,
        invitation: None,
    };
    accounts.register(new, origin).await.unwrap()
}
