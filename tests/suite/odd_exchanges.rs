//! Exchanges that are legal and rare, or broken in the middle: nothing is lost, nothing is made up.

use http::Response;
use http_body_util::BodyExt;

use super::harness::raw::Raw;
use super::harness::upstream::response;
use super::harness::{Config, Gateway, Upstream, body, tokens, within};

async fn public(upstream: &Upstream) -> Gateway {
    Config::new().app(upstream).start().await
}

/// An upstream that writes these bytes after each head that it reads, and goes on.
async fn answering(bytes: &'static str) -> Upstream {
    Upstream::raw(move |mut raw: Raw| async move {
        while raw.read_head().await.is_some() {
            if raw.try_write(bytes).await.is_err() {
                return;
            }
        }
    })
    .await
}

#[tokio::test]
async fn an_upload_that_breaks_off_is_not_taken_for_a_whole_one() {
    let (upstream, mut exchanges) = Upstream::by_hand().await;
    let gateway = public(&upstream).await;
    for client in [gateway.https(), gateway.h2()] {
        let (pieces, upload) = body::pieces();
        let calling = tokio::spawn(client.post("/public/a").body(upload).try_send());
        pieces.send("the first half").await;
        let exchange = exchanges.next().await;
        pieces.break_off().await;
        drop(pieces);
        let read = within("the upload ends", exchange.request.into_body().collect()).await;
        assert!(read.is_err(), "half an upload arrived as a whole one");
        let _ = calling.await;
    }
}

#[tokio::test]
async fn an_answer_in_pieces_that_breaks_off_is_not_taken_for_a_whole_one() {
    let upstream = Upstream::raw(|mut raw: Raw| async move {
        raw.read_head().await;
        raw.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            .await;
    })
    .await;
    let gateway = public(&upstream).await;
    for client in [gateway.https(), gateway.h2()] {
        assert!(client.get("/public/a").try_send().await.is_err());
    }
}

#[tokio::test]
async fn an_interim_answer_is_not_the_answer() {
    for interim in [
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n",
        "HTTP/1.1 102 Processing\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
    ] {
        let upstream = Upstream::raw(move |mut raw: Raw| async move {
            while raw.read_head().await.is_some() {
                raw.write(interim).await;
                raw.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
                    .await;
            }
        })
        .await;
        let gateway = public(&upstream).await;
        for client in [gateway.https(), gateway.h2()] {
            assert_eq!(
                client.get("/public/a").send().await.expect(200).text(),
                "done",
                "{interim}"
            );
        }
    }
}

#[tokio::test]
async fn a_switch_of_protocols_that_nobody_asked_for_is_a_502() {
    let upstream = answering(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    )
    .await;
    let gateway = public(&upstream).await;
    for client in [gateway.https(), gateway.h2()] {
        client.get("/public/a").send().await.expect(502);
    }
}

#[tokio::test]
async fn connection_headers_of_an_answer_stay_on_their_side() {
    let upstream = answering(
        "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Authenticate: Basic\r\nX-End: 1\r\nContent-Length: 2\r\n\r\nhi",
    )
    .await;
    let gateway = public(&upstream).await;
    for client in [gateway.https(), gateway.h2()] {
        let answer = client.get("/public/a").send().await.expect(200);
        for name in ["x-hop", "keep-alive"] {
            assert_eq!(answer.header(name), None, "{name}");
        }
        assert_eq!(answer.header("x-end"), Some("1"));
    }
}

#[tokio::test]
async fn an_answer_that_comes_before_the_upload_is_whole_is_passed_on() {
    let (upstream, mut exchanges) = Upstream::by_hand().await;
    let gateway = public(&upstream).await;
    for client in [gateway.https(), gateway.h2()] {
        let (pieces, upload) = body::pieces();
        let calling = tokio::spawn(client.post("/public/a").body(upload).send());
        pieces.send("the first half").await;
        exchanges.next().await.answer(response(413, "enough"));
        assert_eq!(calling.await.unwrap().expect(413).text(), "enough");
        drop(pieces);
    }
}

