//! Bodies while they are under way: prompt, unbuffered, and given up when either end goes.

use http::Response;
use http_body_util::BodyExt;

use super::accounts::{register, text};
use super::harness::upstream::response;
use super::harness::{Config, Gateway, Upstream, body, within};
use super::streams;

async fn public(upstream: &Upstream) -> Gateway {
    Config::new().app(upstream).start().await
}

#[tokio::test]
async fn an_event_stream_arrives_event_by_event() {
    let (upstream, mut exchanges) = Upstream::by_hand().await;
    let gateway = public(&upstream).await;
    for client in [gateway.https(), gateway.h2()] {
        let calling = tokio::spawn(client.get("/public/events").open());
        let exchange = exchanges.next().await;
        let (pieces, events) = body::pieces();
        let answer = Response::builder()
            .header("content-type", "text/event-stream")
            .body(events)
            .unwrap();
        exchange.answer(answer);
        let (mut response, _connection) = calling.await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        for n in 0..5 {
            // Each event is sent only when the one before has arrived: a buffer would hang here.
            let event = format!("data: {n}\n\n");
            assert!(pieces.send(event.clone()).await);
            let frame = within("an event", response.body_mut().frame())
                .await
                .unwrap()
                .unwrap();
            assert_eq!(frame.into_data().unwrap(), event);
        }
        drop(pieces);
        while let Some(frame) = within("the end", response.body_mut().frame()).await {
            assert_eq!(
                frame.unwrap().into_data().unwrap(),
                "",
                "nothing more comes"
            );
        }
    }
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_upstreams_stream() {
    let (upstream, mut exchanges) = Upstream::by_hand().await;
    let gateway = public(&upstream).await;
    for client in [gateway.https(), gateway.h2()] {
        let calling = tokio::spawn(client.get("/public/events").open());
        let exchange = exchanges.next().await;
        let (pieces, events) = body::pieces();
        exchange.answer(Response::new(events));
        let (mut response, connection) = calling.await.unwrap();
        pieces.send("data: 1\n\n").await;
        response.body_mut().frame().await.unwrap().unwrap();
        drop((response, connection));
        within("the upstream's stream is given up", async {
            while pieces.send("data: more\n\n").await {}
        })
        .await;
    }
}

#[tokio::test]
async fn a_client_that_goes_away_before_the_answer_ends_the_request() {
    let (upstream, mut exchanges) = Upstream::by_hand().await;
    let gateway = public(&upstream).await;
    let mut raw = gateway.https().raw().await;
    raw.write("GET /public/slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    let mut exchange = exchanges.next().await;
    drop(raw);
    exchange.abandoned().await;
}

#[tokio::test]
async fn a_large_upload_flows_while_it_is_sent() {
    let (upstream, mut exchanges) = Upstream::by_hand().await;
    let gateway = Config::new()
        .app(&upstream)
        .route(
            "/big/**",
            "upstream = \"app\"\nauth = \"none\"\nmax_body = \"64MiB\"",
        )
        .start()
        .await;
    for client in [gateway.https(), gateway.h2()] {
        let (pieces, upload) = body::pieces();
        let calling = tokio::spawn(client.post("/big/upload").body(upload).send());
        pieces.send(vec![7; 1000]).await;
        let mut exchange = exchanges.next().await;
        let first = within("the first piece", exchange.request.body_mut().frame())
            .await
            .unwrap()
            .unwrap();
        assert!(
            !first.into_data().unwrap().is_empty(),
            "the first piece arrives before the last is sent"
        );
        let sending = tokio::spawn(async move {
            for _ in 0..256 {
                assert!(pieces.send(vec![7; 64 * 1024]).await);
            }
        });
        let mut length = 1000;
        while let Some(frame) = exchange.request.body_mut().frame().await {
            length += frame.unwrap().into_data().map_or(0, |data| data.len());
        }
        sending.await.unwrap();
        exchange.answer(response(200, "done"));
        calling.await.unwrap().expect(200);
        assert!(length >= 256 * 64 * 1024, "{length}");
    }
}

#[tokio::test]
async fn an_upload_that_nobody_reads_is_not_taken_in_whole() {
    let (upstream, mut exchanges) = Upstream::by_hand().await;
    let gateway = Config::new()
        .app(&upstream)
        .route(
            "/big/**",
            "upstream = \"app\"\nauth = \"none\"\nmax_body = \"1GiB\"",
        )
        .start()
        .await;
    let (pieces, upload) = body::pieces();
    let calling = tokio::spawn(gateway.https().post("/big/upload").body(upload).send());
    let exchange = exchanges.next().await;
    let mut taken = 0_usize;
    let stuck = std::time::Duration::from_millis(500);
    // Sockets and windows hold a few megabytes; what is not read must stop the sender soon.
    while tokio::time::timeout(stuck, pieces.send(vec![0; 1 << 20])).await == Ok(true) {
        taken += 1;
        assert!(
            taken < 64,
            "64 MiB were taken in although the upstream read nothing"
        );
    }
    drop(exchange);
    calling.abort();
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let (upstream, mut exchanges) = Upstream::by_hand().await;
    let gateway = public(&upstream).await;
    let (pieces, upload) = body::pieces();
    let call = gateway
        .h2()
        .post("/public/grpc")
        .header("te", "trailers")
        .header("trailer", "x-sum")
        .body(upload);
    let calling = tokio::spawn(call.send());
    let exchange = exchanges.next().await;
    let mut sum = http::HeaderMap::new();
    sum.insert("x-sum", "1".parse().unwrap());
    pieces.send("hello").await;
    pieces.trailers(sum.clone()).await;
    drop(pieces);
    let read = within("the upload", exchange.request.into_body().collect())
        .await
        .unwrap();
    assert_eq!(
        read.trailers().map(|t| t["x-sum"].clone()),
        Some("1".parse().unwrap())
    );
    let (answering, answer) = body::pieces();
    let head = Response::builder()
        .header("trailer", "x-sum")
        .body(answer)
        .unwrap();
    let _ = exchange.answer.send(head);
    answering.send("world").await;
    answering.trailers(sum).await;
    drop(answering);
    let answer = calling.await.unwrap().expect(200);
    assert_eq!(answer.text(), "world");
    assert_eq!(answer.trailers.unwrap()["x-sum"], "1");
}

#[tokio::test]
async fn the_client_is_asked_for_its_body_only_when_the_request_is_wanted() {
    let upstream = Upstream::echo().await;
    let gateway = public(&upstream).await;
    let request = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        )
    };
    let mut raw = gateway.https().raw().await;
    raw.write(request("/public/a")).await;
    assert_eq!(raw.answer().await.status, 100);
    raw.write("hello").await;
    assert_eq!(raw.answer().await.status, 200);
    assert_eq!(upstream.last().body, "hello");

    let mut raw = gateway.https().raw().await;
    raw.write(request("/private")).await;
    assert_eq!(
        raw.answer().await.status,
        401,
        "refused without asking for the body"
    );
}

