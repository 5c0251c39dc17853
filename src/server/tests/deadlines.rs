//! What keeps us waiting is cut off, each in its own time.

use super::*;

/// What a deadline is for a test that waits for it; and still longer than a client on a busy machine
/// takes from its handshake to its request.
const SHORT: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_handshake_that_does_not_end_is_cut_off() {
    let server = TestServer::start(Bounds {
        handshake_time: SHORT,
        ..Bounds::default()
    });
    let mut tcp = server.tcp().await;
    // The start of a record of a handshake.
    let answer = exchange(&mut tcp, &[0x16, 3, 1]).await;
    assert_eq!(answer, "");
    server.emptied().await;
    assert_eq!(server.counters.handshake_timeouts.value(), 1);
}

#[tokio::test]
async fn handshakes_that_dawdle_hold_up_no_other_address() {
    let server = TestServer::start(Bounds {
        handshakes: 8,
        handshake_time: 10 * PATIENCE,
        ..Bounds::default()
    });
    let mut dawdling = Vec::new();
    for _ in 0..32 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let mut tcp = socket.connect(server.addresses[0]).await.unwrap();
        tcp.write_all(&[0x16, 3, 1]).await.unwrap();
        dawdling.push(tcp);
    }
    let mut stream = within(server.tls(&[b"http/1.1"])).await;
    let request = b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = exchange(&mut stream, request).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_head_that_does_not_end_is_cut_off() {
    let server = TestServer::start(Bounds {
        header_time: SHORT,
        ..Bounds::default()
    });
    for before in ["", "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let mut stream = server.tls(&[b"http/1.1"]).await;
        if !before.is_empty() {
            stream.write_all(before.as_bytes()).await.unwrap();
            let mut answer = [0; 4096];
            assert!(stream.read(&mut answer).await.unwrap() > 0);
        }
        let answer = exchange(&mut stream, b"GET /hello HTTP/1.1\r\nHost: a\r\n").await;
        assert!(!answer.contains("200"), "{answer}");
    }
    server.emptied().await;
    assert_eq!(server.counters.header_timeouts.value(), 2);
}

