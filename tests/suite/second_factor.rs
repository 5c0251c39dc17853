//! Second factors: set up, asked for at every way in, lost, removed.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use totp_rs::Totp;

use super::accounts::{PASSWORD, is_believed, refresh, register, text};
use super::harness::{Answer, Client, Config, Gateway, Upstream, tokens};
use super::operators::{becomes, user};

/// An authenticator app. It shows each code once, like somebody who waits for the next one: the first
/// is of this half minute, the second of the one after it, which is admitted already.
pub struct App {
    totp: Totp,
    /// In seconds: of the half minute whose code is shown next.
    pub next: u64,
}

impl App {
    pub fn scan(uri: &str) -> Self {
        let totp = Totp::from_url(uri).expect("a URI that apps read");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Self {
            totp,
            next: now.as_secs(),
        }
    }

    pub fn code(&mut self) -> String {
        let code = self.totp.generate(self.next).to_string();
        self.next += 30;
        code
    }
}

fn config(upstream: &Upstream) -> Config {
    Config::new()
        .toml("[accounts]\nprofiles = [\"native\", \"browser\", \"praisonai\", \"rag-modulo\"]")
        .toml("[second_factor]\nmaster = [{ file = \"master\" }]\nissuer = \"Example\"")
        .file("master", &"m".repeat(32))
        .route("/vault/**", "upstream = \"app\"\nsecond_factor = true")
        .app(upstream)
}

pub async fn app() -> (Upstream, Gateway) {
    let upstream = Upstream::echo().await;
    let gateway = config(&upstream).start().await;
    (upstream, gateway)
}

pub async fn post(client: &Client, path: &str, token: &str, body: Value) -> Answer {
    client.post(path).bearer(token).json(body).send().await
}

/// What a login with the right password answers.
pub async fn password(client: &Client) -> Answer {
    let body = json!({ "email": "ann@example.com", "password": PASSWORD });
    client.post("/auth/v1/login").json(body).send().await
}

pub async fn second(client: &Client, challenge: &str, code: &str) -> Answer {
    let body = json!({ "challenge": challenge, "code": code });
    let call = client.post("/auth/v1/login/second-factor").json(body);
    call.send().await
}

pub async fn challenge(client: &Client) -> String {
    let asked = password(client).await.expect(202).json();
    assert_eq!(asked["status"], "second_factor_required");
    assert_eq!(asked["expires_in"], 300);
    assert_eq!(asked["access_token"], Value::Null);
    text(&asked, "challenge").to_owned()
}

/// Sets Ann's second factor up; gives her tokens and recovery codes with the app.
pub async fn enrol(client: &Client, token: &str) -> (Value, App) {
    let body = json!({ "password": PASSWORD });
    let offered = post(client, "/auth/v1/second-factor", token, body).await;
    let mut app = App::scan(text(&offered.expect(200).json(), "uri"));
    let body = json!({ "code": app.code() });
    let confirmed = post(client, "/auth/v1/second-factor/confirm", token, body).await;
    (confirmed.expect(200).json(), app)
}

pub fn codes(answer: &Value) -> Vec<String> {
    let codes = answer["recovery_codes"].as_array().unwrap();
    codes
        .iter()
        .map(|c| c.as_str().unwrap().to_owned())
        .collect()
}

pub fn word(answer: &Answer) -> String {
    text(&answer.json(), "code").to_owned()
}

