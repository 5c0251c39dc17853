//! WebSockets through the gateway: over HTTP/1.1 and by extended CONNECT over HTTP/2.

use super::harness::websocket::{ACCEPT, CLOSE, KEY, WebSocket};
use super::harness::{Client, Config, Gateway, Upstream, tokens};
use http::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;

async fn app(extra: &str) -> (Upstream, Gateway) {
    let upstream = Upstream::websocket_echo().await;
    let config = Config::new()
        .upstream("app", &upstream)
        .route("/public/**", "upstream = \"app\"\nauth = \"none\"")
        .route(
            "/agent/**",
            &format!("upstream = \"app\"\nauth = \"required\"\nerrors = \"agentflow\"\n{extra}"),
        )
        .route("/**", "upstream = \"app\"\nauth = \"required\"");
    (upstream, config.start().await)
}

/// Asks for a WebSocket; the socket when it was granted, the answer's head always.
pub async fn ask(
    client: &Client,
    path: &str,
    headers: &[(&str, &str)],
) -> (StatusCode, HeaderMap, Option<WebSocket>) {
    let mut call = client.get(path);
    call = call
        .header("connection", "Upgrade")
        .header("upgrade", "websocket");
    call = call
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", KEY);
    for (name, value) in headers {
        call = call.header(name, value);
    }
    let mut connection = client.connect().await;
    let mut response = connection.send(call.build()).await.unwrap();
    let (status, head) = (response.status(), response.headers().clone());
    let socket = match status {
        StatusCode::SWITCHING_PROTOCOLS => {
            let io = hyper::upgrade::on(&mut response).await.unwrap();
            Some(WebSocket::client(TokioIo::new(io)))
        }
        _ => None,
    };
    (status, head, socket)
}

/// The same by extended CONNECT (RFC 8441).
pub async fn ask_h2(
    client: &Client,
    path: &str,
    headers: &[(&str, &str)],
) -> (StatusCode, Option<WebSocket>) {
    let mut connection = client.connect().await;
    // The first exchange brings the server's SETTINGS, without which no extended CONNECT is sent.
    let warm = connection
        .send(client.get("/public/warm").build())
        .await
        .unwrap();
    drop(warm);
    let mut request = Request::connect(client.url(path)).header("sec-websocket-version", "13");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(super::harness::body::empty()).unwrap();
    request
        .extensions_mut()
        .insert(hyper::ext::Protocol::from_static("websocket"));
    let mut response = connection.send(request).await.unwrap();
    let status = response.status();
    if !status.is_success() {
        return (status, None);
    }
    let io = hyper::upgrade::on(&mut response).await.unwrap();
    (
        status,
        Some(WebSocket::client(Kept {
            io: TokioIo::new(io),
            _connection: connection,
        })),
    )
}

#[tokio::test]
async fn frames_flow_both_ways_over_http1() {
    let (upstream, gateway) = app("").await;
    let bearer = format!("Bearer {}", tokens::token("u-1"));
    let (status, head, socket) =
        ask(&gateway.https(), "/ws?a=b", &[("authorization", &bearer)]).await;
    assert_eq!(status, 101);
    assert_eq!(head["sec-websocket-accept"], ACCEPT);
    assert_eq!(upstream.last().header("x-user-id").as_deref(), Some("u-1"));
    assert_eq!(upstream.last().target, "/ws?a=b");
    let mut socket = socket.unwrap();
    for text in ["short".to_owned(), "long ".repeat(1000)] {
        socket.send_text(&text).await;
        assert_eq!(socket.receive_text().await, text);
    }
}

#[tokio::test]
async fn frames_flow_both_ways_over_http2() {
    let (upstream, gateway) = app("").await;
    let bearer = format!("Bearer {}", tokens::token("u-1"));
    let (status, socket) = ask_h2(&gateway.h2(), "/ws", &[("authorization", &bearer)]).await;
    assert_eq!(status, 200);
    assert_eq!(upstream.last().method, "GET");
    assert_eq!(upstream.last().header("x-user-id").as_deref(), Some("u-1"));
    let mut socket = socket.unwrap();
    for text in ["short".to_owned(), "long ".repeat(1000)] {
        socket.send_text(&text).await;
        assert_eq!(socket.receive_text().await, text);
    }
}

#[tokio::test]
async fn a_websocket_needs_the_routes_credential() {
    let (upstream, gateway) = app("").await;
    let (status, _, _) = ask(&gateway.https(), "/ws", &[]).await;
    assert_eq!(status, 401);
    let (status, _) = ask_h2(&gateway.h2(), "/ws", &[]).await;
    assert_eq!(status, 401);
    assert!(upstream.received().iter().all(|r| r.target != "/ws"));
}

