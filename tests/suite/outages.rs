//! Redis taken away, hung and brought back while requests flow: nobody is logged out, nobody waits.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;

use super::accounts::{PASSWORD, login, register, text};
use super::harness::chaos::{Chaos, Weather};
use super::harness::redis::Redis;
use super::harness::{Config, Gateway, Upstream, within};

const FEW: &str = "[[limit]]\nname = \"few\"\nkey = \"client\"\nrate = \"1/h\"\nburst = 10";
const STRICT: &str = "[[limit]]\nname = \"strict\"\nkey = \"client\"\nrate = \"1/h\"\nburst = 100\nscope = \"strict\"";
const LOCKOUT: &str = "[lockout]\npair = \"3/d\"";

/// A gateway whose Redis is behind a relay that the test commands.
async fn behind_chaos() -> (Upstream, Redis, Chaos, Gateway) {
    let upstream = Upstream::echo().await;
    let redis = Redis::start().await;
    let chaos = Chaos::before(SocketAddr::from(([127, 0, 0, 1], redis.port()))).await;
    let config = Config::new()
        .upstream("app", &upstream)
        .toml(&format!(
            "[redis]\nurl = \"redis://127.0.0.1:{}\"\nresponse_timeout = \"2s\"\nconnect_timeout = \"20s\"",
            chaos.port()
        ))
        .toml(FEW)
        .toml(STRICT)
        .toml(LOCKOUT)
        .route(
            "/limited/**",
            "upstream = \"app\"\nauth = \"none\"\nlimits = [\"few\"]",
        )
        .route(
            "/strict/**",
            "upstream = \"app\"\nauth = \"none\"\nlimits = [\"strict\"]",
        )
        .route("/**", "upstream = \"app\"\nauth = \"required\"");
    (upstream, redis, chaos, config.start().await)
}

/// What `/readyz` says: its status and whether it speaks of something degraded.
async fn readiness(gateway: &Gateway) -> (u16, bool) {
    let answer = gateway.admin().get("/readyz").send().await;
    (answer.status.as_u16(), answer.text().contains("degraded"))
}

async fn becomes_degraded(gateway: &Gateway, wanted: bool) {
    within("readyz changes", async {
        while readiness(gateway).await != (200, wanted) {
            gateway
                .https()
                .from("127.0.0.99")
                .get("/limited/probe")
                .send()
                .await;
        }
    })
    .await;
}

#[tokio::test]
async fn while_redis_is_away_everybody_stays_logged_in_and_guesses_stay_few() {
    for weather in [Weather::Cut, Weather::Hung] {
        let (_upstream, _redis, chaos, gateway) = behind_chaos().await;
        let ann = register(&gateway.https(), "ann@example.com").await;
        becomes_degraded(&gateway, false).await;
        chaos.set(weather);

        let began = Instant::now();
        for _ in 0..5 {
            gateway
                .https()
                .get("/private")
                .bearer(text(&ann, "access_token"))
                .send()
                .await
                .expect(200);
        }
        let body = json!({ "refresh_token": text(&ann, "refresh_token") });
        gateway
            .https()
            .post("/auth/v1/refresh")
            .json(body)
            .send()
            .await
            .expect(200);
        login(&gateway.https(), "ann@example.com").await;
        register(&gateway.https(), "bob@example.com").await;
        let mut admitted = 0;
        for _ in 0..15 {
            admitted += usize::from(gateway.https().get("/limited/a").send().await.status == 200);
        }
        assert!((1..=10).contains(&admitted), "{weather:?}: {admitted}");
        let mut guesses = 0;
        for _ in 0..10 {
            let body = json!({ "email": "ann@example.com", "password": "wrong" });
            let client = gateway.https().from("127.0.0.66");
            guesses +=
                usize::from(client.post("/auth/v1/login").json(body).send().await.status == 401);
        }
        assert!(guesses <= 3, "{weather:?}: {guesses} guesses");
        // Each waiting two seconds for Redis, they would take nearly a minute.
        assert!(
            began.elapsed() < Duration::from_secs(40),
            "{weather:?}: {:?}",
            began.elapsed()
        );

        gateway.https().get("/strict/a").send().await.expect(503);
        becomes_degraded(&gateway, true).await;
    }
}

