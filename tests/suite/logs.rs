//! What the gateway writes: one line a request, the events of accounts, and never a secret.

use serde_json::{Value, json};

use super::accounts::{PASSWORD, login, register, text};
use super::harness::websocket::CLOSE;
use super::harness::{Client, Config, Upstream, tokens};
use super::second_factor::{challenge, codes, enrol, post, second};
use super::websockets::{ask, ask_h2};

/// The lines of the log that are access entries.
fn entries(log: &str) -> Vec<Value> {
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter(|line| line.get("status").is_some() && line.get("method").is_some())
        .collect()
}

#[tokio::test]
async fn every_request_leaves_one_line_in_the_access_log() {
    let upstream = Upstream::echo().await;
    let gateway = Config::new().app(&upstream).start().await;
    let client: Client = gateway.https();
    client.get("/public/a?secret=1").send().await.expect(200);
    client.get("/private").send().await.expect(401);
    client
        .post("/nowhere")
        .bearer(&tokens::token("u-1"))
        .send()
        .await
        .expect(200);
    let stopped = gateway.stop().await;
    let mut entries = entries(&stopped.log);
    // Each worker hands on its lines when it likes, and two may be of the same millisecond.
    entries.sort_by_key(|entry| entry["path"].to_string());
    let said = entries.iter().map(|entry| {
        let status = entry["status"].as_u64().unwrap();
        (entry["path"].as_str().unwrap(), status)
    });
    let expected = [("/nowhere", 200), ("/private", 401), ("/public/a", 200)];
    assert_eq!(said.collect::<Vec<_>>(), expected, "{}", stopped.log);
    assert!(entries[0].to_string().contains("u-1"), "{}", entries[0]);
    assert!(
        !stopped.log.contains("secret=1"),
        "a query is not logged by default"
    );
}

#[tokio::test]
async fn a_websocket_has_its_line_at_its_end_with_what_the_client_was_sent() {
    let upstream = Upstream::websocket_echo().await;
    let gateway = Config::new().app(&upstream).start().await;
    let (status, _, socket) = ask(&gateway.https(), "/public/ws", &[]).await;
    assert_eq!(status, 101);
    let (status, h2_socket) = ask_h2(&gateway.h2(), "/public/ws2", &[]).await;
    assert_eq!(status, 200);
    // Neither says goodbye to TLS, which is no news after both sides have closed their WebSocket.
    for mut socket in [socket, h2_socket].into_iter().flatten() {
        socket.send_text("what is echoed").await;
        socket.receive_text().await;
        socket.send(CLOSE, &1000_u16.to_be_bytes()).await.unwrap();
        while socket.receive().await.is_some() {}
    }
    let (status, _, socket) = ask(&gateway.https(), "/public/cut", &[]).await;
    assert_eq!(status, 101);
    let mut cut = socket.unwrap();
    cut.send_text("what is echoed").await;
    cut.receive_text().await;
    drop(cut);
    let open = "portcullis_upstream_outstanding";
    let none = format!("{open}{{upstream=\"app\",server=\"{}\"}} 0", upstream.url());
    gateway.comes_to_count(&[&none]).await;
    let log = gateway.stop().await.log;
    for (path, status, ended) in [
        ("/public/ws", 101, None),
        ("/public/ws2", 200, None),
        ("/public/cut", 101, Some("broken")),
    ] {
        let mut lines = entries(&log);
        lines.retain(|line| line["path"] == path);
        assert_eq!(lines.len(), 1, "{log}");
        assert_eq!(lines[0]["status"], status);
        let sent = lines[0]["bytes"].as_u64().unwrap();
        assert!(sent >= 16, "{}", lines[0]);
        assert_eq!(lines[0]["upstream"], "app");
        assert_eq!(lines[0]["ended"].as_str(), ended, "{}", lines[0]);
    }
}

