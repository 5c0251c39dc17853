//! What a client gets from rules that count in Redis: between nodes, and with Redis away.

use super::*;
use crate::shared::RedisSettings;
use crate::shared::test_redis::{TestRedis, becomes_away, becomes_shared, settings};

async fn node(server: &TestRedis) -> Limits {
    let clock = Clock::manual(Timestamp::from_seconds(0));
    Limits::new(clock, Some(server.connect().await))
}

#[tokio::test]
async fn two_nodes_share_one_small_budget_exactly() {
    let server = TestRedis::start().await;
    let (one, two) = (node(&server).await, node(&server).await);
    let specs = [rule("api", CLIENT, "10/d")];
    let (rules_one, rules_two) = (one.rules(&specs), two.rules(&specs));
    let keys = from("192.0.2.1");
    let mut admitted = 0;
    for _ in 0..10 {
        let (first, second) = tokio::join!(
            one.admit(&rules_one, &[], &keys),
            two.admit(&rules_two, &[], &keys)
        );
        admitted += u32::from(first.is_ok()) + u32::from(second.is_ok());
    }
    assert_eq!(admitted, 10);
}

#[tokio::test]
async fn a_large_budget_is_leased_and_a_full_one_is_not_exceeded() {
    let server = TestRedis::start().await;
    let (one, two) = (node(&server).await, node(&server).await);
    let specs = [rule("api", CLIENT, "100/d")];
    let (rules_one, rules_two) = (one.rules(&specs), two.rules(&specs));
    let keys = from("192.0.2.1");
    let before = commands(&server);
    let mut first = admitted(&one, &rules_one, keys, 45).await;
    assert_eq!(first, 45);
    let second = admitted(&two, &rules_two, keys, 100).await;
    assert!((45..=55).contains(&second), "{second}");
    first += admitted(&one, &rules_one, keys, 100).await;
    assert!((90..=100).contains(&(first + second)), "{first} {second}");
    let asked = commands(&server) - before;
    assert!(asked < 60, "{asked} commands for 245 requests");
}

/// Charges once; whether it had to wait.
async fn waits(limits: &Limits, rules: &RuleSet, keys: LimitKeys<'_>) -> bool {
    let mut charge = std::pin::pin!(limits.admit(rules, &[], &keys));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match charge.as_mut().poll(&mut context) {
        std::task::Poll::Ready(admitted) => {
            let _ = admitted.unwrap();
            false
        }
        std::task::Poll::Pending => {
            let _ = charge.await.unwrap();
            true
        }
    }
}

#[tokio::test]
async fn a_lease_is_renewed_before_it_is_used_up_so_that_nobody_waits() {
    let server = TestRedis::start().await;
    let limits = node(&server).await;
    let rules = limits.rules(&[rule("api", CLIENT, "1000/d")]);
    let keys = from("192.0.2.1");
    assert!(waits(&limits, &rules, keys).await, "the first of all");
    let before = commands(&server);
    for _ in 0..800 {
        assert!(!waits(&limits, &rules, keys).await);
        // What was asked before this is answered when this is.
        limits.redis.as_ref().unwrap().announce().await;
        tokio::task::yield_now().await;
    }
    let asked = commands(&server) - before;
    assert!((14..=18).contains(&asked), "{asked} commands for 800");
}

#[tokio::test]
async fn who_has_a_lease_does_not_notice_that_redis_hangs() {
    let server = TestRedis::start().await;
    let limits = impatient_node(&server).await;
    let rules = limits.rules(&[rule("api", CLIENT, "1000/d")]);
    let keys = from("192.0.2.1");
    assert!(waits(&limits, &rules, keys).await);
    server.hang();
    for _ in 1..50 {
        assert!(!waits(&limits, &rules, keys).await);
    }
    server.wake();
}

#[tokio::test]
async fn an_exact_rule_is_exact_however_large_it_is() {
    let server = TestRedis::start().await;
    let (one, two) = (node(&server).await, node(&server).await);
    let exact = RuleSpec {
        precision: Precision::Exact,
        ..rule("api", CLIENT, "200/d")
    };
    let specs = [exact];
    let (rules_one, rules_two) = (one.rules(&specs), two.rules(&specs));
    let keys = from("192.0.2.1");
    assert_eq!(admitted(&one, &rules_one, keys, 77).await, 77);
    assert_eq!(admitted(&two, &rules_two, keys, 200).await, 123);
}

/// How often a budget was asked for: each time its script reads one key, which the looks at the
/// server's health, one a second, do not.
fn commands(server: &TestRedis) -> u64 {
    let stats = server.command(&["INFO", "commandstats"]);
    let line = stats.lines().find(|line| line.starts_with("cmdstat_get:"));
    let calls = line.and_then(|line| line.split(['=', ',']).nth(1));
    calls.and_then(|calls| calls.parse().ok()).unwrap_or(0)
}

