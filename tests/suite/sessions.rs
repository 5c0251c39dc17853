//! One's own sessions: listed with device, address and last use, and ended one by one or together.

use serde_json::Value;

use super::accounts::{is_believed, login, register, text};
use super::cookies::{app, log_in};
use super::harness::{Answer, Config, Gateway, Upstream};

async fn list(gateway: &Gateway, token: &str) -> Vec<Value> {
    let call = gateway.https().get("/auth/v1/sessions").bearer(token);
    let answer = call.send().await.expect(200).json();
    answer["sessions"].as_array().unwrap().clone()
}

async fn end(gateway: &Gateway, token: &str, id: &str) -> Answer {
    let path = format!("/auth/v1/sessions/{id}");
    let call = gateway.https().call("DELETE", &path).bearer(token);
    call.send().await
}

#[tokio::test]
async fn sessions_are_listed_with_what_their_owner_knows_them_by() {
    let (_upstream, gateway) = app().await;
    let cookie = log_in(&gateway, "").await;
    let call = gateway.https().get("/auth/v1/sessions");
    let call = call
        .header("cookie", &cookie)
        .header("user-agent", "Firefox/1");
    let listed = call.send().await.expect(200).json();
    let listed = listed["sessions"].as_array().unwrap();
    assert_eq!(listed.len(), 2, "the registration's and the browser's");
    let current: Vec<_> = listed.iter().filter(|s| s["current"] == true).collect();
    assert_eq!(current.len(), 1);
    for session in listed {
        assert_eq!(session["address"], "127.0.0.1");
        for field in ["id", "device", "created_at", "last_used_at", "expires_at"] {
            assert!(session[field].is_string(), "{field}: {session}");
        }
    }
    assert!(!listed.iter().any(|s| s.to_string().contains(&cookie[26..])));
}

#[tokio::test]
async fn one_session_ends_and_the_others_go_on() {
    let (_upstream, gateway) = app().await;
    let phone = login(&gateway.https(), "ann@example.com").await;
    let laptop = login(&gateway.https(), "ann@example.com").await;
    let (phone, laptop) = (text(&phone, "access_token"), text(&laptop, "access_token"));
    let listed = list(&gateway, phone).await;
    let own = listed.iter().find(|s| s["current"] == true).unwrap();
    let own = text(own, "id").to_owned();
    end(&gateway, laptop, &own).await.expect(204);
    assert!(!is_believed(&gateway, phone).await);
    assert!(is_believed(&gateway, laptop).await);
    end(&gateway, laptop, &own).await.expect(404);
}

#[tokio::test]
async fn all_other_sessions_end_together() {
    let (_upstream, gateway) = app().await;
    let cookie = log_in(&gateway, "").await;
    let token = login(&gateway.https(), "ann@example.com").await;
    let token = text(&token, "access_token");
    let call = gateway
        .https()
        .call("DELETE", "/auth/v1/sessions")
        .bearer(token);
    let answer = call.send().await.expect(200).json();
    assert_eq!(answer["ended"], 2);
    let call = gateway.https().get("/private").header("cookie", &cookie);
    call.send().await.expect(401);
    assert!(is_believed(&gateway, token).await);
    assert_eq!(list(&gateway, token).await.len(), 1);
}

#[tokio::test]
async fn another_accounts_session_is_unknown_and_stays() {
    let (_upstream, gateway) = app().await;
    let ann = login(&gateway.https(), "ann@example.com").await;
    let bob = register(&gateway.https(), "bob@example.com").await;
    let ann = text(&ann, "access_token");
    let foreign = list(&gateway, ann).await;
    for session in &foreign {
        let answer = end(&gateway, text(&bob, "access_token"), text(session, "id")).await;
        answer.expect(404);
    }
    for made_up in ["x", "%20", "0", &"0".repeat(32), &"F".repeat(32), "..%2f"] {
        let status = end(&gateway, ann, made_up).await.status.as_u16();
        assert!(matches!(status, 400 | 404), "{made_up}: {status}");
    }
    assert_eq!(list(&gateway, ann).await.len(), foreign.len());
    assert!(is_believed(&gateway, ann).await);
}

#[tokio::test]
async fn a_browser_that_ends_its_own_session_loses_the_cookie() {
    let (_upstream, gateway) = app().await;
    for everywhere in ["/auth/v1/logout", "/auth/v1/logout-everywhere"] {
        let cookie = log_in(&gateway, "").await;
        let call = gateway.https().post(everywhere).header("cookie", &cookie);
        let call = call.header("sec-fetch-site", "same-origin");
        let answer = call.send().await.expect(204);
        assert!(answer.header("set-cookie").unwrap().contains("Max-Age=0"));
        let call = gateway.https().get("/private").header("cookie", &cookie);
        call.send().await.expect(401);
    }
}

#[tokio::test]
async fn an_account_has_so_many_sessions_and_the_newest_stays() {
    let upstream = Upstream::echo().await;
    let config = Config::new().app(&upstream);
    let config = config.toml("[accounts]\nmax_sessions_per_user = 2");
    let gateway = config.start().await;
    let mut tokens = vec![register(&gateway.https(), "ann@example.com").await];
    for _ in 0..3 {
        tokens.push(login(&gateway.https(), "ann@example.com").await);
    }
    let newest = text(&tokens[3], "access_token");
    assert_eq!(list(&gateway, newest).await.len(), 2);
    let mut believed = 0;
    for token in &tokens {
        believed += u32::from(is_believed(&gateway, text(token, "access_token")).await);
    }
    assert_eq!(believed, 2);
    let log = gateway.stop().await.log;
    assert_eq!(log.matches("session_displaced").count(), 2, "{log}");
}