#[tokio::test]
async fn a_head_that_comes_in_time_in_pieces_is_answered() {
    let server = TestServer::start(Bounds::default());
    let mut stream = server.tls(&[b"http/1.1"]).await;
    for piece in [
        "GET /he",
        "llo HTTP/1.1\r\nHo",
        "st: a\r\nConnection: close\r\n",
    ] {
        stream.write_all(piece.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    let answer = exchange(&mut stream, b"\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let server = TestServer::start(Bounds {
        idle_time: SHORT,
        write_time: SHORT,
        ..Bounds::default()
    });
    let mut fresh = server.tls(&[b"http/1.1"]).await;
    assert_eq!(read_to_end(&mut fresh).await, "");

    let mut used = server.tls(&[b"http/1.1"]).await;
    let answer = exchange(&mut used, b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.ends_with("hello"), "{answer}");

    let mut two = server.tls(&[b"h2"]).await;
    two.write_all(&preface()).await.unwrap();
    let mut frames = Vec::new();
    // This client does not answer the last ping, so that the end is not in its order.
    let _ = within(two.read_to_end(&mut frames)).await;
    assert_eq!(goaway(&frames), Some(0));
    server.emptied().await;
    assert_eq!(server.counters.idle_timeouts.value(), 3);
}

#[tokio::test]
async fn a_request_under_way_is_not_idle() {
    let server = TestServer::start(Bounds {
        idle_time: SHORT,
        header_time: SHORT,
        ..Bounds::default()
    });
    let (mut one, mut two) = (server.http1().await, server.http2().await);
    let held = tokio::spawn(async move {
        let one = one.send_request(get("/hold"));
        let two = two.send_request(get_h2("/hold"));
        tokio::join!(one, two)
    });
    server.begun(2).await;
    // A connection that came later is closed as idle: so much time has passed for the others too.
    for _ in 0..2 {
        idle_time_passes(&server).await;
    }
    server.gate.open.send_replace(true);
    let (one, two) = within(held).await.unwrap();
    assert_eq!(one.unwrap().status(), 200);
    assert_eq!(two.unwrap().status(), 200);
}

#[tokio::test]
async fn a_body_that_drips_is_answered_408() {
    let server = TestServer::start(Bounds {
        body_rate: crate::inbound::MinimumRate {
            bytes_per_second: 1000,
            grace: SHORT,
        },
        ..Bounds::default()
    });
    let mut stream = server.tls(&[b"http/1.1"]).await;
    let head = b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nsome";
    let answer = exchange(&mut stream, head).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");

    let stream = server.tls(&[b"h2"]).await;
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let request = Request::post("https://localhost/upload").body(()).unwrap();
    let (response, mut body) = client.send_request(request, false).unwrap();
    body.send_data(Bytes::from_static(b"some"), false).unwrap();
    assert_eq!(within(response).await.unwrap().status(), 408);
}

#[tokio::test]
async fn a_body_that_comes_well_is_taken() {
    let server = TestServer::start(Bounds::default());
    let mut stream = server.tls(&[b"http/1.1"]).await;
    let body = "x".repeat(300_000);
    let head = "POST /upload HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 300000";
    let answer = exchange(&mut stream, format!("{head}\r\n\r\n{body}").as_bytes()).await;
    assert!(answer.ends_with("\r\n\r\n300000"), "{answer}");
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_cut_off() {
    let server = TestServer::start(Bounds {
        write_time: SHORT,
        ..Bounds::default()
    });
    let mut one = server.tls(&[b"http/1.1"]).await;
    one.write_all(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    one.flush().await.unwrap();
    let mut first = [0; 1];
    within(one.read_exact(&mut first)).await.unwrap();
    server.emptied().await;
    assert_eq!(server.counters.write_timeouts.value(), 1);
}

#[tokio::test]
async fn a_client_that_never_opens_its_window_is_cut_off() {
    let server = TestServer::start(Bounds {
        idle_time: SHORT,
        write_time: SHORT,
        ..Bounds::default()
    });
    let stream = server.tls(&[b"h2"]).await;
    let (client, connection) = h2::client::Builder::new()
        .initial_window_size(10)
        .handshake::<_, Bytes>(stream)
        .await
        .unwrap();
    tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let request = Request::get("https://localhost/big").body(()).unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    let mut body = within(response).await.unwrap().into_body();
    let end = loop {
        match within(body.data()).await {
            Some(Ok(_)) => {}
            end => break end,
        }
    };
    assert!(matches!(end, Some(Err(_))), "{end:?}");
    server.emptied().await;
}

/// Waits until the server has closed a connection as idle that came later than all others.
async fn idle_time_passes(server: &TestServer) {
    let mut later = server.tls(&[b"http/1.1"]).await;
    read_to_end(&mut later).await;
}

#[tokio::test]
async fn a_tunnel_is_not_idle_and_keeps_its_place() {
    let server = TestServer::start(Bounds {
        idle_time: SHORT,
        ..Bounds::default()
    });
    let mut one = server.tls(&[b"http/1.1"]).await;
    let request = "GET /tunnel HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    one.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        assert!(within(one.read_buf(&mut head)).await.unwrap() > 0);
    }

    let stream = server.tls(&[b"h2"]).await;
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    // The server's settings, which allow extended CONNECT, come with its first answer.
    let first = Request::get("https://localhost/hello").body(()).unwrap();
    let (response, _) = client.send_request(first, true).unwrap();
    within(response).await.unwrap();
    let mut client = client.ready().await.unwrap();
    let mut connect = Request::connect("https://localhost/tunnel")
        .body(())
        .unwrap();
    let protocol = h2::ext::Protocol::from_static("websocket");
    connect.extensions_mut().insert(protocol);
    let (response, mut send) = client.send_request(connect, false).unwrap();
    let mut receive = within(response).await.unwrap().into_body();

    for _ in 0..3 {
        idle_time_passes(&server).await;
    }
    one.write_all(b"hello").await.unwrap();
    let mut word = [0; 5];
    within(one.read_exact(&mut word)).await.unwrap();
    assert_eq!(&word, b"hello");
    send.send_data(Bytes::from_static(b"again"), false).unwrap();
    assert_eq!(within(receive.data()).await.unwrap().unwrap(), "again");
    // Those that were idle have gone.
    within(async {
        while server.running.workers.open() != 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(one);
    // HTTP/2 goes on after a tunnel: then it is idle like any other connection.
    send.send_data(Bytes::new(), true).unwrap();
    while let Some(Ok(_)) = within(receive.data()).await {}
    server.emptied().await;
    drop(client);
}
