//! Programs that call with API keys: what a key opens, and every way in which it does not.

use base64::Engine as _;
use serde_json::{Value, json};

use super::accounts::{register, text};
use super::harness::{Answer, Config, Gateway, Upstream, tokens, within};

pub const ROUTES: &str = r#"
    [[route]]
    name = "app"
    path = "/app/**"
    upstream = "app"
    credentials = ["bearer", "api-key"]
    authorization = "forward"
    [route.headers.identity]
    x-user-id = "sub"
    x-user-roles = "roles"
    x-user-scopes = "scopes"

    [[route]]
    name = "keys"
    path = "/keys/**"
    upstream = "app"
    credentials = ["api-key"]
    auth = "optional"

    [[route]]
    name = "admin"
    path = "/admin/**"
    upstream = "app"
    credentials = ["bearer", "api-key"]
    roles = ["admin"]

    [[route]]
    name = "write"
    path = "/write/**"
    upstream = "app"
    credentials = ["api-key"]
    claims = { scopes = ["write"] }
"#;

pub fn config(upstream: &Upstream) -> Config {
    Config::new()
        .app(upstream)
        .toml("[server]\nadmin_socket = \"admin.sock\"")
        .toml(ROUTES)
}

pub async fn app() -> (Upstream, Gateway) {
    let upstream = Upstream::echo().await;
    let gateway = config(&upstream).start().await;
    (upstream, gateway)
}