#[tokio::test]
async fn redis_that_comes_back_is_used_without_a_restart() {
    for weather in [Weather::Cut, Weather::Hung] {
        let (_upstream, redis, chaos, gateway) = behind_chaos().await;
        chaos.set(weather);
        becomes_degraded(&gateway, true).await;
        chaos.set(Weather::Clear);
        becomes_degraded(&gateway, false).await;
        redis.command(&["FLUSHALL"]).await;
        gateway.https().get("/limited/a").send().await.expect(200);
        gateway.https().get("/strict/a").send().await.expect(200);
        assert_ne!(
            redis.command(&["DBSIZE"]).await,
            redis::Value::Int(0),
            "{weather:?}"
        );
    }
}

#[tokio::test]
async fn a_real_redis_that_is_killed_and_started_again_is_no_event_for_users() {
    let (_upstream, redis, _chaos, gateway) = behind_chaos().await;
    let ann = register(&gateway.https(), "ann@example.com").await;
    redis.kill().await;
    gateway
        .https()
        .get("/private")
        .bearer(text(&ann, "access_token"))
        .send()
        .await
        .expect(200);
    login(&gateway.https(), "ann@example.com").await;
    becomes_degraded(&gateway, true).await;
    redis.restart().await;
    becomes_degraded(&gateway, false).await;
    gateway
        .https()
        .get("/private")
        .bearer(text(&ann, "access_token"))
        .send()
        .await
        .expect(200);
}

#[tokio::test]
async fn a_redis_that_is_frozen_costs_no_request_its_time() {
    let (_upstream, redis, _chaos, gateway) = behind_chaos().await;
    redis.freeze();
    becomes_degraded(&gateway, true).await;
    let began = Instant::now();
    for _ in 0..50 {
        gateway.https().get("/limited/a").send().await;
    }
    let spent = began.elapsed();
    redis.thaw();
    // Each waiting two seconds for Redis, they would take a hundred.
    assert!(spent < Duration::from_secs(40), "{spent:?} for 50 requests");
    becomes_degraded(&gateway, false).await;
}

#[tokio::test]
async fn a_redis_that_takes_no_writes_is_away() {
    let (_upstream, redis, _chaos, gateway) = behind_chaos().await;
    redis.command(&["REPLICAOF", "127.0.0.1", "1"]).await;
    becomes_degraded(&gateway, true).await;
    let mut admitted = 0;
    for _ in 0..15 {
        admitted += usize::from(gateway.https().get("/limited/a").send().await.status == 200);
    }
    assert!((1..=10).contains(&admitted), "{admitted}");
    redis.command(&["REPLICAOF", "NO", "ONE"]).await;
    becomes_degraded(&gateway, false).await;
}

#[tokio::test]
async fn a_gateway_starts_degraded_when_redis_is_not_there_yet() {
    let upstream = Upstream::echo().await;
    let port = super::harness::ports::free();
    let config = Config::new()
        .app(&upstream)
        .toml(&format!("[redis]\nurl = \"redis://127.0.0.1:{port}\""));
    let gateway = config.start().await;
    let ann = register(&gateway.https(), "ann@example.com").await;
    gateway
        .https()
        .get("/private")
        .bearer(text(&ann, "access_token"))
        .send()
        .await
        .expect(200);
    let body = json!({ "email": "ann@example.com", "password": PASSWORD });
    gateway
        .https()
        .post("/auth/v1/login")
        .json(body)
        .send()
        .await
        .expect(200);
    becomes_degraded(&gateway, true).await;
}
