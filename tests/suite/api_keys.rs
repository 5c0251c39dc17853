//! The life of API keys: whose they are, who makes them, and what ends them.

use serde_json::{Value, json};

use super::accounts::{register, text};
use super::harness::{Answer, Config, Upstream, tokens};
use super::machines::{ROUTES, app, becomes, command, config, create, get};

#[tokio::test]
async fn a_revoked_key_is_dead_at_once() {
    let (_upstream, gateway) = app().await;
    command(&gateway, "service add ci");
    let (key, id) = create(&gateway, "--service ci");
    let (other, _) = create(&gateway, "--service ci");
    for _ in 0..3 {
        get(&gateway, "/app/x", &key).await.expect(200);
    }
    command(&gateway, &format!("api-key revoke {id}"));
    for _ in 0..3 {
        get(&gateway, "/app/x", &key).await.expect(401);
    }
    get(&gateway, "/app/x", &other).await.expect(200);
    let shown = command(&gateway, &format!("api-key show {id}"));
    assert!(shown["key"]["revoked_at"].is_string(), "{shown}");
    let again = gateway.stop().await.start().await;
    get(&again, "/app/x", &key).await.expect(401);
    get(&again, "/app/x", &other).await.expect(200);
}

#[tokio::test]
async fn look_ups_of_keys_are_counted_by_what_became_of_them() {
    let upstream = Upstream::echo().await;
    // Each worker looks a key up for itself.
    let config = config(&upstream).toml("[server]\nworkers = 1");
    let gateway = config.start().await;
    command(&gateway, "service add ci");
    let (key, id) = create(&gateway, "--service ci");
    for _ in 0..3 {
        get(&gateway, "/app/x", &key).await.expect(200);
    }
    let (other, other_id) = create(&gateway, "--service ci");
    command(&gateway, &format!("api-key revoke {id}"));
    command(&gateway, &format!("api-key revoke {other_id}"));
    for text in [&key, &other, &other, "pck_made-up"] {
        get(&gateway, "/app/x", text).await.expect(401);
    }
    let metrics = gateway.admin().get("/metrics").send().await.text();
    for (outcome, count) in [
        ("remembered", 4),
        ("found", 1),
        ("unknown", 1),
        ("refused", 1),
        ("unavailable", 0),
    ] {
        let line = format!("portcullis_api_key_lookups_total{{outcome=\"{outcome}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
}

#[tokio::test]
async fn a_key_that_is_revoked_in_the_database_is_dead_within_moments() {
    let upstream = Upstream::echo().await;
    let gateway = Config::new().app(&upstream).toml(ROUTES).start().await;
    command(&gateway, "service add ci");
    let (key, id) = create(&gateway, "--service ci");
    get(&gateway, "/app/x", &key).await.expect(200);
    command(&gateway, &format!("api-key revoke {id}"));
    becomes(&gateway, "/app/x", &key, 401).await;
}

#[tokio::test]
async fn a_key_has_its_owners_roles_of_this_moment_and_its_own_scopes() {
    let (upstream, gateway) = app().await;
    command(&gateway, "service add ci --role admin --role bot");
    let (key, _) = create(&gateway, "--service ci");
    let (writer, _) = create(&gateway, "--service ci --scope write");
    get(&gateway, "/admin/x", &key).await.expect(200);
    get(&gateway, "/write/x", &key).await.expect(403);
    get(&gateway, "/write/x", &writer).await.expect(200);
    command(&gateway, "service role ci bot");
    get(&gateway, "/admin/x", &key).await.expect(403);
    get(&gateway, "/app/x", &key).await.expect(200);
    assert_eq!(
        upstream.last().header("x-user-roles").as_deref(),
        Some("bot")
    );
    command(&gateway, "service role ci admin");
    get(&gateway, "/admin/x", &key).await.expect(200);

    register(&gateway.https(), "ann@example.com").await;
    command(&gateway, "user role ann@example.com admin");
    let (hers, _) = create(&gateway, "--user ann@example.com");
    get(&gateway, "/admin/x", &hers).await.expect(200);
    command(&gateway, "user role ann@example.com member");
    get(&gateway, "/admin/x", &hers).await.expect(403);
    get(&gateway, "/app/x", &hers).await.expect(200);
}

#[tokio::test]
async fn a_key_of_somebody_who_was_stopped_is_dead_at_once() {
    let (_upstream, gateway) = app().await;
    for name in ["disabled", "locked", "deleted"] {
        register(&gateway.https(), &format!("{name}@example.com")).await;
    }
    for (name, verb) in [
        ("disabled", "disable"),
        ("locked", "lock"),
        ("deleted", "delete"),
    ] {
        let (key, _) = create(&gateway, &format!("--user {name}@example.com"));
        get(&gateway, "/app/x", &key).await.expect(200);
        command(&gateway, &format!("user {verb} {name}@example.com"));
        get(&gateway, "/app/x", &key).await.expect(401);
    }
    command(&gateway, "service add ci");
    let (key, _) = create(&gateway, "--service ci");
    get(&gateway, "/app/x", &key).await.expect(200);
    command(&gateway, "service disable ci");
    get(&gateway, "/app/x", &key).await.expect(401);
    let refused = gateway.command(&["api-key", "create", "--service", "ci", "--name", "n"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    command(&gateway, "service enable ci");
    becomes(&gateway, "/app/x", &key, 200).await;
    command(&gateway, "service delete ci");
    get(&gateway, "/app/x", &key).await.expect(401);
}

#[tokio::test]
async fn a_rotated_key_works_on_beside_its_successor_or_not_at_all() {
    let (_upstream, gateway) = app().await;
    command(&gateway, "service add ci");
    let (old, id) = create(&gateway, "--service ci --scope write --network 127.0.0.0/8");
    get(&gateway, "/app/x", &old).await.expect(200);
    let rotated = command(&gateway, &format!("api-key rotate {id} --overlap 1h"));
    let (new, next) = (&rotated["issued"]["secret"], &rotated["issued"]["key"]);
    assert_eq!(next["scopes"], json!(["write"]), "{rotated}");
    assert_eq!(next["networks"], json!(["127.0.0.0/8"]));
    let new = new.as_str().unwrap();
    for key in [old.as_str(), new] {
        get(&gateway, "/write/x", key).await.expect(200);
    }
    let shown = command(&gateway, &format!("api-key show {id}"));
    assert!(shown["key"]["expires_at"].is_string(), "{shown}");
    // Its end is that of its overlap, and not of whatever follows it.
    let again = command(&gateway, &format!("api-key rotate {id} --overlap 1h"));
    assert!(again["issued"]["key"]["expires_at"].is_null(), "{again}");
    let next = text(next, "id");
    let last = command(&gateway, &format!("api-key rotate {next} --overlap 0s"));
    get(&gateway, "/app/x", new).await.expect(401);
    get(&gateway, "/app/x", text(&last["issued"], "secret"))
        .await
        .expect(200);
    for words in [
        format!("api-key rotate {next}"),
        format!("api-key rotate {id} --overlap 1m"),
        String::from("api-key rotate 00000000000000000000000000000000"),
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        assert_eq!(gateway.command(&words).status.code(), Some(1), "{words:?}");
    }
}

#[tokio::test]
async fn the_last_use_of_a_key_is_known_after_a_while_and_after_a_stop() {
    let (_upstream, gateway) = app().await;
    command(&gateway, "service add ci");
    let (key, id) = create(&gateway, "--service ci");
    let shown = command(&gateway, &format!("api-key show {id}"));
    assert!(shown["key"]["last_used_at"].is_null(), "{shown}");
    get(&gateway, "/app/x", &key).await.expect(200);
    let again = gateway.stop().await.start().await;
    let shown = command(&again, &format!("api-key show {id}"));
    assert!(shown["key"]["last_used_at"].is_string(), "{shown}");
    let listed = again.command(&["api-key", "list", "--service", "ci"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains(&id) && !listed.contains(&key[5..]));
}

#[tokio::test]
async fn a_key_is_stored_and_logged_nowhere() {
    let (_upstream, gateway) = app().await;
    command(&gateway, "service add ci");
    let (key, id) = create(&gateway, "--service ci");
    get(&gateway, "/app/x", &key).await.expect(200);
    get(&gateway, "/private", &key).await.expect(401);
    command(&gateway, &format!("api-key revoke {id}"));
    get(&gateway, "/app/x", &key).await.expect(401);
    let stopped = gateway.stop().await;
    assert!(!stopped.log.contains(&key[4..]));
    assert!(stopped.log.contains(&id), "the audit names the key");
    for entry in std::fs::read_dir(stopped.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let Ok(bytes) = std::fs::read(&path) else {
            continue;
        };
        let found = bytes
            .windows(20)
            .any(|part| part == &key.as_bytes()[30..50]);
        assert!(!found, "{}", path.display());
    }
}

#[tokio::test]
async fn a_user_makes_lists_and_revokes_keys_of_their_own() {
    let (upstream, gateway) = app().await;
    let ann = register(&gateway.https(), "ann@example.com").await;
    let token = text(&ann, "access_token");
    let call = |method: &str, path: &str| {
        let path = format!("/auth/v1/api-keys{path}");
        gateway.https().call(method, &path).bearer(token)
    };
    assert!(keys_of(&call("GET", "").send().await.expect(200)).is_empty());
    let body = json!({ "name": "laptop", "expires_in": 3600, "networks": ["127.0.0.1"] });
    let made = call("POST", "").json(body).send().await.expect(201);
    assert_eq!(made.header("cache-control"), Some("no-store"));
    let made = made.json();
    let (key, id) = (text(&made, "secret"), text(&made, "id"));
    get(&gateway, "/app/x", key).await.expect(200);
    assert_eq!(
        upstream.last().header("x-user-id").as_deref(),
        ann["user"]["id"].as_str()
    );
    let listed = call("GET", "").send().await.expect(200);
    assert!(!listed.text().contains(&key[5..]));
    assert_eq!(keys_of(&listed).len(), 1);
    assert_eq!(keys_of(&listed)[0]["name"], "laptop");
    call("DELETE", &format!("/{id}")).send().await.expect(204);
    get(&gateway, "/app/x", key).await.expect(401);
    call("DELETE", &format!("/{id}")).send().await.expect(204);
    for unknown in ["/nonsense", "/00000000000000000000000000000000"] {
        call("DELETE", unknown).send().await.expect(404);
    }
}

#[tokio::test]
async fn whose_key_it_is_only_the_session_says() {
    let (_upstream, gateway) = app().await;
    let ann = register(&gateway.https(), "ann@example.com").await;
    let eve = register(&gateway.https(), "eve@example.com").await;
    let her_id = &ann["user"]["id"];
    let post = |token: &str| gateway.https().post("/auth/v1/api-keys").bearer(token);
    // Names of the victim in the body are not looked at.
    let body = json!({
        "name": "n", "user": her_id, "user_id": her_id, "userId": her_id, "owner": her_id,
        "account_id": her_id, "sub": her_id, "email": "ann@example.com",
    });
    let made = post(text(&eve, "access_token")).json(body).send().await;
    let made = made.expect(201).json();
    let list = |token: &str| {
        let call = gateway.https().get("/auth/v1/api-keys").bearer(token);
        call.send()
    };
    let hers = list(text(&ann, "access_token")).await.expect(200);
    assert!(keys_of(&hers).is_empty());
    // A key makes no keys, and neither does a token of nobody's session, or nothing.
    let body = || json!({ "name": "n" });
    let by_key = post(text(&made, "secret")).json(body()).send().await;
    by_key.expect(401);
    let id = her_id.as_str().unwrap();
    let by_legacy = post(&tokens::token(id)).json(body()).send().await;
    by_legacy.expect(403);
    let by_nobody = gateway.https().post("/auth/v1/api-keys").json(body());
    by_nobody.send().await.expect(401);
    // Nobody ends another's key.
    let (key, id) = create(&gateway, "--user ann@example.com");
    let path = format!("/auth/v1/api-keys/{id}");
    let call = gateway.https().call("DELETE", &path);
    let refused = call.bearer(text(&eve, "access_token")).send().await;
    refused.expect(404);
    get(&gateway, "/app/x", &key).await.expect(200);
}

#[tokio::test]
async fn users_stay_within_the_rules_for_their_keys() {
    let upstream = Upstream::echo().await;
    let rules = "[api_keys]\nscopes = [\"read\"]\nmax_lifetime = \"30d\"\nmax_per_user = 2";
    let mut gateway = config(&upstream).toml(rules).start().await;
    let ann = register(&gateway.https(), "ann@example.com").await;
    let token = text(&ann, "access_token").to_owned();
    for (body, status) in [
        (json!({}), 422),
        (json!({ "name": "" }), 422),
        (json!({ "name": "a\nb" }), 422),
        (json!({ "name": "n", "scopes": ["write"] }), 422),
        (json!({ "name": "n", "scopes": "read" }), 422),
        (json!({ "name": "n", "scopes": [1] }), 422),
        (json!({ "name": "n", "networks": ["10.0.0.0/40"] }), 422),
        (json!({ "name": "n", "expires_in": 31 * 86_400 }), 422),
        (json!({ "name": "n", "expires_in": 0 }), 422),
        (json!({ "name": "n", "expires_in": -1 }), 422),
        (json!({ "name": "n", "expires_in": "1h" }), 422),
        (json!({ "name": "n", "scopes": ["read"] }), 201),
        (json!({ "name": "n" }), 201),
        (json!({ "name": "n" }), 403),
    ] {
        let call = gateway.https().post("/auth/v1/api-keys").bearer(&token);
        let answer = call.json(body.clone()).send().await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        if status == 201 {
            let expires = answer.json()["expires_at"].clone();
            assert!(expires.is_string(), "no key of a user's is for ever");
        }
    }
    let closed = gateway
        .config
        .clone()
        .toml("[api_keys]\nself_service = false");
    gateway.reload(closed).await;
    let call = gateway.https().post("/auth/v1/api-keys").bearer(&token);
    call.json(json!({ "name": "n" })).send().await.expect(403);
}

fn keys_of(answer: &Answer) -> Vec<Value> {
    answer.json()["api_keys"].as_array().unwrap().clone()
}
