//! What an attacker and a victim get: the same in one process, and with Redis between nodes.

use std::num::NonZeroU32;

use super::*;
use crate::clock::Timestamp;
use crate::inbound::ClientIp;
use crate::limit::Rate;
use crate::shared::RedisSettings;
use crate::shared::test_redis::{TestRedis, becomes_shared, settings as redis_settings};

fn settings() -> LockoutSettings {
    let allowance = |rate| Allowance::of(Rate::parse(rate).unwrap());
    LockoutSettings {
        pair: allowance("3/h"),
        device: allowance("4/h"),
        account: allowance("10/h"),
        network: allowance("20/h"),
        code: allowance("2/h"),
        remember_network: Duration::from_secs(86_400),
        keys: 10_000,
    }
}

fn name(text: &str) -> LoginName {
    LoginName::parse(text).unwrap()
}

fn net(address: &str) -> ClientNet {
    ClientIp::new(address.parse().unwrap()).network()
}

fn clock() -> Clock {
    Clock::manual(Timestamp::from_seconds(0))
}

async fn reserve(
    lockout: &Lockout,
    login: &str,
    address: &str,
    device: KnownDevice<'_>,
) -> Result<Attempt, Locked> {
    try_as(lockout, (login, None), address, device).await
}

/// An attempt under a name that leads to this account.
async fn try_as(
    lockout: &Lockout,
    (login, account): (&str, Option<AccountId>),
    address: &str,
    device: KnownDevice<'_>,
) -> Result<Attempt, Locked> {
    let login = &name(login);
    let claimed = Claimed { login, account };
    lockout.reserve(claimed, net(address), device).await
}

/// Fails to log in so often; how many of the attempts were let as far as the hash.
async fn guess(lockout: &Lockout, login: &str, address: &str, tries: u32) -> u32 {
    let mut hashed = 0;
    for _ in 0..tries {
        let attempt = reserve(lockout, login, address, KnownDevice::No);
        if let Ok(attempt) = attempt.await {
            attempt.failed();
            hashed += 1;
        }
    }
    hashed
}

async fn log_in(lockout: &Lockout, login: &str, address: &str) -> Result<(), Locked> {
    let attempt = reserve(lockout, login, address, KnownDevice::No);
    attempt.await?.succeeded().await;
    Ok(())
}

/// Runs a scenario in one process, and on two nodes that share a Redis.
async fn on_both<F: Future<Output = ()>>(scenario: impl Fn(Lockout, Lockout) -> F) {
    let alone = Lockout::new(settings(), clock(), None);
    scenario(alone.clone(), alone).await;
    let server = TestRedis::start().await;
    let one = Lockout::new(settings(), clock(), Some(server.connect().await));
    let two = Lockout::new(settings(), clock(), Some(server.connect().await));
    scenario(one, two).await;
}

#[tokio::test]
async fn a_pair_is_locked_after_its_allowance_and_others_are_not() {
    on_both(async |one, two| {
        assert_eq!(guess(&one, "ann", "192.0.2.1", 2).await, 2);
        assert_eq!(guess(&two, "ANN", "192.0.2.1", 9).await, 1);
        assert_eq!(guess(&one, "bob", "192.0.2.1", 1).await, 1);
        assert_eq!(guess(&two, "ann", "192.0.2.2", 1).await, 1);
        let refused = reserve(&one, "ann", "192.0.2.1", KnownDevice::No);
        let wait = refused.await.unwrap_err().retry_after;
        assert!(wait > Duration::from_secs(60) && wait <= Duration::from_secs(1_200));
    })
    .await;
}

#[tokio::test]
async fn guesses_from_everywhere_lock_strangers_out_and_neither_known_device_nor_known_network() {
    on_both(async |one, two| {
        log_in(&one, "ann", "198.51.100.1").await.unwrap();
        let mut hashed = 0;
        for network in 0..40 {
            hashed += guess(&two, "ann", &format!("192.0.2.{network}"), 3).await;
        }
        assert_eq!(hashed, 10);
        assert!(log_in(&one, "ann", "203.0.113.1").await.is_err());
        log_in(&two, "ann", "198.51.100.1").await.unwrap();
        let device = KnownDevice::Yes("d1");
        let attempt = reserve(&one, "ann", "203.0.113.1", device);
        attempt.await.unwrap().succeeded().await;
    })
    .await;
}