/// Settings of one of two nodes.
fn of_two(server: &TestRedis) -> RedisSettings {
    RedisSettings {
        nodes: NonZeroU32::new(2).unwrap(),
        ..settings(server.port())
    }
}

/// One of two nodes. A Redis that is killed refuses it at once, and one that lives has all the time
/// that a busy machine needs.
async fn one_of_two(server: &TestRedis) -> Limits {
    shared_by(server.dial(of_two(server))).await
}

/// One of two nodes, which finds out within half a second that Redis hangs. A busy machine may let
/// it think so of one that does not.
async fn impatient_node(server: &TestRedis) -> Limits {
    let impatient = RedisSettings {
        response_timeout: Duration::from_millis(500),
        ..of_two(server)
    };
    shared_by(server.dial(impatient)).await
}

async fn shared_by(redis: Redis) -> Limits {
    becomes_shared(&redis).await;
    Limits::new(Clock::manual(Timestamp::from_seconds(0)), Some(redis))
}

#[tokio::test]
async fn while_redis_is_dead_each_node_counts_its_share_and_then_recovers_by_itself() {
    let mut server = TestRedis::start().await;
    let limits = one_of_two(&server).await;
    let rules = limits.rules(&[rule("api", CLIENT, "10/d")]);
    let keys = from("192.0.2.1");
    server.kill();
    assert_eq!(admitted(&limits, &rules, keys, 20).await, 5);
    assert!(matches!(limits.health(), Health::Away { .. }));
    server.restart();
    let redis = limits.redis.as_ref().unwrap();
    becomes_shared(redis).await;
    assert_eq!(admitted(&limits, &rules, keys, 20).await, 10);
}

#[tokio::test]
async fn a_hung_redis_costs_one_time_out_and_not_one_a_request() {
    let server = TestRedis::start().await;
    let limits = impatient_node(&server).await;
    let rules = limits.rules(&[rule("api", CLIENT, "1000000/d")]);
    server.hang();
    let clock = Clock::system();
    for client in 0..200 {
        let keys = from(&format!("192.0.2.{client}"));
        let _ = limits.admit(&rules, &[], &keys).await.unwrap();
    }
    // one wait of half a second; 200 of them would be 100 s
    assert!(clock.steady() < Duration::from_secs(50));
    assert!(matches!(limits.health(), Health::Away { .. }));
    server.wake();
    let redis = limits.redis.as_ref().unwrap();
    becomes_shared(redis).await;
}

#[tokio::test]
async fn a_redis_that_takes_no_writes_is_away() {
    let server = TestRedis::start().await;
    let limits = one_of_two(&server).await;
    let redis = limits.redis.as_ref().unwrap();
    let rules = limits.rules(&[rule("api", CLIENT, "10/d")]);
    server.command(&["REPLICAOF", "127.0.0.1", "1"]);
    assert_eq!(admitted(&limits, &rules, from("192.0.2.1"), 20).await, 5);
    becomes_away(redis).await;
    server.command(&["REPLICAOF", "NO", "ONE"]);
    becomes_shared(redis).await;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    becomes_away(redis).await;
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    becomes_shared(redis).await;
}

#[tokio::test]
async fn a_strict_rule_answers_unavailable_while_redis_is_away() {
    let mut server = TestRedis::start().await;
    let limits = one_of_two(&server).await;
    let strict = RuleSpec {
        scope: Scope::Strict,
        ..rule("api", CLIENT, "10/d")
    };
    let rules = limits.rules(&[strict]);
    let keys = from("192.0.2.1");
    let _ = limits.admit(&rules, &[], &keys).await.unwrap();
    server.kill();
    let refused = limits.admit(&rules, &[], &keys).await.unwrap_err();
    assert!(matches!(refused, Limited::Unavailable { .. }));
}

#[tokio::test]
async fn a_redis_killed_while_requests_fly_fails_none_of_them() {
    let mut server = TestRedis::start().await;
    let limits = Arc::new(one_of_two(&server).await);
    let rules = Arc::new(limits.rules(&[rule("api", CLIENT, "2/d")]));
    let mut flying = tokio::task::JoinSet::new();
    for at in 0..200_u16 {
        let (limits, rules) = (Arc::clone(&limits), Arc::clone(&rules));
        flying.spawn(async move {
            let keys = from(&format!("10.0.{}.{}", at / 250, at % 250));
            limits.admit(&rules, &[], &keys).await.is_ok()
        });
    }
    tokio::task::yield_now().await;
    server.kill();
    assert!(flying.join_all().await.into_iter().all(|admitted| admitted));
}

#[tokio::test]
async fn a_gateway_starts_while_redis_is_away() {
    let mut server = TestRedis::start().await;
    server.kill();
    let redis = server.dial(of_two(&server));
    redis.first_answer().await;
    assert!(matches!(redis.health(), Health::Away { .. }));
    server.restart();
    becomes_shared(&redis).await;
}
