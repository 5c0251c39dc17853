//! Several nodes over one database and one Redis: what is done on one is seen on the others.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::accounts::{PASSWORD, is_believed, login, refresh, register, text};
use super::harness::chaos::{Chaos, Weather};
use super::harness::postgres::{Stop, TestServer};
use super::harness::redis::Redis;
use super::harness::websocket::CLOSE;
use super::harness::{Config, Gateway, Upstream, within};
use super::operators::user;
use super::websockets::ask;

/// How late a node may hear of a revocation, as long as its machine keeps up.
const BOUND: Duration = Duration::from_secs(2);

/// Three nodes, over one PostgreSQL unless a test runs them on it already.
pub struct Nodes {
    pub nodes: [Gateway; 3],
    redis: Redis,
    _upstream: Upstream,
}

async fn nodes() -> Nodes {
    let redis = Redis::start().await;
    let url = redis.url();
    nodes_by(redis, &url, "").await
}

/// The same, which reach their Redis under this address.
pub async fn nodes_by(redis: Redis, url: &str, more: &str) -> Nodes {
    let upstream = Upstream::websocket_echo().await;
    let config = || {
        let redis = format!("[redis]\nurl = {url:?}\nnodes = 3");
        Config::new().app(&upstream).toml(&redis).toml(more)
    };
    let server = TestServer::shared();
    let first = config().postgres(&server);
    let one = first
        .toml("[server]\nadmin_socket = \"admin.sock\"")
        .start()
        .await;
    let two = config().sharing(&one);
    let two = two
        .toml("[server]\nadmin_socket = \"admin.sock\"")
        .start()
        .await;
    let three = config().sharing(&one).start().await;
    Nodes {
        nodes: [one, two, three],
        redis,
        _upstream: upstream,
    }
}

/// Whether a node takes the token: the upstream answers 426 to what is no WebSocket.
async fn takes(node: &Gateway, token: &str) -> bool {
    let call = node.https().get("/private").bearer(token);
    let status = call.send().await.status.as_u16();
    assert!(matches!(status, 426 | 401), "{status}");
    status == 426
}

/// The bound on the machine as it is: busy with other tests, it is given what twenty requests of which
/// nobody has to hear anything take on it now.
async fn bound(node: &Gateway) -> Duration {
    let since = Instant::now();
    let answer = node.https().get("/public/x").send().await;
    assert!(matches!(answer.status.as_u16(), 200 | 426));
    BOUND + 20 * since.elapsed()
}