#[tokio::test]
async fn codes_are_counted_for_their_account_alone_and_apart_from_passwords() {
    on_both(async |one, two| {
        let (ann, bob) = (AccountId::random(), AccountId::random());
        one.reserve_code(ann).await.unwrap().succeeded().await;
        one.reserve_code(ann).await.unwrap().withdrawn().await;
        one.reserve_code(ann).await.unwrap().failed();
        two.reserve_code(ann).await.unwrap().failed();
        for node in [&one, &two] {
            let wait = node.reserve_code(ann).await.unwrap_err().retry_after;
            assert!(wait > Duration::from_secs(60) && wait <= Duration::from_secs(1_800));
        }
        two.reserve_code(bob).await.unwrap().failed();
        let device = KnownDevice::Yes("d1");
        let attempt = try_as(&one, ("ann", Some(ann)), "192.0.2.1", device);
        attempt.await.unwrap().failed();
        let attempt = try_as(&two, ("ann", Some(ann)), "192.0.2.1", KnownDevice::No);
        assert!(attempt.await.unwrap().exhausted().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_known_device_has_an_allowance_too() {
    on_both(async |one, two| {
        for node in [&one, &two, &one, &two] {
            let attempt = reserve(node, "ann", "192.0.2.1", KnownDevice::Yes("d1"));
            attempt.await.unwrap().failed();
        }
        let attempt = reserve(&one, "ann", "192.0.2.1", KnownDevice::Yes("d1"));
        assert!(attempt.await.is_err());
        let attempt = reserve(&one, "ann", "192.0.2.1", KnownDevice::Yes("d2"));
        attempt.await.unwrap().succeeded().await;
    })
    .await;
}

/// How the attempts go: `Some(true)` for one whose password is looked at, `Some(false)` for one that
/// only seems to be, `None` for one that is refused.
async fn course(
    lockout: &Lockout,
    who: (&str, Option<AccountId>),
    from: &str,
) -> [Option<bool>; 4] {
    let mut course = [None; 4];
    for step in &mut course {
        if let Ok(attempt) = try_as(lockout, who, from, KnownDevice::No).await {
            *step = Some(attempt.exhausted().is_none());
            attempt.failed();
        }
    }
    course
}

#[tokio::test]
async fn the_names_of_one_account_share_its_counters_and_nobody_sees_it() {
    on_both(async |one, two| {
        let ann = Some(AccountId::random());
        let (username, email) = (("ann", ann), ("ann@example.com", ann));
        let all = [Some(true), Some(true), Some(true), None];
        assert_eq!(course(&one, username, "192.0.2.1").await, all);
        let vain = [Some(false), Some(false), Some(false), None];
        assert_eq!(course(&two, email, "192.0.2.1").await, vain);
        // six of the account's ten have been looked at, of each name three or six
        for network in ["192.0.2.2", "192.0.2.3"] {
            course(&one, email, network).await;
        }
        let rest = course(&two, username, "192.0.2.4").await;
        assert_eq!(rest, [Some(true), Some(false), Some(false), None]);
        for unknown in [("bob", None), ("bob@example.com", None)] {
            assert_eq!(course(&one, unknown, "192.0.2.9").await, all);
        }
        // in vain is not counted for the account: its device has an allowance of its own
        let device = try_as(&one, email, "192.0.2.1", KnownDevice::Yes("d1")).await;
        assert_eq!(device.unwrap().exhausted(), None);
    })
    .await;
}

#[tokio::test]
async fn a_success_under_one_name_forgives_the_other() {
    on_both(async |one, two| {
        let ann = Some(AccountId::random());
        let (username, email) = (("ann", ann), ("ann@example.com", ann));
        for _ in 0..2 {
            let attempt = try_as(&one, username, "192.0.2.1", KnownDevice::No).await;
            attempt.unwrap().failed();
        }
        let attempt = try_as(&two, email, "192.0.2.1", KnownDevice::No).await;
        attempt.unwrap().succeeded().await;
        let all = [Some(true), Some(true), Some(true), None];
        assert_eq!(course(&one, email, "192.0.2.1").await, all);
    })
    .await;
}

#[tokio::test]
async fn one_network_guesses_at_many_names_only_so_often_though_it_owns_an_account() {
    on_both(async |one, two| {
        let mut hashed = 0;
        for victim in 0..40 {
            log_in(&one, "mallory", "192.0.2.1").await.ok();
            hashed += guess(&two, &format!("victim{victim}"), "192.0.2.1", 1).await;
        }
        assert_eq!(hashed, 20);
    })
    .await;
}

#[tokio::test]
async fn a_success_gives_back_what_it_reserved_and_forgets_the_pairs_failures() {
    on_both(async |one, two| {
        for _ in 0..30 {
            assert_eq!(guess(&two, "ann", "192.0.2.1", 2).await, 2);
            if log_in(&one, "ann", "192.0.2.1").await.is_err() {
                panic!("a right password was refused");
            }
            // the network's allowance is used up after 20 failures: another one then
            if guess(&two, "bob", "192.0.2.1", 1).await == 0 {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn parallel_guesses_are_all_counted() {
    on_both(async |one, two| {
        let mut guesses = tokio::task::JoinSet::new();
        for at in 0..50 {
            let node = if at % 2 == 0 {
                one.clone()
            } else {
                two.clone()
            };
            guesses.spawn(async move {
                let held = reserve(&node, "ann", "192.0.2.1", KnownDevice::No);
                held.await.ok()
            });
        }
        let attempts: Vec<_> = guesses.join_all().await.into_iter().flatten().collect();
        assert_eq!(attempts.len(), 3);
    })
    .await;
}

#[tokio::test]
async fn a_dropped_attempt_counts_and_a_withdrawn_one_does_not() {
    on_both(async |one, two| {
        for _ in 0..30 {
            let attempt = reserve(&one, "ann", "192.0.2.1", KnownDevice::No);
            attempt.await.unwrap().withdrawn().await;
        }
        for _ in 0..3 {
            let attempt = reserve(&two, "ann", "192.0.2.1", KnownDevice::No);
            drop(attempt.await.unwrap());
        }
        assert_eq!(guess(&one, "ann", "192.0.2.1", 1).await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_refused_attempt_is_counted_nowhere_so_the_lock_ends_when_it_said() {
    let clock = clock();
    let lockout = Lockout::new(settings(), clock.clone(), None);
    assert_eq!(guess(&lockout, "ann", "192.0.2.1", 500).await, 3);
    clock.advance(Duration::from_secs(1_200));
    assert_eq!(guess(&lockout, "ann", "192.0.2.1", 9).await, 1);
    // of the network's twenty, only the four that were let through were taken
    assert_eq!(guess(&lockout, "bob", "192.0.2.1", 3).await, 3);
}

#[tokio::test]
async fn while_redis_is_away_guesses_are_counted_here_more_strictly_and_never_unlimited() {
    let mut server = TestRedis::start().await;
    let redis = server.dial(RedisSettings {
        nodes: NonZeroU32::new(2).unwrap(),
        ..redis_settings(server.port())
    });
    becomes_shared(&redis).await;
    let lockout = Lockout::new(settings(), clock(), Some(redis));
    server.kill();
    assert_eq!(guess(&lockout, "ann", "192.0.2.1", 50).await, 1);
    assert!(matches!(lockout.health(), Health::Away { .. }));
}

#[tokio::test]
async fn a_login_under_way_while_redis_dies_ends_well() {
    let mut server = TestRedis::start().await;
    let redis = server.connect().await;
    let lockout = Lockout::new(settings(), clock(), Some(redis));
    let attempt = reserve(&lockout, "ann", "192.0.2.1", KnownDevice::No);
    let attempt = attempt.await.unwrap();
    server.kill();
    attempt.succeeded().await;
}

#[tokio::test]
async fn a_reload_without_change_forgives_nothing() {
    let lockout = Lockout::new(settings(), clock(), None);
    assert_eq!(guess(&lockout, "ann", "192.0.2.1", 9).await, 3);
    lockout.adopt(settings());
    assert_eq!(guess(&lockout, "ann", "192.0.2.1", 9).await, 0);
}

#[tokio::test]
async fn however_many_networks_are_known_guesses_are_counted() {
    let settings = LockoutSettings {
        keys: 1_000,
        ..settings()
    };
    let lockout = Lockout::new(settings, clock(), None);
    for n in 0..10_000_u32 {
        let address = format!("10.{}.{}.1", n / 250, n % 250);
        log_in(&lockout, &format!("user{n}"), &address)
            .await
            .unwrap();
    }
    let mut hashed = 0;
    for _ in 0..10 {
        for victim in 0..100 {
            let address = format!("172.16.{victim}.1");
            hashed += guess(&lockout, &format!("victim{victim}"), &address, 1).await;
        }
    }
    // Three each, and a few more for those whose places in the table are crowded.
    assert!((300..330).contains(&hashed), "{hashed}");
}
