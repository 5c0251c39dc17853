//! What every store must do with accounts and their names.

use super::sessions::{is_successor, rotate};
use super::*;

pub(super) async fn an_account_is_found_by_each_of_its_names(store: &Store) {
    let mut ann = account("Ann@Example.com");
    ann.username = Some(Username::parse("AnnLee").unwrap());
    ann.name = DisplayName::parse("Ann 李").unwrap();
    assert_eq!(create(store, &ann).await, Created::Done);

    for name in ["ann@example.com", "ANN@EXAMPLE.COM", "annlee", "ANNLEE"] {
        let name = LoginName::parse(name).unwrap();
        let (found, password) = store.account_by_login(&name).await.unwrap().unwrap();
        assert_eq!(found, ann);
        assert_eq!(password.as_phc(), "first");
    }
    assert_eq!(store.account(ann.id).await.unwrap().unwrap().0, ann);
    let nobody = LoginName::parse("bob").unwrap();
    assert!(store.account_by_login(&nobody).await.unwrap().is_none());
    assert!(store.account(AccountId::random()).await.unwrap().is_none());
}

pub(super) async fn a_login_name_belongs_to_one_account(store: &Store) {
    let mut ann = account("ann@example.com");
    ann.username = Some(Username::parse("ann").unwrap());
    assert_eq!(create(store, &ann).await, Created::Done);

    assert_eq!(
        create(store, &account("ANN@example.com")).await,
        Created::Taken
    );
    let mut other = account("other@example.com");
    other.username = Some(Username::parse("ANN").unwrap());
    assert_eq!(create(store, &other).await, Created::Taken);
    assert!(store.account(other.id).await.unwrap().is_none());

    let delete = Delete {
        account: ann.id,
        ending: ending(T0),
    };
    assert!(store.commit(delete.clone()).await.unwrap().is_some());
    assert!(store.commit(delete).await.unwrap().is_none());
    assert!(store.account(ann.id).await.unwrap().is_none());
    assert_eq!(create(store, &other).await, Created::Done);
}

pub(super) async fn accounts_are_listed_page_by_page(store: &Store) {
    let mut all = Vec::new();
    for number in 0..5 {
        all.push(created(store, &format!("a{number}@example.com")).await);
    }
    all.sort_by_key(|account| account.id.to_string());
    let first = store.accounts(None, 3).await.unwrap();
    let rest = store.accounts(first.last().map(|a| a.id), 3).await.unwrap();
    assert_eq!([first, rest].concat(), all);
}

pub(super) async fn an_account_that_changes_loses_its_sessions(store: &Store) {
    let ann = created(store, "ann@example.com").await;
    let kept = opened(store, &ann).await;
    let lost = opened(store, &ann).await;
    let at = T0 + Duration::from_secs(1);

    let set = |from: &str, to: &str, end| SetPassword {
        account: ann.id,
        password: hash(to),
        unless_changed_from: Some(hash(from)),
        end,
        ending: ending(at),
    };
    let revoked = store.commit(set("other", "x", Which::All)).await.unwrap();
    assert!(
        revoked.is_none(),
        "the password had been changed by somebody else"
    );
    let revoked = store
        .commit(set("first", "second", Which::AllBut(kept)))
        .await
        .unwrap();
    assert_eq!(
        revoked.unwrap().first(),
        Some(&(Revocation::Session(lost), ending(at).forget_at))
    );
    let (changed, password) = store.account(ann.id).await.unwrap().unwrap();
    assert_eq!((changed.updated_at, password.as_phc()), (at, "second"));

    // A log-in whose password was checked before that change comes too late.
    let late = OpenSession {
        session: NewSession {
            id: SessionId::random(),
            account: ann.id,
            device: device(),
            at,
            expires_at: at + IDLE,
            ends_at: at + IDLE,
        },
        unless_changed_from: ann.updated_at,
        entry: entry(Event::LoggedIn, ann.id),
    };
    assert!(store.commit(late.clone()).await.unwrap().is_none());
    let in_time = OpenSession {
        unless_changed_from: changed.updated_at,
        ..late
    };
    assert!(store.commit(in_time).await.unwrap().is_some());

    let roles = |names: &[&str]| SetRoles {
        account: ann.id,
        roles: names
            .iter()
            .map(|name| Role::parse(name).unwrap())
            .collect(),
        ending: ending(at),
    };
    let more = roles(&["member", "editor", "admin"]);
    assert_eq!(store.commit(more).await.unwrap(), Some(vec![]));
    assert!(is_successor(&rotate(store, kept, 0, at).await));
    let fewer = store.commit(roles(&["member"])).await.unwrap().unwrap();
    assert_eq!(fewer.len(), 3, "two sessions and the tokens without one");
    assert!(matches!(
        rotate(store, kept, 1, at).await,
        Rotation::Unknown
    ));

    let status = |status| SetStatus {
        account: ann.id,
        status,
        ending: ending(at),
    };
    assert!(
        store
            .commit(status(Status::Disabled))
            .await
            .unwrap()
            .is_some()
    );
    let found = store.account(ann.id).await.unwrap().unwrap().0;
    assert_eq!(found.status, Status::Disabled);
    let no_session = OpenSession {
        session: NewSession {
            id: SessionId::random(),
            account: ann.id,
            device: device(),
            at,
            expires_at: at + IDLE,
            ends_at: at + IDLE,
        },
        unless_changed_from: at,
        entry: entry(Event::LoggedIn, ann.id),
    };
    assert!(store.commit(no_session).await.unwrap().is_none());
}
