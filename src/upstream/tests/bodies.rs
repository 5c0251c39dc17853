//! Bodies in both directions: streams, trailers, caps, back-pressure.

use http::header::{CONTENT_LENGTH, TE, TRAILER};
use hyper::client::conn::http1::SendRequest;

use super::super::UpstreamError;
use super::*;
use crate::body::BodyError;

/// A client's connection to `front`.
async fn client(front: &Backend) -> SendRequest<Fed> {
    let io = TokioIo::new(connect(front).await);
    let (sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn data(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

fn trailers(name: &'static str, value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(http::HeaderName::from_static(name), static_value(value))])
}

async fn next_data<B>(body: &mut B) -> Bytes
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Debug,
{
    body.frame().await.unwrap().unwrap().into_data().unwrap()
}

#[tokio::test]
async fn events_arrive_one_by_one() {
    let (events, fed) = Fed::new();
    let fed = Arc::new(std::sync::Mutex::new(Some(fed)));
    let backend = Backend::serve(Speaks::Http1, move |_| {
        let fed = fed.lock().unwrap().take().unwrap();
        async move { Response::new(fed.boxed_unsync()) }
    })
    .await;
    let bench = Bench::to(&[backend.url()]);
    events.send(data("data: 0\n\n")).unwrap();
    let mut body = bench.send(get("/")).await.unwrap().into_body();
    assert_eq!(next_data(&mut body).await, "data: 0\n\n");
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        // The next is sent only when the one before has arrived.
        events.send(data(event)).unwrap();
        assert_eq!(next_data(&mut body).await, event);
    }
    drop(body);
    events.closed().await;
}

#[tokio::test]
async fn an_answer_that_falls_silent_is_broken_off() {
    let (events, fed) = Fed::new();
    let fed = Arc::new(std::sync::Mutex::new(Some(fed)));
    let backend = Backend::serve(Speaks::Http1, move |_| {
        let fed = fed.lock().unwrap().take().unwrap();
        async move { Response::new(fed.boxed_unsync()) }
    })
    .await;
    let mut settings = settings(&[backend.url()]);
    settings.idle = Duration::from_millis(500);
    let bench = Bench::new(settings);
    events.send(data("data: 0\n\n")).unwrap();
    let mut body = bench.send(get("/")).await.unwrap().into_body();
    assert_eq!(next_data(&mut body).await, "data: 0\n\n");
    let error = body.frame().await.unwrap().err().unwrap();
    assert!(matches!(error, BodyError::UpstreamIdle), "{error:?}");
    drop(body);
    events.closed().await;
}

#[tokio::test]
async fn an_answer_broken_off_is_an_error_and_not_an_end() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        let backend = Backend::accept(move |mut stream| async move {
            read_head(&mut stream).await;
            write(&mut stream, answer).await;
        })
        .await;
        let bench = Bench::to(&[backend.url()]);
        let mut body = bench.send(get("/")).await.unwrap().into_body();
        assert_eq!(next_data(&mut body).await, "hello");
        let error = body.frame().await.unwrap().err().unwrap();
        assert!(matches!(error, BodyError::Upstream(_)), "{error:?}");
        assert_eq!(bench.upstream.servers().next().unwrap().outstanding, 0);
    }
}

#[tokio::test]
async fn trailers_pass_both_ways_and_stripped_ones_do_not() {
    for (speaks, scheme) in [(Speaks::Http1, "http"), (Speaks::Http2, "h2c")] {
        let backend = Backend::serve(speaks, |request| async move {
            let collected = request.into_body().collect().await.unwrap();
            let got = collected.trailers().cloned().unwrap_or_default();
            assert!(!got.contains_key("x-user-id"), "{got:?}");
            let sum = got["x-sum"].clone();
            let (frames, fed) = Fed::new();
            frames.send(data("hello")).unwrap();
            let mut trailers = trailers("x-sum", "");
            trailers.insert("x-sum", sum);
            trailers.insert("set-cookie", static_value("a=b"));
            frames.send(Frame::trailers(trailers)).unwrap();
            let mut answer = Response::new(fed.boxed_unsync());
            let announced = static_value("x-sum, set-cookie");
            answer.headers_mut().insert(TRAILER, announced);
            answer
        })
        .await;
        let bench = Bench::to(&[format!("{scheme}://127.0.0.1:{}", backend.port)]);
        let front = bench.front(Speaks::Http1).await;
        let mut client = client(&front).await;
        for _ in 0..2 {
            let (frames, fed) = Fed::new();
            frames.send(data("hello")).unwrap();
            let mut sent = trailers("x-sum", "42");
            sent.insert("x-user-id", static_value("evil"));
            frames.send(Frame::trailers(sent)).unwrap();
            drop(frames);
            let mut request = http::Request::post("/").body(fed).unwrap();
            let announced = static_value("x-sum, x-user-id");
            request.headers_mut().insert(TRAILER, announced);
            request.headers_mut().insert(TE, static_value("trailers"));
            request.headers_mut().insert("host", static_value("a"));
            client.ready().await.unwrap();
            let answer = client.send_request(request).await.unwrap();
            let collected = answer.into_body().collect().await.unwrap();
            assert_eq!(collected.trailers(), Some(&trailers("x-sum", "42")));
            assert_eq!(collected.to_bytes(), "hello");
        }
        assert_eq!(backend.connections(), 1, "{speaks:?}");
    }
}

