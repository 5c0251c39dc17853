//! Streams belong to sessions: each kind ends with the session that opened it, and lives on while
//! that is refreshed.

use std::time::Duration;

use http::{Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::json;

use super::accounts::{PASSWORD, login, refresh, register, text};
use super::harness::body::{self, Pieces};
use super::harness::client::Connection;
use super::harness::upstream::Exchanges;
use super::harness::websocket::{CLOSE, WebSocket};
use super::harness::{Config, Gateway, Upstream, within};
use super::operators::user;
use super::websockets::{ask, ask_h2};

/// From the end of a session to the end of its streams. What is promised is five seconds, which the
/// rounds keep by a clock that is turned; these machines run other tests besides.
pub const BOUND: Duration = Duration::from_secs(30);
/// A time in which nothing that lives on says anything.
pub const QUIET: Duration = Duration::from_secs(1);

/// A gateway before upstreams that keep streams open.
pub struct App {
    pub gateway: Gateway,
    pub events: Exchanges,
    pub calls: Exchanges,
    _upstreams: [Upstream; 3],
}

/// What a caller shows, as fields of a request.
pub type Shown = Vec<(&'static str, String)>;

pub fn bearer(token: &str) -> Shown {
    vec![("authorization", format!("Bearer {token}"))]
}

/// As a page of this origin sends it.
pub fn cookie(cookie: &str) -> Shown {
    let site = ("sec-fetch-site", String::from("same-origin"));
    vec![("cookie", cookie.to_owned()), site]
}

pub fn key(key: &str) -> Shown {
    vec![("x-api-key", key.to_owned())]
}

pub async fn app(more: &str) -> App {
    app_on(Config::new().toml(more)).await
}

pub async fn app_on(config: Config) -> App {
    let sockets = Upstream::websocket_echo().await;
    let (http1, events) = Upstream::by_hand().await;
    let (h2c, calls) = Upstream::by_hand_h2c().await;
    let profiles = "[accounts]\nprofiles = [\"native\", \"browser\"]";
    let config = config
        .upstream("sockets", &sockets)
        .upstream("events", &http1)
        .upstream("calls", &h2c)
        .toml("[server]\nadmin_socket = \"admin.sock\"")
        .toml(profiles);
    App {
        gateway: routes(config, ["", "", ""]).start().await,
        events,
        calls,
        _upstreams: [sockets, http1, h2c],
    }
}

/// The routes to WebSockets, event streams and calls, each with more keys of its own.
pub fn routes(config: Config, [sockets, events, calls]: [&str; 3]) -> Config {
    let rest = |upstream: &str, more: &str| {
        format!(
            "upstream = {upstream:?}\nauth = \"required\"\nerrors = \"agentflow\"\n\
             credentials = [\"bearer\", \"cookie\", \"api-key\"]\n{more}"
        )
    };
    config
        .route("/public/**", "upstream = \"sockets\"\nauth = \"none\"")
        .route("/ws", &rest("sockets", sockets))
        .route("/events", &rest("events", events))
        .route("/calls", &rest("calls", calls))
}

/// An answer that is under way, and the upstream's end of it.
pub struct Answering {
    pub response: Response<Incoming>,
    pub pieces: Pieces,
    _connection: Connection,
}

impl Answering {
    pub async fn next(&mut self) -> Option<Result<http_body::Frame<bytes::Bytes>, hyper::Error>> {
        loop {
            let frame = self.response.body_mut().frame().await;
            let empty = |data: &bytes::Bytes| data.is_empty();
            match frame {
                Some(Ok(frame)) if frame.data_ref().is_some_and(empty) => {}
                frame => return frame,
            }
        }
    }

    pub async fn says(&mut self, piece: &'static str) {
        assert!(self.pieces.send(piece).await);
        let frame = within("a piece", self.next()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), piece);
    }
}

/// One stream of each kind, open in one session.
pub struct Streams {
    pub sockets: [WebSocket; 2],
    pub events: [Answering; 2],
    pub call: Answering,
    pub downloads: [Answering; 2],
}

/// What the last word of a stream says: a WebSocket's code, and a gRPC status.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    pub code: u16,
    pub status: &'static str,
}

/// The session is over.
pub const OVER: Word = Word {
    code: 1008,
    status: "16",
};

impl App {
    pub async fn open(&mut self, shown: &Shown) -> Streams {
        Streams {
            sockets: [
                self.socket_http1(shown).await,
                self.socket_http2(shown).await,
            ],
            events: [
                self.answering(shown, false, "text/event-stream").await,
                self.answering(shown, true, "text/event-stream; charset=utf-8")
                    .await,
            ],
            call: self.answering(shown, true, "application/grpc+proto").await,
            downloads: [
                self.answering(shown, false, "application/json").await,
                self.answering(shown, true, "application/json").await,
            ],
        }
    }

