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
    assert!(store.was_deleted(ann.id).await.unwrap());
    assert_eq!(create(store, &other).await, Created::Done);
    assert!(!store.was_deleted(other.id).await.unwrap());
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

pub(super) async fn an_account_and_its_first_session_are_made_together(store: &Store) {
    let ann = account("ann@example.com");
    let register = |account: &Account| Register {
        create: creation(account),
        open: opening(account),
    };
    let first = register(&ann);
    let session = first.open.session.id;
    assert_eq!(store.commit(first).await.unwrap(), Created::Done);
    assert!(is_successor(&rotate(store, session, 0, T0).await));
    let other = account("Ann@example.com");
    assert_eq!(
        store.commit(register(&other)).await.unwrap(),
        Created::Taken
    );

    let bob = account("bob@example.com");
    let mut fails = register(&bob);
    fails.open.session.id = session;
    assert!(store.commit(fails).await.is_err());
    assert!(store.account(bob.id).await.unwrap().is_none());
    assert_eq!(store.commit(register(&bob)).await.unwrap(), Created::Done);
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
            factors: Factors::One,
        },
        unless_changed_from: ann.updated_at,
        entry: entry(Event::LoggedIn, ann.id),
        most: MANY,
        ending: ending(at),
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
            factors: Factors::One,
        },
        unless_changed_from: at,
        entry: entry(Event::LoggedIn, ann.id),
        most: MANY,
        ending: ending(at),
    };
    assert!(store.commit(no_session).await.unwrap().is_none());
}

pub(super) async fn attributes_are_set_and_a_lost_one_ends_the_sessions(store: &Store) {
    let ann = created(store, "ann@example.com").await;
    let session = opened(store, &ann).await;
    let none = Attributes::default();
    let blue = none.with("team", Some("blue".into())).unwrap();
    let red = none.with("team", Some("red".into())).unwrap();
    let set = |from: &Attributes, to: &Attributes| SetAttributes {
        account: ann.id,
        from: from.clone(),
        to: to.clone(),
        ending: ending(T0),
    };
    assert_eq!(store.commit(set(&none, &blue)).await.unwrap(), Some(vec![]));
    let found = store.account(ann.id).await.unwrap().unwrap().0;
    assert_eq!(found.attributes, blue);
    let late = store.commit(set(&none, &red)).await.unwrap();
    assert_eq!(late, None, "somebody else has set them since");
    let revoked = store.commit(set(&blue, &red)).await.unwrap().unwrap();
    assert_eq!(
        revoked.first(),
        Some(&(Revocation::Session(session), ending(T0).forget_at))
    );
    let listed = store.accounts(None, 1).await.unwrap();
    assert_eq!(listed.first().unwrap().attributes, red);
}

pub(super) async fn the_schemes_of_passwords_are_those_in_use(store: &Store) {
    let bcrypt = "$2b$06$4Zr3YKS.Cg6SIEFloohLM.76RzNanBTqqPWTljJ8./YdTlcNLAATy";
    let argon2 = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$\
                  CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    let mut ids = Vec::new();
    for (email, text) in [
        ("a@x.org", bcrypt),
        ("b@x.org", bcrypt),
        ("c@x.org", argon2),
    ] {
        let account = account(email);
        let create = CreateAccount {
            password: hash(text),
            invitation: None,
            entry: entry(Event::Imported, account.id),
            account: account.clone(),
        };
        assert_eq!(store.commit(create.clone()).await.unwrap(), Created::Done);
        assert_eq!(store.commit(create).await.unwrap(), Created::Known);
        ids.push(account.id);
    }
    let both = ["$2b$06", "$argon2id$v=19$m=65536,t=2,p=1"];
    let mut schemes = store.password_schemes().await.unwrap();
    schemes.sort();
    assert_eq!(schemes, both);
    let rehash = Rehash {
        account: ids[0],
        from: hash(bcrypt),
        to: hash(argon2),
    };
    store.commit(rehash).await.unwrap();
    assert_eq!(store.password_schemes().await.unwrap().len(), 2);
    let set = SetPassword {
        account: ids[1],
        password: hash(argon2),
        unless_changed_from: None,
        end: Which::All,
        ending: ending(T0),
    };
    store.commit(set).await.unwrap();
    assert_eq!(store.password_schemes().await.unwrap(), &both[1..]);
    for account in ids {
        let delete = Delete {
            account,
            ending: ending(T0),
        };
        store.commit(delete).await.unwrap();
    }
    assert!(store.password_schemes().await.unwrap().is_empty());
}

pub(super) async fn an_address_is_verified_once(store: &Store) {
    let ann = created(store, "ann@example.com").await;
    let verify = |email: &str, seconds| VerifyEmail {
        account: ann.id,
        email: EmailAddress::parse(email).unwrap(),
        at: T0 + Duration::from_secs(seconds),
        origin: origin(),
    };
    assert!(!store.commit(verify("old@example.com", 1)).await.unwrap());
    assert!(
        !store
            .account(ann.id)
            .await
            .unwrap()
            .unwrap()
            .0
            .email_verified
    );
    for seconds in [2, 3] {
        assert!(
            store
                .commit(verify("ann@example.com", seconds))
                .await
                .unwrap()
        );
        let (found, _) = store.account(ann.id).await.unwrap().unwrap();
        assert!(found.email_verified);
        assert_eq!(found.updated_at, T0 + Duration::from_secs(2));
    }
    let delete = Delete {
        account: ann.id,
        ending: ending(T0),
    };
    assert!(store.commit(delete).await.unwrap().is_some());
    assert!(!store.commit(verify("ann@example.com", 4)).await.unwrap());
}

pub(super) async fn what_is_unlocked_is_what_it_was(store: &Store) {
    let waiting = Account {
        status: Status::Pending,
        ..account("ann@example.com")
    };
    let ann = waiting.id;
    assert_eq!(create(store, &waiting).await, Created::Done);
    let set = async |status| {
        let set = SetStatus {
            account: ann,
            status,
            ending: ending(T0),
        };
        store.commit(set).await.unwrap().expect("an account");
    };
    let unlock = async |account| {
        let unlock = Unlock {
            account,
            ending: ending(T0),
        };
        store.commit(unlock).await.unwrap()
    };
    assert_eq!(unlock(ann).await, Some(Status::Pending), "no approval");
    set(Status::Locked).await;
    set(Status::Disabled).await;
    assert_eq!(unlock(ann).await, Some(Status::Pending));
    let found = store.account(ann).await.unwrap().unwrap().0;
    assert_eq!(found.status, Status::Pending);
    set(Status::Active).await;
    set(Status::Disabled).await;
    assert_eq!(unlock(ann).await, Some(Status::Active));
    assert_eq!(unlock(AccountId::random()).await, None);
}
