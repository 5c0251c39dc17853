//! Requests that last before their answer begins: an upload, or a server that takes its time. They
//! end with the session too.

use std::time::{Duration, Instant};

use http::Response;
use http_body_util::BodyExt as _;
use serde_json::json;
use tokio::task::JoinHandle;

use super::accounts::{PASSWORD, login, register, text};
use super::harness::body::{self, Pieces};
use super::harness::upstream::{Exchange, response};
use super::harness::{Answer, Gateway, within};
use super::streams::{App, BOUND, Shown, app, bearer};

/// An upload of which some has arrived, and which goes on.
struct Upload {
    pieces: Pieces,
    exchange: Exchange,
    answer: JoinHandle<Answer>,
}

impl App {
    async fn upload(&mut self, shown: &Shown, http2: bool) -> Upload {
        let client = match http2 {
            true => self.gateway.h2(),
            false => self.gateway.https(),
        };
        let path = if http2 { "/calls" } else { "/events" };
        let (pieces, body) = body::pieces();
        let call = client.post(path).body(body);
        let call = shown.iter().fold(call, |call, (k, v)| call.header(k, v));
        let answer = tokio::spawn(call.send());
        assert!(pieces.send(vec![7; 1000]).await);
        let exchanges = match http2 {
            true => &mut self.calls,
            false => &mut self.events,
        };
        let mut exchange = exchanges.next().await;
        let first = exchange.request.body_mut().frame();
        within("the first piece", first).await.unwrap().unwrap();
        Upload {
            pieces,
            exchange,
            answer,
        }
    }
}

async fn log_out(gateway: &Gateway, token: &str) {
    let logout = gateway.https().post("/auth/v1/logout").bearer(token);
    assert!(logout.send().await.status.is_success());
}

#[tokio::test]
async fn an_upload_ends_with_its_session_before_it_has_an_answer() {
    let mut app = app("").await;
    let ann = register(&app.gateway.https(), "ann@example.com").await;
    let other = login(&app.gateway.https(), "ann@example.com").await;
    let token = text(&ann, "access_token");
    let mut uploads = [
        app.upload(&bearer(token), false).await,
        app.upload(&bearer(token), true).await,
    ];
    let mut others = app
        .upload(&bearer(text(&other, "access_token")), false)
        .await;
    // An answer that is waited for, to a request that was sent whole.
    let waiting = app.gateway.https().get("/events").bearer(token).send();
    let waiting = tokio::spawn(waiting);
    let mut waited_for = app.events.next().await;
    for upload in &mut uploads {
        assert!(upload.pieces.send("more").await);
    }
    log_out(&app.gateway, token).await;
    let ended = Instant::now();
    within("the server is told", waited_for.abandoned()).await;
    let answer = within("an answer", waiting).await.unwrap().expect(401);
    assert_eq!(answer.json()["error"]["code"], "REVOKED_TOKEN");
    for upload in uploads {
        let Upload {
            pieces,
            mut exchange,
            answer,
        } = upload;
        let body = exchange.request.body_mut();
        let last = within("the server is told", async {
            loop {
                match body.frame().await {
                    Some(Ok(_)) => {}
                    last => return last,
                }
            }
        });
        assert!(last.await.is_some(), "the upload looks complete");
        within("an answer", answer).await.unwrap().expect(401);
        within("the client is told", async {
            while pieces.send(vec![7; 16 * 1024]).await {}
        })
        .await;
    }
    assert!(ended.elapsed() < BOUND, "{:?}", ended.elapsed());
    // What has no answer yet is no stream, and counts as none.
    app.gateway.comes_to_count(&["portcullis_streams 0"]).await;
    assert!(others.pieces.send("the rest").await);
    drop(others.pieces);
    let rest = others.exchange.request.body_mut().collect();
    assert_eq!(
        within("the rest", rest).await.unwrap().to_bytes(),
        "the rest"
    );
    others.exchange.answer(response(200, "done"));
    others.answer.await.unwrap().expect(200);
}

