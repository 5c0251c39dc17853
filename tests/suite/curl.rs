//! The documents' curl sequences, run by the real curl against the gateway.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::harness::certs::authority;
use super::harness::{Config, Gateway, Upstream};

async fn app() -> (Upstream, Gateway) {
    let upstream = Upstream::echo().await;
    let config = Config::new()
        .upstream("app", &upstream)
        .route("/api/**", "upstream = \"app\"\nauth = \"required\"\nerrors = \"rag-modulo\"")
        .route("/api/v1/**", "upstream = \"app\"\nauth = \"required\"\nerrors = \"praisonai\"\nauthorization = \"forward\"");
    let gateway = config.start().await;
    std::fs::write(gateway.path("ca.pem"), authority().pem()).unwrap();
    (upstream, gateway)
}

/// Runs curl with these arguments and returns the status and the body.
async fn curl(gateway: &Gateway, arguments: &[&str]) -> (u16, Value) {
    let ca: PathBuf = gateway.path("ca.pem");
    let mut command = Command::new("curl");
    command
        .arg("--cacert")
        .arg(ca)
        .args(["-s", "-S", "-w", "\n%{http_code}", "--max-time", "120"])
        .args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    let body = if body.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(body).expect(body)
    };
    (status.parse().unwrap(), body)
}

async fn post(gateway: &Gateway, path: &str, body: Value) -> (u16, Value) {
    let url = gateway.https().url(path);
    let body = body.to_string();
    curl(
        gateway,
        &[
            "-X",
            "POST",
            &url,
            "-H",
            "Content-Type: application/json",
            "-d",
            &body,
        ],
    )
    .await
}

async fn get(gateway: &Gateway, path: &str, token: &str) -> (u16, Value) {
    let url = gateway.https().url(path);
    curl(
        gateway,
        &[&url, "-H", &format!("Authorization: Bearer {token}")],
    )
    .await
}

#[tokio::test]
async fn the_curl_sequence_of_praisonai_works() {
    let (upstream, gateway) = app().await;
    let person =
        json!({ "email": "user@example.com", "password": "mypassword", "name": "John Doe" });
    let (status, registered) = post(&gateway, "/api/v1/auth/register", person.clone()).await;
    assert_eq!(status, 201, "{registered}");
    assert!(registered["token"].is_string());
    assert_eq!(registered["user"]["email"], "user@example.com");
    assert_eq!(registered["user"]["name"], "John Doe");
    assert_eq!(registered["user"]["avatar_url"], Value::Null);
    assert!(
        registered["user"]["created_at"]
            .as_str()
            .unwrap()
            .contains('T')
    );

    let login = json!({ "email": "user@example.com", "password": "mypassword" });
    let (status, logged_in) = post(&gateway, "/api/v1/auth/login", login).await;
    assert_eq!(status, 200, "{logged_in}");
    assert_eq!(logged_in["user"]["id"], registered["user"]["id"]);
    let token = logged_in["token"].as_str().unwrap();

    for path in ["/api/v1/auth/me", "/api/v1/auth/me/"] {
        let (status, me) = get(&gateway, path, token).await;
        assert_eq!(status, 200, "{me}");
        assert_eq!(me, logged_in["user"]);
    }
    let (status, echoed) = get(&gateway, "/api/v1/workspaces/", token).await;
    assert_eq!(status, 200, "{echoed}");
    assert_eq!(
        upstream.last().header("authorization"),
        Some(format!("Bearer {token}"))
    );
    assert_eq!(
        upstream.last().header("x-user-id").as_deref(),
        registered["user"]["id"].as_str()
    );

    let wrong = json!({ "email": "user@example.com", "password": "not-mine" });
    let unknown = json!({ "email": "nobody@example.com", "password": "mypassword" });
    for attempt in [wrong, unknown] {
        let (status, body) = post(&gateway, "/api/v1/auth/login", attempt).await;
        assert_eq!(
            (status, body),
            (401, json!({ "detail": "Invalid email or password" }))
        );
    }
    let (status, body) = post(&gateway, "/api/v1/auth/register", person).await;
    assert_eq!(status, 409);
    assert!(body["detail"].is_string());
}

