//! What clients of each profile get, over a real database.

pub(super) mod gate;

use std::collections::HashSet;
use std::time::Duration;

use http::{HeaderMap, header};
use serde_json::{Value, json};

use super::*;
use crate::accounts;
use crate::authn::Caller;

use gate::Gate;

const PASSWORD: &str = "correct horse";

fn native(endpoint: NativeEndpoint) -> Endpoint {
    Endpoint::Native(endpoint)
}

fn ann() -> Value {
    json!({ "email": "Ann@Example.com", "password": PASSWORD, "name": "Ann Lee" })
}

fn all() -> impl Iterator<Item = Endpoint> {
    let profiles = Profile::ALL.iter().flat_map(|profile| profile.endpoints());
    profiles.copied().chain([Endpoint::Jwks])
}

#[test]
fn no_two_endpoints_share_a_path_or_a_name() {
    let mut seen = HashSet::new();
    let mut names = HashSet::new();
    for endpoint in all() {
        assert!(seen.insert(endpoint.name()), "{endpoint:?}");
        for path in endpoint.paths() {
            for method in endpoint.methods() {
                let place = format!("{method} {path}");
                assert!(names.insert(place), "{method} {path}");
            }
        }
    }
    assert_eq!(all().count(), 39);
}

#[test]
fn only_reading_is_free_of_a_limit_or_a_token() {
    for endpoint in all().filter(|e| e.auth() == Auth::None && *e != Endpoint::Jwks) {
        assert_ne!(endpoint.cost(), Cost::Read, "{endpoint:?}");
    }
}

#[test]
fn nobody_who_is_logged_in_fills_the_database_without_a_limit() {
    // What these end, a login has opened, and that has a limit.
    let ending = [
        "native.logout",
        "native.logout-everywhere",
        "native.end-session",
        "browser.logout",
        "rag-modulo.logout",
    ];
    let changes = |endpoint: &Endpoint| endpoint.methods().iter().any(|m| !m.is_safe());
    for endpoint in all().filter(changes) {
        let is_ending = ending.contains(&endpoint.name());
        assert_eq!(endpoint.cost() == Cost::Read, is_ending, "{endpoint:?}");
    }
}

#[test]
fn an_answer_can_be_made_on_any_thread() {
    fn is_send<T: Send>(_: impl Fn(EndpointContext, EndpointRequest) -> T) {}
    is_send(answer);
}

#[tokio::test]
async fn a_native_client_registers_logs_in_and_reads_who_it_is() {
    let gate = Gate::open().await;
    let registered = gate
        .post(native(NativeEndpoint::Register), ann())
        .await
        .expect(201);
    assert_eq!(registered.headers[header::CACHE_CONTROL], "no-store");
    let logged_in = gate
        .post(native(NativeEndpoint::Login), ann())
        .await
        .expect(200);
    assert_eq!(logged_in.body["token_type"], "Bearer");
    assert_eq!(logged_in.body["expires_in"], 900);
    assert_eq!(logged_in.body["user"], registered.body["user"]);
    assert_eq!(logged_in.body["user"]["email"], "Ann@example.com");
    assert_ne!(
        logged_in.text("refresh_token"),
        registered.text("refresh_token")
    );
    let token = logged_in.text("access_token");
    let me = gate
        .as_bearer(native(NativeEndpoint::Me), &token, json!({}))
        .await
        .expect(200);
    assert_eq!(me.body, registered.body["user"]);
}

#[tokio::test]
async fn a_refresh_answers_what_a_login_does() {
    let gate = Gate::open().await;
    let first = gate
        .post(native(NativeEndpoint::Register), ann())
        .await
        .expect(201);
    let shown = json!({ "refresh_token": first.text("refresh_token") });
    let next = gate
        .post(native(NativeEndpoint::Refresh), shown)
        .await
        .expect(200);
    assert_eq!(next.body["user"], first.body["user"]);
    assert!(gate.believes(&next.text("access_token")));
    for (body, status) in [(json!({ "refresh_token": "x" }), 401), (json!({}), 422)] {
        gate.post(native(NativeEndpoint::Refresh), body)
            .await
            .expect(status);
    }
}

#[tokio::test]
async fn a_logout_ends_the_session_that_asks_and_everywhere_ends_all() {
    let gate = Gate::open().await;
    let phone = gate
        .post(native(NativeEndpoint::Register), ann())
        .await
        .text("access_token");
    let laptop = gate
        .post(native(NativeEndpoint::Login), ann())
        .await
        .text("access_token");
    gate.as_bearer(native(NativeEndpoint::Logout), &phone, json!({}))
        .await
        .expect(204);
    assert!(!gate.believes(&phone) && gate.believes(&laptop));
    let other = gate
        .post(native(NativeEndpoint::Login), ann())
        .await
        .text("access_token");
    let everywhere = native(NativeEndpoint::LogoutEverywhere);
    gate.as_bearer(everywhere, &other, json!({}))
        .await
        .expect(204);
    assert!(!gate.believes(&laptop) && !gate.believes(&other));
}

