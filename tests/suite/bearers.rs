//! Tokens that others made: what is believed, and every way in which it is not.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::harness::tokens::{self, claims, hs256, now, signed, with};
use super::harness::{Config, Gateway, Upstream};

async fn app() -> (Upstream, Gateway) {
    let upstream = Upstream::echo().await;
    let gateway = Config::new().app(&upstream).start().await;
    (upstream, gateway)
}

/// Asserts that none of these tokens is believed, wherever a token is looked at.
async fn assert_refused(tokens: Vec<(String, String)>) {
    let (upstream, gateway) = app().await;
    let mut believed = Vec::new();
    for (what, token) in tokens {
        for path in ["/private", "/optional/a"] {
            let answer = gateway.https().get(path).bearer(&token).send().await;
            if answer.status != 401 {
                believed.push(format!("{what} on {path}: {}", answer.status));
            }
        }
    }
    assert!(believed.is_empty(), "{}", believed.join("\n"));
    assert!(upstream.received().is_empty());
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
async fn an_algorithm_that_the_key_does_not_have_is_refused() {
    let unsigned = |alg: &str| {
        format!(
            "{}.",
            tokens::signing_input(
                &json!({ "alg": alg, "typ": "JWT" }),
                &claims("u-1").to_string()
            )
        )
    };
    let labelled = |alg: &str| {
        hs256(
            &json!({ "alg": alg, "typ": "JWT" }),
            &claims("u-1").to_string(),
            tokens::SECRET.as_bytes(),
        )
    };
    let mut all: Vec<_> = ["none", "None", "NONE", "nOnE", "HS256", ""]
        .map(|alg| (format!("unsigned {alg}"), unsigned(alg)))
        .into();
    all.extend(
        [
            "none", "HS384", "HS512", "RS256", "ES256", "EdDSA", "hs256", "A128KW",
        ]
        .map(|alg| (format!("labelled {alg}"), labelled(alg))),
    );
    all.push((
        "no algorithm".into(),
        hs256(
            &json!({ "typ": "JWT" }),
            &claims("u-1").to_string(),
            tokens::SECRET.as_bytes(),
        ),
    ));
    assert_refused(all).await;
}

#[tokio::test]
async fn a_header_that_asks_for_more_than_the_gateway_knows_is_refused() {
    let make = |header: Value| {
        hs256(
            &header,
            &claims("u-1").to_string(),
            tokens::SECRET.as_bytes(),
        )
    };
    let all = [
        json!({ "alg": "HS256", "crit": ["b64"], "b64": false }),
        json!({ "alg": "HS256", "crit": ["exp"] }),
        json!({ "alg": "HS256", "crit": [] }),
        json!({ "alg": "HS256", "b64": false }),
        json!({ "alg": "HS256", "kid": "another" }),
        json!({ "alg": "HS256", "kid": "../../../../dev/null" }),
        json!({ "alg": "HS256", "kid": 1 }),
        json!({ "alg": "HS256", "typ": "at-least-not-this" }),
        json!({ "alg": "HS256", "typ": 1 }),
        json!({ "alg": ["HS256"] }),
        json!([]),
    ];
    assert_refused(all.map(|header| (header.to_string(), make(header))).into()).await;
}

#[tokio::test]
async fn keys_that_a_token_brings_along_are_not_used() {
    let evil = b"a secret that the attacker chose himself, long enough";
    let jwk = json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode(evil), "alg": "HS256" });
    let headers = [
        json!({ "alg": "HS256", "jwk": jwk }),
        json!({ "alg": "HS256", "jku": "https://evil.test/jwks.json" }),
        json!({ "alg": "HS256", "x5u": "https://evil.test/cert.pem" }),
        json!({ "alg": "HS256", "x5c": ["MIIB"] }),
    ];
    let make = |header: &Value| hs256(header, &claims("u-1").to_string(), evil);
    assert_refused(headers.iter().map(|h| (h.to_string(), make(h))).collect()).await;
}

