//! Streams while the configuration changes: each is judged as if it were asked for now.

use super::accounts::{login, register, text};
use super::harness::{Config, tokens, within};
use super::operators::user;
use super::streams::{App, BOUND, OVER, Word, app, bearer, echoes, ends, routes};

/// The configuration does not let the caller in any more.
const DENIED: Word = Word {
    code: 1008,
    status: "7",
};

/// The configuration of the gateway with other routes.
fn with_routes(app: &App, more: [&str; 3]) -> Config {
    routes(app.gateway.config.clone().without("route"), more)
}

#[tokio::test]
async fn a_reload_ends_the_streams_that_it_would_not_let_in_and_no_others() {
    let mut app = app("").await;
    let ann = register(&app.gateway.https(), "ann@example.com").await;
    register(&app.gateway.https(), "bob@example.com").await;
    user(
        &app.gateway,
        &["role", "bob@example.com", "member", "editor"],
    );
    let bob = login(&app.gateway.https(), "bob@example.com").await;
    let (ann, bob) = (text(&ann, "access_token"), text(&bob, "access_token"));
    let (ann, bob) = (bearer(ann), bearer(bob));
    let mut anns = app.open(&ann).await;
    let mut bobs = app.open(&bob).await;

    // Limits are on requests, and other upstreams' deadlines on other answers.
    let limited = "[[limit]]\nname = \"few\"\nkey = \"identity\"\nrate = \"1/h\"\nburst = 1";
    let config = with_routes(&app, ["limits = [\"few\"]", "timeout = \"7s\"", ""]);
    app.gateway.reload(config.toml(limited)).await;
    anns.all_live().await;
    bobs.all_live().await;

    // Another role for WebSockets and calls.
    let config = with_routes(&app, ["roles = [\"editor\"]", "", "roles = [\"editor\"]"]);
    app.gateway.reload(config).await;
    let [one, two] = anns.sockets;
    let ended = async {
        for socket in [one, two] {
            ends(socket, DENIED).await;
        }
        let last = anns.call.next().await.unwrap().unwrap();
        let trailers = last.into_trailers().expect("trailers");
        assert_eq!(trailers["grpc-status"], DENIED.status);
        anns.call.pieces.abandoned().await;
    };
    let ended = tokio::time::timeout(BOUND, ended).await;
    assert!(ended.is_ok(), "the streams outlive their permission");
    for events in &mut anns.events {
        events.says("data: more\n\n").await;
    }
    bobs.all_live().await;

    // A route of its own takes the events over.
    let taken = "name = \"taken\"\nupstream = \"events\"\nroles = [\"admin\"]";
    let config = with_routes(&app, ["", "methods = [\"POST\"]", ""]);
    app.gateway
        .reload(config.route("/events", &format!("methods = [\"GET\"]\n{taken}")))
        .await;
    let ended = async {
        for events in anns.events.iter_mut().chain(&mut bobs.events) {
            assert!(events.next().await.is_none(), "a clean end");
            events.pieces.abandoned().await;
        }
    };
    let ended = tokio::time::timeout(BOUND, ended).await;
    assert!(ended.is_ok(), "the streams outlive their permission");
    for socket in &mut bobs.sockets {
        echoes(socket).await;
    }
    // The downloads, two of each, came by the events' route too.
    let denied = "portcullis_streams_ended_total{cause=\"denied\"} 11";
    app.gateway.comes_to_count(&[denied]).await;
}

#[tokio::test]
async fn a_route_that_is_gone_ends_its_streams() {
    let mut app = app("").await;
    let ann = register(&app.gateway.https(), "ann@example.com").await;
    let streams = app.open(&bearer(text(&ann, "access_token"))).await;
    let config = app.gateway.config.clone().without("route");
    let config = config.route("/public/**", "upstream = \"sockets\"\nauth = \"none\"");
    app.gateway.reload(config).await;
    streams.all_end_with(DENIED).await;
}

#[tokio::test]
async fn a_key_that_is_taken_away_ends_the_streams_of_its_tokens_but_no_sessions() {
    let mut app = app("").await;
    let ann = register(&app.gateway.https(), "ann@example.com").await;
    let mut sessions = app.open(&bearer(text(&ann, "access_token"))).await;
    // It names no session: all that speaks for it is the key.
    let nameless = app.open(&bearer(&tokens::token("u-1"))).await;
    let other = "[[tokens.key]]\nid = \"other\"\nalgorithm = \"HS256\"\nsecret = { file = \"other.secret\" }";
    let config = app.gateway.config.clone().without("tokens.key").toml(other);
    let config = config.file("other.secret", "another-secret-9Qm4Rb7Ycz8KfJ3nHd52vTq9LxW");
    app.gateway.reload(config).await;
    nameless.all_end_with(DENIED).await;
    sessions.all_live().await;
    // Its next refresh is signed by the other key.
    let next = super::accounts::refresh(&app.gateway, text(&ann, "refresh_token")).await;
    let next = next.expect(200).json();
    let shown = bearer(text(&next, "access_token"));
    within("a stream by the new token", app.socket_http1(&shown)).await;
    let logout = app.gateway.https().post("/auth/v1/logout");
    let logout = logout.bearer(text(&next, "access_token")).send().await;
    assert!(logout.status.is_success());
    sessions.all_end_with(OVER).await;
}
