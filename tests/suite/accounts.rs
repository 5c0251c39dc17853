//! Accounts over the native API: register, log in, refresh, log out, change a password.

use serde_json::{Value, json};

use super::harness::{Client, Config, Gateway, Upstream, tokens};

pub async fn app() -> (Upstream, Gateway) {
    let upstream = Upstream::echo().await;
    let gateway = Config::new().app(&upstream).start().await;
    (upstream, gateway)
}

pub const PASSWORD: &str = "correct horse battery";

pub async fn register(client: &Client, email: &str) -> Value {
    let person = json!({ "email": email, "password": PASSWORD, "name": "Ann" });
    client
        .post("/auth/v1/register")
        .json(person)
        .send()
        .await
        .expect(201)
        .json()
}

pub async fn login(client: &Client, email: &str) -> Value {
    let person = json!({ "email": email, "password": PASSWORD });
    client
        .post("/auth/v1/login")
        .json(person)
        .send()
        .await
        .expect(200)
        .json()
}

/// One text field of an answer.
pub fn text<'a>(answer: &'a Value, field: &str) -> &'a str {
    answer[field]
        .as_str()
        .unwrap_or_else(|| panic!("no text `{field}`: {answer}"))
}

pub async fn is_believed(gateway: &Gateway, token: &str) -> bool {
    let status = gateway
        .https()
        .get("/private")
        .bearer(token)
        .send()
        .await
        .status
        .as_u16();
    assert!(matches!(status, 200 | 401), "{status}");
    status == 200
}

pub async fn refresh(gateway: &Gateway, token: &str) -> super::harness::Answer {
    gateway
        .https()
        .post("/auth/v1/refresh")
        .json(json!({ "refresh_token": token }))
        .send()
        .await
}

#[tokio::test]
pub async fn who_registers_is_logged_in_and_is_told_apart() {
    let (upstream, gateway) = app().await;
    let ann = register(&gateway.https(), "ann@example.com").await;
    let bob = register(&gateway.h2(), "bob@example.com").await;
    assert_eq!(text(&ann, "token_type").to_lowercase(), "bearer");
    assert!(ann["expires_in"].is_number() && ann["refresh_token"].is_string());
    assert_ne!(ann["user"]["id"], bob["user"]["id"]);
    gateway
        .https()
        .get("/private")
        .bearer(text(&bob, "access_token"))
        .send()
        .await
        .expect(200);
    assert_eq!(
        upstream.last().header("x-user-id").as_deref(),
        bob["user"]["id"].as_str()
    );
    assert_eq!(
        upstream.last().header("x-user-email").as_deref(),
        Some("bob@example.com")
    );
    let me = gateway
        .https()
        .get("/auth/v1/me")
        .bearer(text(&ann, "access_token"))
        .send()
        .await
        .expect(200)
        .json();
    assert!(me.to_string().contains("ann@example.com"), "{me}");
}

#[tokio::test]
pub async fn a_token_of_ours_satisfies_every_backend() {
    let (_upstream, gateway) = app().await;
    let ann = register(&gateway.https(), "ann@example.com").await;
    let claims = tokens::read(text(&ann, "access_token"));
    let id = &ann["user"]["id"];
    for name in ["sub", "user_id", "uuid"] {
        assert_eq!(&claims[name], id, "{name}");
    }
    for name in ["email", "name", "jti"] {
        assert!(claims[name].is_string(), "{name}: {claims}");
    }
    assert!(claims["exp"].as_i64().unwrap() > claims["iat"].as_i64().unwrap());
    assert!(
        claims.get("aud").is_none() && claims.get("scopes").is_none(),
        "{claims}"
    );
}

#[tokio::test]
pub async fn names_are_compared_without_case_and_kept_as_they_were_written() {
    let (_upstream, gateway) = app().await;
    let client = gateway.https();
    let ann = register(&client, "Ann.Lee@Example.COM").await;
    assert_eq!(ann["user"]["email"], "Ann.Lee@example.com");
    let again = login(&client, "ann.lee@example.com").await;
    assert_eq!(again["user"]["id"], ann["user"]["id"]);
    let person = json!({ "email": "ANN.LEE@example.com", "password": PASSWORD });
    client
        .post("/auth/v1/register")
        .json(person)
        .send()
        .await
        .expect(409);
}

