//! Streams while the database is away, for all nodes or for one: what runs goes on, what has expired
//! ends, and nothing goes on for ever.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::accounts::{PASSWORD, login, register, text};
use super::cookies::{cookie_of, submit};
use super::harness::chaos::{Chaos, Weather};
use super::harness::postgres::{Stop, TestServer};
use super::harness::{Config, Gateway, within};
use super::machines::create;
use super::streams::{App, BOUND, OVER, QUIET, Word, app_on, bearer, cookie, echoes, ends, key};

/// Nobody can say whether the session lives.
const UNKNOWN: Word = Word {
    code: 1013,
    status: "14",
};

async fn on(server: &Arc<TestServer>, more: &str) -> App {
    let config = Config::new().postgres(server).toml(more);
    app_on(config.toml("[accounts.postgres]\nconnect_timeout = \"8s\"")).await
}

async fn by_form(gateway: &Gateway) -> String {
    let password = PASSWORD.replace(' ', "+");
    let fields = format!("username=ann%40example.com&password={password}");
    cookie_of(&submit(&gateway.https(), &fields, None).await.expect(303))
}

#[tokio::test]
async fn while_the_database_is_away_running_streams_go_on_and_expired_ones_end() {
    let server = Arc::new(TestServer::start(&[]));
    let mut app = on(&server, "[tokens]\nlifetime = \"20s\"").await;
    let mut wary = on(&server, "[tokens]\nmax_staleness = \"10s\"").await;
    register(&app.gateway.https(), "ann@example.com").await;
    // Each gateway has a database of its own.
    let browser = by_form(&app.gateway).await;
    let mut lasting = app.open(&cookie(&browser)).await;
    let ann = register(&wary.gateway.https(), "ann@example.com").await;
    let (key_of_ann, _) = create(&wary.gateway, "--user ann@example.com");
    let all = [
        bearer(text(&ann, "access_token")),
        cookie(&by_form(&wary.gateway).await),
        key(&key_of_ann),
    ];
    let unheard = wary.open(&all[0]).await;
    for shown in &all[1..] {
        wary.socket_http1(shown).await;
    }
    let ann = login(&app.gateway.https(), "ann@example.com").await;
    let issued = Instant::now();
    let mut expiring = app.open(&bearer(text(&ann, "access_token"))).await;
    let away = Instant::now();
    server.stop(Stop::Crash);

    let silent = tokio::time::timeout(QUIET, expiring.events[0].next()).await;
    assert!(silent.is_err(), "a stream ended before its token");
    expiring.all_live().await;
    within("no news for so long", unheard.end(UNKNOWN)).await;
    assert!(away.elapsed().as_secs() >= 9, "{:?}", away.elapsed());
    for shown in &all {
        let call = wary.gateway.https().get("/ws");
        let call = shown.iter().fold(call, |call, (k, v)| call.header(k, v));
        let refused = call.send().await.expect(503);
        assert!(refused.header("retry-after").is_some(), "{shown:?}");
        assert!(!refused.headers.contains_key("set-cookie"), "{shown:?}");
    }
    within("nobody can refresh its token", expiring.end(UNKNOWN)).await;
    assert!(issued.elapsed().as_secs() >= 18, "{:?}", issued.elapsed());
    lasting.all_live().await;

    server.resume();
    // Its session can be asked for again, and ended.
    let client = app.gateway.https();
    within("the logout is taken", async {
        let logout = || {
            let logout = client.post("/auth/logout").header("cookie", &browser);
            logout.header("sec-fetch-site", "same-origin").send()
        };
        while logout().await.status != 303 {}
    })
    .await;
    lasting.all_end().await;
}

#[tokio::test]
async fn a_node_that_cannot_reach_the_database_ends_streams_as_soon_as_it_can_again() {
    for weather in [Weather::Cut, Weather::Hung] {
        let server = TestServer::shared();
        let one = app_on(Config::new().postgres(&server)).await;
        let chaos = Chaos::before(SocketAddr::from(([127, 0, 0, 1], server.port()))).await;
        let behind = format!(
            "[accounts]\ndatabase = \"postgres://portcullis@127.0.0.1:{}/{}\"\n\
             [accounts.postgres]\nconnect_timeout = \"8s\"\nstatement_timeout = \"4s\"",
            chaos.port(),
            one.gateway.config.database()
        );
        let two = app_on(Config::new().sharing(&one.gateway).toml(&behind)).await;
        let ann = register(&one.gateway.https(), "ann@example.com").await;
        let shown = bearer(text(&ann, "access_token"));
        let near = one.socket_http1(&shown).await;
        let mut far = two.socket_http1(&shown).await;
        chaos.set(weather);
        let logout = one.gateway.https().post("/auth/v1/logout");
        let logout = logout.bearer(text(&ann, "access_token")).send().await;
        assert!(logout.status.is_success());
        let ended = tokio::time::timeout(BOUND, ends(near, OVER)).await;
        assert!(ended.is_ok(), "the stream outlives its session");
        // Nothing has told the other node; what runs goes on.
        echoes(&mut far).await;
        chaos.set(Weather::Clear);
        within("the node hears of it", ends(far, OVER)).await;
    }
}
