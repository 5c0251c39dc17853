//! Refresh tokens: rotated at each use, and the end of their session when they are used twice.

use std::collections::BTreeSet;

use super::accounts::{PASSWORD, app, is_believed, login, refresh, register, text};
use super::harness::Config;

#[tokio::test]
pub async fn a_refresh_token_is_used_once_and_two_tabs_get_the_same_successor() {
    let (_upstream, gateway) = app().await;
    let ann = register(&gateway.https(), "ann@example.com").await;
    let first = text(&ann, "refresh_token").to_owned();
    let one = refresh(&gateway, &first).await.expect(200).json();
    let two = refresh(&gateway, &first).await.expect(200).json();
    assert_ne!(text(&one, "refresh_token"), first);
    assert_eq!(text(&one, "refresh_token"), text(&two, "refresh_token"));
    assert!(is_believed(&gateway, text(&one, "access_token")).await);
    assert!(is_believed(&gateway, text(&two, "access_token")).await);
}

#[tokio::test]
pub async fn a_refresh_token_of_two_generations_ago_ends_the_session() {
    let (_upstream, gateway) = app().await;
    let ann = register(&gateway.https(), "ann@example.com").await;
    let first = text(&ann, "refresh_token").to_owned();
    let second = refresh(&gateway, &first).await.expect(200).json();
    let third = refresh(&gateway, text(&second, "refresh_token"))
        .await
        .expect(200)
        .json();
    refresh(&gateway, &first).await.expect(401);
    refresh(&gateway, text(&third, "refresh_token"))
        .await
        .expect(401);
    for answer in [&ann, &second, &third] {
        assert!(!is_believed(&gateway, text(answer, "access_token")).await);
    }
    // The person logs in again and has a session of its own.
    let again = login(&gateway.https(), "ann@example.com").await;
    assert!(is_believed(&gateway, text(&again, "access_token")).await);
}

#[tokio::test]
pub async fn a_refresh_token_that_is_used_again_after_the_grace_ends_the_session() {
    let config = Config::new().toml("[accounts]\nrefresh_grace = \"0s\"");
    let gateway = config.start().await;
    let ann = register(&gateway.https(), "ann@example.com").await;
    let first = text(&ann, "refresh_token").to_owned();
    let second = refresh(&gateway, &first).await.expect(200).json();
    refresh(&gateway, &first).await.expect(401);
    let thief = text(&second, "refresh_token");
    refresh(&gateway, thief).await.expect(401);
}

#[tokio::test]
pub async fn a_refresh_token_that_was_made_up_is_refused() {
    let (_upstream, gateway) = app().await;
    let ann = register(&gateway.https(), "ann@example.com").await;
    let real = text(&ann, "refresh_token").to_owned();
    let mut flipped = real.clone().into_bytes();
    let middle = flipped.len() / 2;
    flipped[middle] = if flipped[middle] == b'A' { b'B' } else { b'A' };
    let flipped = String::from_utf8(flipped).unwrap();
    let longer = format!("{real}A");
    for made_up in [
        "",
        "x",
        ".",
        flipped.as_str(),
        longer.as_str(),
        &real[1..],
        text(&ann, "access_token"),
    ] {
        let status = refresh(&gateway, made_up).await.status;
        assert!(matches!(status.as_u16(), 401 | 422), "{made_up}: {status}");
    }
    refresh(&gateway, &real).await.expect(200);
}

#[tokio::test]
pub async fn many_tabs_at_once_get_one_successor() {
    let (_upstream, gateway) = app().await;
    let ann = register(&gateway.https(), "ann@example.com").await;
    let body = serde_json::json!({ "refresh_token": text(&ann, "refresh_token") });
    let tabs: Vec<_> = (0..20)
        .map(|_| {
            tokio::spawn(
                gateway
                    .https()
                    .post("/auth/v1/refresh")
                    .json(body.clone())
                    .send(),
            )
        })
        .collect();
    let mut successors = BTreeSet::new();
    for tab in tabs {
        let answer = tab.await.unwrap().expect(200).json();
        successors.insert(text(&answer, "refresh_token").to_owned());
    }
    assert_eq!(successors.len(), 1);
}

#[tokio::test]
pub async fn one_name_is_registered_once_however_many_try() {
    let (_upstream, gateway) = app().await;
    let tries: Vec<_> = (0..12)
        .map(|n| {
            let email = if n % 2 == 0 {
                "ann@example.com"
            } else {
                "ANN@Example.com"
            };
            let body = serde_json::json!({ "email": email, "password": PASSWORD });
            tokio::spawn(gateway.https().post("/auth/v1/register").json(body).send())
        })
        .collect();
    let mut made = 0;
    for attempt in tries {
        let status = attempt.await.unwrap().status.as_u16();
        assert!(matches!(status, 201 | 409), "{status}");
        made += usize::from(status == 201);
    }
    assert_eq!(made, 1);
}