#[tokio::test]
async fn a_plain_connect_over_http2_is_refused() {
    let (upstream, gateway) = app("").await;
    let (mut sender, connection) = gateway.h2().h2_sender().await;
    let task = tokio::spawn(connection);
    let request = Request::connect("localhost:80").body(()).unwrap();
    let (response, _) = sender.send_request(request, true).unwrap();
    if let Ok(response) = response.await {
        assert!(response.status().is_client_error(), "{}", response.status());
    }
    task.abort();
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn an_identity_header_nominated_at_the_upgrade_is_still_the_gateways() {
    let (upstream, gateway) = app("").await;
    let token = tokens::token("u-1");
    let mut raw = gateway.https().raw().await;
    raw.write(format!(
        "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, X-User-Id, x-forwarded-for\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\
         X-User-Id: root\r\nX_User_Id: root\r\nAuthorization: Bearer {token}\r\n\r\n"
    ))
    .await;
    assert_eq!(raw.answer().await.status, 101);
    let told = upstream.last().spellings("x-user-id");
    assert_eq!(told, [("x-user-id".to_owned(), "u-1".to_owned())]);
    assert_eq!(
        upstream.last().header("x-forwarded-for").as_deref(),
        Some("127.0.0.1")
    );
}

#[tokio::test]
async fn an_agentflow_token_in_the_subprotocol_is_taken_where_the_route_opts_in() {
    let (upstream, gateway) = app("tokens_from = [\"subprotocol\", \"query\"]").await;
    let token = tokens::token("u-1");
    for name in ["agentflow-bearer", "10xgraph-bearer"] {
        let offered = format!("{name}, {token}");
        let (status, head, socket) = ask(
            &gateway.https(),
            "/agent/ws",
            &[("sec-websocket-protocol", &offered)],
        )
        .await;
        assert_eq!(status, 101, "{name}");
        assert_eq!(
            head.get("sec-websocket-protocol").map(|v| v.as_bytes()),
            Some(name.as_bytes())
        );
        assert_eq!(upstream.last().header("x-user-id").as_deref(), Some("u-1"));
        socket.unwrap().send_text("x").await;
    }
    let (status, _, _) = ask(
        &gateway.https(),
        &format!("/agent/ws?token={token}&a=b"),
        &[],
    )
    .await;
    assert_eq!(status, 101);
    assert_eq!(
        upstream.last().target,
        "/agent/ws?a=b",
        "the token does not go on in the query"
    );
    assert!(!gateway.log().contains(&token), "the token is in no log");
}

#[tokio::test]
async fn two_different_credentials_in_one_request_are_a_400() {
    let (upstream, gateway) = app("tokens_from = [\"subprotocol\", \"query\"]").await;
    let (one, two) = (tokens::token("u-1"), tokens::token("u-2"));
    let bearer = format!("Bearer {one}");
    let offered = format!("agentflow-bearer, {two}");
    for (path, headers) in [
        (
            "/agent/ws".to_owned(),
            vec![
                ("authorization", bearer.as_str()),
                ("sec-websocket-protocol", offered.as_str()),
            ],
        ),
        (
            format!("/agent/ws?token={two}"),
            vec![("authorization", bearer.as_str())],
        ),
        (
            format!("/agent/ws?token={one}"),
            vec![("sec-websocket-protocol", offered.as_str())],
        ),
    ] {
        let (status, _, _) = ask(&gateway.https(), &path, &headers).await;
        assert_eq!(status, 400, "{path}");
    }
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn where_a_route_does_not_opt_in_other_token_places_are_empty() {
    let (upstream, gateway) = app("").await;
    let token = tokens::token("u-1");
    let offered = format!("agentflow-bearer, {token}");
    let (status, _, _) = ask(
        &gateway.https(),
        "/agent/ws",
        &[("sec-websocket-protocol", &offered)],
    )
    .await;
    assert_eq!(status, 401);
    for query in ["token", "access_token", "%74oken"] {
        let (status, _, _) =
            ask(&gateway.https(), &format!("/agent/ws?{query}={token}"), &[]).await;
        assert_eq!(status, 401, "{query}");
    }
    // A second identity does not reach a backend that would read it there, even on a public route.
    let (_, _, _) = ask(
        &gateway.https(),
        &format!("/public/ws?token={token}"),
        &[("sec-websocket-protocol", &offered)],
    )
    .await;
    for received in upstream.received() {
        assert!(!received.target.contains(&token), "{}", received.target);
        assert!(
            received
                .values("sec-websocket-protocol")
                .iter()
                .all(|v| !v.contains(&token))
        );
    }
}

#[tokio::test]
async fn a_websocket_that_is_closed_ends_at_both_ends() {
    let (_upstream, gateway) = app("").await;
    let (_, _, socket) = ask(&gateway.https(), "/public/ws", &[]).await;
    let mut socket = socket.unwrap();
    socket.send(CLOSE, &[3, 232]).await.unwrap();
    assert_eq!(
        socket.receive().await.map(|frame| frame.opcode),
        Some(CLOSE)
    );
    assert_eq!(socket.receive().await, None);
}

/// A stream over HTTP/2 whose connection lives as long as it does.
struct Kept {
    io: TokioIo<hyper::upgrade::Upgraded>,
    _connection: super::harness::client::Connection,
}

impl tokio::io::AsyncRead for Kept {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl tokio::io::AsyncWrite for Kept {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::pin::Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
