//! Tokens that others made: what is believed, and every way in which it is not.

use serde_json::json;

use super::harness::tokens::{self, claims, hs256, now, signed, with};
use super::harness::{Config, Gateway, Upstream};

async fn app() -> (Upstream, Gateway) {
    let upstream = Upstream::echo().await;
    let gateway = Config::new().app(&upstream).start().await;
    (upstream, gateway)
}

#[tokio::test]
async fn a_good_token_is_believed_in_any_spelling_of_its_scheme() {
    let (upstream, gateway) = app().await;
    let token = tokens::token("u-1");
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let call = gateway
            .https()
            .get("/private")
            .header("authorization", format!("{scheme} {token}"));
        call.send().await.expect(200);
        assert_eq!(upstream.last().header("x-user-id").as_deref(), Some("u-1"));
    }
}

#[tokio::test]
async fn a_401_says_how_to_authenticate_and_is_not_kept() {
    let (_upstream, gateway) = app().await;
    for token in ["", "garbage"] {
        let mut call = gateway.https().get("/private");
        if !token.is_empty() {
            call = call.bearer(token);
        }
        let answer = call.send().await.expect(401);
        assert!(
            answer
                .header("www-authenticate")
                .unwrap()
                .starts_with("Bearer"),
            "{:?}",
            answer.headers
        );
        assert!(
            answer
                .header("cache-control")
                .is_some_and(|v| v.contains("no-store")),
            "{:?}",
            answer.headers
        );
    }
}

#[tokio::test]
async fn other_schemes_and_torn_headers_are_no_token() {
    let (upstream, gateway) = app().await;
    let token = tokens::token("u-1");
    let values = [
        "Basic eDp5".to_owned(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        token.clone(),
        format!("Token {token}"),
        format!("Bearer {token} {token}"),
        format!("Bearer {token},"),
        format!("Bearer\u{a0}{token}"),
        format!("Bearer: {token}"),
        "Bearer dev-0000".to_owned(),
        "Bearer mock_token_1".to_owned(),
        "Digest x".to_owned(),
    ];
    for value in values {
        let answer = gateway
            .https()
            .get("/private")
            .header("authorization", &value)
            .send()
            .await;
        assert!(
            matches!(answer.status.as_u16(), 400 | 401),
            "{value}: {}",
            answer.status
        );
    }
    let two = gateway
        .https()
        .get("/private")
        .bearer(&token)
        .bearer(&tokens::token("u-2"))
        .send()
        .await;
    assert!(matches!(two.status.as_u16(), 400 | 401));
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn a_clock_that_is_a_little_off_is_forgiven() {
    let (_upstream, gateway) = app().await;
    for more in [
        json!({ "iat": now() + 5 }),
        json!({ "nbf": now() + 5 }),
        json!({ "exp": now() - 5 }),
    ] {
        let token = signed(&with(claims("u-1"), more.clone()));
        gateway
            .https()
            .get("/private")
            .bearer(&token)
            .send()
            .await
            .expect(200);
    }
}

#[tokio::test]
async fn a_token_in_the_query_or_a_cookie_is_none() {
    let (upstream, gateway) = app().await;
    let token = tokens::token("u-1");
    for name in ["access_token", "token", "jwt", "bearer"] {
        gateway
            .https()
            .get(&format!("/private?{name}={token}"))
            .send()
            .await
            .expect(401);
        gateway
            .https()
            .get("/private")
            .header("cookie", format!("{name}={token}"))
            .send()
            .await
            .expect(401);
    }
    let form = format!("access_token={token}");
    gateway
        .https()
        .post("/private")
        .form(&form)
        .send()
        .await
        .expect(401);
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn a_stale_token_does_no_harm_where_none_is_asked_for() {
    let (upstream, gateway) = app().await;
    let stale = signed(&with(claims("u-1"), json!({ "exp": now() - 3600 })));
    gateway
        .https()
        .get("/public/a")
        .bearer(&stale)
        .send()
        .await
        .expect(200);
    assert_eq!(upstream.last().header("x-user-id"), None);
    gateway.https().get("/optional/a").send().await.expect(200);
    assert_eq!(upstream.last().header("x-user-id"), None);
    gateway
        .https()
        .get("/optional/a")
        .bearer(&tokens::token("u-1"))
        .send()
        .await
        .expect(200);
    assert_eq!(upstream.last().header("x-user-id").as_deref(), Some("u-1"));
}

#[tokio::test]
async fn a_token_good_for_one_route_is_judged_again_for_the_next() {
    let upstream = Upstream::echo().await;
    let config = Config::new()
        .upstream("app", &upstream)
        .route("/any/**", "upstream = \"app\"\nauth = \"required\"")
        .route(
            "/admin/**",
            "upstream = \"app\"\nauth = \"required\"\nroles = [\"admin\"]",
        )
        .route(
            "/paid/**",
            "upstream = \"app\"\nauth = \"required\"\nclaims = { plan = [\"pro\", \"team\"] }",
        );
    let gateway = config.start().await;
    let member = tokens::token_with_roles("u-1", &["member"]);
    let admin = tokens::token_with_roles("u-2", &["member", "admin"]);
    let payer = signed(&with(claims("u-3"), json!({ "plan": "pro" })));
    let mut connection = gateway.https().connect().await;
    for _ in 0..2 {
        for (path, token, status) in [
            ("/any/a", &member, 200),
            ("/admin/a", &member, 403),
            ("/paid/a", &member, 403),
            ("/any/a", &admin, 200),
            ("/admin/a", &admin, 200),
            ("/paid/a", &admin, 403),
            ("/paid/a", &payer, 200),
            ("/admin/a", &payer, 403),
        ] {
            let call = gateway.https().get(path).bearer(token).build();
            let response = connection.send(call).await.unwrap();
            assert_eq!(response.status(), status, "{path}");
            http_body_util::BodyExt::collect(response.into_body())
                .await
                .unwrap();
        }
    }
}

#[tokio::test]
async fn a_flood_of_unknown_key_ids_leaves_the_good_key_good() {
    let (_upstream, gateway) = app().await;
    let mut connection = gateway.https().connect().await;
    for n in 0..500 {
        let header = json!({ "alg": "HS256", "kid": format!("random-{n}") });
        let token = hs256(
            &header,
            &claims("u-1").to_string(),
            tokens::SECRET.as_bytes(),
        );
        let response = connection
            .send(gateway.https().get("/private").bearer(&token).build())
            .await
            .unwrap();
        assert!(
            matches!(response.status().as_u16(), 401 | 429),
            "{}",
            response.status()
        );
        http_body_util::BodyExt::collect(response.into_body())
            .await
            .unwrap();
    }
    gateway
        .https()
        .from("127.0.0.2")
        .get("/private")
        .bearer(&tokens::token("u-1"))
        .send()
        .await
        .expect(200);
}
