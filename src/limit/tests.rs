//! What a client gets from rules.

mod shared;

use std::num::NonZeroU32;

use http::HeaderMap;

use super::*;
use crate::clock::Timestamp;
use crate::inbound::ClientIp;
use crate::values::Values;

const CLIENT: KeyedOn = KeyedOn {
    client: true,
    identity: false,
    route: false,
    login: false,
};

fn rule(name: &str, keyed_on: KeyedOn, rate: &str) -> RuleSpec {
    RuleSpec {
        name: RuleName::parse(name).unwrap(),
        keyed_on,
        counts: Counts::Requests,
        allowance: Allowance::of(Rate::parse(rate).unwrap()),
        scope: Scope::Shared,
        precision: Precision::Leased,
        keys: 1_000,
        everywhere: true,
    }
}

fn net(address: &str) -> ClientNet {
    ClientIp::new(address.parse().unwrap()).network()
}

fn from(address: &str) -> LimitKeys<'static> {
    let (client, route) = (net(address), "r");
    LimitKeys::Client { client, route }
}

fn by<'a>(identity: Option<&'a str>, address: &str) -> LimitKeys<'a> {
    let (client, route) = (net(address), "r");
    LimitKeys::Caller {
        client,
        route,
        identity,
    }
}

fn local() -> (Limits, Clock) {
    let clock = Clock::manual(Timestamp::from_seconds(0));
    (Limits::new(clock.clone(), None), clock)
}

/// How many of `tries` requests are admitted.
async fn admitted(limits: &Limits, rules: &RuleSet, keys: LimitKeys<'_>, tries: u32) -> u32 {
    let mut admitted = 0;
    for _ in 0..tries {
        admitted += u32::from(limits.admit(rules, &[], &keys).await.is_ok());
    }
    admitted
}

#[tokio::test]
async fn each_network_has_its_own_budget_and_an_ipv6_64_is_one_network() {
    let (limits, _) = local();
    let rules = limits.rules(&[rule("api", CLIENT, "3/min")]);
    assert_eq!(admitted(&limits, &rules, from("192.0.2.1"), 5).await, 3);
    assert_eq!(admitted(&limits, &rules, from("192.0.2.2"), 5).await, 3);
    assert_eq!(admitted(&limits, &rules, from("2001:db8::1"), 5).await, 3);
    assert_eq!(admitted(&limits, &rules, from("2001:db8::2:2"), 5).await, 0);
    assert_eq!(
        admitted(&limits, &rules, from("::ffff:192.0.2.1"), 5).await,
        0
    );
}

#[tokio::test]
async fn anonymous_callers_do_not_share_one_budget() {
    let (limits, _) = local();
    let identity = KeyedOn {
        identity: true,
        ..KeyedOn::default()
    };
    let rules = limits.rules(&[rule("user", identity, "2/min")]);
    assert_eq!(
        admitted(&limits, &rules, by(Some("a"), "192.0.2.1"), 5).await,
        2
    );
    assert_eq!(
        admitted(&limits, &rules, by(Some("a"), "192.0.2.2"), 5).await,
        0
    );
    assert_eq!(admitted(&limits, &rules, by(None, "192.0.2.1"), 5).await, 2);
    assert_eq!(admitted(&limits, &rules, by(None, "192.0.2.2"), 5).await, 2);
}

#[tokio::test]
async fn a_budget_is_of_all_parts_of_its_key_and_no_two_parts_make_up_for_each_other() {
    let (limits, _) = local();
    let all = KeyedOn {
        identity: true,
        route: true,
        ..CLIENT
    };
    let rules = limits.rules(&[rule("all", all, "1/min")]);
    for (client, identity, route) in [
        ("192.0.2.1", Some("a"), "r"),
        ("192.0.2.2", Some("a"), "r"),
        ("192.0.2.1", Some("b"), "r"),
        ("192.0.2.1", Some("a"), "s"),
        ("192.0.2.1", Some("r"), "a"),
        ("192.0.2.1", Some("r"), "r"),
        ("192.0.2.1", Some("s"), "s"),
        ("192.0.2.1", None, "r"),
        ("192.0.2.2", None, "r"),
    ] {
        let client = net(client);
        let keys = LimitKeys::Caller {
            client,
            route,
            identity,
        };
        assert_eq!(admitted(&limits, &rules, keys, 3).await, 1, "{keys:?}");
    }
}