#[tokio::test]
async fn a_kept_connection_that_the_upstream_closed_costs_nobody_a_request() {
    let upstream = Upstream::raw(|mut raw: Raw| async move {
        raw.read_head().await;
        raw.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
            .await;
        // Closed without a word, as servers close idle connections.
    })
    .await;
    let gateway = public(&upstream).await;
    let mut connection = gateway.https().connect().await;
    for n in 0..30 {
        let request = gateway.https().get("/public/a").build();
        let answer = connection.send(request).await.unwrap();
        assert_eq!(answer.status(), 200, "request {n}");
        answer.into_body().collect().await.unwrap();
    }
}

#[tokio::test]
async fn an_old_client_gets_an_answer_that_ends_with_its_connection() {
    let upstream =
        answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
            .await;
    let gateway = public(&upstream).await;
    let mut raw = gateway.https().raw().await;
    raw.write("GET /public/a HTTP/1.0\r\nHost: localhost\r\n\r\n")
        .await;
    let answer = String::from_utf8(raw.read_to_close().await).unwrap();
    assert!(
        answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200"),
        "{answer}"
    );
    assert!(
        answer.ends_with("\r\n\r\nhello"),
        "no chunks for HTTP/1.0: {answer}"
    );
}

#[tokio::test]
async fn a_download_that_nobody_reads_is_not_taken_in_whole() {
    let (upstream, mut exchanges) = Upstream::by_hand().await;
    let gateway = public(&upstream).await;
    for client in [gateway.https(), gateway.h2()] {
        let calling = tokio::spawn(client.get("/public/big").open());
        let (pieces, download) = body::pieces();
        exchanges.next().await.answer(Response::new(download));
        let held = calling.await.unwrap();
        let stuck = std::time::Duration::from_millis(500);
        let mut taken = 0;
        while tokio::time::timeout(stuck, pieces.send(vec![0; 1 << 20])).await == Ok(true) {
            taken += 1;
            assert!(
                taken < 64,
                "64 MiB were taken in although the client read nothing"
            );
        }
        drop(held);
    }
}

#[tokio::test]
async fn many_streams_of_one_connection_are_answered_each_with_its_own() {
    let upstream = Upstream::echo().await;
    let gateway = public(&upstream).await;
    let (sender, connection) = gateway.h2().h2_sender().await;
    let task = tokio::spawn(connection);
    let mut sender = sender.ready().await.unwrap();
    let mut answers = Vec::new();
    for n in 0..90 {
        let uri = gateway.https().url(&format!("/private/{n}"));
        let token = tokens::token(&format!("user-{n}"));
        let request = http::Request::get(uri).header("authorization", format!("Bearer {token}"));
        answers.push(
            sender
                .send_request(request.body(()).unwrap(), true)
                .unwrap()
                .0,
        );
    }
    for (n, answer) in answers.into_iter().enumerate() {
        let mut body = within("an answer", answer).await.unwrap().into_body();
        let mut text = Vec::new();
        while let Some(piece) = body.data().await {
            text.extend_from_slice(&piece.unwrap());
        }
        let text = String::from_utf8(text).unwrap();
        assert!(
            text.contains(&format!("/private/{n}\"")) && text.contains(&format!("user-{n}\"")),
            "{n}: {text}"
        );
    }
    task.abort();
}

#[tokio::test]
async fn a_grpc_call_goes_through_to_an_h2c_upstream() {
    let upstream = Upstream::echo_h2c().await;
    let gateway = public(&upstream).await;
    let call = gateway
        .h2()
        .post("/public/Service/Method")
        .header("te", "trailers");
    call.header("content-type", "application/grpc")
        .bytes("\0\0\0\0\0")
        .send()
        .await
        .expect(200);
    let received = upstream.last();
    assert_eq!(received.header("te").as_deref(), Some("trailers"));
    assert_eq!(
        received.header("content-type").as_deref(),
        Some("application/grpc")
    );
    assert_eq!(received.body.len(), 5);
}

#[tokio::test]
async fn methods_that_proxies_must_not_take_are_refused() {
    let upstream = Upstream::echo().await;
    let gateway = public(&upstream).await;
    for client in [gateway.https(), gateway.h2()] {
        let answer = client
            .call("TRACE", "/public/a")
            .header("x-secret", "1")
            .send()
            .await;
        assert!(
            matches!(answer.status.as_u16(), 400 | 405 | 501),
            "{}",
            answer.status
        );
        assert!(!answer.text().contains("x-secret"));
    }
    assert!(upstream.received().is_empty());
}
