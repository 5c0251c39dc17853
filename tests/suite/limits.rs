//! Rate limits as the client sees them, in process and shared through a real Redis.

use std::collections::BTreeMap;

use serde_json::json;

use super::harness::redis::Redis;
use super::harness::{Answer, Client, Config, Gateway, Upstream, tokens};

fn limited(upstream: &Upstream, rule: &str) -> Config {
    Config::new()
        .upstream("app", upstream)
        .toml(rule)
        .route(
            "/limited/**",
            "upstream = \"app\"\nauth = \"none\"\nlimits = [\"few\"]",
        )
        .route(
            "/known/**",
            "upstream = \"app\"\nauth = \"required\"\nlimits = [\"few\"]\nerrors = \"agentflow\"",
        )
        .route(
            "/plai/**",
            "upstream = \"app\"\nauth = \"none\"\nlimits = [\"few\"]\nerrors = \"plai\"",
        )
        .route("/free/**", "upstream = \"app\"\nauth = \"none\"")
}

const FEW_CLIENTS: &str = "[[limit]]\nname = \"few\"\nkey = \"client\"\nrate = \"1/h\"\nburst = 3";
const FEW_IDENTITIES: &str =
    "[[limit]]\nname = \"few\"\nkey = \"identity\"\nrate = \"1/h\"\nburst = 3";

async fn statuses(client: &Client, path: &str, count: usize) -> BTreeMap<u16, usize> {
    let mut all = BTreeMap::new();
    for _ in 0..count {
        *all.entry(client.get(path).send().await.status.as_u16())
            .or_default() += 1;
    }
    all
}

async fn exhausted(gateway: &Gateway, path: &str) -> Answer {
    for _ in 0..3 {
        gateway.https().get(path).send().await.expect(200);
    }
    gateway.https().get(path).send().await.expect(429)
}

#[tokio::test]
async fn a_client_over_its_rate_is_told_when_to_come_back() {
    let upstream = Upstream::echo().await;
    let gateway = limited(&upstream, FEW_CLIENTS).start().await;
    let first = gateway.https().get("/limited/a").send().await.expect(200);
    assert!(first.header("ratelimit").is_some(), "{:?}", first.headers);
    assert!(
        first
            .header("ratelimit-policy")
            .unwrap()
            .contains("\"few\""),
        "{:?}",
        first.headers
    );
    for _ in 0..2 {
        gateway.https().get("/limited/a").send().await.expect(200);
    }
    let refused = gateway.https().get("/limited/a").send().await.expect(429);
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=3600).contains(&seconds), "{seconds}");
    assert!(
        refused.header("ratelimit").unwrap().contains("r=0"),
        "{:?}",
        refused.headers
    );
    assert_eq!(upstream.received().len(), 3);
    gateway.https().get("/free/a").send().await.expect(200);
    gateway
        .https()
        .from("127.0.0.2")
        .get("/limited/a")
        .send()
        .await
        .expect(200);
}

#[tokio::test]
async fn a_429_has_the_routes_shape() {
    let upstream = Upstream::echo().await;
    let gateway = limited(&upstream, FEW_CLIENTS).start().await;
    let body = exhausted(&gateway, "/plai/a").await.json();
    assert_eq!(body["error"], "rate_limit_exceeded");
    assert_eq!(body["code"], 429);
    assert!(
        body["retry_after"].is_number() && body["detail"].is_string(),
        "{body}"
    );
    let answer = gateway
        .https()
        .get("/known/a")
        .bearer(&tokens::token("u-1"))
        .send()
        .await
        .expect(429);
    let body = answer.json();
    assert_eq!(body["error"]["code"], "RATE_LIMIT_EXCEEDED");
    assert!(body["metadata"]["request_id"].is_string(), "{body}");
}

#[tokio::test]
async fn an_identity_has_one_budget_from_wherever_it_calls() {
    let upstream = Upstream::echo().await;
    let gateway = limited(&upstream, FEW_IDENTITIES).start().await;
    let (ann, bob) = (tokens::token("ann"), tokens::token("bob"));
    for from in ["127.0.0.2", "127.0.0.3", "127.0.0.4"] {
        gateway
            .https()
            .from(from)
            .get("/known/a")
            .bearer(&ann)
            .send()
            .await
            .expect(200);
    }
    gateway
        .https()
        .from("127.0.0.5")
        .get("/known/a")
        .bearer(&ann)
        .send()
        .await
        .expect(429);
    gateway
        .https()
        .from("127.0.0.5")
        .get("/known/a")
        .bearer(&bob)
        .send()
        .await
        .expect(200);
}

