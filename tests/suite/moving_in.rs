//! Accounts that come from another backend: imported from a file, known by what they had there.

use std::process::Output;

use serde_json::{Value, json};

use super::accounts::{PASSWORD, register, text};
use super::harness::{Answer, Client, Config, Gateway, Upstream, tokens, within};

/// Hashes of the password below as other programs wrote them: the program, a tab, the hash.
const FOREIGN: &str = include_str!("../../src/accounts/hasher/foreign.txt");
const FOREIGN_PASSWORD: &str = "correct horse бат 7";
/// bcrypt of Python, with the least cost.
const BCRYPT: &str = "$2a$05$3E71T4YuVryHmlmbCV9K5uFKhMjTfYIxfni2dgpLeG8mwBJGseVrG";

/// A gateway with a socket for its operators.
async fn app() -> (Upstream, Gateway) {
    let upstream = Upstream::echo().await;
    let config = Config::new()
        .app(&upstream)
        .toml("[server]\nadmin_socket = \"admin.sock\"");
    let gateway = config.start().await;
    (upstream, gateway)
}

fn import(gateway: &Gateway, (name, content): (&str, &str), words: &[&str]) -> Output {
    std::fs::write(gateway.path(name), content).unwrap();
    let all = [&["user", "import", name], words].concat();
    gateway.command(&all)
}

#[track_caller]
fn said(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout);
    format!("{out}{}", String::from_utf8_lossy(&output.stderr))
}

#[track_caller]
fn report(output: &Output) -> Value {
    let answer: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(output)));
    answer["imported"].clone()
}

async fn try_login(client: &Client, email: &str, password: &str) -> Answer {
    let person = json!({ "email": email, "password": password });
    client.post("/auth/v1/login").json(person).send().await
}

async fn seen_as(gateway: &Gateway, upstream: &Upstream, token: &str) -> Option<String> {
    let call = gateway.https().get("/private").bearer(token);
    call.send().await.expect(200);
    upstream.last().header("x-user-id")
}

#[tokio::test]
async fn hashes_of_every_scheme_move_in_and_their_owners_log_in() {
    let (upstream, gateway) = app().await;
    let hashes: Vec<&str> = FOREIGN
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_once('\t').unwrap().1)
        .collect();
    assert_eq!(hashes.len(), 18);
    let lines: Vec<String> = hashes
        .iter()
        .enumerate()
        .map(|(n, hash)| {
            json!({ "id": n + 1, "email": format!("u{n}@example.com"), "password_hash": hash })
        })
        .map(|account| account.to_string())
        .collect();
    let output = import(&gateway, ("users.jsonl", &lines.join("\n")), &["--json"]);
    assert_eq!(report(&output)["added"], 18, "{}", said(&output));
    for (n, hash) in hashes.iter().enumerate() {
        let email = format!("u{n}@example.com");
        let wrong = try_login(&gateway.https(), &email, PASSWORD).await;
        assert_eq!(wrong.status, 401, "{hash}");
        // The second time the password is hashed as ours are.
        for _ in 0..2 {
            let right = try_login(&gateway.https(), &email, FOREIGN_PASSWORD).await;
            assert_eq!(right.status, 200, "{hash}");
            let token = right.json()["access_token"].as_str().unwrap().to_owned();
            let id = seen_as(&gateway, &upstream, &token).await;
            assert_eq!(id, Some((n + 1).to_string()), "{hash}");
        }
    }
}

#[tokio::test]
async fn what_an_account_had_it_keeps() {
    let (_upstream, gateway) = app().await;
    let csv = format!(
        "id,email,email_verified,username,name,password_hash,roles,status,created_at,\
         attributes.team\n\
         7c9e6679-7425-40de-944b-e07fc1f90ae7,Ann@Example.com,t,ann,\"Lee, Ann\",{BCRYPT},\
         \"admin,member\",active,2019-05-03 10:00:00+00,blue\n\
         42,bob@example.com,f,,,,,disabled,,\n"
    );
    let output = import(&gateway, ("users.csv", &csv), &[]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("added 2, already there 0, refused 0"));
    assert!(said(&output).contains("password $2b$05: 1\npassword none: 1"));
    let show = |user: &str| -> Value {
        let output = gateway.command(&["user", "show", user, "--json"]);
        let answer: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
        answer["user"].clone()
    };
    let ann = show("ann");
    assert_eq!(ann["id"], "7c9e6679-7425-40de-944b-e07fc1f90ae7");
    assert_eq!(ann["email"], "Ann@example.com");
    assert_eq!(ann["email_verified"], true);
    assert_eq!(ann["name"], "Lee, Ann");
    assert_eq!(ann["roles"], json!(["admin", "member"]));
    assert_eq!(ann["attributes"], json!({ "team": "blue" }));
    assert_eq!(ann["created_at"], "2019-05-03T10:00:00.000000Z");
    let bob = show("42");
    assert_eq!(
        (&bob["status"], &bob["name"]),
        (&json!("disabled"), &json!("bob"))
    );
    assert_eq!(
        (&bob["roles"], &bob["email_verified"]),
        (&json!([]), &json!(false))
    );
    // Django's and nobody's password are alike: none.
    let refused = try_login(&gateway.https(), "bob@example.com", "").await;
    assert!(refused.status.is_client_error());
}