#[tokio::test]
async fn an_upload_is_broken_off_when_its_token_expires_and_a_request_that_was_sent_is_not() {
    let mut app = app("[tokens]\nlifetime = \"8s\"").await;
    let begun = Instant::now();
    let ann = register(&app.gateway.https(), "ann@example.com").await;
    let shown = bearer(text(&ann, "access_token"));
    let upload = app.upload(&shown, false).await;
    // Sending it again, once it is refreshed, could have it done twice.
    let (pieces, body) = body::pieces();
    let call = app.gateway.https().post("/events").body(body);
    let sent = tokio::spawn(call.bearer(text(&ann, "access_token")).send());
    assert!(pieces.send("all of it").await);
    let mut exchange = app.events.next().await;
    drop(pieces);
    let whole = exchange.request.body_mut().collect();
    within("the whole request", whole).await.unwrap();
    let answer = within("the upload ends", upload.answer).await.unwrap();
    answer.expect(401);
    assert!(begun.elapsed() >= Duration::from_secs(7));
    exchange.answer(response(200, "done"));
    assert_eq!(sent.await.unwrap().expect(200).text(), "done");
}

#[tokio::test]
async fn a_request_that_waits_for_its_answer_ends_with_its_session_also_after_its_token() {
    let mut app = app("[tokens]\nlifetime = \"6s\"\nleeway = \"0s\"").await;
    let ann = register(&app.gateway.https(), "ann@example.com").await;
    let token = text(&ann, "access_token");
    let sent = app.gateway.https().get("/events").bearer(token).send();
    let sent = tokio::spawn(sent);
    let mut exchange = app.events.next().await;
    let expired = async {
        let call = || app.gateway.https().get("/auth/v1/me").bearer(token).send();
        while call().await.status != 401 {}
    };
    within("the token expires", expired).await;
    let waits = tokio::time::timeout(Duration::from_secs(3), exchange.abandoned()).await;
    assert!(waits.is_err(), "the request ended with its token");
    let session = login(&app.gateway.https(), "ann@example.com").await;
    let end = app.gateway.https().call("DELETE", "/auth/v1/sessions");
    let end = end.bearer(text(&session, "access_token")).send().await;
    end.expect(200);
    let ended = tokio::time::timeout(BOUND, async {
        exchange.abandoned().await;
        sent.await.unwrap().expect(401);
    });
    assert!(ended.await.is_ok(), "the request outlives its session");
}

#[tokio::test]
async fn an_answer_that_begins_late_is_a_stream_of_its_session_like_any_other() {
    let mut app = app("").await;
    let ann = register(&app.gateway.https(), "ann@example.com").await;
    let token = text(&ann, "access_token");
    let upload = app.upload(&bearer(token), true).await;
    let late = tokio::time::timeout(Duration::from_secs(2), std::future::pending::<()>());
    assert!(late.await.is_err());
    let (pieces, events) = body::pieces();
    let answer = Response::builder().header("content-type", "text/event-stream");
    upload.exchange.answer(answer.body(events).unwrap());
    assert!(pieces.send("data: 1\n\n").await);
    app.gateway.comes_to_count(&["portcullis_streams 1"]).await;
    log_out(&app.gateway, token).await;
    let ended = tokio::time::timeout(BOUND, async {
        pieces.abandoned().await;
        assert_eq!(
            upload.answer.await.unwrap().expect(200).text(),
            "data: 1\n\n"
        );
    });
    assert!(ended.await.is_ok(), "the stream outlives its session");
}

#[tokio::test]
async fn what_a_session_that_has_ended_still_sends_to_the_gateway_itself_changes_nothing() {
    let app = app("").await;
    let ann = register(&app.gateway.https(), "ann@example.com").await;
    let token = text(&ann, "access_token");
    // Somebody who has the token, and the password, begins a change and holds its body back.
    let change = json!({ "current_password": PASSWORD, "new_password": "of somebody else" });
    let change = change.to_string();
    let (start, rest) = change.split_at(10);
    let (pieces, body) = body::pieces();
    let call = app.gateway.https().post("/auth/v1/password").body(body);
    let call = call.header("content-type", "application/json");
    let changing = tokio::spawn(call.bearer(token).try_send());
    assert!(pieces.send(start.to_owned()).await);
    log_out(&app.gateway, token).await;
    let refused = tokio::time::timeout(BOUND, changing).await;
    refused
        .expect("it is refused in time")
        .unwrap()
        .unwrap()
        .expect(401);
    pieces.send(rest.to_owned()).await;
    login(&app.gateway.https(), "ann@example.com").await;
}