/// Runs a command and reads its JSON.
#[track_caller]
pub fn command(gateway: &Gateway, words: &str) -> Value {
    let words: Vec<&str> = words.split(' ').chain(["--json"]).collect();
    let output = gateway.command(&words);
    assert!(
        output.status.success(),
        "{words:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A new key: its text and its id.
#[track_caller]
pub fn create(gateway: &Gateway, more: &str) -> (String, String) {
    let made = command(gateway, &format!("api-key create --name n {more}"));
    let issued = &made["issued"];
    (
        text(issued, "secret").to_owned(),
        text(&issued["key"], "id").to_owned(),
    )
}

pub async fn get(gateway: &Gateway, path: &str, key: &str) -> Answer {
    gateway.https().get(path).bearer(key).send().await
}

/// Waits until the gateway answers so.
pub async fn becomes(gateway: &Gateway, path: &str, key: &str, status: u16) {
    within("the gateway notices", async {
        while get(gateway, path, key).await.status != status {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_key_calls_for_its_owner_as_bearer_in_basic_and_in_its_header() {
    let (upstream, gateway) = app().await;
    let ann = register(&gateway.https(), "ann@example.com").await;
    let (key, _) = create(
        &gateway,
        "--user ann@example.com --scope read --scope write",
    );
    assert!(key.starts_with("pck_"), "{key}");
    let basic = |text: String| {
        let encoded = base64::engine::general_purpose::STANDARD.encode(text);
        ("authorization", format!("Basic {encoded}"))
    };
    for (name, value) in [
        ("authorization", format!("Bearer {key}")),
        ("authorization", format!("bearer {key}")),
        basic(format!("anybody:{key}")),
        basic(format!("{key}:")),
        ("x-api-key", key.clone()),
        ("X-API-Key", key.clone()),
    ] {
        let call = gateway.https().get("/app/x").header(name, &value);
        call.send().await.expect(200);
        let seen = upstream.last();
        let id = seen.header("x-user-id");
        assert_eq!(id.as_deref(), ann["user"]["id"].as_str(), "{value}");
        assert_eq!(seen.header("x-user-roles").as_deref(), Some("member"));
        assert_eq!(seen.header("x-user-scopes").as_deref(), Some("read,write"));
        // Not even where bearers are forwarded, and in no other header.
        assert!(!format!("{seen:?}").contains(&key[5..]), "{seen:?}");
    }
}

#[tokio::test]
async fn no_route_takes_a_key_that_does_not_say_so() {
    let (upstream, gateway) = app().await;
    register(&gateway.https(), "ann@example.com").await;
    let (key, _) = create(&gateway, "--user ann@example.com");
    get(&gateway, "/app/x", &key).await.expect(200);
    let before = upstream.received().len();
    for path in ["/private", "/optional/x", "/auth/v1/me", "/api/v1/auth/me"] {
        get(&gateway, path, &key).await.expect(401);
    }
    for (path, status) in [("/private", 401), ("/auth/v1/me", 401)] {
        let call = gateway.https().get(path).header("x-api-key", &key);
        call.send().await.expect(status);
    }
    assert_eq!(upstream.received().len(), before);
    // Where credentials are not looked at, a key does not go on either.
    let call = gateway.https().get("/public/x").header("x-api-key", &key);
    call.bearer(&key).send().await.expect(200);
    assert!(!format!("{:?}", upstream.last()).contains(&key[5..]));
    // And where only keys are taken, a token is none.
    let token = tokens::token("u-1");
    get(&gateway, "/keys/x", &token).await.expect(401);
    gateway.https().get("/keys/x").send().await.expect(200);
    get(&gateway, "/keys/x", &key).await.expect(200);
}

#[tokio::test]
async fn forged_truncated_oversized_and_foreign_keys_are_refused_alike() {
    let (upstream, gateway) = app().await;
    let (_backend, elsewhere) = app().await;
    let mut made = Vec::new();
    for gateway in [&gateway, &elsewhere] {
        command(gateway, "service add ci");
        made.push(create(gateway, "--service ci").0);
    }
    let [key, foreign] = [&made[0], &made[1]];
    let mut forged = key.clone();
    let last = if forged.ends_with('A') { 'B' } else { 'A' };
    forged.pop();
    forged.push(last);
    let mut bodies = Vec::new();
    for wrong in [
        forged,
        key[..key.len() - 1].to_owned(),
        key[..20].to_owned(),
        String::from("pck_"),
        format!("{key}A"),
        format!("{key}{}", "A".repeat(8000)),
        key.replace("pck_", "pct_"),
        foreign.clone(),
    ] {
        let answer = get(&gateway, "/app/x", &wrong).await.expect(401);
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("Bearer"), "{challenge}");
        assert!(!answer.text().contains(&wrong));
        bodies.push(answer.json()["code"].clone());
        let call = gateway.https().get("/keys/x").header("x-api-key", &wrong);
        call.send().await.expect(401);
    }
    assert!(bodies.iter().all(|code| code == "invalid_token"));
    assert!(upstream.received().is_empty());
    get(&gateway, "/app/x", key).await.expect(200);
    get(&elsewhere, "/app/x", foreign).await.expect(200);
}

#[tokio::test]
async fn two_credentials_in_one_request_are_no_request() {
    let (upstream, gateway) = app().await;
    command(&gateway, "service add ci");
    let (one, _) = create(&gateway, "--service ci");
    let (other, _) = create(&gateway, "--service ci");
    let token = tokens::token("u-1");
    let call = || gateway.https().get("/app/x");
    for refused in [
        call().bearer(&one).header("x-api-key", &other),
        call().bearer(&token).header("x-api-key", &one),
        call().header("x-api-key", &one).header("x-api-key", &other),
        call().bearer(&one).bearer(&other),
        call().bearer(&one).bearer(&token),
    ] {
        let answer = refused.send().await.expect(400);
        assert_eq!(answer.json()["code"], "ambiguous_credentials");
    }
    assert!(upstream.received().is_empty());
    let same = call().bearer(&one).header("x-api-key", &one);
    same.send().await.expect(200);
}

#[tokio::test]
async fn a_key_expires_and_says_so() {
    let (_upstream, gateway) = app().await;
    command(&gateway, "service add ci");
    // Where two seconds are over before the first request is there, four or eight may not be.
    let mut key = String::new();
    for seconds in [2, 4, 8, 16, 32] {
        key = create(&gateway, &format!("--service ci --expires {seconds}s")).0;
        if get(&gateway, "/app/x", &key).await.status == 200 {
            break;
        }
        assert!(seconds < 32, "a key is refused before it expires");
    }
    becomes(&gateway, "/app/x", &key, 401).await;
    let answer = get(&gateway, "/app/x", &key).await;
    assert_eq!(answer.json()["code"], "expired_token");
}

#[tokio::test]
async fn a_key_is_bound_to_networks_and_routes() {
    let (upstream, gateway) = app().await;
    command(&gateway, "service add ci");
    let (here, _) = create(&gateway, "--service ci --network 127.0.0.0/8");
    let (there, _) = create(
        &gateway,
        "--service ci --network 10.0.0.0/8 --network 2001:db8::/32",
    );
    let (one_route, _) = create(&gateway, "--service ci --route keys");
    get(&gateway, "/app/x", &here).await.expect(200);
    get(&gateway, "/keys/x", &one_route).await.expect(200);
    let before = upstream.received().len();
    get(&gateway, "/app/x", &there).await.expect(401);
    get(&gateway, "/app/x", &one_route).await.expect(403);
    assert_eq!(upstream.received().len(), before);
}

#[tokio::test]
async fn a_key_has_a_budget_of_its_own_under_the_limit_that_it_is_bound_to() {
    let upstream = Upstream::echo().await;
    let gateway = config(&upstream)
        .toml("[[limit]]\nname = \"slow\"\nkey = \"identity\"\nrate = \"1/h\"\nburst = 2")
        .start()
        .await;
    command(&gateway, "service add ci");
    let (free, _) = create(&gateway, "--service ci");
    let (gone, _) = create(&gateway, "--service ci --limit no-such-limit");
    for _ in 0..2 {
        let (slow, _) = create(&gateway, "--service ci --limit slow");
        for _ in 0..2 {
            get(&gateway, "/app/x", &slow).await.expect(200);
        }
        get(&gateway, "/app/x", &slow).await.expect(429);
    }
    for _ in 0..4 {
        get(&gateway, "/app/x", &free).await.expect(200);
    }
    // A limit that is not there (any more) does not set its key free.
    get(&gateway, "/app/x", &gone).await.expect(403);
}

#[tokio::test]
async fn a_backend_that_verifies_gets_a_token_of_its_own_for_a_key() {
    let upstream = Upstream::echo().await;
    let folder = tempfile::tempdir().unwrap();
    let secret = "minted-secret-7Kp2sVq8Yc4Tn6Zr0Wm3Xb5";
    std::fs::write(folder.path().join("mint.secret"), secret).unwrap();
    let route = "upstream = \"app\"\ncredentials = [\"api-key\"]\nauthorization = \"mint\"\n\
                 mint = { algorithm = \"HS256\", secret = { file = \"mint.secret\" } }";
    let gateway = Config::new()
        .upstream("app", &upstream)
        .route("/**", route)
        .toml("[server]\nadmin_socket = \"admin.sock\"")
        .start_in(folder)
        .await;
    command(&gateway, "service add ci --role bot");
    let (key, _) = create(&gateway, "--service ci --scope read");
    let call = gateway.https().get("/x").header("x-api-key", &key);
    call.send().await.expect(200);
    let sent = upstream.last().header("authorization").unwrap();
    let minted = tokens::read(sent.strip_prefix("Bearer ").unwrap());
    assert_eq!(minted["roles"], json!(["bot"]), "{minted}");
    assert_eq!(minted["scopes"], json!(["read"]));
    command(&gateway, "service role ci");
    get(&gateway, "/x", &key).await.expect(200);
    let sent = upstream.last().header("authorization").unwrap();
    let minted = tokens::read(sent.strip_prefix("Bearer ").unwrap());
    assert_eq!(minted["roles"], json!([]), "an old token is not used again");
}
