//! The hasher, with hashes that cost little.

use std::num::NonZeroUsize;

use super::*;

fn settings(threads: usize, queue: usize) -> HashSettings {
    HashSettings {
        cost: Cost::new(64, 1, 1).unwrap(),
        threads: NonZeroUsize::new(threads).unwrap(),
        queue: NonZeroUsize::new(queue).unwrap(),
    }
}

fn password(text: &str) -> PlainPassword {
    PlainPassword::parse(text).unwrap()
}

#[tokio::test]
async fn a_password_matches_its_own_hash_only() {
    let hasher = Hasher::start(&settings(1, 4)).unwrap();
    let hash = hasher.hash(&password("right")).await.unwrap();
    assert!(hash.as_phc().starts_with("$argon2id$v=19$m=64,t=1,p=1$"));
    assert_eq!(hasher.verify(&password("right"), &hash).await, Ok(true));
    assert_eq!(hasher.verify(&password("Right"), &hash).await, Ok(false));
    assert_eq!(hasher.verify(&password("right "), &hash).await, Ok(false));
}

#[tokio::test]
async fn a_hash_of_the_reference_implementation_verifies() {
    // From the test vectors of the reference implementation (phc-winner-argon2, test.c).
    let hash = PasswordHash::from_phc(String::from(
        "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
    ));
    let hasher = Hasher::start(&settings(1, 4)).unwrap();
    assert_eq!(hasher.verify(&password("password"), &hash).await, Ok(true));
    assert_eq!(hasher.memory(), 64 * 1024, "a dear hash keeps no memory");
}

#[tokio::test]
async fn nobody_costs_the_same_one_hash_as_somebody() {
    let hasher = Hasher::start(&settings(1, 4)).unwrap();
    let hash = hasher.hash(&password("right")).await.unwrap();
    let before = hasher.hashes();
    hasher.verify(&password("wrong"), &hash).await.unwrap();
    assert_eq!(hasher.hashes(), before + 1);
    hasher.verify_nobody(&password("wrong")).await.unwrap();
    assert_eq!(hasher.hashes(), before + 2);
    assert_eq!(pool::cost_of(&hash), pool::cost_of(&hasher.nobody));
}

#[tokio::test]
async fn a_full_queue_is_busy_at_once_and_what_waits_is_done() {
    let (hasher, crew) = Hasher::prepare(&settings(2, 3));
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let hasher = hasher.clone();
            tokio::spawn(async move { hasher.hash(&password("x")).await })
        })
        .collect();
    while hasher.waiting() < 3 {
        tokio::task::yield_now().await;
    }
    for _ in 0..1_000 {
        let refused = hasher.hash(&password("x")).await;
        assert!(matches!(refused, Err(HashError::Busy { .. })));
    }
    assert_eq!(hasher.waiting(), 3);
    assert_eq!(hasher.memory(), 0);

    crew.start().unwrap();
    for hash in waiting {
        assert!(hash.await.unwrap().is_ok());
    }
    assert_eq!(hasher.hashes(), 3);
    assert_eq!(hasher.memory(), 2 * 64 * 1024, "one place of work a thread");
}

#[tokio::test]
async fn who_went_away_is_not_worked_for() {
    let (hasher, crew) = Hasher::prepare(&settings(1, 3));
    let gone = tokio::spawn({
        let hasher = hasher.clone();
        async move { hasher.hash(&password("x")).await }
    });
    while hasher.waiting() < 1 {
        tokio::task::yield_now().await;
    }
    gone.abort();
    assert!(gone.await.is_err());
    crew.start().unwrap();
    hasher.hash(&password("y")).await.unwrap();
    assert_eq!(hasher.hashes(), 1);
}

#[tokio::test]
async fn a_stored_hash_that_would_exhaust_memory_is_not_computed() {
    let hasher = Hasher::start(&settings(1, 4)).unwrap();
    for text in [
        "$argon2id$v=19$m=4000000,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        "$argon2id$v=19$m=64,t=4000000,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        "$2b$12$abcdefghijklmnopqrstuv",
        "",
    ] {
        let hash = PasswordHash::from_phc(text.to_owned());
        let answer = hasher.verify(&password("x"), &hash).await;
        assert_eq!(answer, Err(HashError::Unreadable), "{text}");
    }
    assert_eq!(hasher.hashes(), 0);
}

#[tokio::test]
async fn a_hash_of_other_parameters_is_outdated() {
    let hasher = Hasher::start(&settings(1, 4)).unwrap();
    let own = hasher.hash(&password("x")).await.unwrap();
    let dearer = pool::unmatched(Cost::new(128, 1, 1).unwrap());
    assert!(!hasher.is_outdated(&own));
    assert!(hasher.is_outdated(&dearer));
}

#[tokio::test]
async fn a_hash_of_the_default_cost_is_up_to_date() {
    let defaults = HashSettings {
        threads: NonZeroUsize::MIN,
        ..HashSettings::default()
    };
    let hasher = Hasher::start(&defaults).unwrap();
    let hash = hasher.hash(&password("x")).await.unwrap();
    assert!(hash.as_phc().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    assert!(!hasher.is_outdated(&hash));
}
