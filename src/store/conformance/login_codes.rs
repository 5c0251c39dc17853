//! What every store must do with the codes of the login host.

use super::*;
use crate::accounts::{BrowserSession, GoodFor, Keep, LoginCodeDigest, Ticket};

const MINUTE: Duration = Duration::from_secs(60);

fn good_for(host: &str, ticket: &Ticket) -> GoodFor {
    GoodFor {
        host: host.to_owned(),
        ticket: ticket.digest(),
    }
}

fn remembered(session: SessionId) -> BrowserSession {
    BrowserSession {
        session,
        keep: Keep::Remembered,
    }
}

async fn issue(store: &Store, code: &str, session: SessionId, good_for: &GoodFor) -> bool {
    let issue = IssueLoginCode {
        digest: LoginCodeDigest::of(code),
        session: remembered(session),
        good_for: good_for.clone(),
        at: T0,
        expires_at: T0 + MINUTE,
        most: 3,
    };
    store.commit(issue).await.unwrap()
}

async fn redeem(store: &Store, code: &str, shown_for: &GoodFor, at: Timestamp) -> Option<Redeemed> {
    let redeem = RedeemLoginCode {
        digest: LoginCodeDigest::of(code),
        shown_for: shown_for.clone(),
        at,
        origin: origin(),
    };
    store.commit(redeem).await.unwrap()
}

pub(super) async fn a_code_is_good_once_where_it_is_meant_for(store: &Store) {
    let ann = created(store, "ann@example.com").await;
    let session = opened(store, &ann).await;
    let (ticket, other) = (Ticket::random(), Ticket::random());
    let here = good_for("app.example", &ticket);
    assert!(redeem(store, "a", &here, T0).await.is_none());

    assert!(issue(store, "a", session, &here).await);
    let last = T0 + MINUTE - Duration::from_millis(1);
    let redeemed = redeem(store, "a", &here, last).await.unwrap();
    assert_eq!(redeemed.session, remembered(session));
    assert_eq!(redeemed.expires_at, T0 + IDLE);
    let event = Event::SignedOn(String::from("app.example"));
    assert_eq!(redeemed.entry.event, event);
    assert_eq!(
        (redeemed.entry.account, redeemed.entry.session),
        (Some(ann.id), Some(session))
    );
    assert!(redeem(store, "a", &here, T0).await.is_none());

    // Shown in a wrong place it is used up.
    for (code, shown_for, at) in [
        ("b", good_for("wiki.example", &ticket), T0),
        ("c", good_for("app.example", &other), T0),
        ("d", here.clone(), T0 + MINUTE),
    ] {
        assert!(issue(store, code, session, &here).await);
        assert!(
            redeem(store, code, &shown_for, at).await.is_none(),
            "{code}"
        );
        assert!(redeem(store, code, &here, T0).await.is_none(), "{code}");
    }

    assert!(issue(store, "e", session, &here).await);
    let sweep = |now| Sweep {
        now,
        sessions_before: T0,
        offers_before: T0,
    };
    assert_eq!(store.commit(sweep(T0 + MINUTE)).await.unwrap(), 0);
    assert_eq!(store.commit(sweep(T0 + 2 * MINUTE)).await.unwrap(), 1);
}

pub(super) async fn of_many_that_show_a_code_at_one_time_one_has_it(store: &Store) {
    let ann = created(store, "ann@example.com").await;
    let session = opened(store, &ann).await;
    let here = good_for("app.example", &Ticket::random());
    assert!(issue(store, "a", session, &here).await);
    let mut attempts = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (store, here) = (store.clone(), here.clone());
        attempts.spawn(async move { redeem(&store, "a", &here, T0).await.is_some() });
    }
    let outcomes = attempts.join_all().await;
    assert_eq!(outcomes.iter().filter(|had| **had).count(), 1);
}

pub(super) async fn a_code_is_worth_no_more_than_its_session(store: &Store) {
    let ann = created(store, "ann@example.com").await;
    let here = good_for("app.example", &Ticket::random());
    let end = |which| EndSessions {
        account: ann.id,
        which,
        ending: ending(T0),
    };
    let session = opened(store, &ann).await;
    assert!(issue(store, "a", session, &here).await);
    assert_eq!(
        store.commit(end(Which::Only(session))).await.unwrap().len(),
        1
    );
    assert!(redeem(store, "a", &here, T0).await.is_none());
    // Nothing is issued for what is over.
    assert!(!issue(store, "b", session, &here).await);
    assert!(!issue(store, "b", SessionId::random(), &here).await);

    let session = opened(store, &ann).await;
    assert!(issue(store, "c", session, &here).await);
    let disable = SetStatus {
        account: ann.id,
        status: Status::Disabled,
        ending: ending(T0),
    };
    assert!(store.commit(disable).await.unwrap().is_some());
    assert!(redeem(store, "c", &here, T0).await.is_none());
}

pub(super) async fn a_session_has_few_codes_at_a_time(store: &Store) {
    let ann = created(store, "ann@example.com").await;
    let [session, other] = [opened(store, &ann).await, opened(store, &ann).await];
    let here = good_for("app.example", &Ticket::random());
    assert!(issue(store, "other", other, &here).await);
    for (n, code) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
        let issue = IssueLoginCode {
            digest: LoginCodeDigest::of(code),
            session: remembered(session),
            good_for: here.clone(),
            at: T0,
            expires_at: T0 + MINUTE + Duration::from_millis(n as u64 / 2),
            most: 3,
        };
        assert!(store.commit(issue).await.unwrap());
    }
    for (code, good) in [
        ("a", false),
        ("b", false),
        ("c", true),
        ("d", true),
        ("e", true),
        ("other", true),
    ] {
        let redeemed = redeem(store, code, &here, T0).await;
        assert_eq!(redeemed.is_some(), good, "{code}");
    }
}
