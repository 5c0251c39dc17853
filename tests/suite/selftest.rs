//! The harness against itself: its clients meet its own servers, without a gateway between.

use std::net::SocketAddr;

use serde_json::json;

use super::harness::body;
use super::harness::certs::authority;
use super::harness::chaos::{Chaos, Weather};
use super::harness::raw::Raw;
use super::harness::redis::Redis;
use super::harness::upstream::{Exchanges, response};
use super::harness::websocket::{self, WebSocket};
use super::harness::{Client, Config, Upstream, tokens};

#[tokio::test]
async fn the_echo_upstream_says_what_reached_it() {
    let upstream = Upstream::echo().await;
    let client = Client::http(upstream.port());
    let answer = client
        .post("/a?b=c")
        .header("x-one", "1")
        .bytes("body")
        .send()
        .await
        .expect(200)
        .json();
    assert_eq!(answer["method"], "POST");
    assert_eq!(answer["target"], "/a?b=c");
    assert_eq!(answer["body"], "body");
    assert_eq!(upstream.last().header("x-one").as_deref(), Some("1"));
}

#[tokio::test]
async fn the_clients_speak_tls_with_http1_and_http2() {
    let upstream = Upstream::echo_https(&authority().leaf(&["localhost"])).await;
    for client in [
        Client::https(upstream.port()),
        Client::https(upstream.port()).h2(),
    ] {
        let answer = client.get("/x").send().await.expect(200).json();
        assert_eq!(answer["target"], "/x");
    }
    assert_eq!(upstream.received()[0].version, http::Version::HTTP_11);
    assert_eq!(upstream.received()[1].version, http::Version::HTTP_2);
    assert_eq!(upstream.connections(), 2);
}

#[tokio::test]
async fn an_exchange_by_hand_sends_piece_by_piece() {
    let (upstream, mut exchanges): (_, Exchanges) = Upstream::by_hand().await;
    let client = Client::http(upstream.port());
    let (answer, exchange) = tokio::join!(
        async {
            let (mut response, _connection) = client.get("/events").open().await;
            let first = http_body_util::BodyExt::frame(response.body_mut())
                .await
                .unwrap()
                .unwrap();
            first.into_data().unwrap()
        },
        async {
            let exchange = exchanges.next().await;
            let (pieces, body) = body::pieces();
            exchange.answer(http::Response::new(body));
            pieces.send("data: 1\n\n").await;
            pieces
        }
    );
    assert_eq!(&answer[..], b"data: 1\n\n");
    drop(exchange);
}

#[tokio::test]
async fn a_raw_connection_reads_whole_and_chunked_answers() {
    let upstream = Upstream::raw(|mut raw: Raw| async move {
        raw.read_head().await;
        raw.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")
            .await;
        raw.read_head().await;
        raw.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
            .await;
    })
    .await;
    let mut raw = Client::http(upstream.port()).raw().await;
    for _ in 0..2 {
        raw.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let answer = raw.answer().await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "hi"));
    }
    assert!(raw.read_to_close().await.is_empty());
}

#[tokio::test]
async fn a_websocket_carries_frames_both_ways() {
    let upstream = Upstream::websocket_echo().await;
    let mut connection = Client::http(upstream.port()).connect().await;
    let request = Client::http(upstream.port());
    let request = request
        .get("/ws")
        .header("connection", "upgrade")
        .header("upgrade", "websocket");
    let mut response = connection
        .send(request.header("sec-websocket-key", websocket::KEY).build())
        .await
        .unwrap();
    assert_eq!(response.status(), 101);
    let io = hyper::upgrade::on(&mut response).await.unwrap();
    let mut socket = WebSocket::client(hyper_util::rt::TokioIo::new(io));
    for text in ["short".to_owned(), "long ".repeat(100)] {
        socket.send_text(&text).await;
        assert_eq!(socket.receive_text().await, text);
    }
}

#[tokio::test]
async fn a_real_redis_starts_answers_and_goes() {
    let redis = Redis::start().await;
    assert_eq!(
        redis.command(&["PING"]).await,
        redis::Value::SimpleString("PONG".into())
    );
    redis.kill().await;
    redis.restart().await;
    assert_eq!(redis.command(&["DBSIZE"]).await, redis::Value::Int(0));
}

#[tokio::test]
async fn the_chaos_relay_cuts_and_mends() {
    let upstream = Upstream::answering(|_| response(200, "here")).await;
    let chaos = Chaos::before(SocketAddr::from(([127, 0, 0, 1], upstream.port()))).await;
    let client = Client::http(chaos.port());
    client.get("/").send().await.expect(200);
    chaos.set(Weather::Cut);
    assert!(client.get("/").try_send().await.is_err());
    chaos.set(Weather::Clear);
    client.get("/").send().await.expect(200);
}

#[test]
fn a_configuration_merges_tables_and_grows_lists() {
    let config = Config::new()
        .toml("[server]\nheader_timeout = \"1s\"")
        .route("/a", "auth = \"none\"")
        .route("/b", "auth = \"none\"")
        .without("tokens.key");
    let table: toml::Table = config.to_string().parse().unwrap();
    assert_eq!(table["route"].as_array().unwrap().len(), 2);
    assert!(
        table["server"].get("https").is_some() && table["server"].get("header_timeout").is_some()
    );
    assert!(table["tokens"].get("key").is_none());
}

#[test]
fn a_token_of_the_suite_is_one_that_a_library_believes() {
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
    validation.set_required_spec_claims(&["exp"]);
    let key = jsonwebtoken::DecodingKey::from_secret(tokens::SECRET.as_bytes());
    let token = tokens::token("ann");
    let claims = jsonwebtoken::decode::<serde_json::Value>(&token, &key, &validation)
        .unwrap()
        .claims;
    assert_eq!(claims["sub"], "ann");
    assert_eq!(tokens::read(&tokens::signed(&json!({ "a": 1 })))["a"], 1);
}
