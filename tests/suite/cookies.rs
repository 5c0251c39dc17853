//! Sessions of browsers: opened by the login form, named by a cookie, worth a token.

use serde_json::json;

use super::accounts::{PASSWORD, register, text};
use super::harness::{Answer, Client, Config, Gateway, Upstream};

pub const COOKIE: &str = "__Host-portcullis-session";

pub fn config(upstream: &Upstream) -> Config {
    Config::new()
        .toml("[accounts]\nprofiles = [\"native\", \"browser\", \"praisonai\"]")
        .app(upstream)
}

/// A gateway with a login page before an upstream, and an account for Ann.
pub async fn app() -> (Upstream, Gateway) {
    let upstream = Upstream::echo().await;
    let gateway = config(&upstream).start().await;
    register(&gateway.https(), "ann@example.com").await;
    (upstream, gateway)
}

/// What the form sends, as a browser sends it.
pub async fn submit(client: &Client, fields: &str, cookie: Option<&str>) -> Answer {
    let mut call = client
        .post("/auth/login")
        .header("sec-fetch-site", "same-origin");
    if let Some(cookie) = cookie {
        call = call.header("cookie", cookie);
    }
    call.form(fields).send().await
}

/// Logs Ann in; gives the cookie as the browser sends it back.
pub async fn log_in(gateway: &Gateway, more: &str) -> String {
    let fields = form(PASSWORD, more);
    let answer = submit(&gateway.https(), &fields, None).await.expect(303);
    cookie_of(&answer)
}

fn form(password: &str, more: &str) -> String {
    let password = password.replace(' ', "+");
    format!("username=ann%40example.com&password={password}{more}")
}

/// The `Set-Cookie` of the session, whole.
#[track_caller]
fn session_field(answer: &Answer) -> String {
    let fields = answer.headers.get_all("set-cookie").iter();
    let mut fields = fields
        .map(|field| field.to_str().unwrap().to_owned())
        .filter(|field| field.starts_with(COOKIE));
    let field = fields.next();
    assert_eq!(fields.next(), None);
    field.unwrap_or_else(|| panic!("no session cookie: {:?}", answer.headers))
}

#[track_caller]
pub fn cookie_of(answer: &Answer) -> String {
    let field = session_field(answer);
    let pair = field.split(';').next().unwrap().to_owned();
    assert!(!pair.ends_with('='), "it was cleared");
    pair
}

fn is_cleared(answer: &Answer) -> bool {
    let mut fields = answer.headers.get_all("set-cookie").iter();
    fields.any(|field| {
        let text = field.to_str().unwrap();
        text.starts_with(&format!("{COOKIE}=;")) && text.contains("Max-Age=0")
    })
}

async fn get(gateway: &Gateway, path: &str, cookie: &str) -> Answer {
    let call = gateway.https().get(path).header("cookie", cookie);
    call.send().await
}

