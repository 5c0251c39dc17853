//! Connections, retries, health and deadlines.

use super::super::{ConnectError, ProtocolError, UpstreamError};
use super::*;

fn status(bench: &Bench, at: usize) -> crate::upstream::ServerStatus {
    bench.upstream.servers().nth(at).unwrap()
}

/// Answers each request on a connection with the next of `answers`; `None` closes it unanswered.
async fn scripted(answers: &'static [Option<&'static str>]) -> Backend {
    Backend::accept(move |mut stream| async move {
        for answer in answers {
            if read_head(&mut stream).await.is_empty() {
                return;
            }
            match answer {
                Some(answer) => write(&mut stream, answer).await,
                None => return,
            }
        }
        // Stays open and silent.
        read_head(&mut stream).await;
    })
    .await
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn a_connection_is_used_again() {
    let backend = mirror(Speaks::Http1).await;
    let bench = Bench::to(&[backend.url()]);
    for _ in 0..5 {
        let (status, text) = bench.fetch(post("/a?b", "hello")).await;
        assert_eq!(status, 200);
        assert!(text.starts_with("HTTP/1.1 POST /a?b\n"), "{text}");
        assert!(text.ends_with("\nhello"), "{text}");
    }
    assert_eq!(backend.connections(), 1);
    let server = status(&bench, 0);
    assert_eq!((server.connects, server.reuses), (1, 4));
    assert_eq!(server.outstanding, 0);
}

#[tokio::test]
async fn a_server_that_refuses_connections_costs_no_request_even_with_a_body() {
    let backend = mirror(Speaks::Http1).await;
    let bench = Bench::to(&[nobody(), backend.url()]);
    for _ in 0..4 {
        let (status, text) = bench.fetch(post("/", "hello")).await;
        assert_eq!(status, 200);
        assert!(text.ends_with("\nhello"), "{text}");
    }
    assert!(status(&bench, 0).resting);
    assert_eq!(
        status(&bench, 0).connects,
        1,
        "a resting server is left alone"
    );
}

#[tokio::test]
async fn nobody_there_is_a_connect_error() {
    let bench = Bench::to(&[nobody()]);
    let error = bench.send(get("/")).await.err().unwrap();
    assert!(
        matches!(&error, UpstreamError::Connect(name, ConnectError::Tcp(_)) if &**name == "app"),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_unknown_name_is_a_connect_error() {
    let bench = Bench::to(&[String::from("http://nowhere.invalid:80")]);
    let error = bench.send(get("/")).await.err().unwrap();
    assert!(
        matches!(&error, UpstreamError::Connect(_, ConnectError::Resolve(_))),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_name_is_resolved_when_connecting() {
    let backend = mirror(Speaks::Http1).await;
    let bench = Bench::to(&[format!("http://localhost:{}", backend.port)]);
    let (_, text) = bench.fetch(get("/")).await;
    let host = format!("host: localhost:{}\n", backend.port);
    assert!(text.contains(&host), "{text}");
}

#[tokio::test]
async fn an_idempotent_request_on_a_stale_connection_is_sent_again() {
    let backend = scripted(&[Some(OK), None]).await;
    let bench = Bench::to(&[backend.url()]);
    for _ in 0..3 {
        assert_eq!(bench.fetch(get("/")).await.1, "ok");
    }
    assert_eq!(backend.connections(), 3);
    assert_eq!(status(&bench, 0).retries, 2);
    assert!(
        !status(&bench, 0).resting,
        "a stale connection is no failure"
    );
}

#[tokio::test]
async fn a_request_that_is_sent_again_is_stamped_again() {
    let (seen, mut heads) = mpsc::unbounded_channel();
    let backend = Backend::accept(move |mut stream| {
        let seen = seen.clone();
        async move {
            seen.send(read_head(&mut stream).await).unwrap();
            write(&mut stream, OK).await;
            seen.send(read_head(&mut stream).await).unwrap();
        }
    })
    .await;
    let bench = Bench::to(&[backend.url()]);
    let stamps = |headers: &mut HeaderMap| {
        headers.insert("x-stamp", static_value("s"));
    };
    for _ in 0..2 {
        let asked = (Box::new(get("/")), &stamps as super::super::Stamping<'_>);
        let sent = bench.upstream.forward(&bench.pools, asked, &MAPPING);
        let body = sent.await.unwrap().into_body();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "ok");
    }
    // The second went unanswered over the first's connection.
    assert_eq!(backend.connections(), 2);
    for _ in 0..3 {
        let head = heads.recv().await.unwrap();
        assert_eq!(head.matches("x-stamp: s\r\n").count(), 1, "{head}");
    }
}

#[tokio::test]
async fn a_request_whose_body_was_read_is_never_sent_again() {
    let backend = scripted(&[Some(OK), None]).await;
    let bench = Bench::to(&[backend.url()]);
    assert_eq!(bench.fetch(get("/")).await.1, "ok");
    let error = bench.send(post("/", "hello")).await.err().unwrap();
    assert!(
        matches!(error, UpstreamError::Protocol(_, ProtocolError::Http(_))),
        "{error:?}"
    );
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn a_post_without_a_body_is_never_sent_again() {
    let backend = scripted(&[Some(OK), None]).await;
    let bench = Bench::to(&[backend.url()]);
    assert_eq!(bench.fetch(get("/")).await.1, "ok");
    assert!(bench.send(post("/", "")).await.is_err());
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn an_idempotent_request_goes_to_another_server_when_one_breaks_off() {
    let broken = scripted(&[None]).await;
    let well = mirror(Speaks::Http1).await;
    let bench = Bench::to(&[broken.url(), well.url()]);
    for _ in 0..4 {
        assert_eq!(bench.fetch(get("/")).await.0, 200);
    }
    assert_eq!(well.connections(), 1);
}

#[tokio::test]
async fn garbage_is_a_protocol_error() {
    for garbage in [
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
    ] {
        let backend = Backend::accept(move |mut stream| async move {
            read_head(&mut stream).await;
            write(&mut stream, garbage).await;
            read_head(&mut stream).await;
        })
        .await;
        let bench = Bench::to(&[backend.url()]);
        let error = bench.send(get("/")).await.err().unwrap();
        assert!(
            matches!(error, UpstreamError::Protocol(..)),
            "{garbage}: {error:?}"
        );
        assert_eq!(status(&bench, 0).outstanding, 0);
    }
}

#[tokio::test]
async fn a_failing_server_rests_and_comes_back() {
    let (socket, url) = silent();
    let bench = Bench::to(&[url]);
    assert!(bench.send(get("/")).await.is_err());
    assert!(status(&bench, 0).resting);

    let _backend = Backend::on(socket.listen(8).unwrap(), |mut stream| async move {
        read_head(&mut stream).await;
        write(&mut stream, OK).await;
        read_head(&mut stream).await;
    });
    bench.clock.advance(Duration::from_secs(1));
    assert_eq!(bench.fetch(get("/")).await.1, "ok");
    assert!(!status(&bench, 0).resting);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_a_first_byte_error() {
    let backend = Backend::accept(|mut stream| async move {
        read_head(&mut stream).await;
        // Notices that the gateway gives up.
        read_head(&mut stream).await;
    })
    .await;
    let bench = Bench::to(&[backend.url()]);
    let mut late = get("/");
    late.first_byte = Some(Duration::from_millis(30));
    let error = bench.send(late).await.err().unwrap();
    assert!(matches!(error, UpstreamError::FirstByte(_)), "{error:?}");
    assert_eq!(status(&bench, 0).failures, 1);
    assert_eq!(
        status(&bench, 0).connects,
        1,
        "what was waited for in vain is not tried again"
    );
}

#[tokio::test]
async fn a_full_server_is_not_asked() {
    let backend = Backend::accept(|mut stream| async move {
        read_head(&mut stream).await;
        write(
            &mut stream,
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel",
        )
        .await;
        read_head(&mut stream).await;
    })
    .await;
    let mut settings = settings(&[backend.url()]);
    settings.max_outstanding = 1;
    let bench = Bench::new(settings);
    let first = bench.send(get("/")).await.unwrap();
    assert_eq!(status(&bench, 0).outstanding, 1);
    let error = bench.send(get("/")).await.err().unwrap();
    assert!(matches!(error, UpstreamError::Full(_)), "{error:?}");
    drop(first);
    assert_eq!(status(&bench, 0).outstanding, 0);
}

#[tokio::test]
async fn a_reload_keeps_health_and_connections_of_servers_that_stay() {
    let backend = mirror(Speaks::Http1).await;
    let mut bench = Bench::to(&[backend.url()]);
    bench.fetch(get("/")).await;
    let changed = settings(&[nobody(), backend.url()]);
    let reloaded = Upstream::new(changed, bench.clock.clone(), Some(&bench.upstream)).unwrap();
    bench.upstream = Arc::new(reloaded);
    for _ in 0..3 {
        bench.fetch(get("/")).await;
    }
    assert_eq!(backend.connections(), 1);
    assert_eq!(status(&bench, 1).connects, 1);
}

#[tokio::test]
async fn http2_requests_share_one_connection() {
    let backend = mirror(Speaks::Http2).await;
    let bench = Bench::to(&[format!("h2c://127.0.0.1:{}", backend.port)]);
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let bench = bench.clone();
        running.spawn(async move {
            let mut request = post("/a?b", "hello");
            request.host = Some(static_value("public.example"));
            request.headers.append("cookie", static_value("a=1"));
            request.headers.append("cookie", static_value("b=2"));
            bench.fetch(request).await
        });
    }
    for (status, text) in running.join_all().await {
        assert_eq!(status, 200);
        assert!(
            text.starts_with("HTTP/2.0 POST http://public.example/a?b\n"),
            "{text}"
        );
        assert!(text.contains("te: trailers\n"), "{text}");
        assert!(text.contains("cookie: a=1; b=2\n"), "{text}");
        assert!(!text.contains("host: "), "{text}");
        assert!(text.ends_with("\nhello"), "{text}");
    }
    assert_eq!(backend.connections(), 1);
    assert_eq!(status(&bench, 0).outstanding, 0);
}

#[tokio::test]
async fn an_unused_connection_is_closed_in_time() {
    let (closed, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let backend = Backend::accept(move |mut stream| {
        let closed = closed.clone();
        async move {
            read_head(&mut stream).await;
            write(&mut stream, OK).await;
            read_head(&mut stream).await;
            let _ = closed.send(());
        }
    })
    .await;
    let mut settings = settings(&[backend.url()]);
    settings.keep = Duration::from_millis(400);
    let bench = Bench::new(settings);
    assert_eq!(bench.fetch(get("/")).await.1, "ok");
    assert_eq!(seen.recv().await, Some(()));
}

#[test]
fn a_body_may_cross_threads() {
    fn is_send<T: Send>() {}
    is_send::<Body>();
    is_send::<Pools>();
}