#[tokio::test]
pub async fn a_second_factor_is_asked_for_from_when_it_was_confirmed() {
    let (_upstream, gateway) = app().await;
    let client = gateway.https();
    let ann = register(&client, "ann@example.com").await;
    let before = text(&ann, "access_token");

    let offer = |password: &str| {
        let body = json!({ "password": password });
        let client = gateway.https();
        async move { post(&client, "/auth/v1/second-factor", before, body).await }
    };
    offer("wrong").await.expect(403);
    let offered = offer(PASSWORD).await.expect(200).json();
    let uri = text(&offered, "uri");
    assert!(
        uri.starts_with("otpauth://totp/Example:ann%40example.com?secret="),
        "{uri}"
    );
    assert!(uri.contains(text(&offered, "secret")));
    // Offered is not confirmed: the password is enough still.
    password(&client).await.expect(200);

    let (confirmed, mut phone) = enrol(&client, before).await;
    assert_eq!(codes(&confirmed).len(), 10);
    let after = text(&confirmed, "access_token");
    assert_eq!(tokens::read(after)["amr"], json!(["pwd", "otp", "mfa"]));
    assert!(is_believed(&gateway, after).await);
    assert!(
        !is_believed(&gateway, before).await,
        "sessions of before end"
    );
    refresh(&gateway, text(&ann, "refresh_token"))
        .await
        .expect(401);
    assert_eq!(offer(PASSWORD).await.status, 401);
    let again = post(
        &client,
        "/auth/v1/second-factor",
        after,
        json!({ "password": PASSWORD }),
    );
    assert_eq!(word(&again.await.expect(409)), "second_factor_exists");

    let challenge = challenge(&client).await;
    let wrong = second(&client, &challenge, "000000").await;
    assert_eq!(word(&wrong.expect(403)), "code_wrong");
    let granted = second(&client, &challenge, &phone.code())
        .await
        .expect(200)
        .json();
    let token = text(&granted, "access_token");
    assert!(is_believed(&gateway, token).await);
    let state = client
        .get("/auth/v1/second-factor")
        .bearer(token)
        .send()
        .await;
    let state = state.expect(200).json();
    assert_eq!(
        (&state["enabled"], &state["recovery_codes"]),
        (&json!(true), &json!(10))
    );

    // A session that is refreshed stays what it was.
    let renewed = refresh(&gateway, text(&granted, "refresh_token"))
        .await
        .expect(200)
        .json();
    let claims = tokens::read(text(&renewed, "access_token"));
    assert_eq!(claims["amr"], json!(["pwd", "otp", "mfa"]));
}

#[tokio::test]
async fn a_route_that_wants_two_factors_takes_no_less() {
    let (upstream, gateway) = app().await;
    let client = gateway.https();
    let ann = register(&client, "ann@example.com").await;
    let get = |token: String| {
        let call = gateway.https().get("/vault/x").bearer(&token);
        async move { call.send().await }
    };
    let refused = get(text(&ann, "access_token").to_owned()).await.expect(403);
    assert_eq!(word(&refused), "second_factor_required");
    client.get("/vault/x").send().await.expect(401);

    let (confirmed, _) = enrol(&client, text(&ann, "access_token")).await;
    get(text(&confirmed, "access_token").to_owned())
        .await
        .expect(200);
    let seen = upstream.last().header("x-user-email");
    assert_eq!(seen.as_deref(), Some("ann@example.com"));
}

#[tokio::test]
async fn a_token_that_knows_nothing_of_it_changes_no_password() {
    let (_upstream, gateway) = app().await;
    let client = gateway.https();
    let ann = register(&client, "ann@example.com").await;
    enrol(&client, text(&ann, "access_token")).await;
    // As another server with the same secret signs them: later than what the set-up revoked.
    let claims = tokens::claims(text(&ann["user"], "id"));
    let later = tokens::with(claims, json!({ "iat": tokens::now() + 5 }));
    let foreign = tokens::signed(&later);
    client
        .get("/private")
        .bearer(&foreign)
        .send()
        .await
        .expect(200);
    client
        .get("/vault/x")
        .bearer(&foreign)
        .send()
        .await
        .expect(403);
    let body = json!({ "current_password": PASSWORD, "new_password": "another battery staple" });
    let refused = post(&client, "/auth/v1/password", &foreign, body).await;
    assert_eq!(word(&refused.expect(403)), "second_factor_required");
    password(&client).await.expect(202);
}

#[tokio::test]
async fn clients_that_cannot_show_a_code_are_told_so_and_get_no_token() {
    let (_upstream, gateway) = app().await;
    let client = gateway.https();
    let ann = register(&client, "ann@example.com").await;
    enrol(&client, text(&ann, "access_token")).await;
    for (path, name) in [
        ("/api/v1/auth/login", "email"),
        ("/api/auth/login", "username"),
    ] {
        let right = json!({ name: "ann@example.com", "password": PASSWORD });
        let answer = client.post(path).json(right).send().await.expect(403);
        assert!(answer.text().contains("second factor"), "{}", answer.text());
        assert!(!answer.text().contains("token"), "{}", answer.text());
        let wrong = json!({ name: "ann@example.com", "password": "wrong" });
        client.post(path).json(wrong).send().await.expect(401);
    }
}