#[tokio::test]
pub async fn refusals_are_problems_and_never_repeat_a_secret() {
    let (_upstream, gateway) = app().await;
    let client = gateway.https();
    register(&client, "ann@example.com").await;
    let secret = "s3cret-that-must-not-come-back";
    for (path, body, status) in [
        (
            "/auth/v1/login",
            json!({ "email": "ann@example.com", "password": secret }),
            401,
        ),
        (
            "/auth/v1/login",
            json!({ "email": "nobody@example.com", "password": secret }),
            401,
        ),
        ("/auth/v1/login", json!({ "password": secret }), 422),
        (
            "/auth/v1/register",
            json!({ "email": "x", "password": secret }),
            422,
        ),
        (
            "/auth/v1/register",
            json!({ "email": "a@evil.com@example.com", "password": secret }),
            422,
        ),
        (
            "/auth/v1/register",
            json!({ "email": [secret], "password": secret }),
            422,
        ),
        ("/auth/v1/register", json!(secret), 422),
        ("/auth/v1/refresh", json!({ "refresh_token": secret }), 401),
    ] {
        let answer = client.post(path).json(body).send().await.expect(status);
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json"),
            "{path}"
        );
        assert_eq!(answer.json()["status"], status);
        assert!(!answer.text().contains(secret), "{path}: {}", answer.text());
    }
    for (body, status) in [("{", 422), ("", 422), ("\u{0}", 422)] {
        client
            .post("/auth/v1/login")
            .header("content-type", "application/json")
            .bytes(body)
            .send()
            .await
            .expect(status);
    }
    assert!(!gateway.log().contains(secret));
}

#[tokio::test]
pub async fn an_unknown_name_and_a_wrong_password_get_the_same_bytes() {
    let (_upstream, gateway) = app().await;
    let client = gateway.https();
    register(&client, "ann@example.com").await;
    for (path, field) in [
        ("/auth/v1/login", "email"),
        ("/api/v1/auth/login", "email"),
        ("/api/auth/login", "username"),
    ] {
        let mut answers = Vec::new();
        for name in ["ann@example.com", "nobody@example.com"] {
            let body = json!({ field: name, "password": "wrong-password" });
            let answer = client.post(path).json(body).send().await.expect(401);
            let names: Vec<_> = answer.headers.keys().map(|k| k.to_string()).collect();
            let mut body = answer.json();
            if let Some(body) = body.as_object_mut() {
                body.remove("instance");
                body.remove("request_id");
            }
            answers.push((names, body.to_string()));
        }
        assert_eq!(answers[0], answers[1], "{path}");
    }
}

#[tokio::test]
pub async fn a_logout_ends_this_session_at_once_and_no_other() {
    let (_upstream, gateway) = app().await;
    let laptop = register(&gateway.https(), "ann@example.com").await;
    let phone = login(&gateway.https(), "ann@example.com").await;
    let token = text(&laptop, "access_token");
    assert!(is_believed(&gateway, token).await);
    let answer = gateway
        .https()
        .post("/auth/v1/logout")
        .bearer(token)
        .send()
        .await;
    assert!(answer.status.is_success(), "{}", answer.status);
    assert!(
        !is_believed(&gateway, token).await,
        "in every worker, also where it was remembered"
    );
    refresh(&gateway, text(&laptop, "refresh_token"))
        .await
        .expect(401);
    assert!(is_believed(&gateway, text(&phone, "access_token")).await);
}

