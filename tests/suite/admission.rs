//! Who may come: lists of networks and addresses on routes, and who may register.

use serde_json::{Value, json};

use super::accounts::{PASSWORD, login, register, text};
use super::harness::{Config, Gateway, Upstream, tokens};

const ROUTES: [(&str, &str); 5] = [
    ("/verified/**", "verified = true"),
    (
        "/corp/**",
        "allow = { domains = [\"corp.example\"], emails = [\"guest@other.example\"] }",
    ),
    (
        "/near/**",
        "auth = \"none\"\nallow = { networks = [\"127.0.0.2\", \"10.0.0.0/8\"] }",
    ),
    (
        "/near-agents/**",
        "errors = \"agentflow\"\nallow = { networks = [\"10.0.0.0/8\"] }",
    ),
    ("/maybe/**", "auth = \"optional\"\nverified = true"),
];

fn config(upstream: &Upstream) -> Config {
    let config = Config::new()
        .app(upstream)
        .toml("[server]\nadmin_socket = \"admin.sock\"");
    ROUTES.iter().fold(config, |config, (path, rest)| {
        config.route(path, &format!("upstream = \"app\"\n{rest}"))
    })
}

#[track_caller]
pub(super) fn run(gateway: &Gateway, words: &[&str]) -> String {
    let output = gateway.command(words);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {said} {complaint}");
    said
}

fn signed(email: &str, verified: Value) -> String {
    let more = json!({ "email": email, "email_verified": verified });
    tokens::signed(&tokens::with(tokens::claims("ann"), more))
}

#[tokio::test]
async fn a_route_for_verified_addresses_says_what_is_missing() {
    let upstream = Upstream::echo().await;
    let gateway = config(&upstream).start().await;
    let client = gateway.https();
    let ann = register(&client, "ann@corp.example").await;
    for path in ["/verified/a", "/corp/a", "/maybe/a"] {
        let call = client.get(path).bearer(text(&ann, "access_token"));
        let refused = call.send().await.expect(403).json();
        assert_eq!(refused["code"], "email_unverified", "{path} {refused}");
    }
    client.get("/maybe/a").send().await.expect(401);
    assert!(upstream.received().is_empty());
    run(&gateway, &["user", "verify", "ANN@corp.example"]);
    assert!(run(&gateway, &["user", "show", "ann@corp.example"]).contains("(verified)"));
    let body = json!({ "refresh_token": text(&ann, "refresh_token") });
    let again = client.post("/auth/v1/refresh").json(body).send().await;
    let again = again.expect(200).json();
    assert_eq!(again["user"]["email_verified"], true);
    for path in ["/verified/a", "/corp/a", "/maybe/a"] {
        let call = client.get(path).bearer(text(&again, "access_token"));
        call.send().await.expect(200);
    }
}

#[tokio::test]
async fn only_listed_addresses_pass() {
    let upstream = Upstream::echo().await;
    let gateway = config(&upstream).start().await;
    for (email, status) in [
        ("ann@corp.example", 200),
        ("Guest@Other.example", 200),
        ("ann@other.example", 403),
        ("ann@sub.corp.example", 403),
        ("a@evil.com@corp.example", 403),
        ("a@corp.example@evil.com", 403),
        ("guest+1@other.example", 403),
    ] {
        let call = gateway
            .https()
            .get("/corp/a")
            .bearer(&signed(email, json!(true)));
        call.send().await.expect(status);
    }
    for verified in [json!(false), json!("true"), Value::Null] {
        let token = signed("ann@corp.example", verified);
        let call = gateway.https().get("/corp/a").bearer(&token);
        call.send().await.expect(403);
    }
}

#[tokio::test]
async fn only_listed_networks_pass_whoever_calls() {
    let upstream = Upstream::echo().await;
    let gateway = config(&upstream).start().await;
    let ann = tokens::token("ann");
    let client = gateway.https();
    let near = client.clone().from("127.0.0.2");
    near.get("/near/a").send().await.expect(200);
    client.get("/near/a").send().await.expect(403);
    let forged = client.get("/near/a").header("x-forwarded-for", "10.0.0.1");
    forged.send().await.expect(403);
    let refused = near.get("/near-agents/a").bearer(&ann).send().await;
    assert_eq!(refused.expect(403).json()["error"]["code"], "FORBIDDEN");
}

#[tokio::test]
async fn a_list_that_lets_everybody_in_by_mistake_is_refused() {
    let upstream = Upstream::echo().await;
    for (rest, said) in [
        ("allow = { networks = [] }", "nobody is on this list"),
        ("allow = { emails = [] }", "nobody is on this list"),
        (
            "allow = { domains = [\"a@b.example\"] }",
            "a domain such as",
        ),
        (
            "allow = { emails = [\"b.example\"] }",
            "an e-mail address such as",
        ),
        (
            "allow = { network = [\"10.0.0.0/8\"] }",
            "did you mean `networks`?",
        ),
        ("auth = \"none\"\nverified = true", "looks at nobody"),
        (
            "auth = \"none\"\nallow = { domains = [\"b.example\"] }",
            "looks at nobody",
        ),
    ] {
        let config = Config::new().app(&upstream);
        let config = config.route("/x/**", &format!("upstream = \"app\"\n{rest}"));
        let (_, shown) = config.refused().await;
        assert!(shown.contains(said), "{rest}: {shown}");
    }
}

/// C46
#[tokio::test]
async fn a_domain_rule_admits_that_domain_and_no_other_spelling() {
    let upstream = Upstream::echo().await;
    let config =
        config(&upstream).toml("[accounts]\nregistration = { domains = [\"corp.example\"] }");
    let gateway = config.start().await;
    let client = gateway.https();
    let attempt = async |email: &str| {
        let body = json!({ "email": email, "password": PASSWORD });
        client.post("/auth/v1/register").json(body).send().await
    };
    for email in [
        "ann@corp.example",
        "bob@CORP.Example",
        "cat+tag@corp.example",
    ] {
        attempt(email).await.expect(201);
    }
    for email in [
        "a@evil.com@corp.example",
        "\"a@evil.com\"@corp.example",
        "a@corp.example@evil.com",
        "a@evil.com,b@corp.example",
        "a@evil.com b@corp.example",
        "a@evil.com\n@corp.example",
        "a@evil.com%40corp.example",
        "a@evil.com\u{0}@corp.example",
        "a@c\u{43e}rp.example",
        "a@corp\u{ff0e}example",
        "a@corp.example.",
        "<a@evil.com>a@corp.example",
    ] {
        attempt(email).await.expect(422);
    }
    for email in [
        "a@evil.com",
        "a@sub.corp.example",
        "a@evilcorp.example",
        "a@corp.example.evil.com",
        "corp.example@evil.com",
    ] {
        let refused = attempt(email).await.expect(403).json();
        assert_eq!(refused["code"], "registration_closed", "{email}");
    }
    // One person has one account, however the address is spelt.
    attempt("ANN@corp.example").await.expect(409);
    login(&client, "ann@corp.example").await;
}
