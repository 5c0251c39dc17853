//! Managed keys over a real database: made once, renewed in time, sealed anew.

use tempfile::TempDir;

use super::*;
use crate::accounts::{HashSettings, KeyPrefix, Rules, Settings};
use crate::authn::keys::{KeyRing, KeyUse};
use crate::clock::Clock;
use crate::store::Database;

const HOUR: Duration = Duration::from_secs(3600);
const T0: Timestamp = Timestamp::from_seconds(1_800_000_000);
const LIFE: Duration = Duration::from_secs(60);

fn secret(byte: u8) -> Secret {
    Secret::new(vec![byte; 32])
}

fn settings(masters: &[Secret]) -> ManagedSettings {
    ManagedSettings {
        algorithm: Algorithm::EdDsa,
        rotate: 10 * HOUR,
        publish: HOUR,
        masters: MasterRing::new(masters).unwrap(),
    }
}

async fn accounts() -> (TempDir, Accounts) {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        database: Database::Sqlite(folder.path().join("accounts.db")),
        hashing: HashSettings::default(),
        key_prefix: KeyPrefix::default(),
    };
    let accounts = Accounts::open(&settings, Rules::default(), Clock::manual(T0)).await;
    (folder, accounts.unwrap())
}

async fn tended(settings: &ManagedSettings, accounts: &Accounts, now: Timestamp) -> Vec<SealedKey> {
    settings.tend(accounts, (now, LIFE)).await.unwrap()
}

fn signing(settings: &ManagedSettings, keys: &[SealedKey], now: Timestamp) -> String {
    let tokens = Tokens::new(KeyRing::without_signer(Vec::new()).unwrap());
    let tokens = settings.apply(&tokens, (keys, now)).unwrap();
    let signing = tokens.ring.signing().unwrap();
    assert_eq!(signing.purpose, KeyUse::Sign);
    signing.id.to_string()
}

#[tokio::test]
async fn of_many_nodes_one_makes_each_key() {
    let (_folder, accounts) = accounts().await;
    let settings = settings(&[secret(1)]);
    for (number, now) in [(1, T0), (2, T0 + 9 * HOUR)] {
        let (one, two, three) = tokio::join!(
            tended(&settings, &accounts, now),
            tended(&settings, &accounts, now),
            tended(&settings, &accounts, now),
        );
        assert_eq!(one.len(), number);
        assert!(one == two && two == three);
        assert_eq!(tended(&settings, &accounts, now).await, one);
    }
}

#[tokio::test]
async fn a_key_is_published_before_it_signs_and_forgotten_after_its_last_token() {
    let (_folder, accounts) = accounts().await;
    let settings = settings(&[secret(1)]);
    let first = tended(&settings, &accounts, T0).await;
    assert_eq!(signing(&settings, &first, T0), first[0].id);
    let due = T0 + 9 * HOUR;
    assert_eq!(tended(&settings, &accounts, due - LIFE).await, first);
    let both = tended(&settings, &accounts, due).await;
    assert_eq!(both.len(), 2);
    assert_eq!(signing(&settings, &both, due), both[0].id, "only published");
    assert_eq!(signing(&settings, &both, due + HOUR), both[1].id);
    let tokens = Tokens::new(KeyRing::without_signer(Vec::new()).unwrap());
    let published = settings.apply(&tokens, (&both, due)).unwrap();
    let jwks = String::from_utf8(published.ring.jwks().to_vec()).unwrap();
    assert!(both.iter().all(|key| jwks.contains(&key.id)), "{jwks}");
    let later = due + HOUR + LIFE + Duration::from_secs(60);
    let left = tended(&settings, &accounts, later).await;
    assert_eq!(left, both[1..]);
    assert_eq!(accounts.signing_keys().await.unwrap(), left);
}

#[tokio::test]
async fn a_key_that_was_ordered_comes_at_once_and_only_once() {
    let (_folder, accounts) = accounts().await;
    let settings = settings(&[secret(1)]);
    tended(&settings, &accounts, T0).await;
    assert_eq!(
        accounts.order_signing_key(Pace::Now).await.unwrap(),
        Some(1)
    );
    let keys = tended(&settings, &accounts, T0).await;
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[1].signs_from, T0 + AT_ONCE);
    assert_eq!(tended(&settings, &accounts, T0).await, keys);
    let ordered = accounts.order_signing_key(Pace::Published).await;
    assert_eq!(ordered.unwrap(), Some(2));
    let keys = tended(&settings, &accounts, T0).await;
    assert_eq!(keys[2].signs_from, T0 + HOUR);
}

#[tokio::test]
async fn a_key_that_is_wanted_at_once_does_not_wait_for_one_that_is_only_published() {
    let (_folder, accounts) = accounts().await;
    let settings = settings(&[secret(1)]);
    tended(&settings, &accounts, T0).await;
    let due = T0 + 9 * HOUR;
    let published = tended(&settings, &accounts, due).await;
    assert_eq!(published[1].signs_from, due + HOUR);
    accounts.order_signing_key(Pace::Now).await.unwrap();
    let keys = tended(&settings, &accounts, due).await;
    assert_eq!(signing(&settings, &keys, due), keys[0].id);
    for later in [AT_ONCE, HOUR, 2 * HOUR] {
        assert_eq!(signing(&settings, &keys, due + later), keys[2].id);
    }
}

#[tokio::test]
async fn a_new_master_key_seals_what_an_old_one_sealed() {
    let (_folder, accounts) = accounts().await;
    let old = settings(&[secret(1)]);
    let keys = tended(&old, &accounts, T0).await;
    let both = settings(&[secret(2), secret(1)]);
    let resealed = tended(&both, &accounts, T0).await;
    assert_eq!(resealed[0].id, keys[0].id);
    assert_eq!(resealed[0].master, both.masters.first());
    let new = settings(&[secret(2)]);
    let keys = tended(&new, &accounts, T0).await;
    assert_eq!(signing(&new, &keys, T0), resealed[0].id);
    let refused = old.tend(&accounts, (T0, LIFE)).await;
    assert!(matches!(refused, Err(ManagedError::NoMaster(..))));
}

#[tokio::test]
async fn a_sealed_key_opens_as_what_it_was_sealed_and_as_nothing_else() {
    let (_folder, accounts) = accounts().await;
    let settings = settings(&[secret(1)]);
    let keys = tended(&settings, &accounts, T0).await;
    let tokens = Tokens::new(KeyRing::without_signer(Vec::new()).unwrap());
    let changes: [fn(&mut SealedKey); 4] = [
        |key| key.id.push('x'),
        |key| key.number += 1,
        |key| key.algorithm = String::from("ES256"),
        |key| key.sealed.truncate(20),
    ];
    for change in changes {
        let mut changed = keys[0].clone();
        change(&mut changed);
        let applied = settings.apply(&tokens, (&[changed], T0));
        assert!(matches!(applied, Err(ManagedError::Sealed(_))));
    }
}