#[tokio::test]
pub async fn a_logout_everywhere_ends_every_session() {
    let (_upstream, gateway) = app().await;
    let laptop = register(&gateway.https(), "ann@example.com").await;
    let phone = login(&gateway.https(), "ann@example.com").await;
    let other = register(&gateway.https(), "bob@example.com").await;
    let call = gateway
        .https()
        .post("/auth/v1/logout-everywhere")
        .bearer(text(&phone, "access_token"));
    assert!(call.send().await.status.is_success());
    for session in [&laptop, &phone] {
        assert!(!is_believed(&gateway, text(session, "access_token")).await);
        refresh(&gateway, text(session, "refresh_token"))
            .await
            .expect(401);
    }
    assert!(is_believed(&gateway, text(&other, "access_token")).await);
    let again = login(&gateway.https(), "ann@example.com").await;
    assert!(is_believed(&gateway, text(&again, "access_token")).await);
}

#[tokio::test]
pub async fn a_new_password_ends_the_other_sessions_and_the_old_password() {
    let (_upstream, gateway) = app().await;
    let laptop = register(&gateway.https(), "ann@example.com").await;
    let thief = login(&gateway.https(), "ann@example.com").await;
    let change = |current: &str| json!({ "current_password": current, "new_password": "another good password" });
    let call = gateway
        .https()
        .post("/auth/v1/password")
        .bearer(text(&laptop, "access_token"));
    let wrong = call.json(change("not the password")).send().await;
    assert!(wrong.status.is_client_error(), "{}", wrong.status);
    let call = gateway
        .https()
        .post("/auth/v1/password")
        .bearer(text(&laptop, "access_token"));
    let answer = call.json(change(PASSWORD)).send().await;
    assert!(
        answer.status.is_success(),
        "{} {}",
        answer.status,
        answer.text()
    );
    assert!(!is_believed(&gateway, text(&thief, "access_token")).await);
    refresh(&gateway, text(&thief, "refresh_token"))
        .await
        .expect(401);
    let old = json!({ "email": "ann@example.com", "password": PASSWORD });
    gateway
        .https()
        .post("/auth/v1/login")
        .json(old)
        .send()
        .await
        .expect(401);
    let new = json!({ "email": "ann@example.com", "password": "another good password" });
    gateway
        .https()
        .post("/auth/v1/login")
        .json(new)
        .send()
        .await
        .expect(200);
}

#[tokio::test]
pub async fn a_login_makes_a_session_of_its_own_and_takes_none_over() {
    let (_upstream, gateway) = app().await;
    register(&gateway.https(), "ann@example.com").await;
    let one = login(&gateway.https(), "ann@example.com").await;
    let body = json!({ "email": "ann@example.com", "password": PASSWORD });
    let call = gateway
        .https()
        .post("/auth/v1/login")
        .json(body)
        .bearer(text(&one, "access_token"));
    let two = call
        .header("cookie", "__Host-portcullis-device=chosen-by-somebody")
        .send()
        .await
        .expect(200)
        .json();
    assert_ne!(
        tokens::read(text(&one, "access_token"))["jti"],
        tokens::read(text(&two, "access_token"))["jti"]
    );
    assert_ne!(text(&one, "refresh_token"), text(&two, "refresh_token"));
}

#[tokio::test]
pub async fn any_password_of_text_is_taken_whole_and_none_is_cut() {
    let (_upstream, gateway) = app().await;
    let long = "x".repeat(200);
    let passwords = [
        "pä$$wörd 密码 🔑",
        " blanks at both ends ",
        long.as_str(),
        "quote\"and\\slash",
    ];
    for (n, password) in passwords.into_iter().enumerate() {
        let email = format!("user{n}@example.com");
        let person = json!({ "email": email, "password": password });
        let client = gateway.https();
        client
            .post("/auth/v1/register")
            .json(person.clone())
            .send()
            .await
            .expect(201);
        client
            .post("/auth/v1/login")
            .json(person)
            .send()
            .await
            .expect(200);
        let mut cut = password.to_owned();
        cut.pop();
        for other in [cut.as_str(), password.trim()]
            .into_iter()
            .filter(|other| *other != password)
        {
            let person = json!({ "email": email, "password": other });
            client
                .post("/auth/v1/login")
                .json(person)
                .send()
                .await
                .expect(401);
        }
    }
    let huge = json!({ "email": "huge@example.com", "password": "x".repeat(5_000) });
    gateway
        .https()
        .post("/auth/v1/register")
        .json(huge)
        .send()
        .await
        .expect(422);
}