#[tokio::test]
async fn a_rule_is_charged_once_a_request_at_the_step_that_knows_its_key() {
    let (limits, _) = local();
    let both = KeyedOn {
        identity: true,
        ..CLIENT
    };
    let rules = limits.rules(&[rule("net", CLIENT, "2/min"), rule("both", both, "2/min")]);
    for _ in 0..2 {
        let _ = limits.admit(&rules, &[], &from("192.0.2.1")).await.unwrap();
        let keys = by(Some("a"), "192.0.2.1");
        let _ = limits.admit(&rules, &[], &keys).await.unwrap();
    }
    limits
        .admit(&rules, &[], &from("192.0.2.1"))
        .await
        .unwrap_err();
}

#[tokio::test]
async fn a_refusal_says_when_to_come_back_and_then_holds_to_it() {
    let (limits, clock) = local();
    let rules = limits.rules(&[rule("api", CLIENT, "2/min")]);
    let first = limits.admit(&rules, &[], &from("192.0.2.1")).await.unwrap();
    let mut headers = HeaderMap::new();
    rules.write_headers(first, &Values::default(), &mut headers);
    assert_eq!(headers["ratelimit-policy"], "\"api\";q=2;w=60");
    assert_eq!(headers["ratelimit"], "\"api\";r=1;t=30");
    assert!(headers["ratelimit"].is_sensitive());

    let _ = limits.admit(&rules, &[], &from("192.0.2.1")).await.unwrap();
    clock.advance(Duration::from_millis(500));
    let refused = limits.admit(&rules, &[], &from("192.0.2.1")).await;
    let refused = refused.unwrap_err();
    let mut headers = HeaderMap::new();
    refused.write_headers(&mut headers);
    assert_eq!(headers["retry-after"], "30");
    assert_eq!(headers["ratelimit-policy"], "\"api\";q=2;w=60");
    assert_eq!(headers["ratelimit"], "\"api\";r=0;t=60");
    clock.advance(Duration::from_secs(30));
    let _ = limits.admit(&rules, &[], &from("192.0.2.1")).await.unwrap();
}

#[tokio::test]
async fn the_tightest_rule_is_the_one_that_is_told() {
    let (limits, _) = local();
    let rules = limits.rules(&[
        rule("wide", CLIENT, "100/min"),
        rule("tight", CLIENT, "3/min"),
    ]);
    let admitted = limits.admit(&rules, &[], &from("192.0.2.1")).await.unwrap();
    let mut headers = HeaderMap::new();
    rules.write_headers(admitted, &Values::default(), &mut headers);
    assert_eq!(headers["ratelimit"], "\"tight\";r=2;t=20");
}

#[tokio::test]
async fn a_reload_keeps_the_counters_of_a_rule_that_did_not_change() {
    let (limits, _) = local();
    let specs = [
        rule("same", CLIENT, "2/min"),
        rule("other", CLIENT, "9/min"),
    ];
    let before = limits.rules(&specs);
    assert_eq!(admitted(&limits, &before, from("192.0.2.1"), 2).await, 2);
    let moved = [rule("new", CLIENT, "9/min"), rule("same", CLIENT, "2/min")];
    let after = limits.rules(&moved);
    assert_eq!(admitted(&limits, &after, from("192.0.2.1"), 2).await, 0);
    let changed = limits.rules(&[rule("same", CLIENT, "5/min")]);
    assert_eq!(admitted(&limits, &changed, from("192.0.2.1"), 9).await, 5);
}

#[tokio::test]
async fn refused_credentials_use_up_a_budget_that_good_ones_do_not() {
    let (limits, _) = local();
    let failures = RuleSpec {
        counts: Counts::FailedAuthentications,
        ..rule("failures", CLIENT, "2/min")
    };
    let rules = limits.rules(&[failures]);
    assert_eq!(admitted(&limits, &rules, from("192.0.2.1"), 50).await, 50);
    for _ in 0..2 {
        limits.charge_failure(&rules, &[], &from("192.0.2.1")).await;
    }
    assert_eq!(admitted(&limits, &rules, from("192.0.2.1"), 5).await, 0);
    assert_eq!(admitted(&limits, &rules, from("192.0.2.2"), 5).await, 5);
}

#[tokio::test]
async fn a_named_rule_holds_where_it_is_named_only() {
    let (limits, _) = local();
    let named = RuleSpec {
        everywhere: false,
        ..rule("api", CLIENT, "1/min")
    };
    let rules = limits.rules(&[named]);
    let api = rules.find("api").unwrap();
    let keys = from("192.0.2.1");
    assert_eq!(admitted(&limits, &rules, keys, 5).await, 5);
    let _ = limits.admit(&rules, &[api], &keys).await.unwrap();
    limits.admit(&rules, &[api], &keys).await.unwrap_err();
}