/// Every node refuses the token within the bound.
async fn refused_everywhere(nodes: &[Gateway], token: &str) {
    let since = Instant::now();
    for node in nodes {
        within("the node hears of it", async {
            while takes(node, token).await {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    let took = since.elapsed();
    let bound = bound(&nodes[0]).await;
    assert!(took < bound, "{took:?}, not {bound:?}");
}

async fn logout(node: &Gateway, token: &str) {
    let call = node.https().post("/auth/v1/logout").bearer(token);
    assert!(call.send().await.status.is_success());
}

#[tokio::test]
async fn what_is_revoked_on_one_node_is_refused_by_all_within_two_seconds() {
    let Nodes {
        nodes,
        redis,
        _upstream,
    } = nodes().await;
    let [one, two, three] = &nodes;
    let ann = register(&one.https(), "ann@example.com").await;
    let id = text(&ann["user"], "email").to_owned();
    for node in &nodes {
        assert!(takes(node, text(&ann, "access_token")).await);
    }

    // A logout on the first, with a stream open on the third.
    let bearer = format!("Bearer {}", text(&ann, "access_token"));
    let headers = [("authorization", bearer.as_str())];
    let (_, _, socket) = ask(&three.https(), "/ws", &headers).await;
    let mut socket = socket.unwrap();
    socket.send_text("hello").await;
    assert_eq!(socket.receive_text().await, "hello");
    logout(one, text(&ann, "access_token")).await;
    let since = Instant::now();
    refused_everywhere(&nodes, text(&ann, "access_token")).await;
    assert_eq!(
        socket.receive().await.map(|frame| frame.opcode),
        Some(CLOSE)
    );
    let took = since.elapsed();
    let bound = bound(three).await + Duration::from_secs(3);
    assert!(took < bound, "{took:?}, not {bound:?}");

    // A new password on the second.
    let (session, other) = (
        login(&one.https(), &id).await,
        login(&three.https(), &id).await,
    );
    let change = json!({ "current_password": PASSWORD, "new_password": PASSWORD.to_uppercase() });
    let call = two.https().post("/auth/v1/password").json(change);
    call.bearer(text(&session, "access_token"))
        .send()
        .await
        .expect(200);
    refused_everywhere(&nodes, text(&other, "access_token")).await;

    // A lost role and a ban, by an operator at the second.
    let bob = register(&two.https(), "bob@example.com").await;
    user(two, &["role", "bob@example.com"]);
    refused_everywhere(&nodes, text(&bob, "access_token")).await;
    let bob = login(&one.https(), "bob@example.com").await;
    user(two, &["disable", "bob@example.com"]);
    refused_everywhere(&nodes, text(&bob, "access_token")).await;

    // Without Redis, through the database.
    redis.kill().await;
    let cat = register(&one.https(), "cat@example.com").await;
    assert!(takes(three, text(&cat, "access_token")).await);
    logout(two, text(&cat, "access_token")).await;
    refused_everywhere(&nodes, text(&cat, "access_token")).await;

    // The nodes have measured it.
    for node in &nodes {
        let metrics = node.admin().get("/metrics").send().await.text();
        let figure = |name: &str| {
            let name = format!("portcullis_revocation_lag_seconds_{name} ");
            let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
            line.unwrap_or_else(|| panic!("{name}\n{metrics}"))
                .to_owned()
        };
        assert_ne!(figure("bucket{le=\"2\"}"), "0");
    }
}

#[tokio::test]
async fn of_refreshes_on_several_nodes_at_once_one_rotates() {
    let Nodes {
        nodes,
        redis: _redis,
        _upstream,
    } = nodes().await;
    let ann = register(&nodes[0].https(), "ann@example.com").await;
    let token = text(&ann, "refresh_token");
    let [one, two, three] = &nodes;
    let answers = tokio::join!(
        refresh(one, token),
        refresh(two, token),
        refresh(three, token)
    );
    let successors: Vec<_> = [answers.0, answers.1, answers.2]
        .into_iter()
        .map(|answer| text(&answer.expect(200).json(), "refresh_token").to_owned())
        .collect();
    assert!(
        successors.iter().all(|s| *s == successors[0]),
        "one successor for all"
    );
    // The second generation, then the first again on another node: somebody has a copy.
    let next = refresh(two, &successors[0]).await.expect(200).json();
    refresh(three, token).await.expect(401);
    refresh(one, text(&next, "refresh_token")).await.expect(401);
    refused_everywhere(&nodes, text(&next, "access_token")).await;
}

#[tokio::test]
async fn of_uses_at_once_on_two_nodes_one_rotates_and_a_later_one_ends_the_session() {
    let redis = Redis::start().await;
    let url = redis.url();
    let grace = "[accounts]\nrefresh_grace = \"0s\"";
    let Nodes {
        nodes,
        redis: _redis,
        _upstream,
    } = nodes_by(redis, &url, grace).await;
    let [one, two, three] = &nodes;
    let ann = register(&one.https(), "ann@example.com").await;
    let token = text(&ann, "refresh_token");
    let (first, second) = tokio::join!(refresh(one, token), refresh(two, token));
    // Two in the same millisecond are one use; otherwise the later one is a theft.
    let mut rotated: Vec<_> = [first, second]
        .into_iter()
        .filter(|answer| answer.status == 200)
        .map(|answer| answer.json())
        .collect();
    rotated.dedup_by_key(|answer| text(answer, "refresh_token").to_owned());
    let [rotated] = &rotated[..] else {
        panic!("{rotated:?}");
    };
    refresh(three, token).await.expect(401);
    refused_everywhere(&nodes, text(rotated, "access_token")).await;
    // Whoever had it: the family is dead on every node, however often it is tried.
    let next = text(rotated, "refresh_token");
    let dead = tokio::join!(
        refresh(one, next),
        refresh(two, next),
        refresh(three, token)
    );
    for answer in [dead.0, dead.1, dead.2] {
        answer.expect(401);
    }
    let audit = "SELECT count(*) FROM audit WHERE event = 'refresh_reused'";
    let database = one.config.database();
    assert_eq!(TestServer::shared().sql(&database, audit), "1");
}

#[tokio::test]
async fn a_redis_that_hangs_delays_no_revocation() {
    let redis = Redis::start().await;
    let chaos = Chaos::before(SocketAddr::from(([127, 0, 0, 1], redis.port()))).await;
    let url = format!("redis://127.0.0.1:{}", chaos.port());
    let Nodes {
        nodes,
        redis: _redis,
        _upstream,
    } = nodes_by(redis, &url, "").await;
    let [one, two, three] = &nodes;
    let course = [Weather::Hung, Weather::Clear, Weather::Cut, Weather::Clear];
    for (turn, weather) in course.into_iter().enumerate() {
        chaos.set(weather);
        let email = format!("ann-{turn}@example.com");
        let ann = register(&one.https(), &email).await;
        let token = text(&ann, "access_token");
        assert!(takes(three, token).await);
        let asked = Instant::now();
        logout(two, token).await;
        let took = asked.elapsed();
        let bound = bound(two).await;
        assert!(took < bound, "{weather:?}: {took:?}, not {bound:?}");
        refused_everywhere(&nodes, token).await;
    }
}

#[tokio::test]
async fn a_node_knows_what_was_revoked_before_it_is_ready() {
    let upstream = Upstream::echo().await;
    let one = Config::new().app(&upstream).start().await;
    let ann = register(&one.https(), "ann@example.com").await;
    logout(&one, text(&ann, "access_token")).await;
    let two = Config::new().app(&upstream).sharing(&one).start().await;
    let call = two
        .https()
        .get("/private")
        .bearer(text(&ann, "access_token"));
    call.send().await.expect(401);
}

#[tokio::test]
async fn without_news_of_revocations_nobody_is_believed_after_a_while() {
    let server = Arc::new(TestServer::start(&[]));
    let upstream = Upstream::echo().await;
    let config = Config::new().app(&upstream).postgres(&server);
    let gateway = config
        .toml("[tokens]\nmax_staleness = \"8s\"")
        .start()
        .await;
    let ann = register(&gateway.https(), "ann@example.com").await;
    let before = Instant::now();
    server.stop(Stop::Crash);
    let away = Instant::now();
    let token = text(&ann, "access_token");
    assert!(
        is_believed(&gateway, token).await,
        "for a while everybody is"
    );
    let call = || gateway.https().get("/private").bearer(token);
    within("nobody is", async {
        while call().send().await.status != 503 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let (took, least) = (away.elapsed(), before.elapsed());
    // Its last news may be half a second older than the end of the server.
    assert!(least >= Duration::from_secs(7), "{least:?}");
    let bound = bound(&gateway).await + Duration::from_secs(10);
    assert!(took < bound, "{took:?}, not {bound:?}");
    let answer = call().send().await.expect(503);
    assert!(
        answer.header("retry-after").is_some(),
        "{:?}",
        answer.headers
    );
    gateway.https().get("/public/x").send().await.expect(200);
    server.resume();
    within("the token is good again", async {
        while call().send().await.status != 200 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// The `kid` of a token.
fn key_of(token: &str) -> String {
    let header = token.split('.').next().unwrap();
    let header = URL_SAFE_NO_PAD.decode(header).unwrap();
    let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
    text(&header, "kid").to_owned()
}

/// The names of the keys that a node publishes.
async fn published(node: &Gateway) -> Vec<String> {
    let jwks = node.https().get("/.well-known/jwks.json").send().await;
    let jwks = jwks.expect(200).json();
    let keys = jwks["keys"].as_array().unwrap().iter();
    keys.map(|key| text(key, "kid").to_owned()).collect()
}

#[tokio::test]
async fn nodes_agree_on_the_managed_key_that_signs_and_its_rotation_logs_nobody_out() {
    let upstream = Upstream::echo().await;
    // Somebody logs in again and again: no session is to make room for that.
    let managed = "[server]\nadmin_socket = \"admin.sock\"\n\
                   [accounts]\nmax_sessions_per_user = 100000\n\
                   [tokens.managed]\npublish = \"6s\"\nmaster = [{ env = \"MASTER\" }]\n\
                   [[limit]]\nname = \"credential\"\nkey = \"client\"\nrate = \"1000/s\"\nburst = 10000";
    let config = || {
        let config = Config::new().app(&upstream).without("tokens.key");
        config.toml(managed)
    };
    let master = |command: &mut std::process::Command| {
        command.env("MASTER", "a master key of at least thirty-two bytes");
    };
    let one = config()
        .postgres(&TestServer::shared())
        .start_with(master)
        .await;
    let two = config().sharing(&one).start_with(master).await;
    let three = config().sharing(&one).start_with(master).await;
    let nodes = [one, two, three];
    let [one, two, three] = &nodes;

    let ann = register(&one.https(), "ann@example.com").await;
    let old = text(&ann, "access_token").to_owned();
    for node in &nodes {
        assert_eq!(published(node).await, [key_of(&old)]);
        assert!(is_believed(node, &old).await);
    }
    let rotated = two.command(&["key", "rotate", "--now"]);
    assert!(rotated.status.success(), "{rotated:?}");
    let log_in = async |node: &Gateway| {
        let ann = login(&node.https(), "ann@example.com").await;
        text(&ann, "access_token").to_owned()
    };
    for node in &nodes {
        within("the new key signs", async {
            loop {
                // Whoever signs with a key has published it before, everywhere.
                let token = log_in(node).await;
                assert!(published(three).await.contains(&key_of(&token)));
                for node in &nodes {
                    assert!(is_believed(node, &token).await, "{}", key_of(&token));
                }
                if key_of(&token) != key_of(&old) {
                    return;
                }
            }
        })
        .await;
    }
    let (first, second) = (log_in(one).await, log_in(three).await);
    assert_eq!(key_of(&first), key_of(&second));
    for node in &nodes {
        assert_eq!(published(node).await, [key_of(&old), key_of(&first)]);
        assert!(is_believed(node, &old).await, "nobody is logged out");
    }
    let listed = one.command(&["key", "list"]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert_eq!(listed.lines().count(), 2, "{listed}");

    let refused = one.command(&["key", "retire", &key_of(&first)]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("the key signs"), "{said}");
    let retired = one.command(&["key", "retire", &key_of(&old)]);
    assert!(retired.status.success(), "{retired:?}");
    for node in &nodes {
        within("a retired key is refused everywhere", async {
            while is_believed(node, &old).await {}
        })
        .await;
        assert!(is_believed(node, &first).await);
        assert_eq!(published(node).await, [key_of(&first)]);
    }
}

#[tokio::test]
async fn a_gateway_does_not_start_with_another_master_key() {
    let managed = "[tokens.managed]\nmaster = [{ file = \"master.key\" }]";
    let upstream = Upstream::echo().await;
    let folder = tempfile::tempdir().unwrap();
    let write = |text: &str| std::fs::write(folder.path().join("master.key"), text).unwrap();
    write("the first master key, which is long enough");
    let config = Config::new()
        .app(&upstream)
        .without("tokens.key")
        .toml(managed);
    config.write(folder.path());
    let kept = folder.path().to_owned();
    let stopped = config.start_in(folder).await.stop().await;
    std::fs::write(
        kept.join("master.key"),
        "another master key, which is long enough too",
    )
    .unwrap();
    let output = stopped.config.command_in(&kept, "run").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("master key that is not configured"), "{said}");
}