#[tokio::test]
async fn a_login_by_form_opens_a_session_that_the_upstream_sees_only_as_identity() {
    let (upstream, gateway) = app().await;
    let fields = form(PASSWORD, "&return_to=/app/start%3Fa%3D1");
    let answer = submit(&gateway.https(), &fields, None).await.expect(303);
    assert_eq!(answer.header("location"), Some("/app/start?a=1"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let field = session_field(&answer);
    for attribute in ["; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax"] {
        assert!(field.contains(attribute), "{field}");
    }
    assert!(
        !field.contains("Max-Age") && !field.contains("Domain"),
        "{field}"
    );

    let cookie = cookie_of(&answer);
    for client in [gateway.https(), gateway.h2()] {
        let both = format!("theme=dark; {cookie}; lang=en");
        let call = client.get("/private").header("cookie", both);
        call.send().await.expect(200);
        let seen = upstream.last();
        assert_eq!(
            seen.header("x-user-email").as_deref(),
            Some("ann@example.com")
        );
        assert_eq!(seen.header("x-user-roles").as_deref(), Some("member"));
        assert_eq!(
            seen.header("cookie").as_deref(),
            Some("theme=dark; lang=en")
        );
        assert_eq!(seen.header("authorization"), None);
    }
    let me = get(&gateway, "/auth/v1/me", &cookie).await.expect(200);
    assert_eq!(me.json()["email"], "ann@example.com");
}

#[tokio::test]
async fn who_asks_to_be_remembered_keeps_the_cookie_for_thirty_days() {
    let (_upstream, gateway) = app().await;
    let fields = form(PASSWORD, "&remember=1");
    let answer = submit(&gateway.https(), &fields, None).await.expect(303);
    let field = session_field(&answer);
    assert!(field.contains("; Max-Age=2592000;"), "{field}");
}

#[tokio::test]
async fn a_session_in_use_is_extended_and_its_cookie_renewed_but_never_beyond_its_end() {
    let upstream = Upstream::echo().await;
    let config =
        config(&upstream).toml("[accounts]\nsession_idle = \"20s\"\nsession_lifetime = \"1h\"");
    let gateway = config.start().await;
    register(&gateway.https(), "ann@example.com").await;
    let cookie = log_in(&gateway, "&remember=1").await;
    // A quarter of its idle time later a use is recorded: every request looks, one of them renews.
    let renewed = super::harness::within("the cookie is renewed", async {
        loop {
            let answer = get(&gateway, "/private", &cookie).await.expect(200);
            if answer.headers.contains_key("set-cookie") {
                return answer;
            }
        }
    });
    let renewed = renewed.await;
    assert_eq!(cookie_of(&renewed), cookie);
    assert!(session_field(&renewed).contains("; Max-Age=20;"));
}

#[tokio::test]
async fn a_session_that_is_not_used_ends() {
    let upstream = Upstream::echo().await;
    let config = config(&upstream).toml("[accounts]\nsession_idle = \"1s\"");
    let gateway = config.start().await;
    register(&gateway.https(), "ann@example.com").await;
    let cookie = log_in(&gateway, "&remember=1").await;
    super::harness::within("the session ends unused", async {
        // Listed by another session, so that nothing uses this one.
        let other = super::accounts::login(&gateway.https(), "ann@example.com").await;
        let token = text(&other, "access_token").to_owned();
        loop {
            let list = gateway.https().get("/auth/v1/sessions").bearer(&token);
            let list = list.send().await.expect(200).json();
            if list["sessions"].as_array().unwrap().is_empty() {
                return;
            }
        }
    })
    .await;
    let answer = get(&gateway, "/private", &cookie).await.expect(401);
    assert!(is_cleared(&answer));
}

#[tokio::test]
async fn a_cookie_that_names_no_session_is_refused_and_cleared_and_anonymous_where_that_is_enough()
{
    let (upstream, gateway) = app().await;
    let real = log_in(&gateway, "").await;
    let (name, value) = real.split_once('=').unwrap();
    let flipped = match value.strip_prefix('A') {
        Some(rest) => format!("B{rest}"),
        None => format!("A{}", &value[1..]),
    };
    let twice = format!("{real}; {name}={flipped}");
    let ended = log_in(&gateway, "").await;
    let logout = gateway.https().post("/auth/logout");
    let logout = logout
        .header("cookie", &ended)
        .header("sec-fetch-site", "same-origin");
    let logout = logout.send().await.expect(303);
    assert!(is_cleared(&logout));
    for bad in [
        format!("{name}="),
        String::from(name),
        format!("{name}=x"),
        format!("{name}={flipped}"),
        format!("{name}={value}A"),
        format!("{name}={}", &value[..value.len() - 1]),
        format!("{name}=\"{value}\""),
        format!("{name}={}", "A".repeat(4000)),
        twice,
        ended,
    ] {
        let before = upstream.received().len();
        let answer = get(&gateway, "/private", &bad).await.expect(401);
        assert!(is_cleared(&answer), "{bad}");
        assert_eq!(upstream.received().len(), before);
        let answer = get(&gateway, "/optional/a", &bad).await.expect(200);
        assert!(is_cleared(&answer), "{bad}");
        assert_eq!(upstream.last().header("x-user-id"), None);
        assert_eq!(upstream.last().header("cookie"), None);
    }
    get(&gateway, "/private", &real).await.expect(200);
    let public = get(&gateway, "/public/a", "__Host-portcullis-session=x").await;
    assert!(!is_cleared(&public.expect(200)), "nobody looked at it");
}

#[tokio::test]
async fn a_bearer_beats_a_cookie_and_a_bad_one_is_not_made_good_by_it() {
    let (upstream, gateway) = app().await;
    let cookie = log_in(&gateway, "").await;
    let bob = register(&gateway.https(), "bob@example.com").await;
    let call = gateway.https().get("/private").header("cookie", &cookie);
    call.bearer(text(&bob, "access_token"))
        .send()
        .await
        .expect(200);
    let email = upstream.last().header("x-user-email");
    assert_eq!(email.as_deref(), Some("bob@example.com"));
    for path in ["/private", "/optional/a"] {
        let call = gateway.https().get(path).header("cookie", &cookie);
        call.bearer("x").send().await.expect(401);
    }
    let call = gateway.https().get("/private").header("cookie", &cookie);
    let call = call.bearer(text(&bob, "access_token"));
    call.bearer(text(&bob, "access_token"))
        .send()
        .await
        .expect(400);
}

#[tokio::test]
async fn a_cookie_that_another_page_sends_along_changes_nothing() {
    let (upstream, gateway) = app().await;
    let cookie = log_in(&gateway, "").await;
    let here = gateway.https().url("");
    let foreign: &[&[(&str, &str)]] = &[
        &[],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("origin", "https://localhost")],
        &[("origin", "http://localhost")],
        &[
            ("sec-fetch-site", "same-origin"),
            ("origin", "https://evil.example"),
        ],
        &[("sec-fetch-site", "cross-site"), ("origin", &here)],
    ];
    for path in ["/private", "/optional/a"] {
        for fields in foreign {
            for method in ["POST", "PUT", "PATCH", "DELETE"] {
                let before = upstream.received().len();
                let call = gateway.https().call(method, path).header("cookie", &cookie);
                let call = fields.iter().fold(call, |call, (k, v)| call.header(k, v));
                let answer = call.send().await.expect(403);
                assert_eq!(answer.json()["code"], "origin_forbidden");
                assert!(!answer.headers.contains_key("set-cookie"), "{fields:?}");
                assert_eq!(upstream.received().len(), before);
            }
            // Reading changes nothing: a link from elsewhere works.
            let call = gateway.https().get(path).header("cookie", &cookie);
            let call = fields.iter().fold(call, |call, (k, v)| call.header(k, v));
            call.send().await.expect(200);
        }
    }
    for proof in [("origin", &*here), ("sec-fetch-site", "same-origin")] {
        let call = gateway.https().post("/private").header("cookie", &cookie);
        call.header(proof.0, proof.1).send().await.expect(200);
    }
}

#[tokio::test]
async fn a_websocket_by_cookie_opens_for_this_origin_only() {
    let upstream = Upstream::websocket_echo().await;
    let gateway = config(&upstream).start().await;
    register(&gateway.https(), "ann@example.com").await;
    let cookie = log_in(&gateway, "").await;
    let here = gateway.https().url("");
    for (origin, status) in [
        (Some("https://evil.example"), 403),
        (Some("null"), 403),
        (None, 403),
        (Some(&*here), 101),
    ] {
        let mut call = gateway.https().get("/private").header("cookie", &cookie);
        if let Some(origin) = origin {
            call = call.header("origin", origin);
        }
        let call = call
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let (response, _connection) = call.open().await;
        assert_eq!(response.status(), status, "{origin:?}");
    }
}

#[tokio::test]
async fn a_session_planted_before_the_login_is_replaced_and_ends() {
    let (_upstream, gateway) = app().await;
    let planted = log_in(&gateway, "").await;
    let fields = form(PASSWORD, "");
    let answer = submit(&gateway.https(), &fields, Some(&planted)).await;
    let fresh = cookie_of(&answer.expect(303));
    assert_ne!(fresh, planted);
    get(&gateway, "/private", &planted).await.expect(401);
    get(&gateway, "/private", &fresh).await.expect(200);

    // A change of password too gives a new id, in the cookie and nowhere else.
    let change = json!({ "current_password": PASSWORD, "new_password": "another good one" });
    let call = gateway.https().post("/auth/v1/password").json(change);
    let call = call
        .header("cookie", &fresh)
        .header("sec-fetch-site", "same-origin");
    let answer = call.send().await.expect(200);
    let newest = cookie_of(&answer);
    assert!(answer.json().get("access_token").is_none());
    get(&gateway, "/private", &fresh).await.expect(401);
    get(&gateway, "/private", &newest).await.expect(200);
}

#[tokio::test]
async fn a_disabled_account_and_a_lost_role_end_a_browsers_session_at_once() {
    let (_upstream, gateway) = app().await;
    let cookie = log_in(&gateway, "").await;
    get(&gateway, "/private", &cookie).await.expect(200);
    let done = gateway.command(&["user", "role", "ann@example.com", "guest"]);
    assert!(done.status.success(), "{done:?}");
    super::harness::within("the session ends", async {
        while get(&gateway, "/private", &cookie).await.status == 200 {}
    })
    .await;
}

#[tokio::test]
async fn an_upstream_cannot_set_a_cookie_of_the_gateways() {
    let upstream = Upstream::answering(|_| {
        http::Response::builder()
            .header(
                "set-cookie",
                "__Host-portcullis-session=evil; Path=/; Secure",
            )
            .header("set-cookie", "__host-Portcullis-other=evil; Path=/; Secure")
            .header("set-cookie", "theirs=1")
            .body(super::harness::body::empty())
            .unwrap()
    })
    .await;
    let gateway = Config::new().app(&upstream).start().await;
    let answer = gateway.https().get("/public/a").send().await.expect(200);
    let set: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
    assert_eq!(set, ["theirs=1"]);
}

#[tokio::test]
async fn routes_take_a_cookie_only_where_they_say_so() {
    let upstream = Upstream::echo().await;
    let config = config(&upstream)
        .route("/api/**", "upstream = \"app\"\ncredentials = [\"bearer\"]")
        .route(
            "/site/**",
            "upstream = \"app\"\ncredentials = [\"cookie\"]\nauthorization = \"forward\"",
        );
    let gateway = config.start().await;
    let ann = register(&gateway.https(), "ann@example.com").await;
    let cookie = log_in(&gateway, "").await;
    let token = text(&ann, "access_token");
    get(&gateway, "/api/a", &cookie).await.expect(401);
    get(&gateway, "/site/a", &cookie).await.expect(200);
    gateway
        .https()
        .get("/api/a")
        .bearer(token)
        .send()
        .await
        .expect(200);
    gateway
        .https()
        .get("/site/a")
        .bearer(token)
        .send()
        .await
        .expect(401);
    let both = gateway.https().get("/site/a").header("cookie", &cookie);
    both.bearer("unverified").send().await.expect(401);
    get(&gateway, "/site/a", &cookie).await.expect(200);
    assert_eq!(upstream.last().header("authorization"), None);
    let answer = get(&gateway, "/api/v1/auth/me", &cookie).await.expect(401);
    assert!(
        answer.json()["detail"].is_string(),
        "clients of that profile have no browser"
    );
}

#[tokio::test]
async fn a_backend_that_verifies_tokens_gets_a_minted_one_for_a_cookie() {
    let upstream = Upstream::echo().await;
    let rest = "upstream = \"app\"\nauthorization = \"mint\"\n\
        mint = { id = \"m\", algorithm = \"HS256\", secret = { file = \"jwt.secret\" } }";
    let gateway = config(&upstream).route("/minted/**", rest).start().await;
    register(&gateway.https(), "ann@example.com").await;
    let cookie = log_in(&gateway, "").await;
    get(&gateway, "/minted/a", &cookie).await.expect(200);
    let minted = upstream.last().header("authorization").unwrap();
    let claims = super::harness::tokens::read(minted.strip_prefix("Bearer ").unwrap());
    assert_eq!(claims["email"], "ann@example.com");
    assert_eq!(claims["roles"], json!(["member"]));
}
