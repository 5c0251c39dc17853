//! Secrets of the gateway's own making, shown where they are worth nothing: of another environment,
//! of a session that has ended, torn, or far too long.

use super::accounts::{is_believed, register, text};
use super::cookies::{COOKIE, app, log_in};
use super::harness::{Gateway, tokens};

async fn refresh(gateway: &Gateway, token: &str) -> u16 {
    let answer = super::accounts::refresh(gateway, token).await;
    assert!(token.len() < 20 || !answer.text().contains(token));
    answer.status.as_u16()
}

#[tokio::test]
async fn cookies_and_refresh_tokens_of_another_environment_open_nothing() {
    // Both believe the same JWTs, as a copy of a configuration does; the rings are each database's.
    let (upstream, here) = app().await;
    let (_upstream, there) = app().await;
    let cookie = log_in(&there, "").await;
    let bob = register(&there.https(), "bob@example.com").await;
    let call = here.https().get("/private").header("cookie", &cookie);
    let refused = call.send().await.expect(401);
    let cleared = refused.header("set-cookie").unwrap();
    assert!(cleared.starts_with(&format!("{COOKIE}=;")), "{cleared}");
    let call = here.https().get("/optional/a").header("cookie", &cookie);
    call.send().await.expect(200);
    assert_eq!(upstream.last().header("x-user-id"), None);
    assert_eq!(refresh(&here, text(&bob, "refresh_token")).await, 401);
    // That it was shown elsewhere has done it no harm.
    let call = there.https().get("/private").header("cookie", &cookie);
    call.send().await.expect(200);
    assert_eq!(refresh(&there, text(&bob, "refresh_token")).await, 200);
}

#[tokio::test]
async fn refresh_tokens_that_are_torn_too_long_or_of_an_ended_session_get_one_answer() {
    let (_upstream, gateway) = app().await;
    let bob = register(&gateway.https(), "bob@example.com").await;
    let token = text(&bob, "refresh_token");
    for end in [1, 5, token.len() / 2, token.len() - 1] {
        assert_eq!(refresh(&gateway, &token[..end]).await, 401, "{end}");
        assert_eq!(refresh(&gateway, &token[end..]).await, 401, "{end}");
    }
    for more in ["A", "=", ".", "\u{e9}", " "] {
        let status = refresh(&gateway, &format!("{token}{more}")).await;
        assert_eq!(status, 401, "{more:?}");
    }
    let long = "A".repeat(8_000);
    assert_eq!(refresh(&gateway, &format!("{token}{long}")).await, 401);
    assert_eq!(refresh(&gateway, &tokens::token("u-1")).await, 401);
    let far_too_long = "A".repeat(20_000);
    assert_eq!(refresh(&gateway, &far_too_long).await, 413);
    // None of it has used the token up.
    let next = super::accounts::refresh(&gateway, token).await;
    let next = next.expect(200).json();

    let logout = gateway.https().post("/auth/v1/logout");
    let logout = logout.bearer(text(&next, "access_token")).send().await;
    assert!(logout.status.is_success());
    for dead in [token, text(&next, "refresh_token")] {
        assert_eq!(refresh(&gateway, dead).await, 401);
    }
    assert!(!is_believed(&gateway, text(&bob, "access_token")).await);
}