#[tokio::test]
pub async fn whoever_shows_it_removes_it_and_other_sessions_end() {
    let (_upstream, gateway) = app().await;
    let client = gateway.https();
    let ann = register(&client, "ann@example.com").await;
    let (confirmed, mut phone) = enrol(&client, text(&ann, "access_token")).await;
    let token = text(&confirmed, "access_token");
    let path = "/auth/v1/second-factor/remove";
    let wrong = post(&client, path, token, json!({ "code": "000000" })).await;
    assert_eq!(word(&wrong.expect(403)), "code_wrong");
    let body = json!({ "code": phone.code() });
    let removed = post(&client, path, token, body).await.expect(200).json();
    assert!(!is_believed(&gateway, token).await);
    let after = text(&removed, "access_token");
    assert!(is_believed(&gateway, after).await);
    assert_eq!(tokens::read(after)["amr"], Value::Null);
    password(&client).await.expect(200);
    let log = gateway.log();
    for event in ["second_factor_added", "second_factor_removed"] {
        assert!(log.contains(event), "{event}");
    }
}

#[tokio::test]
pub async fn an_operator_removes_what_was_lost() {
    let (_upstream, gateway) = app().await;
    let client = gateway.https();
    let ann = register(&client, "ann@example.com").await;
    let (confirmed, _) = enrol(&client, text(&ann, "access_token")).await;
    let token = text(&confirmed, "access_token");
    let shown = user(&gateway, &["show", "ann@example.com"]);
    assert!(shown.contains("second factor since 20"), "{shown}");
    user(&gateway, &["remove-second-factor", "ann@example.com"]);
    becomes(&gateway, token, 401).await;
    password(&client).await.expect(200);
    let again = gateway.command(&["user", "remove-second-factor", "ann@example.com"]);
    assert!(!again.status.success());
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(said.contains("no second factor"), "{said}");
}

#[tokio::test]
async fn without_its_section_nobody_sets_one_up_and_nobody_is_let_in_without_theirs() {
    let (upstream, mut gateway) = app().await;
    let client = gateway.https();
    let ann = register(&client, "ann@example.com").await;
    let (confirmed, mut phone) = enrol(&client, text(&ann, "access_token")).await;
    let without = Config::new().app(&upstream).sharing(&gateway);
    gateway.reload(without).await;
    let bob = register(&client, "bob@example.com").await;
    let body = json!({ "password": PASSWORD });
    let token = text(&bob, "access_token");
    post(&client, "/auth/v1/second-factor", token, body)
        .await
        .expect(404);

    let asked = challenge(&client).await;
    second(&client, &asked, &phone.code()).await.expect(500);
    let said = "the secret of the second factor cannot be opened";
    gateway.process().output().line(said).await;
    // What needs no secret goes on.
    second(&client, &asked, &codes(&confirmed)[0])
        .await
        .expect(200);
}

#[tokio::test]
async fn a_new_master_key_seals_anew_what_the_old_one_opens() {
    let (upstream, mut gateway) = app().await;
    let client = gateway.https();
    let ann = register(&client, "ann@example.com").await;
    let (_, mut phone) = enrol(&client, text(&ann, "access_token")).await;
    let with = |masters: &str| {
        Config::new()
            .toml(&format!("[second_factor]\nmaster = [{masters}]"))
            .file("master", &"m".repeat(32))
            .file("new", &"n".repeat(32))
            .app(&upstream)
            .sharing(&gateway)
    };
    let both = with("{ file = \"new\" }, { file = \"master\" }");
    let new = with("{ file = \"new\" }");
    gateway.reload(both).await;
    let asked = challenge(&client).await;
    second(&client, &asked, &phone.code()).await.expect(200);
    gateway.reload(new).await;
    // The code is of a step that was taken: it is wrong, but it was looked at.
    phone.next -= 30;
    second(&client, &asked, &phone.code()).await.expect(403);
}

#[tokio::test]
async fn a_key_shows_no_second_factor_whoever_made_it() {
    let upstream = Upstream::echo().await;
    let takes_keys = "upstream = \"app\"\ncredentials = [\"api-key\"]";
    let gateway = config(&upstream)
        .route("/keys/open", takes_keys)
        .route(
            "/keys/vault",
            &format!("{takes_keys}\nsecond_factor = true"),
        )
        .start()
        .await;
    let client = gateway.https();
    let ann = register(&client, "ann@example.com").await;
    let (confirmed, _) = enrol(&client, text(&ann, "access_token")).await;
    let token = text(&confirmed, "access_token");
    let made = post(&client, "/auth/v1/api-keys", token, json!({ "name": "k" })).await;
    let made = made.expect(201).json();
    let key = text(&made, "secret");
    for (path, status) in [("/keys/open", 200), ("/keys/vault", 403)] {
        let call = client.get(path).header("x-api-key", key);
        call.send().await.expect(status);
    }
}