#[tokio::test]
async fn broken_lines_are_told_by_number_and_the_good_ones_are_kept() {
    let (_upstream, gateway) = app().await;
    register(&gateway.https(), "taken@example.com").await;
    let lines = [
        format!(r#"{{"email":"ann@example.com","password_hash":"{BCRYPT}"}}"#),
        String::from(r#"{"email":"#),
        String::from(r#"{"email":"not-an-address"}"#),
        String::from(
            r#"{"email":"dear@example.com","password_hash":"$2b$31$3E71T4YuVryHmlmbCV9K5uFKhMjTfYIxfni2dgpLeG8mwBJGseVrG"}"#,
        ),
        String::from(r#"{"email":"plain@example.com","password_hash":"hunter2"}"#),
        String::from(r#"{"email":"ANN@example.com"}"#),
        String::from(r#"{"email":"dave@example.com","username":"other@example.com"}"#),
        String::from(r#"{"id":"9","email":"taken@example.com"}"#),
        String::from(r#"{"email":"bob@example.com"}"#),
    ];
    let output = import(&gateway, ("users.jsonl", &lines.join("\n")), &[]);
    let all = said(&output);
    assert_eq!(output.status.code(), Some(1), "{all}");
    for line in [
        "line 2: not JSON",
        "line 3: email: An email address must have an @-sign.",
        "line 4: password_hash: a hash that costs too much to check: $2b$31",
        "line 5: password_hash: not a hash",
        "line 6: its id, address or username stands in line 1 too",
        "line 7: a username that looks like an address must be the account's own",
        "line 8: the e-mail address or the username belongs to another account",
        "added 2, already there 0, refused 7",
        "error: 7 lines were refused",
    ] {
        assert!(all.contains(line), "{line}\n---\n{all}");
    }
    assert!(!all.contains("hunter2"), "{all}");
    let right = try_login(&gateway.https(), "ann@example.com", FOREIGN_PASSWORD).await;
    right.expect(200);
    let list = gateway.command(&["user", "list"]);
    assert!(said(&list).contains("bob@example.com"));
    for absent in ["dear@", "plain@", "dave@"] {
        assert!(!said(&list).contains(absent), "{absent}");
    }
}

#[tokio::test]
async fn an_import_is_rehearsed_and_run_again_without_harm() {
    let (_upstream, gateway) = app().await;
    let csv = format!(
        "email,password_hash\nann@example.com,{BCRYPT}\nbob@example.com,{BCRYPT}\nbroken,x\n"
    );
    let dry = import(&gateway, ("users.csv", &csv), &["--dry-run"]);
    let all = said(&dry);
    assert!(all.contains("dry run: nothing is changed"), "{all}");
    assert!(all.contains("line 4: email:"), "{all}");
    assert!(all.contains("added 2, already there 0, refused 1"), "{all}");
    let list = gateway.command(&["user", "list"]);
    assert_eq!(said(&list), "", "nothing is there");

    let mended = csv.replace("broken,x", "cat@example.com,");
    let first = report(&import(&gateway, ("users.csv", &csv), &["--json"]));
    assert_eq!((&first["added"], &first["present"]), (&json!(2), &json!(0)));
    // What has changed here since is not undone.
    gateway.command(&["user", "role", "ann@example.com", "admin"]);
    let again = report(&import(&gateway, ("users.csv", &mended), &["--json"]));
    assert_eq!((&again["added"], &again["present"]), (&json!(1), &json!(2)));
    let list = said(&gateway.command(&["user", "list"]));
    assert_eq!(list.lines().count(), 3, "{list}");
    let ann = list.lines().find(|line| line.contains("ann@")).unwrap();
    assert!(ann.ends_with("admin"), "{ann}");
}

#[tokio::test]
async fn an_import_without_a_socket_goes_into_the_database() {
    let (_upstream, gateway) = super::accounts::app().await;
    let line = json!({ "id": "x1", "email": "ann@example.com", "password_hash": BCRYPT });
    let output = import(&gateway, ("users.ndjson", &line.to_string()), &[]);
    assert!(output.status.success(), "{}", said(&output));
    let right = try_login(&gateway.https(), "ann@example.com", FOREIGN_PASSWORD).await;
    assert_eq!(right.expect(200).json()["user"]["id"], "x1");
}

#[tokio::test]
async fn a_file_that_cannot_be_read_at_all_is_said_at_once() {
    let (_upstream, gateway) = app().await;
    for (file, said_so) in [
        (("users.csv", "email,password\n"), "`password` is none of"),
        (("users.txt", ""), "--format"),
    ] {
        let output = import(&gateway, file, &[]);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(said_so), "{}", said(&output));
    }
    let missing = gateway.command(&["user", "import", "missing.csv"]);
    assert!(said(&missing).contains("missing.csv"), "{}", said(&missing));
}

/// The body, but for the request's own id.
fn without_id(answer: &Answer) -> Value {
    let mut body = answer.json();
    body["request_id"].take();
    body
}

#[tokio::test]
async fn a_failed_login_does_not_tell_who_was_imported() {
    let upstream = Upstream::echo().await;
    let config = Config::new().app(&upstream).toml(
        "[server]\nadmin_socket = \"admin.sock\"\n\
         [lockout]\nnetwork = \"1000/s\"\naccount = \"1000/s\"\npair = \"1000/s\"",
    );
    let gateway = config.start().await;
    register(&gateway.https(), "own@example.com").await;
    let dear = BCRYPT.replace("$05$", "$11$");
    let lines = [
        json!({ "email": "dear@example.com", "password_hash": dear }),
        json!({ "email": "cheap@example.com", "password_hash": BCRYPT }),
        json!({ "email": "off@example.com", "password_hash": BCRYPT, "status": "disabled" }),
        json!({ "email": "none@example.com" }),
    ];
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    let output = import(&gateway, ("users.jsonl", &lines.join("\n")), &[]);
    assert!(output.status.success(), "{}", said(&output));
    // That the time is the same too is counted and timed by a clock that the unit tests turn.
    let fail = async |name: &str| {
        let email = format!("{name}@example.com");
        try_login(&gateway.https(), &email, "not the password").await
    };
    let expected = fail("nobody").await;
    for name in ["own", "dear", "cheap", "off", "none"] {
        let answer = fail(name).await;
        assert_eq!(answer.status, expected.status, "{name}");
        assert_eq!(without_id(&answer), without_id(&expected), "{name}");
        let names = |answer: &Answer| {
            let mut names: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
            names.sort();
            names
        };
        assert_eq!(names(&answer), names(&expected), "{name}");
    }
}

#[tokio::test]
async fn an_old_token_and_a_new_login_name_the_same_subject() {
    let upstream = Upstream::echo().await;
    let old = "old-backend-secret-9sK2mVx7Qe4Lr8Tz1Wn5";
    let config = Config::new()
        .app(&upstream)
        .toml("[server]\nadmin_socket = \"admin.sock\"")
        .without("tokens.key")
        .toml(
            "[[tokens.key]]\nid = \"suite\"\nalgorithm = \"HS256\"\nuse = \"sign\"\n\
             secret = { file = \"jwt.secret\" }\n\
             [[tokens.key]]\nid = \"old\"\nalgorithm = \"HS256\"\nuse = \"verify\"\n\
             not_after = 2099-01-01\nsecret = { file = \"old.secret\" }",
        );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("old.secret"), old).unwrap();
    let gateway = config.start_in(folder).await;

    for (id, email) in [
        (
            json!("7c9e6679-7425-40de-944b-e07fc1f90ae7"),
            "ann@example.com",
        ),
        (json!(42), "bob@example.com"),
    ] {
        let line = json!({ "id": id, "email": email, "password_hash": BCRYPT });
        let output = import(&gateway, ("users.jsonl", &line.to_string()), &[]);
        assert!(output.status.success(), "{}", said(&output));
        // As the old backend made them: no session, no `jti`, perhaps no `sub`.
        let claims = json!({ "user_id": id, "iat": tokens::now(), "exp": tokens::now() + 3600 });
        let header = json!({ "alg": "HS256", "typ": "JWT" });
        let before = tokens::hs256(&header, &claims.to_string(), old.as_bytes());
        let after = try_login(&gateway.https(), email, FOREIGN_PASSWORD).await;
        let after = after.expect(200).json();
        let new = text(&after, "access_token");
        let seen = seen_as(&gateway, &upstream, &before).await;
        assert!(seen.is_some());
        assert_eq!(seen, seen_as(&gateway, &upstream, new).await);
        for token in [&before, new] {
            let me = gateway
                .https()
                .get("/auth/v1/me")
                .bearer(token)
                .send()
                .await;
            assert_eq!(me.expect(200).json()["email"], email);
        }
    }
}

#[tokio::test]
async fn a_foreign_issuers_number_is_not_an_account_of_ours() {
    let upstream = Upstream::echo().await;
    let config = Config::new()
        .app(&upstream)
        .toml("[server]\nadmin_socket = \"admin.sock\"")
        .without("tokens.key")
        .toml(
            "[[tokens.key]]\nid = \"suite\"\nalgorithm = \"HS256\"\nuse = \"sign\"\n\
             secret = { file = \"jwt.secret\" }\n\
             [[tokens.key]]\nid = \"other\"\nalgorithm = \"HS256\"\norigin = \"foreign\"\n\
             secret = { file = \"other.secret\" }",
        );
    let other = "other-issuer-secret-4hB8nZq2Ty6Fw9Xc3Md7";
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("other.secret"), other).unwrap();
    let gateway = config.start_in(folder).await;
    let line = json!({ "id": 42, "email": "bob@example.com", "password_hash": BCRYPT });
    let output = import(&gateway, ("users.jsonl", &line.to_string()), &[]);
    assert!(output.status.success(), "{}", said(&output));
    let claims = json!({ "sub": "42", "iat": tokens::now(), "exp": tokens::now() + 3600 });
    let header = json!({ "alg": "HS256", "typ": "JWT" });
    let token = tokens::hs256(&header, &claims.to_string(), other.as_bytes());
    gateway
        .https()
        .get("/private")
        .bearer(&token)
        .send()
        .await
        .expect(200);
    gateway
        .https()
        .get("/auth/v1/me")
        .bearer(&token)
        .send()
        .await
        .expect(401);
}

#[tokio::test]
async fn attributes_reach_tokens_and_headers_where_that_is_configured() {
    let upstream = Upstream::echo().await;
    let keys = "upstream = \"app\"\ncredentials = [\"api-key\"]";
    let config = Config::new().app(&upstream).route("/keys/**", keys).toml(
        "[server]\nadmin_socket = \"admin.sock\"\n[tokens]\nattributes = [\"team\", \"seats\"]\n\
         [headers.identity]\nX-User-Id = \"sub\"\nX-Team = \"attributes.team\"\n\
         X-Seats = \"attributes.seats\"",
    );
    let gateway = config.start().await;
    register(&gateway.https(), "ann@example.com").await;
    let set = |name: &str, value: &[&str]| {
        let words = [&["user", "set-attribute", "ann@example.com", name], value].concat();
        let output = gateway.command(&words);
        assert!(output.status.success(), "{}", said(&output));
    };
    set("team", &["blue"]);
    set("seats", &["[3,4]"]);
    set("hidden", &["true"]);
    let ann = super::accounts::login(&gateway.https(), "ann@example.com").await;
    let token = text(&ann, "access_token");
    let claims = tokens::read(token);
    assert_eq!(
        claims["attributes"],
        json!({ "team": "blue", "seats": [3, 4] })
    );
    let call = gateway.https().get("/private").bearer(token);
    call.header("X-Team", "red").send().await.expect(200);
    let last = upstream.last();
    assert_eq!(last.values("x-team"), ["blue"]);
    assert_eq!(last.values("x-seats"), ["3,4"]);

    // A key of hers says the same.
    let (key, _) = super::machines::create(&gateway, "--user ann@example.com");
    let call = gateway.https().get("/keys/x").header("x-api-key", &key);
    call.send().await.expect(200);
    assert_eq!(upstream.last().values("x-team"), ["blue"]);

    // What a token says and is no longer so ends it; what is added does not.
    set("more", &["1"]);
    assert!(super::accounts::is_believed(&gateway, token).await);
    set("team", &["green"]);
    within("the old token ends", async {
        while super::accounts::is_believed(&gateway, token).await {}
    })
    .await;
    set("team", &[]);
    let again = super::accounts::login(&gateway.https(), "ann@example.com").await;
    let call = gateway
        .https()
        .get("/private")
        .bearer(text(&again, "access_token"));
    call.header("X-Team", "red").send().await.expect(200);
    assert!(upstream.last().values("x-team").is_empty());
    let wrong = gateway.command(&["user", "set-attribute", "ann@example.com", "a b", "1"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(said(&wrong).contains("the name of an attribute"));
}

#[tokio::test]
async fn a_header_of_an_attribute_that_tokens_lack_is_refused_by_the_check() {
    let config = Config::new().toml("[headers.identity]\nX-Team = \"attributes.team\"");
    let output = config.check();
    assert_eq!(output.status.code(), Some(78));
    assert!(
        said(&output).contains("[tokens] attributes"),
        "{}",
        said(&output)
    );
}