#[tokio::test]
async fn a_head_answer_keeps_its_length_and_connection() {
    let backend = Backend::serve(Speaks::Http1, |request| async move {
        assert_eq!(request.method(), Method::HEAD);
        let mut answer = whole("");
        answer.headers_mut().insert(CONTENT_LENGTH, 1234.into());
        answer
    })
    .await;
    let bench = Bench::to(&[backend.url()]);
    let front = bench.front(Speaks::Http1).await;
    let mut stream = connect(&front).await;
    for _ in 0..3 {
        write(&mut stream, "HEAD / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let head = read_head(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("content-length: 1234\r\n"), "{head}");
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn a_get_with_a_chunked_body_keeps_it() {
    let backend = mirror(Speaks::Http1).await;
    let bench = Bench::to(&[backend.url()]);
    let front = bench.front(Speaks::Http1).await;
    let mut stream = connect(&front).await;
    let request = "GET /a HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
                   transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    write(&mut stream, request).await;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.contains("transfer-encoding: chunked\n\nhello"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_body_over_the_cap_never_starts() {
    let backend = mirror(Speaks::Http1).await;
    let bench = Bench::to(&[backend.url()]);
    let mut large = get("/");
    let bytes = Bytes::from_static(&[0; 11]);
    large.body = RequestBody::new(ClientBody::from(bytes), 10);
    let error = bench.send(large).await.err().unwrap();
    assert!(matches!(error, UpstreamError::BodyTooLarge), "{error:?}");
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn a_chunked_body_over_the_cap_is_aborted_upstream() {
    for (speaks, scheme) in [(Speaks::Http1, "http"), (Speaks::Http2, "h2c")] {
        let (broke, mut seen) = mpsc::unbounded_channel();
        let backend = Backend::serve(speaks, move |request| {
            let broke = broke.clone();
            async move {
                let body = request.into_body().collect().await;
                let _ = broke.send(body.is_err());
                whole("")
            }
        })
        .await;
        let bench = Bench::to(&[format!("{scheme}://127.0.0.1:{}", backend.port)]);
        let capped = bench.clone();
        let front = Backend::serve(Speaks::Http1, move |request| {
            let bench = capped.clone();
            async move {
                let body = ClientBody::incoming(request.into_body(), None);
                let mut request = post("/", "");
                request.body = RequestBody::new(body, 10);
                let error = bench.send(request).await.err().unwrap();
                assert!(matches!(error, UpstreamError::BodyTooLarge), "{error:?}");
                whole("too large")
            }
        })
        .await;
        let mut stream = connect(&front).await;
        let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
        write(&mut stream, head).await;
        write(&mut stream, "6\r\nhello!\r\n").await;
        write(&mut stream, "6\r\nhello!\r\n").await;
        let answer = read_head(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(seen.recv().await, Some(true), "{speaks:?}");
        assert!(!bench.upstream.servers().next().unwrap().resting);
    }
}

#[tokio::test]
async fn a_client_that_leaves_stops_the_upstream() {
    let (left, mut seen) = mpsc::unbounded_channel();
    let backend = Backend::accept(move |mut stream| {
        let left = left.clone();
        async move {
            read_head(&mut stream).await;
            let _ = left.send("asked");
            read_head(&mut stream).await;
            let _ = left.send("left");
        }
    })
    .await;
    let bench = Bench::to(&[backend.url()]);
    let front = bench.front(Speaks::Http1).await;
    let mut stream = connect(&front).await;
    write(&mut stream, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(seen.recv().await, Some("asked"));
    drop(stream);
    assert_eq!(seen.recv().await, Some("left"));
}

#[tokio::test]
async fn an_upload_waits_for_its_reader() {
    const CHUNK: usize = 64 * 1024;
    const TOTAL: usize = 128 << 20;
    /// Who can write nothing for so long has nobody who reads.
    const STUCK: Duration = Duration::from_millis(500);
    /// Far longer than a reader takes on a loaded machine.
    const PATIENCE: Duration = Duration::from_secs(60);
    for (speaks, scheme) in [(Speaks::Http1, "http"), (Speaks::Http2, "h2c")] {
        let gate = Arc::new(tokio::sync::Notify::new());
        let opened = gate.clone();
        let backend = Backend::serve(speaks, move |request| {
            let gate = opened.clone();
            async move {
                gate.notified().await;
                let mut body = request.into_body();
                let mut read = 0;
                while let Some(frame) = body.frame().await {
                    read += frame.unwrap().data_ref().map_or(0, Bytes::len);
                }
                whole(read.to_string())
            }
        })
        .await;
        let bench = Bench::to(&[format!("{scheme}://127.0.0.1:{}", backend.port)]);
        let front = bench.front(Speaks::Http1).await;
        let mut stream = connect(&front).await;
        let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {TOTAL}\r\n\r\n");
        write(&mut stream, &head).await;
        let chunk = vec![b'x'; CHUNK];
        let mut written = 0;
        let mut waited = false;
        while written < TOTAL {
            let end = CHUNK.min(TOTAL - written);
            let patience = if waited { PATIENCE } else { STUCK };
            match tokio::time::timeout(patience, stream.write(&chunk[..end])).await {
                Ok(count) => written += count.unwrap(),
                Err(_) => {
                    // The kernel's buffers are full, and ours hold no more than a window.
                    assert!(!waited && written < TOTAL / 2, "{speaks:?}: {written}");
                    waited = true;
                    gate.notify_one();
                }
            }
        }
        assert!(waited, "{speaks:?}: {TOTAL} bytes went into nowhere");
        let head = read_head(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let mut body = vec![0; TOTAL.to_string().len()];
        stream.read_exact(&mut body).await.unwrap();
        assert_eq!(body, TOTAL.to_string().as_bytes());
    }
}

#[tokio::test]
async fn a_body_is_sent_only_when_the_server_says_continue() {
    let backend = Backend::serve(Speaks::Http1, |request| async move {
        if request.uri() == "/no" {
            let mut answer = whole("no");
            *answer.status_mut() = StatusCode::EXPECTATION_FAILED;
            return answer;
        }
        let body = request.into_body().collect().await.unwrap();
        whole(body.to_bytes())
    })
    .await;
    let bench = Bench::to(&[backend.url()]);
    let front = bench.front(Speaks::Http1).await;
    let head = |target| {
        format!(
            "POST {target} HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n"
        )
    };

    let mut stream = connect(&front).await;
    write(&mut stream, &head("/no")).await;
    let answer = read_head(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 417"), "{answer}");

    let mut stream = connect(&front).await;
    write(&mut stream, &head("/yes")).await;
    let answer = read_head(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 100"), "{answer}");
    write(&mut stream, "hello").await;
    let answer = read_head(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_server_that_never_says_continue_gets_the_body_after_all() {
    let backend = Backend::accept(|mut stream| async move {
        read_head(&mut stream).await;
        let mut body = [0; 5];
        stream.read_exact(&mut body).await.unwrap();
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        write(&mut stream, answer).await;
        read_head(&mut stream).await;
    })
    .await;
    let bench = Bench::to(&[backend.url()]);
    let mut request = post("/", "hello");
    request
        .headers
        .insert("expect", static_value("100-continue"));
    assert_eq!(bench.fetch(request).await.0, 200);
}

#[tokio::test]
async fn an_early_answer_ends_the_upload() {
    let (closed, mut seen) = mpsc::unbounded_channel();
    let backend = Backend::accept(move |mut stream| {
        let closed = closed.clone();
        async move {
            read_head(&mut stream).await;
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nenough";
            write(&mut stream, answer).await;
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.unwrap();
            let _ = closed.send(());
        }
    })
    .await;
    let bench = Bench::to(&[backend.url()]);
    let front = bench.front(Speaks::Http1).await;
    let mut stream = connect(&front).await;
    let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nhello";
    write(&mut stream, head).await;
    let answer = read_head(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // The client goes on holding its connection; the server's is let go.
    assert_eq!(seen.recv().await, Some(()));
    assert_eq!(bench.upstream.servers().next().unwrap().outstanding, 0);
}
