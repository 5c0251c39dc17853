//! What an operator does to accounts from the command line while the gateway runs.

use serde_json::json;

use super::accounts::{PASSWORD, login, register, text};
use super::harness::{Config, Gateway, Upstream, within};

/// A gateway with a socket for its operators.
async fn app() -> (Upstream, Gateway) {
    let upstream = Upstream::echo().await;
    let config = Config::new()
        .app(&upstream)
        .toml("[server]\nadmin_socket = \"admin.sock\"");
    let gateway = config.start().await;
    (upstream, gateway)
}

#[track_caller]
pub fn user(gateway: &Gateway, words: &[&str]) -> String {
    let all: Vec<&str> = ["user"].iter().chain(words).copied().collect();
    let output = gateway.command(&all);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{words:?}: {text} {}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// Waits until the gateway has noticed: its answer to this token becomes `status`.
pub async fn becomes(gateway: &Gateway, token: &str, status: u16) {
    within("the gateway notices", async {
        while gateway
            .https()
            .get("/private")
            .bearer(token)
            .send()
            .await
            .status
            != status
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
pub async fn a_disabled_account_is_out_at_once_and_cannot_log_in() {
    let (_upstream, gateway) = app().await;
    let ann = register(&gateway.https(), "ann@example.com").await;
    let bob = register(&gateway.https(), "bob@example.com").await;
    user(&gateway, &["disable", "ann@example.com"]);
    becomes(&gateway, text(&ann, "access_token"), 401).await;
    let body = json!({ "email": "ann@example.com", "password": PASSWORD });
    let refused = gateway
        .https()
        .post("/auth/v1/login")
        .json(body)
        .send()
        .await;
    assert!(
        matches!(refused.status.as_u16(), 401 | 403),
        "{}",
        refused.status
    );
    gateway
        .https()
        .get("/private")
        .bearer(text(&bob, "access_token"))
        .send()
        .await
        .expect(200);
}

#[tokio::test]
pub async fn a_deleted_account_is_gone_with_its_tokens() {
    let (_upstream, gateway) = app().await;
    let ann = register(&gateway.https(), "ann@example.com").await;
    user(&gateway, &["delete", "ann@example.com"]);
    becomes(&gateway, text(&ann, "access_token"), 401).await;
    assert!(!user(&gateway, &["list"]).contains("ann@example.com"));
    let body = json!({ "email": "ann@example.com", "password": PASSWORD });
    gateway
        .https()
        .post("/auth/v1/login")
        .json(body)
        .send()
        .await
        .expect(401);
    register(&gateway.https(), "ann@example.com").await;
}

#[tokio::test]
pub async fn a_locked_account_is_unlocked_again() {
    let (_upstream, gateway) = app().await;
    register(&gateway.https(), "ann@example.com").await;
    user(&gateway, &["lock", "ann@example.com"]);
    let body = json!({ "email": "ann@example.com", "password": PASSWORD });
    let refused = gateway
        .https()
        .post("/auth/v1/login")
        .json(body)
        .send()
        .await;
    assert!(refused.status.is_client_error(), "{}", refused.status);
    user(&gateway, &["unlock", "ann@example.com"]);
    login(&gateway.https(), "ann@example.com").await;
}

#[tokio::test]
pub async fn an_account_and_its_roles_are_listed_and_changed() {
    let (upstream, gateway) = app().await;
    let ann = register(&gateway.https(), "ann@example.com").await;
    assert!(user(&gateway, &["list"]).contains("ann@example.com"));
    assert!(
        user(&gateway, &["show", "ann@example.com"]).contains(ann["user"]["id"].as_str().unwrap())
    );
    user(&gateway, &["role", "ann@example.com", "admin", "member"]);
    let again = login(&gateway.https(), "ann@example.com").await;
    gateway
        .https()
        .get("/private")
        .bearer(text(&again, "access_token"))
        .send()
        .await
        .expect(200);
    assert_eq!(
        upstream.last().header("x-user-roles").as_deref(),
        Some("admin,member")
    );
    // What a token says too much ends with its session.
    user(&gateway, &["role", "ann@example.com", "member"]);
    becomes(&gateway, text(&again, "access_token"), 401).await;
}

#[tokio::test]
async fn an_unknown_account_and_a_wrong_word_are_said_and_change_nothing() {
    let (_upstream, gateway) = app().await;
    let output = gateway.command(&["user", "disable", "nobody@example.com"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(!output.stderr.is_empty());
    let output = gateway.command(&["user", "dissable", "nobody@example.com"]);
    assert_eq!(output.status.code(), Some(64), "{output:?}");
}

#[tokio::test]
async fn an_attribute_that_is_null_is_removed_whoever_carries_the_command_out() {
    let (_upstream, running) = app().await;
    let (_other, alone) = super::accounts::app().await;
    for gateway in [running, alone] {
        register(&gateway.https(), "ann@example.com").await;
        let set = |value: &str| {
            let words = ["set-attribute", "ann@example.com", "team", value];
            user(&gateway, &words)
        };
        assert!(set("blue").contains("team"));
        assert!(!set("null").contains("team"));
    }
}

#[tokio::test]
pub async fn a_command_without_a_socket_works_on_the_database_and_is_noticed() {
    let (_upstream, gateway) = super::accounts::app().await;
    let ann = register(&gateway.https(), "ann@example.com").await;
    user(&gateway, &["disable", "ann@example.com"]);
    becomes(&gateway, text(&ann, "access_token"), 401).await;
}

#[tokio::test]
pub async fn an_account_is_added_with_a_password_from_standard_input() {
    use std::io::Write;
    use std::process::Stdio;

    let (_upstream, gateway) = app().await;
    let mut command = super::harness::gateway::portcullis();
    command.args([
        "user",
        "add",
        "ann@example.com",
        "--role",
        "admin",
        "--config",
        "portcullis.toml",
    ]);
    command
        .current_dir(gateway.folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{PASSWORD}").unwrap();
    assert!(child.wait().unwrap().success());
    login(&gateway.https(), "ann@example.com").await;
}

#[tokio::test]
pub async fn tokens_of_an_old_backend_end_with_the_account_that_they_name() {
    let (_upstream, gateway) = app().await;
    let ann = register(&gateway.https(), "ann@example.com").await;
    // As PraisonAI's own server signed them: no session, no id, only the subject.
    let legacy = super::harness::tokens::token(ann["user"]["id"].as_str().unwrap());
    becomes(&gateway, &legacy, 200).await;
    user(&gateway, &["disable", "ann@example.com"]);
    becomes(&gateway, &legacy, 401).await;
}

#[tokio::test]
async fn registration_is_closed_or_for_some_domains_only() {
    let person = |email: &str| json!({ "email": email, "password": PASSWORD });
    let closed = Config::new()
        .toml("[accounts]\nregistration = \"closed\"")
        .start()
        .await;
    closed
        .https()
        .post("/auth/v1/register")
        .json(person("ann@example.com"))
        .send()
        .await
        .expect(403);
    let domains = "[accounts]\nregistration = { domains = [\"corp.example\"] }";
    let corp = Config::new().toml(domains).start().await;
    for (email, status) in [
        ("ann@corp.example", 201),
        ("bob@CORP.example", 201),
        ("eve@evil.example", 403),
        ("eve@sub.corp.example", 403),
        ("eve@corp.example.evil.example", 403),
        ("eve@evil.example@corp.example", 422),
        ("\"eve@evil.example\"@corp.example", 422),
    ] {
        corp.https()
            .post("/auth/v1/register")
            .json(person(email))
            .send()
            .await
            .expect(status);
    }
}