#[tokio::test]
async fn an_answer_that_a_slow_client_takes_its_time_for_is_a_stream_of_its_session() {
    let mut app = streams::app("").await;
    let ann = register(&app.gateway.https(), "ann@example.com").await;
    let authorization = format!("Bearer {}", text(&ann, "access_token"));
    let (mut sender, connection) = app.gateway.h2().h2_sender().await;
    let connection = tokio::spawn(connection);
    let request = http::Request::get(app.gateway.https().url("/calls"))
        .header("authorization", authorization)
        .body(())
        .unwrap();
    let (response, _) = sender.send_request(request, true).unwrap();
    let (pieces, answer) = body::pieces();
    app.calls.next().await.answer(Response::new(answer));
    // There is always more of it.
    let flood = tokio::spawn(async move { while pieces.send(vec![7; 16 * 1024]).await {} });
    let response = within("the head", response).await.unwrap();
    let mut body = response.into_body();
    let nothing = tokio::time::timeout(2 * streams::QUIET, std::future::pending::<()>());
    assert!(nothing.await.is_err());
    let mut taken = 0;
    while taken < 512 * 1024 {
        let piece = within("a piece", body.data()).await.unwrap().unwrap();
        taken += piece.len();
        body.flow_control().release_capacity(piece.len()).unwrap();
    }
    app.gateway.comes_to_count(&["portcullis_streams 1"]).await;
    drop((body, sender));
    flood.await.unwrap();
    connection.abort();
}
