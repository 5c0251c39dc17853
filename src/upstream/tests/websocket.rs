//! The switch to WebSocket, asked for in HTTP/1.1 and in HTTP/2.

use hyper::ext::Protocol;

use super::*;

/// RFC 6455 §1.3: the key of the example and its proof.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const PROOF: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Says to `said` what arrives: the head of the request, then every piece that follows.
async fn echo(
    answer: impl Fn(&str) -> String + Clone + Send + Sync + 'static,
) -> (Backend, mpsc::UnboundedReceiver<String>) {
    let (say, said) = mpsc::unbounded_channel();
    let backend = Backend::accept(move |mut stream| {
        let (say, answer) = (say.clone(), answer.clone());
        async move {
            let head = read_head(&mut stream).await;
            let _ = say.send(head.clone());
            write(&mut stream, &answer(&head)).await;
            let mut buffer = [0; 1024];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                let piece = String::from_utf8_lossy(&buffer[..count]).into_owned();
                let _ = say.send(piece);
                stream.write_all(&buffer[..count]).await.unwrap();
            }
            let _ = say.send(String::from("closed"));
        }
    })
    .await;
    (backend, said)
}

/// The right answer to the key in `head`.
fn switch(head: &str) -> String {
    let key = head
        .lines()
        .find_map(|line| line.strip_prefix("sec-websocket-key: "))
        .unwrap();
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-accept: {}\r\nsec-websocket-protocol: chat\r\n\r\n",
        super::super::tunnel::accept(key.as_bytes())
    )
}

fn asking() -> String {
    format!(
        "GET /ws HTTP/1.1\r\nhost: a\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: {KEY}\r\n\r\n"
    )
}