#[tokio::test]
async fn addresses_of_one_ipv6_network_share_a_budget_and_mapped_ones_are_ipv4() {
    let upstream = Upstream::echo().await;
    let config =
        limited(&upstream, FEW_CLIENTS).toml("[server]\ntrusted_proxies = [\"127.0.0.1/32\"]");
    let gateway = config.start().await;
    let call = async |address: &str| {
        let call = gateway
            .https()
            .get("/limited/a")
            .header("x-forwarded-for", address);
        call.send().await.status.as_u16()
    };
    for address in ["2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::1"] {
        assert_eq!(call(address).await, 200, "{address}");
    }
    assert_eq!(call("2001:db8::abcd").await, 429, "the same /64");
    assert_eq!(call("2001:db8:0:1::1").await, 200, "the next /64");
    for address in ["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1:4711"] {
        assert_eq!(call(address).await, 200, "{address}");
    }
    assert_eq!(call("::ffff:c000:201").await, 429, "the same IPv4 address");
}

#[tokio::test]
async fn a_forged_forwarded_for_does_not_give_a_fresh_budget() {
    let upstream = Upstream::echo().await;
    let gateway = limited(&upstream, FEW_CLIENTS).start().await;
    let mut refused = 0;
    for n in 0..10 {
        let call = gateway
            .https()
            .get("/limited/a")
            .header("x-forwarded-for", format!("192.0.2.{n}"));
        refused += usize::from(call.send().await.status == 429);
    }
    assert_eq!(refused, 7);
}

#[tokio::test]
async fn all_spellings_of_a_path_share_its_budget() {
    let upstream = Upstream::echo().await;
    let gateway = limited(&upstream, FEW_CLIENTS).start().await;
    for path in ["/limited/a", "/%6cimited/a", "/limited/%61"] {
        gateway.https().get(path).send().await.expect(200);
    }
    for path in ["/limited/a", "/%6Cimited/a", "/limited/a?x"] {
        gateway.https().get(path).send().await.expect(429);
    }
}

#[tokio::test]
async fn a_budget_outlasts_a_reload_that_leaves_its_rate_alone() {
    let upstream = Upstream::echo().await;
    let mut gateway = limited(&upstream, FEW_CLIENTS).start().await;
    exhausted(&gateway, "/limited/a").await;
    let changed = gateway
        .config
        .clone()
        .route("/new/**", "upstream = \"app\"\nauth = \"none\"");
    gateway.reload(changed).await;
    gateway.https().get("/new/a").send().await.expect(200);
    gateway.https().get("/limited/a").send().await.expect(429);
}

#[tokio::test]
async fn two_nodes_share_a_budget_through_redis() {
    let upstream = Upstream::echo().await;
    let redis = Redis::start().await;
    let one = limited(&upstream, FEW_CLIENTS).redis(&redis).start().await;
    let two = limited(&upstream, FEW_CLIENTS).redis(&redis).start().await;
    let mut admitted = 0;
    for _ in 0..5 {
        for node in [&one, &two] {
            admitted += usize::from(node.https().get("/limited/a").send().await.status == 200);
        }
    }
    assert_eq!(admitted, 3);
}

#[tokio::test]
async fn parallel_requests_do_not_slip_through_a_shared_budget() {
    let upstream = Upstream::echo().await;
    let redis = Redis::start().await;
    for config in [
        limited(&upstream, FEW_CLIENTS),
        limited(&upstream, FEW_CLIENTS).redis(&redis),
    ] {
        let gateway = config.start().await;
        let calls: Vec<_> = (0..30)
            .map(|_| tokio::spawn(gateway.https().get("/limited/a").send()))
            .collect();
        let mut admitted = 0;
        for call in calls {
            admitted += usize::from(call.await.unwrap().status == 200);
        }
        assert_eq!(admitted, 3);
    }
}

#[tokio::test]
async fn refused_requests_reach_no_endpoint_and_no_hash() {
    let rule =
        "[[limit]]\nname = \"few\"\nkey = \"client\"\nrate = \"1/h\"\nburst = 3\neverywhere = true";
    let gateway = Config::new().toml(rule).start().await;
    let body = json!({ "email": "ann@example.com", "password": "wrong-password" });
    let mut last = 0;
    for _ in 0..6 {
        last = gateway
            .https()
            .post("/auth/v1/login")
            .json(body.clone())
            .send()
            .await
            .status
            .as_u16();
    }
    assert_eq!(last, 429);
    assert_eq!(
        statuses(&gateway.https(), "/.well-known/jwks.json", 3).await,
        BTreeMap::from([(429, 3)])
    );
}

#[tokio::test]
async fn a_limit_on_a_login_name_holds_from_every_address() {
    let rule = "[[limit]]\nname = \"per-name\"\nkey = \"login\"\nrate = \"1/h\"\nburst = 3";
    let gateway = Config::new().toml(rule).start().await;
    let mut course = Vec::new();
    for n in 1..6 {
        let body = json!({ "email": "ann@example.com", "password": "wrong-password" });
        let call = gateway
            .https()
            .from(&format!("127.0.5.{n}"))
            .post("/auth/v1/login")
            .json(body);
        course.push(call.send().await.status.as_u16());
    }
    assert_eq!(course, [401, 401, 401, 429, 429]);
    let other = json!({ "email": "bob@example.com", "password": "wrong-password" });
    gateway
        .https()
        .post("/auth/v1/login")
        .json(other)
        .send()
        .await
        .expect(401);
}