    pub async fn socket_http1(&self, shown: &Shown) -> WebSocket {
        let headers = fields(shown);
        let (status, _, socket) = ask(&self.gateway.https(), "/ws", &headers).await;
        assert_eq!(status, 101);
        let mut socket = socket.unwrap();
        echoes(&mut socket).await;
        socket
    }

    pub async fn socket_http2(&self, shown: &Shown) -> WebSocket {
        let headers = fields(shown);
        let (status, socket) = ask_h2(&self.gateway.h2(), "/ws", &headers).await;
        assert_eq!(status, 200);
        let mut socket = socket.unwrap();
        echoes(&mut socket).await;
        socket
    }

    /// An answer of this type, whose first piece has come.
    pub async fn answering(&mut self, shown: &Shown, http2: bool, kind: &str) -> Answering {
        let client = match http2 {
            true => self.gateway.h2(),
            false => self.gateway.https(),
        };
        let (call, exchanges) = match kind.starts_with("application/grpc") {
            true => (client.post("/calls").bytes("ask"), &mut self.calls),
            false => (client.get("/events"), &mut self.events),
        };
        let call = shown.iter().fold(call, |call, (k, v)| call.header(k, v));
        let calling = tokio::spawn(call.open());
        let exchange = exchanges.next().await;
        let (pieces, body) = body::pieces();
        let answer = Response::builder().header("content-type", kind).body(body);
        exchange.answer(answer.unwrap());
        let (response, _connection) = calling.await.unwrap();
        assert_eq!(response.status(), 200);
        let mut answering = Answering {
            response,
            pieces,
            _connection,
        };
        answering.says("data: 1\n\n").await;
        answering
    }
}

fn fields(shown: &Shown) -> Vec<(&str, &str)> {
    shown
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect()
}

pub async fn echoes(socket: &mut WebSocket) {
    socket.send_text("hello").await;
    assert_eq!(socket.receive_text().await, "hello");
}

/// A WebSocket is closed with this code, and then ends.
pub async fn ends(mut socket: WebSocket, word: Word) {
    let frame = socket.receive().await.expect("a frame before the end");
    assert_eq!(frame.opcode, CLOSE);
    let code = u16::from_be_bytes([frame.payload[0], frame.payload[1]]);
    assert_eq!(
        code,
        word.code,
        "{}",
        String::from_utf8_lossy(&frame.payload[2..])
    );
    assert_eq!(socket.receive().await, None);
}

impl Streams {
    pub async fn all_live(&mut self) {
        for socket in &mut self.sockets {
            echoes(socket).await;
        }
        let answers = self.events.iter_mut().chain(&mut self.downloads);
        for answering in answers.chain([&mut self.call]) {
            answering.says("data: more\n\n").await;
        }
    }

    /// Every stream ends, each as it should, within the bound; and its upstream hears of it.
    pub async fn all_end(self) {
        self.all_end_with(OVER).await;
    }

    pub async fn all_end_with(self, word: Word) {
        let ended = tokio::time::timeout(BOUND, self.end(word)).await;
        assert!(ended.is_ok(), "the streams outlive their session");
    }

    /// Returns when every stream has ended, each as it should.
    pub async fn end(mut self, word: Word) {
        for socket in self.sockets {
            ends(socket, word).await;
        }
        for events in &mut self.events {
            assert!(events.next().await.is_none(), "a clean end");
            events.pieces.abandoned().await;
        }
        let last = self.call.next().await.unwrap().unwrap();
        let trailers = last.into_trailers().expect("trailers");
        assert_eq!(trailers["grpc-status"], word.status);
        assert!(self.call.next().await.is_none());
        self.call.pieces.abandoned().await;
        for download in &mut self.downloads {
            let broken = download.next().await;
            assert!(matches!(broken, Some(Err(_))), "{broken:?}");
            download.pieces.abandoned().await;
        }
    }
}

#[tokio::test]
async fn a_logout_ends_the_sessions_streams_and_no_others() {
    let mut app = app("").await;
    let ann = register(&app.gateway.https(), "ann@example.com").await;
    let other = login(&app.gateway.https(), "ann@example.com").await;
    let streams = app.open(&bearer(text(&ann, "access_token"))).await;
    let mut others = app.open(&bearer(text(&other, "access_token"))).await;
    let client = app.gateway.https();
    let logout = client.post("/auth/v1/logout");
    let logout = logout.bearer(text(&ann, "access_token")).send().await;
    assert!(logout.status.is_success());
    streams.all_end().await;
    others.all_live().await;
    let lines = [
        "portcullis_streams 7",
        "portcullis_streams_of_one_session 7",
        "portcullis_streams_ended_total{cause=\"revoked\"} 7",
    ];
    app.gateway.comes_to_count(&lines).await;
}

