//! What one client can take up: header and body sizes, time, connections, streams.

use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;

use super::harness::certs::authority;
use super::harness::upstream::response;
use super::harness::{Client, Config, Gateway, PATIENCE, Upstream, body, within};

async fn app(server: &str) -> (Upstream, Gateway) {
    let upstream = Upstream::echo().await;
    let gateway = Config::new()
        .app(&upstream)
        .toml(&format!("[server]\n{server}"))
        .start()
        .await;
    (upstream, gateway)
}

#[tokio::test]
async fn a_header_that_is_too_large_or_headers_that_are_too_many_are_a_431() {
    let (upstream, gateway) = app("").await;
    let large = "x".repeat(40 * 1024);
    let mut raw = gateway.https().raw().await;
    let _ = raw
        .try_write(format!(
            "GET /public/a HTTP/1.1\r\nHost: localhost\r\nX-A: {large}\r\n\r\n"
        ))
        .await;
    assert_eq!(raw.answer().await.status, 431);
    let many: String = (0..150).map(|n| format!("X-{n}: 1\r\n")).collect();
    let mut raw = gateway.https().raw().await;
    let _ = raw
        .try_write(format!(
            "GET /public/a HTTP/1.1\r\nHost: localhost\r\n{many}\r\n"
        ))
        .await;
    assert_eq!(raw.answer().await.status, 431);
    let target = format!("/public/{}", "a".repeat(40 * 1024));
    let mut raw = gateway.https().raw().await;
    let _ = raw
        .try_write(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
        .await;
    assert!(matches!(raw.answer().await.status, 414 | 431));
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn cookies_have_a_bound_of_their_own_over_both_protocols() {
    let (upstream, gateway) = app("").await;
    let cookies: String = (0..1000).map(|n| format!("csrf{n}=0123456789; ")).collect();
    for client in [gateway.https(), gateway.h2()] {
        let answer = client
            .get("/public/a")
            .header("cookie", &cookies)
            .send()
            .await;
        assert_eq!(answer.status, 431);
    }
    gateway
        .h2()
        .get("/public/a")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .send()
        .await
        .expect(200);
    assert_eq!(
        upstream.last().header("cookie").as_deref(),
        Some("a=1; b=2")
    );
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused_before_it_is_sent_and_while_it_is() {
    let upstream = Upstream::echo().await;
    let config = Config::new().upstream("app", &upstream).route(
        "/small/**",
        "upstream = \"app\"\nauth = \"none\"\nmax_body = \"1KiB\"",
    );
    let gateway = config.start().await;
    let mut raw = gateway.https().raw().await;
    raw.write("POST /small/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1025\r\n\r\n")
        .await;
    assert_eq!(
        raw.answer().await.status,
        413,
        "without waiting for the body"
    );
    gateway
        .https()
        .post("/small/a")
        .bytes(vec![b'x'; 1024])
        .send()
        .await
        .expect(200);
    for client in [gateway.https(), gateway.h2()] {
        let (pieces, upload) = body::pieces();
        let sending = tokio::spawn(async move { while pieces.send(vec![b'x'; 600]).await {} });
        let answer = client.post("/small/a").body(upload).send().await;
        assert_eq!(answer.status, 413);
        sending.abort();
    }
    assert!(upstream.received().iter().all(|r| r.body.len() <= 1024));
}

#[tokio::test]
async fn a_client_that_sends_everything_first_still_reads_the_refusal() {
    let upstream = Upstream::echo().await;
    let config = Config::new().app(&upstream).route(
        "/small/**",
        "upstream = \"app\"\nauth = \"none\"\nmax_body = \"1KiB\"",
    );
    let gateway = config.start().await;
    let ca = gateway.path("ca.pem");
    std::fs::write(&ca, authority().pem()).unwrap();
    // Python's own client sends the whole body before it reads a byte of the answer.
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/stubborn.py");
    for (path, framing, status) in [
        ("/small/a", "length", 413),
        ("/small/a", "chunked", 413),
        ("/private", "chunked", 401),
    ] {
        let port = gateway.config.https.to_string();
        let mut client = std::process::Command::new("python3");
        client.args([script, &port, path, framing]).arg(&ca);
        let run = tokio::task::spawn_blocking(move || client.output().unwrap());
        let output = within("the client has sent 50 MiB", run).await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let wrong = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            said.trim(),
            format!("{status} True"),
            "{path} {framing}: {wrong}"
        );
    }
    assert!(upstream.received().iter().all(|r| r.body.len() <= 1024));
}

#[tokio::test]
async fn an_endpoint_of_ours_reads_little() {
    let (_upstream, gateway) = app("").await;
    let head =
        "POST /auth/v1/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let mut raw = gateway.https().raw().await;
    raw.write(format!("{head}Content-Length: 1000000\r\n\r\n"))
        .await;
    assert_eq!(
        raw.answer().await.status,
        413,
        "without waiting for the body"
    );
    let mut raw = gateway.https().raw().await;
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    raw.write(format!(
        "{head}Transfer-Encoding: chunked\r\n\r\n{chunk}{chunk}"
    ))
    .await;
    assert_eq!(
        raw.answer().await.status,
        413,
        "as soon as there is too much"
    );
}

#[tokio::test]
async fn a_client_that_dawdles_over_its_handshake_or_header_is_cut_off() {
    let (_upstream, gateway) = app("handshake_timeout = \"300ms\"").await;
    let mut silent = super::harness::raw::Raw::new(gateway.https().tcp().await.unwrap());
    assert!(silent.closes_within(PATIENCE).await, "before TLS");

    // Of another gateway: no handshake of this one's clients need be so fast.
    let (_upstream, gateway) = app("header_timeout = \"300ms\"").await;
    let mut raw = gateway.https().raw().await;
    raw.write("GET /public/a HTTP/1.1\r\nHost: loc").await;
    let answer = within("the connection is closed", raw.read_to_close()).await;
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 408"),
        "{answer:?}"
    );
    // A byte now and then does not make the header arrive in time.
    let mut raw = gateway.https().raw().await;
    raw.write("GET /public/a HTTP/1.1\r\n").await;
    let trickle = async {
        while raw.try_write("X-A: b\r\n").await.is_ok() {
            if raw.closes_within(Duration::from_millis(50)).await {
                return;
            }
        }
    };
    within("the trickle is cut off", trickle).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_stream_is_not() {
    let (upstream, mut exchanges) = Upstream::by_hand().await;
    let config = Config::new()
        .app(&upstream)
        .toml("[server]\nidle_timeout = \"2s\"");
    let gateway = config.start().await;
    let calling = tokio::spawn(gateway.https().get("/public/events").open());
    let (pieces, events) = body::pieces();
    exchanges.next().await.answer(http::Response::new(events));
    let (mut response, _held) = calling.await.unwrap();
    for client in [gateway.https(), gateway.h2()] {
        let idle = client.connect().await;
        idle.closed().await;
    }
    pieces.send("still here").await;
    let frame = within("the stream goes on", response.body_mut().frame())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(frame.into_data().unwrap(), "still here");
}

#[tokio::test]
async fn a_body_that_trickles_is_given_up() {
    let (_upstream, gateway) = app("body_grace = \"300ms\"\nmin_body_rate = 10240").await;
    let mut raw = gateway.https().raw().await;
    raw.write("POST /public/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\nx")
        .await;
    let answer = within("the connection is closed", raw.read_to_close()).await;
    let text = String::from_utf8_lossy(&answer);
    assert!(
        text.is_empty() || text.starts_with("HTTP/1.1 408") || text.starts_with("HTTP/1.1 400"),
        "{text}"
    );
}

#[tokio::test]
async fn a_grpc_client_may_pause_where_its_route_says_so_and_nowhere_else() {
    let (upstream, mut calls) = Upstream::by_hand_h2c().await;
    let chat = "upstream = \"app\"\nauth = \"none\"\nmin_body_rate = 0";
    let config = Config::new().app(&upstream).route("/chat/**", chat);
    let gateway = config.toml("[server]\nbody_grace = \"1s\"").start().await;
    let call = |path: &str| {
        let (pieces, body) = body::pieces();
        let call = gateway.h2().post(path).body(body);
        let call = call.header("content-type", "application/grpc").send();
        (pieces, tokio::spawn(call))
    };
    let (messages, talking) = call("/chat/Service/Method");
    let mut talk = calls.next().await;
    // Begun later: when its patience is over, that of the first would be, too.
    let (_pieces, dawdling) = call("/public/Service/Method");
    let _dawdle = calls.next().await;
    let refused = within("an answer", dawdling).await.unwrap();
    refused.expect(408);
    assert!(messages.send("a message").await);
    drop(messages);
    let whole = within("the message", talk.request.body_mut().collect()).await;
    assert_eq!(whole.unwrap().to_bytes(), "a message");
    talk.answer(response(200, "done"));
    within("an answer", talking).await.unwrap().expect(200);
}

#[tokio::test]
async fn one_address_has_so_many_connections_and_others_still_get_in() {
    let (_upstream, gateway) = app("max_connections_per_address = 5").await;
    let greedy = gateway.https().from("127.0.0.66");
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(greedy.connect().await);
    }
    assert!(greedy.get("/public/a").try_send().await.is_err());
    gateway
        .https()
        .from("127.0.0.67")
        .get("/public/a")
        .send()
        .await
        .expect(200);
    drop(held);
    within("room again", async {
        while greedy.get("/public/a").try_send().await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn all_connections_together_have_a_bound() {
    let (_upstream, gateway) = app("max_connections = 8").await;
    let mut held = Vec::new();
    for n in 0..8 {
        held.push(
            gateway
                .https()
                .from(&format!("127.0.3.{n}"))
                .connect()
                .await,
        );
    }
    let tcp = gateway.https().from("127.0.3.100").get("/public/a");
    let more = tokio::time::timeout(Duration::from_secs(2), tcp.try_send()).await;
    assert!(!matches!(more, Ok(Ok(answer)) if answer.status == 200));
    drop(held);
    within("room again", async {
        while gateway
            .https()
            .from("127.0.3.100")
            .get("/public/a")
            .try_send()
            .await
            .is_err()
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Sends `count` requests over one HTTP/2 connection and resets each at once; whether that was not
/// borne.
async fn rapid_reset(client: &Client, count: usize) -> bool {
    let (mut sender, mut connection) = client.h2_sender().await;
    let mut ping = connection.ping_pong().unwrap();
    let task = tokio::spawn(connection);
    for _ in 0..count {
        sender = match sender.ready().await {
            Ok(ready) => ready,
            Err(_) => return true,
        };
        let request = Request::get(client.url("/public/a")).body(()).unwrap();
        let Ok((_, mut stream)) = sender.send_request(request, false) else {
            return true;
        };
        stream.send_reset(h2::Reason::CANCEL);
        tokio::task::yield_now().await;
    }
    // What is sent may lie in buffers still: a gateway that answers this has borne all of it.
    let closed = ping.ping(h2::Ping::opaque()).await.is_err();
    task.abort();
    closed
}

#[tokio::test]
async fn rapid_resets_close_their_connection_and_no_other() {
    let (_upstream, gateway) = app("").await;
    let mut bystander = gateway.h2().connect().await;
    let closed = within("the flood ends", rapid_reset(&gateway.h2(), 20_000)).await;
    assert!(closed, "20,000 resets were borne");
    let answer = bystander
        .send(gateway.h2().get("/public/a").build())
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn so_many_streams_are_open_at_once() {
    let (_upstream, gateway) = app("").await;
    let (sender, connection) = gateway.h2().h2_sender().await;
    let task = tokio::spawn(connection);
    let mut sender = sender.ready().await.unwrap();
    let request = Request::get(gateway.https().url("/public/a"))
        .body(())
        .unwrap();
    let (response, _) = sender.send_request(request, true).unwrap();
    response.await.unwrap();
    assert!(
        sender.current_max_send_streams() <= 100,
        "{}",
        sender.current_max_send_streams()
    );
    task.abort();
}

#[tokio::test]
async fn a_header_list_that_is_too_large_over_http2_is_refused() {
    let (upstream, gateway) = app("").await;
    let large = "x".repeat(100 * 1024);
    match gateway
        .h2()
        .get("/public/a")
        .header("x-a", &large)
        .try_send()
        .await
    {
        Ok(answer) => assert_eq!(answer.status, 431),
        Err(broken) => drop(broken),
    }
    gateway.h2().get("/public/a").send().await.expect(200);
    assert_eq!(upstream.received().len(), 1);
}
