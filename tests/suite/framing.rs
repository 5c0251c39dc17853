//! Requests whose end two parsers would see in two places: refused, and the connection closed.

use std::path::PathBuf;

use super::harness::{Config, Gateway, PATIENCE, Upstream};

async fn app() -> (Upstream, Gateway) {
    let upstream = Upstream::echo().await;
    let gateway = Config::new().app(&upstream).start().await;
    (upstream, gateway)
}

/// What stands behind each input on the same connection: it must never be answered.
const SECOND: &[u8] = b"GET /public/second HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// RFC 9112 §6.1 leaves a choice: refuse, or go by the chunks, drop the length and close. The HTTP
/// library does the latter; what follows is never read.
const EITHER: [&str; 2] = [
    "content_length_and_transfer_encoding",
    "transfer_encoding_and_content_length",
];

fn inputs() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/smuggling");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() > 30, "{files:?}");
    files
}

#[tokio::test]
async fn a_request_whose_framing_is_in_doubt_is_refused_and_its_connection_closed() {
    let (upstream, gateway) = app().await;
    let mut wrong = Vec::new();
    for file in inputs() {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let before = upstream.received().len();
        let mut raw = gateway.https().raw().await;
        let _ = raw
            .try_write([&std::fs::read(&file).unwrap(), SECOND].concat())
            .await;
        let answer = raw.try_answer().await.map_or(400, |answer| answer.status);
        // Whatever else the input asked for is not answered.
        let closed = raw.closes_within(PATIENCE).await;
        if !closed {
            wrong.push(format!("{name}: {answer}, and the connection stays open"));
            continue;
        }
        let processed = answer == 200 && EITHER.contains(&name.as_str());
        if !processed && !matches!(answer, 400 | 501 | 505) {
            wrong.push(format!("{name}: {answer}"));
        }
        let reached: Vec<_> = upstream
            .received()
            .drain(before..)
            .map(|r| (r.method, r.target))
            .collect();
        if reached.iter().any(|(_, target)| target != "/public/a") {
            wrong.push(format!("{name}: {reached:?} reached the upstream"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_body_is_never_read_as_the_next_request() {
    let (upstream, gateway) = app().await;
    let smuggled = "GET /public/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for path in ["/public/a", "/private", "/nowhere?x"] {
        let mut raw = gateway.https().raw().await;
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
            smuggled.len()
        );
        raw.write(head + smuggled).await;
        raw.answer().await;
        // The connection is closed, or still in step: the next answer is to the next request.
        if raw
            .try_write("GET /public/next HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
            .is_ok()
            && let Some(answer) = raw.try_answer().await
        {
            assert!(
                answer.text().contains("/public/next"),
                "{path}: {}",
                answer.text()
            );
        }
    }
    assert!(
        upstream
            .received()
            .iter()
            .all(|r| r.target != "/public/smuggled")
    );
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let (_upstream, gateway) = app().await;
    let mut raw = gateway.https().raw().await;
    let requests: String = (0..5)
        .map(|n| format!("GET /public/{n} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
        .collect();
    raw.write(requests).await;
    for n in 0..5 {
        assert!(raw.answer().await.text().contains(&format!("/public/{n}")));
    }
}

#[tokio::test]
async fn an_upgrade_that_the_upstream_does_not_grant_opens_no_tunnel() {
    let (upstream, gateway) = app().await;
    let mut raw = gateway.https().raw().await;
    raw.write(
        "GET /public/ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\
         GET /admin HTTP/1.1\r\nHost: localhost\r\n\r\n",
    )
    .await;
    let first = raw.answer().await;
    assert_ne!(first.status, 101);
    if let Some(second) = raw.try_answer().await {
        assert_eq!(
            second.status, 401,
            "what was pipelined behind is judged like any request"
        );
    }
    assert!(upstream.received().iter().all(|r| r.target != "/admin"));
}

#[tokio::test]
async fn other_upgrades_are_not_passed_on() {
    let (upstream, gateway) = app().await;
    for upgrade in ["h2c", "TLS/1.0", "connect-udp", "websocket, h2c", "foo"] {
        let mut raw = gateway.https().raw().await;
        raw.write(format!(
            "GET /public/a HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\n\
             Upgrade: {upgrade}\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n"
        ))
        .await;
        let answer = raw.answer().await;
        assert_ne!(answer.status, 101, "{upgrade}");
    }
    for received in upstream.received() {
        let upgrade = received.header("upgrade").unwrap_or_default();
        assert!(upgrade.is_empty() || upgrade == "websocket", "{upgrade}");
        assert_eq!(received.header("http2-settings"), None);
    }
}

#[tokio::test]
async fn connection_headers_over_http2_break_their_stream() {
    let (upstream, gateway) = app().await;
    for (name, value) in [
        ("connection", "x-user-id"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("keep-alive", "1"),
    ] {
        // hyper's client would take these out: the h2 crate sends them as they stand, or refuses to.
        let (mut sender, connection) = gateway.h2().h2_sender().await;
        let task = tokio::spawn(connection);
        let request = http::Request::get(gateway.https().url("/public/a")).header(name, value);
        if let Ok((response, _)) = sender.send_request(request.body(()).unwrap(), true) {
            match response.await {
                Ok(response) => assert_eq!(response.status(), 400, "{name}"),
                Err(error) => assert!(error.is_reset() || error.is_go_away(), "{name}: {error}"),
            }
        }
        task.abort();
    }
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn a_content_length_that_lies_over_http2_breaks_its_stream() {
    let (_upstream, gateway) = app().await;
    let (sender, connection) = gateway.h2().h2_sender().await;
    let task = tokio::spawn(connection);
    let mut sender = sender.ready().await.unwrap();
    let request =
        http::Request::post(gateway.https().url("/public/a")).header("content-length", "3");
    let (response, mut body) = sender
        .send_request(request.body(()).unwrap(), false)
        .unwrap();
    body.send_data("too long".into(), true).unwrap();
    match response.await {
        Ok(response) => assert!(
            response.status().is_client_error() || response.status() == 502,
            "{response:?}"
        ),
        Err(error) => assert!(error.is_reset() || error.is_go_away(), "{error}"),
    }
    task.abort();
}