#[tokio::test]
async fn a_new_password_ends_every_session_and_hands_out_a_fresh_one() {
    let gate = Gate::open().await;
    let old = gate
        .post(native(NativeEndpoint::Register), ann())
        .await
        .text("access_token");
    let change =
        |current: &str, new: &str| json!({ "current_password": current, "new_password": new });
    let endpoint = native(NativeEndpoint::ChangePassword);
    let wrong = gate
        .as_bearer(endpoint, &old, change("wrong", "another one"))
        .await
        .expect(403);
    assert_eq!(wrong.body["code"], "password_wrong");
    let short = gate
        .as_bearer(endpoint, &old, change(PASSWORD, "short"))
        .await
        .expect(422);
    assert_eq!(short.body["errors"][0]["pointer"], "#/new_password");
    assert!(gate.believes(&old));
    let fresh = gate
        .as_bearer(endpoint, &old, change(PASSWORD, "another one"))
        .await
        .expect(200);
    assert!(!gate.believes(&old) && gate.believes(&fresh.text("access_token")));
    gate.post(native(NativeEndpoint::Login), ann())
        .await
        .expect(401);
}

#[tokio::test]
async fn a_praisonai_client_gets_its_shapes() {
    let gate = Gate::open().await;
    let register = Endpoint::Praisonai(PraisonaiEndpoint::Register);
    let body = json!({ "email": " a1@Example.com ", "password": "long enough", "name": null });
    let registered = gate.post(register, body.clone()).await.expect(201);
    let user = &registered.body["user"];
    assert_eq!(user["name"], "a1");
    assert_eq!(user["email"], "a1@example.com");
    assert_eq!(user["avatar_url"], Value::Null);
    let taken = gate.post(register, body.clone()).await.expect(409);
    assert_eq!(taken.body, json!({ "detail": "Email already registered" }));
    let login = Endpoint::Praisonai(PraisonaiEndpoint::Login);
    let token = gate.post(login, body).await.expect(200).text("token");
    let claims = gate
        .context
        .tokens
        .verify(&token, gate.context.clock.now())
        .unwrap();
    let lifetime = claims.expires().since(claims.issued_at().unwrap());
    assert_eq!(lifetime, Duration::from_secs(30 * 24 * 3600));
    let me = Endpoint::Praisonai(PraisonaiEndpoint::Me);
    assert_eq!(
        gate.as_bearer(me, &token, json!({})).await.expect(200).body,
        *user
    );
    let refused = gate
        .post(register, json!({ "email": "x", "password": "short" }))
        .await;
    assert_eq!(refused.expect(422).body["detail"][0]["type"], "value_error");
    let refused = gate
        .post(
            register,
            json!({ "email": "b@example.com", "password": "short" }),
        )
        .await;
    assert_eq!(
        refused.expect(422).body,
        json!({ "detail": [{
            "type": "string_too_short",
            "loc": ["body", "password"],
            "msg": "String should have at least 8 characters",
            "ctx": { "min_length": 8 },
        }] })
    );
}

#[tokio::test]
async fn a_rag_modulo_client_gets_its_shapes() {
    let gate = Gate::open().await;
    let rag = Endpoint::RagModulo;
    let body = json!({ "username": "ann", "password": PASSWORD, "email": "ann@example.com" });
    let registered = gate
        .post(rag(RagModuloEndpoint::Register), body)
        .await
        .expect(201);
    let id = registered.text("user_id");
    assert_eq!(
        registered.body,
        json!({ "user_id": id, "username": "ann", "email": "ann@example.com" })
    );
    for name in ["ann", "ANN", "ann@example.com"] {
        let shown = json!({ "username": name, "password": PASSWORD });
        let answer = gate
            .post(rag(RagModuloEndpoint::Login), shown)
            .await
            .expect(200);
        let token = answer.text("access_token");
        let expected = json!({ "access_token": token, "token_type": "bearer", "expires_in": 3600 });
        assert_eq!(answer.body, expected);
    }
    let mut headers = HeaderMap::new();
    let kind = "application/x-www-form-urlencoded".parse().unwrap();
    headers.insert(header::CONTENT_TYPE, kind);
    let form = String::from("grant_type=password&username=ann&password=correct+horse");
    let answer = gate
        .send(
            rag(RagModuloEndpoint::Token),
            Caller::Anonymous,
            headers,
            form,
        )
        .await;
    let token = answer.expect(200).text("access_token");
    let me = gate
        .as_bearer(rag(RagModuloEndpoint::Me), &token, json!({}))
        .await
        .expect(200);
    for (field, value) in [
        ("id", &*id),
        ("uuid", &*id),
        ("username", "ann"),
        ("role", "user"),
        ("name", "ann"),
    ] {
        assert_eq!(me.body[field], value, "{field}");
    }
    let info = gate
        .as_bearer(rag(RagModuloEndpoint::Userinfo), &token, json!({}))
        .await;
    assert_eq!(info.expect(200).body["sub"], id);
    let out = gate
        .as_bearer(rag(RagModuloEndpoint::Logout), &token, json!({}))
        .await
        .expect(200);
    assert_eq!(out.body, json!({ "message": "Logged out successfully" }));
    assert!(!gate.believes(&token));
    let wrong = json!({ "username": "ann", "password": "wrong" });
    let refused = gate
        .post(rag(RagModuloEndpoint::Login), wrong)
        .await
        .expect(401);
    let text = "Invalid authentication credentials";
    assert_eq!(refused.body, json!({ "detail": text, "error": text }));
}