#[tokio::test]
async fn a_new_password_ends_the_streams_of_all_sessions_before_it() {
    let mut app = app("").await;
    let ann = register(&app.gateway.https(), "ann@example.com").await;
    let other = login(&app.gateway.https(), "ann@example.com").await;
    let own = app.socket_http2(&bearer(text(&ann, "access_token"))).await;
    let streams = app.open(&bearer(text(&other, "access_token"))).await;
    let change = json!({ "current_password": PASSWORD, "new_password": "another good password" });
    let client = app.gateway.https();
    let changed = client.post("/auth/v1/password");
    let changed = changed.bearer(text(&ann, "access_token")).json(change);
    let changed = changed.send().await.expect(200).json();
    streams.all_end().await;
    ends(own, OVER).await;
    // Who knew the password has a new session, whose streams live.
    let mut socket = app
        .socket_http1(&bearer(text(&changed, "access_token")))
        .await;
    echoes(&mut socket).await;
}

#[tokio::test]
async fn an_account_that_is_disabled_loses_its_streams() {
    let mut app = app("").await;
    let ann = register(&app.gateway.https(), "ann@example.com").await;
    let streams = app.open(&bearer(text(&ann, "access_token"))).await;
    user(&app.gateway, &["disable", "ann@example.com"]);
    streams.all_end().await;
}

#[tokio::test]
async fn a_lost_role_ends_streams() {
    let mut app = app("").await;
    let ann = register(&app.gateway.https(), "ann@example.com").await;
    user(
        &app.gateway,
        &["role", "ann@example.com", "member", "editor"],
    );
    let ann = login(&app.gateway.https(), text(&ann["user"], "email")).await;
    let streams = app.open(&bearer(text(&ann, "access_token"))).await;
    user(&app.gateway, &["role", "ann@example.com", "member"]);
    streams.all_end().await;
}

#[tokio::test]
async fn streams_live_on_while_their_session_is_refreshed_and_end_when_it_is_not() {
    let mut app = app("[tokens]\nlifetime = \"10s\"").await;
    let ann = register(&app.gateway.https(), "ann@example.com").await;
    let mut streams = app.open(&bearer(text(&ann, "access_token"))).await;
    let mut token = text(&ann, "refresh_token").to_owned();
    for _ in 0..6 {
        let silent = tokio::time::timeout(2 * QUIET, streams.events[0].next()).await;
        assert!(
            silent.is_err(),
            "a stream ended though its session was refreshed"
        );
        let answer = refresh(&app.gateway, &token).await.expect(200).json();
        token = text(&answer, "refresh_token").to_owned();
    }
    streams.all_live().await;
    // Nobody refreshes any more: the last token lives for ten seconds.
    let silent = tokio::time::timeout(2 * QUIET, streams.events[0].next()).await;
    assert!(silent.is_err(), "a stream ended before its token");
    streams.all_end().await;
}

#[tokio::test]
async fn a_session_that_expires_takes_its_streams_along() {
    let mut app = app("[accounts]\nsession_idle = \"8s\"").await;
    let ann = register(&app.gateway.https(), "ann@example.com").await;
    let mut streams = app.open(&bearer(text(&ann, "access_token"))).await;
    // The bound counts from the session's end.
    let end = within("the session ends", streams.events[0].next()).await;
    assert!(end.is_none(), "a clean end");
    streams.all_end().await;
}

#[tokio::test]
async fn a_session_has_so_many_streams_and_no_more() {
    let mut app = app("[server]\nmax_streams_per_session = 2").await;
    let ann = register(&app.gateway.https(), "ann@example.com").await;
    let bob = register(&app.gateway.https(), "bob@example.com").await;
    let (ann, bob) = (text(&ann, "access_token"), text(&bob, "access_token"));
    let shown = bearer(ann);
    let socket = app.socket_http1(&shown).await;
    let _events = app.answering(&shown, true, "text/event-stream").await;

    let headers = fields(&shown);
    let (status, head, _) = ask(&app.gateway.https(), "/ws", &headers).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert!(head.contains_key("retry-after"));
    let (status, _) = ask_h2(&app.gateway.h2(), "/ws", &headers).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    // An event stream is refused in the route's shape, before its upstream hears of it.
    let call = app.gateway.https().get("/events").bearer(ann);
    let refused = call.header("accept", "text/event-stream").send().await;
    let refused = refused.expect(429).json();
    assert_eq!(refused["error"]["code"], "RATE_LIMIT_EXCEEDED");
    // One that did not say that it wants one, when its upstream's answer says so.
    let calling = tokio::spawn(app.gateway.https().get("/events").bearer(ann).send());
    let (pieces, events) = body::pieces();
    let answer = Response::builder().header("content-type", "text/event-stream");
    app.events.next().await.answer(answer.body(events).unwrap());
    calling.await.unwrap().expect(429);
    pieces.abandoned().await;
    // What says its length is no stream.
    let calling = tokio::spawn(app.gateway.https().get("/events").bearer(ann).send());
    app.events
        .next()
        .await
        .answer(Response::new(body::full("short")));
    calling.await.unwrap().expect(200);

    let _bobs = app.socket_http1(&bearer(bob)).await;
    drop(socket);
    within("the place is free again", async {
        while ask(&app.gateway.https(), "/ws", &headers).await.0 != 101 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