#[tokio::test]
async fn a_signature_that_is_not_right_is_refused() {
    let token = tokens::token("u-1");
    let (input, signature) = token.rsplit_once('.').unwrap();
    let (header, payload) = input.split_once('.').unwrap();
    let other = URL_SAFE_NO_PAD.encode(claims("root").to_string());
    let mut flipped = URL_SAFE_NO_PAD.decode(signature).unwrap();
    flipped[0] ^= 1;
    let all = [
        ("no signature", format!("{input}.")),
        ("two parts", input.to_owned()),
        ("four parts", format!("{token}.x")),
        ("another payload", format!("{header}.{other}.{signature}")),
        (
            "one bit",
            format!("{input}.{}", URL_SAFE_NO_PAD.encode(&flipped)),
        ),
        (
            "cut",
            format!("{input}.{}", &signature[..signature.len() - 4]),
        ),
        ("padding", format!("{input}.{signature}=")),
        (
            "other secret",
            hs256(
                &json!({ "alg": "HS256" }),
                &claims("u-1").to_string(),
                b"dev-secret-change-me",
            ),
        ),
        (
            "empty secret",
            hs256(&json!({ "alg": "HS256" }), &claims("u-1").to_string(), b""),
        ),
        (
            "newline kept",
            hs256(
                &json!({ "alg": "HS256" }),
                &claims("u-1").to_string(),
                format!("{}\n", tokens::SECRET).as_bytes(),
            ),
        ),
        ("dots", "..".to_owned()),
        ("swapped", format!("{payload}.{header}.{signature}")),
    ];
    assert_refused(all.map(|(what, token)| (what.to_owned(), token)).into()).await;
}

#[tokio::test]
async fn times_that_are_missing_or_not_numbers_are_refused() {
    let soon = now() + 3600;
    let all = [
        json!({ "exp": null }),
        json!({ "exp": soon.to_string() }),
        json!({ "exp": soon as f64 + 0.5 }),
        json!({ "exp": -1 }),
        json!({ "exp": 0 }),
        json!({ "exp": 9_007_199_254_740_993_u64 }),
        json!({ "exp": 1e300 }),
        json!({ "exp": true }),
        json!({ "exp": [soon] }),
        json!({ "exp": now() - 3600 }),
        json!({ "exp": now() - 60 }),
        json!({ "nbf": now() + 3600 }),
        json!({ "nbf": "0" }),
        json!({ "nbf": -5 }),
        json!({ "nbf": 1.5 }),
        json!({ "iat": now() + 3600 }),
        json!({ "iat": "0" }),
        json!({ "iat": -5 }),
    ];
    let make = |more: &Value| signed(&with(claims("u-1"), more.clone()));
    assert_refused(
        all.iter()
            .map(|more| (more.to_string(), make(more)))
            .collect(),
    )
    .await;
}

#[tokio::test]
async fn claims_that_are_no_claims_are_refused() {
    let header = json!({ "alg": "HS256", "typ": "JWT" });
    let soon = now() + 3600;
    let texts = [
        "".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        "\"x\"".to_owned(),
        "{".to_owned(),
        format!(r#"{{"exp":{soon}}}"#),
        format!(r#"{{"sub":null,"exp":{soon}}}"#),
        format!(r#"{{"sub":"","exp":{soon}}}"#),
        format!(r#"{{"sub":{{}},"exp":{soon}}}"#),
        format!(r#"{{"sub":"u-1","exp":1,"exp":{soon}}}"#),
        format!("{{\"sub\":\"u-1\",\"exp\":{soon}}}trailing"),
    ];
    let make = |text: &String| hs256(&header, text, tokens::SECRET.as_bytes());
    assert_refused(
        texts
            .iter()
            .map(|text| (text.clone(), make(text)))
            .collect(),
    )
    .await;
}

#[tokio::test]
async fn a_token_far_larger_than_any_real_one_is_refused() {
    let more = json!({ "big": "x".repeat(20_000) });
    assert_refused(vec![("20 kB".into(), signed(&with(claims("u-1"), more)))]).await;
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
        assert_eq!(response.status(), 401);
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