#[tokio::test]
async fn the_sequence_of_rag_modulo_works() {
    let (upstream, gateway) = app().await;
    let person = json!({ "username": "user@example.com", "password": "secure_password", "email": "user@example.com" });
    let (status, registered) = post(&gateway, "/api/auth/register", person).await;
    assert_eq!(status, 201, "{registered}");
    let mut keys: Vec<_> = registered.as_object().unwrap().keys().cloned().collect();
    keys.sort();
    assert_eq!(keys, ["email", "user_id", "username"]);
    assert_eq!(registered["username"], "user@example.com");

    let login = json!({ "username": "user@example.com", "password": "secure_password" });
    let (status, logged_in) = post(&gateway, "/api/auth/login", login).await;
    assert_eq!(status, 200, "{logged_in}");
    assert_eq!(logged_in["token_type"], "bearer");
    assert_eq!(logged_in["expires_in"], 3600);
    assert!(
        logged_in.get("expires_at").is_none(),
        "its command line breaks on it"
    );
    let token = logged_in["access_token"].as_str().unwrap();

    let url = gateway.https().url("/api/search");
    let body = json!({ "question": "What is machine learning?" }).to_string();
    let bearer = format!("Authorization: Bearer {token}");
    let json = "Content-Type: application/json";
    let (status, echoed) = curl(
        &gateway,
        &["-X", "POST", &url, "-H", &bearer, "-H", json, "-d", &body],
    )
    .await;
    assert_eq!(status, 200, "{echoed}");
    assert_eq!(echoed["body"].as_str(), Some(body.as_str()));
    assert_eq!(
        upstream.last().header("x-user-id").as_deref(),
        registered["user_id"].as_str()
    );

    let (status, me) = get(&gateway, "/api/auth/me", token).await;
    assert_eq!(status, 200);
    assert_eq!(
        (&me["id"], &me["uuid"]),
        (&registered["user_id"], &registered["user_id"])
    );
    assert_eq!(me["email"], "user@example.com");
    assert!(me["name"].is_string() && me["role"].is_string(), "{me}");
    let (status, info) = get(&gateway, "/api/auth/userinfo", token).await;
    assert_eq!(status, 200);
    assert_eq!(info["sub"], registered["user_id"]);

    let url = gateway.https().url("/api/auth/logout");
    let (status, body) = curl(&gateway, &["-X", "POST", &url, "-H", &bearer]).await;
    assert_eq!(
        (status, body),
        (200, json!({ "message": "Logged out successfully" }))
    );
    for path in ["/api/auth/me", "/api/search"] {
        let (status, body) = get(&gateway, path, token).await;
        assert_eq!(status, 401, "{path} after the logout");
        assert_eq!(body["detail"], body["error"]);
    }
}

#[tokio::test]
async fn rag_modulos_form_login_and_its_errors_keep_their_shape() {
    let (_upstream, gateway) = app().await;
    let person =
        json!({ "username": "ann", "password": "secure_password", "email": "ann@example.com" });
    assert_eq!(post(&gateway, "/api/auth/register", person).await.0, 201);
    let url = gateway.https().url("/api/auth/token");
    for name in ["ann", "ann@example.com", "ANN@EXAMPLE.COM"] {
        let form = format!("username={name}&password=secure_password");
        let (status, body) = curl(&gateway, &["-X", "POST", &url, "-d", &form]).await;
        assert_eq!(status, 200, "{name}: {body}");
        assert!(body["access_token"].is_string());
    }
    let wrong = json!({ "username": "ann", "password": "wrong" });
    let (status, body) = post(&gateway, "/api/auth/login", wrong).await;
    assert_eq!(status, 401);
    assert_eq!(body["detail"], body["error"]);
    assert!(body["detail"].is_string());
    let (status, body) = get(&gateway, "/api/search", "garbage").await;
    assert_eq!(
        (status, &body["detail"]),
        (401, &json!("Invalid authentication credentials"))
    );
    assert_eq!(body["error"], body["detail"]);
    let (status, body) = curl(&gateway, &[&gateway.https().url("/api/search")]).await;
    assert_eq!(
        (status, &body["detail"]),
        (401, &json!("Not authenticated"))
    );
}
