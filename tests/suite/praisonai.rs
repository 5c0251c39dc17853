//! PraisonAI's answers to what is malformed: lists that its clients can read, without the secret in them.

use serde_json::{Value, json};

use super::harness::{Answer, Config, Gateway};

async fn post(gateway: &Gateway, path: &str, body: impl Into<bytes::Bytes>) -> Answer {
    let call = gateway
        .https()
        .post(path)
        .header("content-type", "application/json");
    call.bytes(body).send().await
}

#[tokio::test]
async fn malformed_bodies_are_a_list_of_what_is_wrong() {
    let gateway = Config::new().start().await;
    let secret = "s3cret-that-must-not-come-back";
    for (body, kind, place) in [
        (
            json!({ "password": secret }).to_string(),
            "missing",
            json!(["body", "email"]),
        ),
        (
            json!({ "email": "a@example.com" }).to_string(),
            "missing",
            json!(["body", "password"]),
        ),
        (
            json!({ "email": "not-an-email", "password": secret }).to_string(),
            "value_error",
            json!(["body", "email"]),
        ),
        (
            json!({ "email": 5, "password": secret }).to_string(),
            "string_type",
            json!(["body", "email"]),
        ),
        (
            json!({ "email": "a@example.com", "password": [secret] }).to_string(),
            "string_type",
            json!(["body", "password"]),
        ),
        (String::new(), "missing", json!(["body"])),
        ("[]".to_owned(), "model_attributes_type", json!(["body"])),
    ] {
        for path in ["/api/v1/auth/register", "/api/v1/auth/login"] {
            let answer = post(&gateway, path, body.clone()).await.expect(422);
            assert_eq!(answer.header("content-type"), Some("application/json"));
            let first = answer.json()["detail"][0].clone();
            assert_eq!(
                (&first["type"], &first["loc"]),
                (&json!(kind), &place),
                "{path} {body}: {first}"
            );
            assert!(first["msg"].is_string());
            assert!(!answer.text().contains(secret), "{}", answer.text());
        }
    }
    let answer = post(&gateway, "/api/v1/auth/login", "{").await.expect(422);
    assert_eq!(answer.json()["detail"][0]["type"], "json_invalid");
}

#[tokio::test]
async fn a_bad_address_says_why_as_the_real_server_does() {
    let gateway = Config::new().start().await;
    for address in [
        "not-an-email",
        "a@",
        "@example.com",
        "a b@example.com",
        "a@evil.com@corp.com",
        "a@example",
        "a@exa mple.com",
    ] {
        let body = json!({ "email": address, "password": "pass" }).to_string();
        let answer = post(&gateway, "/api/v1/auth/register", body)
            .await
            .expect(422);
        let first = answer.json()["detail"][0].clone();
        let message = first["msg"].as_str().unwrap();
        assert!(
            message.starts_with("value is not a valid email address: "),
            "{address}: {message}"
        );
        assert!(first["ctx"]["reason"].is_string(), "{first}");
    }
}

#[tokio::test]
async fn names_and_addresses_are_tidied_as_the_real_server_does() {
    let gateway = Config::new().start().await;
    for (email, name, shown, called) in [
        (
            " one@Example.COM ",
            json!("A One"),
            "one@example.com",
            "A One",
        ),
        ("two@example.com", Value::Null, "two@example.com", "two"),
        ("three@example.com", json!(""), "three@example.com", "three"),
    ] {
        let body =
            json!({ "email": email, "password": "pass", "name": name, "unknown": 1 }).to_string();
        let user = post(&gateway, "/api/v1/auth/register", body)
            .await
            .expect(201)
            .json()["user"]
            .clone();
        assert_eq!(
            (&user["email"], &user["name"]),
            (&json!(shown), &json!(called))
        );
    }
}

#[tokio::test]
async fn me_tells_its_refusals_apart() {
    let gateway = Config::new().start().await;
    for (authorization, detail) in [
        (None, "Missing Authorization header"),
        (
            Some("Basic eDp5"),
            "Invalid Authorization header format. Use: Bearer <token>",
        ),
        (
            Some("Bearer"),
            "Invalid Authorization header format. Use: Bearer <token>",
        ),
        (
            Some("token"),
            "Invalid Authorization header format. Use: Bearer <token>",
        ),
        (Some("Bearer x"), "Invalid or expired token"),
    ] {
        let mut call = gateway.https().get("/api/v1/auth/me");
        if let Some(value) = authorization {
            call = call.header("authorization", value);
        }
        let answer = call.send().await.expect(401);
        assert_eq!(answer.json()["detail"], detail, "{authorization:?}");
    }
    let answer = gateway
        .https()
        .call("DELETE", "/api/v1/auth/me")
        .send()
        .await
        .expect(405);
    assert_eq!(answer.json()["detail"], "Method Not Allowed");
    assert!(answer.header("allow").unwrap().contains("GET"));
}

#[tokio::test]
async fn a_stale_bearer_does_not_spoil_a_login() {
    let gateway = Config::new().start().await;
    let body = json!({ "email": "ann@example.com", "password": "pass" });
    for path in [
        "/api/v1/auth/register",
        "/api/v1/auth/login",
        "/api/v1/auth/login/",
    ] {
        for stale in ["Bearer garbage", "Basic eDp5", "Bearer"] {
            let call = gateway
                .https()
                .post(path)
                .header("authorization", stale)
                .json(body.clone());
            let status = call.send().await.status.as_u16();
            assert!(
                matches!(status, 200 | 201 | 409),
                "{path} {stale}: {status}"
            );
        }
    }
}

#[tokio::test]
async fn a_password_policy_of_the_default_preset_asks_for_eight() {
    let gateway = Config::new()
        .toml("[passwords]\npreset = \"default\"")
        .start()
        .await;
    let body =
        |password: &str| json!({ "email": "ann@example.com", "password": password }).to_string();
    let refused = post(&gateway, "/api/v1/auth/register", body("short12"))
        .await
        .expect(422);
    assert!(
        refused.json()["detail"][0]["loc"]
            .to_string()
            .contains("password")
    );
    assert!(!refused.text().contains("short12"));
    post(&gateway, "/api/v1/auth/register", body("a longer one 5x"))
        .await
        .expect(201);
}
