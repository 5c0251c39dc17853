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

async fn registers(
    gateway: &Gateway,
    email: &str,
    invitation: Option<&str>,
) -> super::harness::Answer {
    let mut body = json!({ "email": email, "password": PASSWORD });
    if let Some(code) = invitation {
        body["invitation"] = json!(code);
    }
    let call = gateway.https().post("/auth/v1/register").json(body);
    call.send().await
}

fn invited(gateway: &Gateway, words: &[&str]) -> String {
    let all: Vec<&str> = ["invite", "create"].iter().chain(words).copied().collect();
    run(gateway, &all).trim().to_owned()
}

#[tokio::test]
async fn by_invitation_comes_who_has_a_code_and_as_often_as_it_says() {
    let upstream = Upstream::echo().await;
    let config = config(&upstream).toml("[accounts]\nregistration = \"invitation\"");
    let gateway = config.start().await;
    let code = invited(&gateway, &["--role", "editor"]);
    let unknown = format!("pci_{}", "0".repeat(32));
    for code in [
        None,
        Some(""),
        Some("x"),
        Some(&*unknown),
        Some(&code[..20]),
    ] {
        let refused = registers(&gateway, "ann@example.com", code).await;
        assert_eq!(
            refused.expect(403).json()["code"],
            "not_invited",
            "{code:?}"
        );
    }
    let ann = registers(&gateway, "ann@example.com", Some(&code)).await;
    assert_eq!(ann.expect(201).json()["user"]["roles"], json!(["editor"]));
    let again = registers(&gateway, "bob@example.com", Some(&code)).await;
    assert_eq!(again.expect(403).json()["code"], "not_invited");
    // Without a good code nobody learns whose names are taken.
    registers(&gateway, "ann@example.com", Some(&code))
        .await
        .expect(403);

    let twice = invited(&gateway, &["--uses", "2", "--expires", "1h"]);
    registers(&gateway, "ann@example.com", Some(&twice))
        .await
        .expect(409);
    let bob = registers(&gateway, "bob@example.com", Some(&twice))
        .await
        .expect(201);
    assert_eq!(bob.json()["user"]["roles"], json!(["member"]));
    let listed = run(&gateway, &["invite", "list"]);
    assert!(
        listed.contains("1/2") && !listed.contains("pci_"),
        "{listed}"
    );
    let id = listed.split('\t').next().unwrap().to_owned();
    run(&gateway, &["invite", "revoke", &id]);
    registers(&gateway, "cat@example.com", Some(&twice))
        .await
        .expect(403);
    assert!(!gateway.command(&["invite", "revoke", &id]).status.success());
    for words in [["--uses", "0"], ["--expires", "0s"], ["--role", "a,b"]] {
        let all: Vec<&str> = ["invite", "create"].into_iter().chain(words).collect();
        assert!(!gateway.command(&all).status.success(), "{words:?}");
    }
    assert!(!gateway.log().contains(&code[4..]), "a code is in the log");
}

#[tokio::test]
async fn of_many_with_one_code_one_comes_in() {
    let upstream = Upstream::echo().await;
    let config = config(&upstream).toml("[accounts]\nregistration = \"invitation\"");
    let gateway = config.start().await;
    let code = invited(&gateway, &[]);
    let mut all = tokio::task::JoinSet::new();
    for number in 0..12 {
        let (client, code) = (gateway.https(), code.clone());
        all.spawn(async move {
            let email = format!("a{number}@example.com");
            let body = json!({ "email": email, "password": PASSWORD, "invitation": code });
            client
                .post("/auth/v1/register")
                .json(body)
                .send()
                .await
                .status
        });
    }
    let statuses = all.join_all().await;
    let count = |status| statuses.iter().filter(|s| s.as_u16() == status).count();
    assert_eq!((count(201), count(403)), (1, 11), "{statuses:?}");
}

#[tokio::test]
async fn who_needs_approval_waits_and_looks_like_nobody_until_then() {
    let upstream = Upstream::echo().await;
    let config = config(&upstream).toml("[accounts]\nregistration = \"approval\"");
    let gateway = config.start().await;
    let client = gateway.https();
    let pending = registers(&gateway, "ann@example.com", None)
        .await
        .expect(202)
        .json();
    assert_eq!(pending["status"], "pending");
    assert!(pending.get("access_token").is_none() && pending.get("refresh_token").is_none());
    let tries = async |email: &str| {
        let body = json!({ "email": email, "password": PASSWORD });
        let answer = client.post("/auth/v1/login").json(body).send().await;
        let mut body = answer.expect(401).json();
        body["request_id"].take();
        body
    };
    assert_eq!(
        tries("ann@example.com").await,
        tries("nobody@example.com").await
    );
    registers(&gateway, "ann@example.com", None)
        .await
        .expect(409);
    let body = json!({ "email": "bob@example.com", "password": PASSWORD });
    let call = client.post("/api/v1/auth/register").json(body);
    assert!(call.send().await.expect(403).json()["detail"].is_string());

    let unlocked = gateway.command(&["user", "unlock", "ann@example.com"]);
    assert!(!unlocked.status.success(), "that is no approval");
    assert_eq!(
        tries("ann@example.com").await,
        tries("nobody@example.com").await
    );
    for stop in ["disable", "lock"] {
        run(&gateway, &["user", stop, "ann@example.com"]);
        let shown = run(&gateway, &["user", "unlock", "ann@example.com"]);
        assert!(shown.contains("pending"), "nor is it after {stop}: {shown}");
    }
    run(&gateway, &["user", "approve", "ann@example.com"]);
    run(&gateway, &["user", "disable", "ann@example.com"]);
    run(&gateway, &["user", "unlock", "ann@example.com"]);
    login(&client, "ann@example.com").await;
    assert!(
        !gateway
            .command(&["user", "approve", "ann@example.com"])
            .status
            .success()
    );
    let code = invited(&gateway, &[]);
    registers(&gateway, "cat@example.com", Some(&code))
        .await
        .expect(201);
}

#[tokio::test]
async fn where_registration_is_closed_no_invitation_opens_it() {
    let upstream = Upstream::echo().await;
    let config = config(&upstream).toml("[accounts]\nregistration = \"closed\"");
    let gateway = config.start().await;
    let code = invited(&gateway, &[]);
    let refused = registers(&gateway, "ann@example.com", Some(&code)).await;
    assert_eq!(refused.expect(403).json()["code"], "registration_closed");
}