#[tokio::test]
async fn an_unknown_name_and_a_wrong_password_do_the_same_work() {
    let gate = Gate::open().await;
    gate.post(native(NativeEndpoint::Register), ann())
        .await
        .expect(201);
    let mut bodies = Vec::new();
    for email in ["ann@example.com", "nobody@example.com"] {
        let before = gate.context.accounts.hasher().hashes();
        let shown = json!({ "email": email, "password": "wrong password" });
        let mut answer = gate
            .post(native(NativeEndpoint::Login), shown)
            .await
            .expect(401);
        answer.body["request_id"] = Value::Null;
        bodies.push(answer.body);
        assert_eq!(
            gate.context.accounts.hasher().hashes() - before,
            1,
            "{email}"
        );
    }
    assert_eq!(bodies[0], bodies[1]);
}

#[tokio::test]
async fn a_token_whose_account_is_gone_is_refused() {
    let gate = Gate::open().await;
    let registered = gate.post(native(NativeEndpoint::Register), ann()).await;
    let id = registered.body["user"]["id"].as_str().unwrap();
    let id = accounts::AccountId::parse(id).unwrap();
    gate.context
        .accounts
        .delete(id, &accounts::Origin::gateway())
        .await
        .unwrap();
    let token = registered.text("access_token");
    for me in [
        native(NativeEndpoint::Me),
        Endpoint::Praisonai(PraisonaiEndpoint::Me),
    ] {
        gate.as_bearer(me, &token, json!({})).await.expect(401);
    }
}

#[tokio::test]
async fn a_device_that_logged_in_gets_a_cookie_that_only_we_can_make() {
    let gate = Gate::open().await;
    let registered = gate.post(native(NativeEndpoint::Register), ann()).await;
    let cookie = registered.headers[header::SET_COOKIE].to_str().unwrap();
    assert!(cookie.starts_with("__Host-portcullis-device="));
    for attribute in ["; Path=/;", "; Secure", "; HttpOnly", "; SameSite=Lax"] {
        assert!(cookie.contains(attribute), "{attribute}");
    }
    let value = cookie.split(';').next().unwrap();
    for (value, status) in [(value, 200), ("__Host-portcullis-device=forged", 200)] {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, value.parse().unwrap());
        let login = native(NativeEndpoint::Login);
        gate.send(login, Caller::Anonymous, headers, ann().to_string())
            .await
            .expect(status);
    }
}

#[tokio::test]
async fn a_device_is_known_until_all_sessions_of_its_account_end() {
    let gate = Gate::open().await;
    let guess = |cookie: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, cookie.parse().unwrap());
        let wrong = json!({ "email": "ann@example.com", "password": "wrong" }).to_string();
        let login = native(NativeEndpoint::Login);
        gate.send(login, Caller::Anonymous, headers, wrong)
    };
    let cookie = |answer: &gate::Answer| {
        let field = answer.headers[header::SET_COOKIE].to_str().unwrap();
        String::from(field.split(';').next().unwrap())
    };
    let registered = gate.post(native(NativeEndpoint::Register), ann()).await;
    let before = cookie(&registered);
    for _ in 0..5 {
        guess("a=b").await.expect(401);
    }
    guess("a=b").await.expect(429);
    guess(&before).await.expect(401);
    // Of the same second as what ends the others, and yet another.
    let change = json!({ "current_password": PASSWORD, "new_password": "another horse" });
    let token = registered.text("access_token");
    gate.context.clock.advance(Duration::from_secs(600));
    let changed = gate
        .as_bearer(native(NativeEndpoint::ChangePassword), &token, change)
        .await
        .expect(200);
    for _ in 0..5 {
        guess("a=b").await.expect(401);
    }
    guess(&before).await.expect(429);
    guess(&cookie(&changed)).await.expect(401);
}

#[tokio::test]
async fn the_key_set_may_be_kept_and_has_no_secret() {
    let gate = Gate::open().await;
    let set = gate
        .send(
            Endpoint::Jwks,
            Caller::Anonymous,
            HeaderMap::new(),
            String::new(),
        )
        .await;
    assert_eq!(set.body, json!({ "keys": [] }));
    assert_eq!(
        set.headers[header::CONTENT_TYPE],
        "application/jwk-set+json"
    );
    assert_eq!(set.headers[header::CACHE_CONTROL], "public, max-age=300");
}
