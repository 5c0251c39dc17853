//! Streams of browsers and programs: they end with the cookie's session and with the API key, and
//! live on while these do.

use super::accounts::{PASSWORD, login, register, text};
use super::cookies::cookie_of;
use super::cookies::submit;
use super::harness::{Gateway, within};
use super::machines::{command, create};
use super::operators::user;
use super::streams::{OVER, QUIET, app, bearer, cookie, ends, key};

/// Logs Ann in by the form; gives her cookie.
async fn by_form(gateway: &Gateway) -> String {
    let password = PASSWORD.replace(' ', "+");
    let fields = format!("username=ann%40example.com&password={password}");
    cookie_of(&submit(&gateway.https(), &fields, None).await.expect(303))
}

#[tokio::test]
async fn a_browsers_streams_end_with_its_session_however_that_ends() {
    let mut app = app("").await;
    let ann = register(&app.gateway.https(), "ann@example.com").await;
    let (here, there) = (by_form(&app.gateway).await, by_form(&app.gateway).await);
    let streams = app.open(&cookie(&here)).await;
    let mut others = app.open(&cookie(&there)).await;

    // It is ended from elsewhere, in the list of sessions.
    let client = app.gateway.https();
    let list = client.get("/auth/v1/sessions").header("cookie", &here);
    let list = list.send().await.expect(200).json();
    let sessions = list["sessions"].as_array().unwrap();
    let own = sessions.iter().find(|session| session["current"] == true);
    let path = format!("/auth/v1/sessions/{}", text(own.unwrap(), "id"));
    let end = client.call("DELETE", &path);
    let end = end.bearer(text(&ann, "access_token")).send().await;
    end.expect(204);
    streams.all_end().await;
    others.all_live().await;

    // The browser logs out.
    let logout = client.post("/auth/logout").header("cookie", &there);
    let logout = logout.header("sec-fetch-site", "same-origin");
    logout.send().await.expect(303);
    others.all_end().await;

    // An operator takes a role away, and stops the account.
    user(
        &app.gateway,
        &["role", "ann@example.com", "member", "editor"],
    );
    let streams = app.open(&cookie(&by_form(&app.gateway).await)).await;
    user(&app.gateway, &["role", "ann@example.com", "member"]);
    streams.all_end().await;
    let streams = app.open(&cookie(&by_form(&app.gateway).await)).await;
    user(&app.gateway, &["disable", "ann@example.com"]);
    streams.all_end().await;
}

#[tokio::test]
async fn a_browsers_streams_live_on_while_it_is_used_and_end_when_it_is_not() {
    let mut app = app("[accounts]\nbrowser_idle = \"12s\"").await;
    register(&app.gateway.https(), "ann@example.com").await;
    let own = by_form(&app.gateway).await;
    let mut streams = app.open(&cookie(&own)).await;
    for _ in 0..8 {
        let silent = tokio::time::timeout(2 * QUIET, streams.events[0].next()).await;
        assert!(
            silent.is_err(),
            "a stream ended though its session was used"
        );
        let used = app.gateway.https().get("/auth/v1/me");
        used.header("cookie", &own).send().await.expect(200);
    }
    streams.all_live().await;
    let silent = tokio::time::timeout(3 * QUIET, streams.events[0].next()).await;
    assert!(silent.is_err(), "a stream ended before its session");
    // Nobody uses it any more; the bound counts from the session's end.
    within("the stream ends", streams.events[0].next()).await;
    streams.all_end().await;
}

#[tokio::test]
async fn a_programs_streams_end_with_its_key_and_its_owner() {
    let mut app = app("").await;
    register(&app.gateway.https(), "ann@example.com").await;
    user(
        &app.gateway,
        &["role", "ann@example.com", "member", "editor"],
    );
    command(&app.gateway, "service add ci");
    let (one, id) = create(&app.gateway, "--service ci");
    let (other, _) = create(&app.gateway, "--service ci");
    let streams = app.open(&key(&one)).await;
    let mut others = app.open(&bearer(&other)).await;
    command(&app.gateway, &format!("api-key revoke {id}"));
    streams.all_end().await;
    others.all_live().await;
    command(&app.gateway, "service disable ci");
    others.all_end().await;

    let (anns, _) = create(&app.gateway, "--user ann@example.com");
    let streams = app.open(&key(&anns)).await;
    user(&app.gateway, &["role", "ann@example.com", "member"]);
    streams.all_end().await;
    let streams = app.open(&key(&anns)).await;
    user(&app.gateway, &["disable", "ann@example.com"]);
    streams.all_end().await;
}

#[tokio::test]
async fn a_programs_streams_end_when_its_key_expires_and_when_it_is_replaced_at_once() {
    let app = app("").await;
    command(&app.gateway, "service add ci");
    let (old, id) = create(&app.gateway, "--service ci");
    let old = app.socket_http2(&key(&old)).await;
    let (short, _) = create(&app.gateway, "--service ci --expires 15s");
    let mut short = app.socket_http1(&key(&short)).await;
    let silent = tokio::time::timeout(QUIET, short.receive()).await;
    assert!(silent.is_err(), "a stream ended before its key");
    command(&app.gateway, &format!("api-key rotate {id} --overlap 0s"));
    ends(old, OVER).await;
    ends(short, OVER).await;
}

#[tokio::test]
async fn a_logout_leaves_the_streams_of_the_same_persons_keys_and_browsers_alone() {
    let mut app = app("").await;
    register(&app.gateway.https(), "ann@example.com").await;
    let session = login(&app.gateway.https(), "ann@example.com").await;
    let (anns, _) = create(&app.gateway, "--user ann@example.com");
    let mut programs = app.open(&key(&anns)).await;
    let mut browsers = app.open(&cookie(&by_form(&app.gateway).await)).await;
    let streams = app.open(&bearer(text(&session, "access_token"))).await;
    let logout = app.gateway.https().post("/auth/v1/logout");
    let logout = logout.bearer(text(&session, "access_token")).send().await;
    assert!(logout.status.is_success());
    streams.all_end().await;
    programs.all_live().await;
    browsers.all_live().await;
}