#[tokio::test]
async fn bytes_flow_both_ways_after_the_switch() {
    let (backend, mut said) = echo(switch).await;
    let bench = Bench::to(&[backend.url()]);
    let front = bench.front(Speaks::Http1).await;
    let mut stream = connect(&front).await;
    write(&mut stream, &asking()).await;
    let head = read_head(&mut stream).await.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101"), "{head}");
    assert!(head.contains("connection: upgrade\r\n"), "{head}");
    assert!(head.contains("upgrade: websocket\r\n"), "{head}");
    assert!(head.contains("sec-websocket-protocol: chat\r\n"), "{head}");
    assert!(head.contains(&format!(
        "sec-websocket-accept: {}",
        PROOF.to_ascii_lowercase()
    )));
    let asked = said.recv().await.unwrap().to_ascii_lowercase();
    assert!(asked.contains("connection: upgrade\r\n"), "{asked}");
    for message in ["one", "two"] {
        write(&mut stream, message).await;
        assert_eq!(said.recv().await.unwrap(), message);
        let mut echoed = [0; 3];
        stream.read_exact(&mut echoed).await.unwrap();
        assert_eq!(echoed, message.as_bytes());
    }
    assert_eq!(bench.upstream.servers().next().unwrap().outstanding, 1);
    drop(stream);
    assert_eq!(said.recv().await.unwrap(), "closed");
    while bench.upstream.servers().next().unwrap().outstanding != 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn bytes_sent_before_the_switch_wait_for_it() {
    let (gate, opened) = tokio::sync::oneshot::channel::<()>();
    let opened = Arc::new(tokio::sync::Mutex::new(Some(opened)));
    let (say, mut said) = mpsc::unbounded_channel();
    let backend = Backend::accept(move |mut stream| {
        let (say, opened) = (say.clone(), opened.clone());
        async move {
            let head = read_head(&mut stream).await;
            let _ = say.send(String::from("asked"));
            let mut early = [0; 16];
            tokio::select! {
                read = stream.read(&mut early) => {
                    let _ = say.send(format!("early {read:?}"));
                }
                _ = opened.lock().await.take().unwrap() => {}
            }
            write(&mut stream, &switch(&head)).await;
            let count = stream.read(&mut early).await.unwrap();
            let _ = say.send(String::from_utf8_lossy(&early[..count]).into_owned());
        }
    })
    .await;
    let bench = Bench::to(&[backend.url()]);
    let front = bench.front(Speaks::Http1).await;
    let mut stream = connect(&front).await;
    write(&mut stream, &(asking() + "GET /admin")).await;
    assert_eq!(said.recv().await.unwrap(), "asked");
    gate.send(()).unwrap();
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 101"));
    assert_eq!(said.recv().await.unwrap(), "GET /admin");
}

#[tokio::test]
async fn a_refused_switch_is_an_answer_like_any_other() {
    let refuse = |_: &str| String::from("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno");
    let (backend, mut said) = echo(refuse).await;
    let bench = Bench::to(&[backend.url()]);
    let front = bench.front(Speaks::Http1).await;
    let mut stream = connect(&front).await;
    write(
        &mut stream,
        &(asking() + "GET /admin HTTP/1.1\r\nhost: a\r\n\r\n"),
    )
    .await;
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 403"));
    assert!(said.recv().await.unwrap().starts_with("GET /ws"));
    assert!(said.try_recv().is_err(), "nothing was tunnelled");
}

#[tokio::test]
async fn a_switch_without_proof_is_refused() {
    for answer in [
        format!("connection: upgrade\r\nupgrade: h2c\r\nsec-websocket-accept: {PROOF}\r\n"),
        String::from("connection: upgrade\r\nupgrade: websocket\r\n"),
        String::from("connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: AAAA\r\n"),
    ] {
        let answer = format!("HTTP/1.1 101 Switching Protocols\r\n{answer}\r\n");
        let (backend, _said) = echo(move |_| answer.clone()).await;
        let bench = Bench::to(&[backend.url()]);
        let front = bench.front(Speaks::Http1).await;
        let mut stream = connect(&front).await;
        write(&mut stream, &asking()).await;
        let head = read_head(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 502"), "{head}");
        assert_eq!(bench.upstream.servers().next().unwrap().outstanding, 0);
    }
}

#[tokio::test]
async fn a_server_that_switches_sets_no_cookie_of_the_gateways() {
    let (backend, _said) = echo(|head| {
        let cookies = "set-cookie: own=evil\r\nset-cookie: theirs=1\r\n\r\n";
        switch(head).trim_end().to_owned() + "\r\n" + cookies
    })
    .await;
    let bench = Bench::to(&[backend.url()]);
    let front = bench.front(Speaks::Http1).await;
    let mut stream = connect(&front).await;
    write(&mut stream, &asking()).await;
    let head = read_head(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert!(head.contains("set-cookie: theirs=1\r\n"), "{head}");
    assert!(!head.contains("own="), "{head}");
}

#[tokio::test]
async fn a_silent_tunnel_is_closed() {
    let (backend, mut said) = echo(switch).await;
    let mut settings = settings(&[backend.url()]);
    settings.idle = Duration::from_millis(50);
    let bench = Bench::new(settings);
    let front = bench.front(Speaks::Http1).await;
    let mut stream = connect(&front).await;
    write(&mut stream, &asking()).await;
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 101"));
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(said.recv().await.unwrap().starts_with("GET /ws"));
    assert_eq!(said.recv().await.unwrap(), "closed");
}

/// An extended CONNECT (RFC 8441) to `front`.
async fn connect_extended(front: &Backend) -> Response<Incoming> {
    let io = TokioIo::new(connect(front).await);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
        .await
        .unwrap();
    tokio::spawn(async move {
        let _ = connection.await;
    });
    let request = http::Request::builder()
        .method(Method::CONNECT)
        .uri(format!("http://127.0.0.1:{}/ws", front.port))
        .extension(Protocol::from_static("websocket"))
        .body(http_body_util::Empty::<Bytes>::new())
        .unwrap();
    sender.send_request(request).await.unwrap()
}

#[tokio::test]
async fn an_extended_connect_becomes_an_upgrade_upstream() {
    let (backend, mut said) = echo(switch).await;
    let bench = Bench::to(&[backend.url()]);
    let front = bench.front(Speaks::Http2).await;
    let mut answer = connect_extended(&front).await;
    assert_eq!(answer.status(), 200);
    assert!(!answer.headers().contains_key("sec-websocket-accept"));
    assert_eq!(answer.headers()["sec-websocket-protocol"], "chat");
    let asked = said.recv().await.unwrap();
    assert!(asked.starts_with("GET /ws HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("sec-websocket-version: 13\r\n"), "{asked}");
    let upgraded = hyper::upgrade::on(&mut answer).await.unwrap();
    let mut tunnel = TokioIo::new(upgraded);
    tunnel.write_all(b"one").await.unwrap();
    let mut echoed = [0; 3];
    tunnel.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"one");
}

#[tokio::test]
async fn an_extended_connect_is_not_granted_by_an_ordinary_answer() {
    let ordinary = |_: &str| String::from("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let (backend, _said) = echo(ordinary).await;
    let bench = Bench::to(&[backend.url()]);
    let front = bench.front(Speaks::Http2).await;
    assert_eq!(connect_extended(&front).await.status(), 502);
}

#[tokio::test]
async fn a_server_of_http2_alone_cannot_be_switched() {
    let backend = mirror(Speaks::Http2).await;
    let bench = Bench::to(&[format!("h2c://127.0.0.1:{}", backend.port)]);
    let front = bench.front(Speaks::Http1).await;
    let mut stream = connect(&front).await;
    write(&mut stream, &asking()).await;
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 502"));
}
