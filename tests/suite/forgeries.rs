//! Tokens that must not be believed: forged, torn, out of their time, or asking for too much.

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