#[tokio::test]
async fn a_request_whose_client_hung_up_has_its_line_too() {
    let (upstream, mut exchanges) = Upstream::by_hand().await;
    let gateway = Config::new().app(&upstream).start().await;
    let mut raw = gateway.https().raw().await;
    raw.write("GET /public/slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    let mut exchange = exchanges.next().await;
    drop(raw);
    exchange.abandoned().await;
    let log = gateway.stop().await.log;
    let line = log.lines().find(|line| line.contains("/public/slow"));
    assert!(line.is_some_and(|line| line.contains("abandoned")), "{log}");
}

#[tokio::test]
async fn no_secret_stands_in_any_log_even_at_trace() {
    let (refresh, access, log) = {
        let upstream = Upstream::echo().await;
        let config = Config::new()
            .app(&upstream)
            .toml("[log]\nlevel = \"trace\"");
        let gateway = config.start().await;
        let client = gateway.https();
        let ann = register(&client, "ann@example.com").await;
        let (refresh, access) = (
            text(&ann, "refresh_token").to_owned(),
            text(&ann, "access_token").to_owned(),
        );
        login(&client, "ann@example.com").await;
        for token in [
            access.as_str(),
            "garbage-token-9f8e7d",
            &format!("{access}x"),
        ] {
            client.get("/private").bearer(token).send().await;
            client
                .get(&format!("/public/a?token={token}&access_token={token}"))
                .send()
                .await;
            client
                .get("/private")
                .header("cookie", format!("session={token}"))
                .send()
                .await;
        }
        for body in [
            json!({ "refresh_token": refresh }),
            json!({ "refresh_token": [refresh] }),
        ] {
            client.post("/auth/v1/refresh").json(body).send().await;
        }
        for body in [
            json!({ "email": "ann@example.com", "password": "wrong-secret-1a2b3c" }),
            json!({ "email": "wrong-secret-1a2b3c", "password": 1 }),
            json!({ "email": ["ann@example.com"], "password": "wrong-secret-1a2b3c" }),
        ] {
            for path in [
                "/auth/v1/login",
                "/api/v1/auth/login",
                "/api/auth/login",
                "/auth/v1/register",
            ] {
                let answer = client.post(path).json(body.clone()).send().await;
                let repeated =
                    answer.text().contains("wrong-secret-1a2b3c") && body["password"] != 1;
                assert!(!repeated, "{path}: {}", answer.text());
            }
        }
        client
            .post("/auth/v1/login")
            .header("content-type", "application/json")
            .bytes("{\"password\": \"wrong-secret-1a2b3c\"")
            .send()
            .await;
        drop(upstream);
        client.get("/private").bearer(&access).send().await;
        (refresh, access, gateway.stop().await.log)
    };
    assert!(log.lines().count() > 10, "{log}");
    let signature = access.rsplit('.').next().unwrap();
    let secrets = [
        PASSWORD,
        tokens::SECRET,
        &refresh,
        &access,
        signature,
        "wrong-secret-1a2b3c",
        "garbage-token-9f8e7d",
    ];
    for secret in secrets {
        let line = log.lines().find(|line| line.contains(secret));
        assert!(
            line.is_none(),
            "`{secret}` stands in the log: {}",
            line.unwrap()
        );
    }
}

#[tokio::test]
async fn events_of_accounts_are_audited() {
    let gateway = Config::new().start().await;
    let client = gateway.https();
    register(&client, "ann@example.com").await;
    let body = json!({ "email": "ann@example.com", "password": "wrong" });
    client
        .post("/auth/v1/login")
        .json(body)
        .send()
        .await
        .expect(401);
    let log = gateway.stop().await.log;
    assert!(log.to_lowercase().contains("audit"), "{log}");
}

#[tokio::test]
async fn no_part_of_a_second_factor_stands_in_any_log_even_at_trace() {
    let config = Config::new()
        .toml("[second_factor]\nmaster = [{ file = \"jwt.secret\" }]")
        .toml("[log]\nlevel = \"trace\"");
    let gateway = config.start().await;
    let client = gateway.https();
    let ann = register(&client, "ann@example.com").await;
    let token = text(&ann, "access_token");
    let body = json!({ "password": PASSWORD });
    let offered = post(&client, "/auth/v1/second-factor", token, body).await;
    let replaced = text(&offered.expect(200).json(), "secret").to_owned();
    let (confirmed, mut phone) = enrol(&client, token).await;
    let codes = codes(&confirmed);
    let challenge = challenge(&client).await;
    let code = phone.code();
    for (challenge, code) in [
        (&challenge[1..], &*code),
        (&challenge, "000000"),
        (&challenge, &codes[0][1..]),
        (&challenge, &code),
        (&challenge, &codes[0]),
        (&challenge, &codes[0]),
    ] {
        second(&client, challenge, code).await;
    }
    let log = gateway.stop().await.log;
    assert!(log.contains("second_factor_added") && log.contains("recovery_code_used"));
    let grouped = codes.iter().map(String::as_str);
    let plain: Vec<_> = codes.iter().map(|code| code.replace('-', "")).collect();
    let plain = plain.iter().map(String::as_str);
    for secret in grouped
        .chain(plain)
        .chain([&*replaced, &challenge, &challenge[1..]])
    {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "`{secret}` stands in the log");
    }
}
