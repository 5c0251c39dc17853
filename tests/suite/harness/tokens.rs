//! JSON Web Tokens as an issuer, or a forger, would make them.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// The shared secret of the suite's configuration: 32 bytes and more of text.
pub const SECRET: &str = "suite-secret-2vTq9LxWm4Rb7Ycz8KfJ3nHd5";

/// Now, as NumericDates count it.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// Claims that every check lets through, for another hour.
pub fn claims(subject: &str) -> Value {
    json!({
        "sub": subject,
        "user_id": subject,
        "email": format!("{subject}@example.com"),
        "name": "Ann Example",
        "iat": now(),
        "exp": now() + 3600,
    })
}

/// These claims and others on top; `null` takes one away.
pub fn with(mut claims: Value, more: Value) -> Value {
    for (key, value) in more.as_object().unwrap() {
        let all = claims.as_object_mut().unwrap();
        match value {
            Value::Null => drop(all.remove(key)),
            _ => drop(all.insert(key.clone(), value.clone())),
        }
    }
    claims
}

/// A token of the suite's configured HS256 key.
pub fn signed(claims: &Value) -> String {
    hs256(
        &json!({ "alg": "HS256", "typ": "JWT" }),
        &claims.to_string(),
        SECRET.as_bytes(),
    )
}

/// A valid token for this subject.
pub fn token(subject: &str) -> String {
    signed(&claims(subject))
}

/// A valid token with these roles.
pub fn token_with_roles(subject: &str, roles: &[&str]) -> String {
    signed(&with(claims(subject), json!({ "roles": roles })))
}

/// Any header and any text as claims, with an HMAC-SHA-256 that is right.
pub fn hs256(header: &Value, claims: &str, secret: &[u8]) -> String {
    let input = signing_input(header, claims);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input.as_bytes());
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
}

/// What is signed: header and claims, encoded.
pub fn signing_input(header: &Value, claims: &str) -> String {
    let header = URL_SAFE_NO_PAD.encode(header.to_string());
    format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims))
}

/// The claims of a token, unverified.
pub fn read(token: &str) -> Value {
    part(token, 1)
}

/// The header of a token, unverified.
pub fn header(token: &str) -> Value {
    part(token, 0)
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}
