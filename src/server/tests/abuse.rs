//! Clients that mean harm, and a handler that fails.

use super::*;

/// `GET /hello` with the authority `localhost`, in HPACK (RFC 7541).
fn head(path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x87, 0x04, u8::try_from(path.len()).unwrap()];
    block.extend(path.as_bytes());
    block.extend([0x41, 9]);
    block.extend(b"localhost");
    block
}

async fn frames_after(server: &TestServer, bytes: &[u8]) -> Vec<u8> {
    let mut stream = server.tls(&[b"h2"]).await;
    let sent = [&preface(), bytes].concat();
    let _ = stream.write_all(&sent).await;
    let _ = stream.flush().await;
    let mut frames = Vec::new();
    let _ = within(stream.read_to_end(&mut frames)).await;
    frames
}

#[tokio::test]
async fn a_head_of_http1_that_is_too_large_is_answered_431() {
    let server = TestServer::start(Bounds::default());
    let long = format!("x: {}\r\n", "a".repeat(40_000));
    let endless = format!("x: {}", "a".repeat(80_000));
    let many = "a: b\r\n".repeat(101);
    for fields in [long, endless, many] {
        let mut stream = server.tls(&[b"http/1.1"]).await;
        let request = format!("GET /hello HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let answer = exchange(&mut stream, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    assert_eq!(server.gate.served.load(Ordering::Relaxed), 0);
    let mut stream = server.tls(&[b"http/1.1"]).await;
    let fields = "a: b\r\n".repeat(98);
    let request = format!("GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n");
    let answer = exchange(&mut stream, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_configured_number_of_fields_is_really_applied() {
    let server = TestServer::start(Bounds {
        header_fields: 5,
        ..Bounds::default()
    });
    for (count, expected) in [(3, "HTTP/1.1 200"), (4, "HTTP/1.1 431")] {
        let mut stream = server.tls(&[b"http/1.1"]).await;
        let fields = "a: b\r\n".repeat(count);
        let request =
            format!("GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n");
        let answer = exchange(&mut stream, request.as_bytes()).await;
        assert!(answer.starts_with(expected), "{answer}");
    }
}

#[tokio::test]
async fn the_fields_of_http2_are_counted_too() {
    let server = TestServer::start(Bounds {
        header_fields: 5,
        ..Bounds::default()
    });
    let mut client = server.http2().await;
    for (count, expected) in [(5, 200), (6, 431)] {
        let mut request = get_h2("/hello");
        for _ in 0..count {
            let fields = request.headers_mut();
            fields.append("a", "b".parse().unwrap());
        }
        let response = within(client.send_request(request)).await.unwrap();
        assert_eq!(response.status(), expected, "{count}");
    }
    assert_eq!(server.gate.served.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn the_limits_of_http2_are_announced_and_so_applied() {
    let server = TestServer::start(Bounds::default());
    // DATA belongs to a stream: after this the server says goodbye.
    let wrong = frame(0, 0, 0, b"x");
    let settings = settings(&frames_after(&server, &wrong).await);
    assert_eq!(settings[&3], 100, "SETTINGS_MAX_CONCURRENT_STREAMS");
    assert_eq!(settings[&4], 65_536, "SETTINGS_INITIAL_WINDOW_SIZE");
    assert_eq!(settings[&6], 16_384, "SETTINGS_MAX_HEADER_LIST_SIZE");
    assert_eq!(settings[&8], 1, "SETTINGS_ENABLE_CONNECT_PROTOCOL");
}

#[tokio::test]
async fn a_header_list_of_http2_that_is_too_large_is_answered_431() {
    let server = TestServer::start(Bounds::default());
    let mut client = server.http2().await;
    let mut request = get_h2("/hello");
    let long = "a".repeat(17_000).parse().unwrap();
    request.headers_mut().insert("x", long);
    // hyper's client refuses to send what the server's settings rule out; either way it is not served.
    let response = within(client.send_request(request)).await;
    if let Ok(response) = response {
        assert_eq!(response.status(), 431);
    }
    assert_eq!(server.gate.served.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_flood_of_continuations_closes_the_connection() {
    let server = TestServer::start(Bounds::default());
    let mut flood = frame(1, 0x1, 1, &head("/hello"));
    // A literal field without indexing, again and again, and never END_HEADERS.
    let field = [&[0, 1, b'a', 0x7f, 0x81, 0x01][..], &[b'b'; 256]].concat();
    for _ in 0..2_000 {
        flood.extend(frame(9, 0, 1, &field));
    }
    let frames = frames_after(&server, &flood).await;
    assert!(goaway(&frames).is_some_and(|code| code != 0));
    assert_eq!(server.gate.served.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_flood_of_resets_closes_the_connection() {
    let server = TestServer::start(Bounds::default());
    let mut flood = Vec::new();
    for stream in (1..4_000).step_by(2) {
        flood.extend(frame(1, 0x5, stream, &head("/hold")));
        flood.extend(frame(3, 0, stream, &8u32.to_be_bytes()));
    }
    let frames = frames_after(&server, &flood).await;
    assert!(goaway(&frames).is_some_and(|code| code != 0));
    server.emptied().await;
}

#[tokio::test]
async fn a_client_that_takes_back_what_has_begun_is_cut_off() {
    let server = TestServer::start(Bounds::default());
    let stream = server.tls(&[b"h2"]).await;
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut taken_back = 0;
    loop {
        let Ok(ready) = client.ready().await else {
            break;
        };
        client = ready;
        let request = Request::get("https://localhost/hold").body(()).unwrap();
        let Ok((_, mut stream)) = client.send_request(request, false) else {
            break;
        };
        let mut begun = server.gate.begun.subscribe();
        tokio::select! {
            begun = within(begun.wait_for(|begun| *begun > taken_back)) => drop(begun.unwrap()),
            reset = std::future::poll_fn(|cx| stream.poll_reset(cx)) => {
                drop(reset);
                break;
            }
        }
        stream.send_reset(h2::Reason::CANCEL);
        taken_back += 1;
        assert!(taken_back < 500, "the client goes on and on");
    }
    assert!(
        taken_back >= 100,
        "a hundred are tolerated, not {taken_back}"
    );
    let _ = within(connection).await;
    server.emptied().await;
    assert_eq!(server.counters.abusive.value(), 1);
}

#[tokio::test]
async fn a_panic_costs_its_own_connection_and_no_other() {
    let server = TestServer::start(Bounds::default());
    let mut bystanders = [server.http1().await, server.http1().await];
    let mut one = server.http1().await;
    assert!(within(one.send_request(get("/panic"))).await.is_err());
    let mut two = server.http2().await;
    assert!(within(two.send_request(get_h2("/panic"))).await.is_err());
    for bystander in &mut bystanders {
        let response = within(bystander.send_request(get("/hello"))).await.unwrap();
        assert_eq!(response.status(), 200);
    }
    assert_eq!(server.counters.panics.value(), 2);
}
