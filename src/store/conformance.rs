//! What every store must do: one suite, run against each of them.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::*;
use crate::accounts::audit::{Entry, Event, Origin};
use crate::accounts::{Device, DisplayName, EmailAddress, Role, Status, Username};
use crate::inbound::ClientIp;

const T0: Timestamp = Timestamp::from_seconds(1_800_000_000);
const IDLE: Duration = Duration::from_secs(3600);
const GRACE: Duration = Duration::from_secs(10);

/// Runs the suite against stores that are empty: `fresh` gives a new one each time.
pub async fn run<F: Future<Output = (Store, G)>, G>(fresh: impl Fn() -> F) {
    let mut stores = Vec::new();
    for _ in 0..10 {
        stores.push(fresh().await);
    }
    let mut stores = stores.iter().map(|(store, _)| store);
    let mut store = || stores.next().unwrap();

    an_account_is_found_by_each_of_its_names(store()).await;
    a_login_name_belongs_to_one_account(store()).await;
    accounts_are_listed_page_by_page(store()).await;
    a_refresh_token_is_good_once_and_once_more_within_the_grace(store()).await;
    a_used_refresh_token_ends_its_session(store()).await;
    many_refreshes_at_one_time_rotate_once(store()).await;
    sessions_expire_and_slide_up_to_their_end(store()).await;
    ended_sessions_are_revoked_and_read_in_order(store()).await;
    an_account_that_changes_loses_its_sessions(store()).await;
    what_has_expired_is_swept_away(store()).await;
}

fn account(email: &str) -> Account {
    let email = EmailAddress::parse(email).unwrap();
    Account {
        id: AccountId::random(),
        name: DisplayName::from_email(&email),
        email,
        email_verified: false,
        username: None,
        roles: vec![
            Role::parse("member").unwrap(),
            Role::parse("editor").unwrap(),
        ],
        status: Status::Active,
        created_at: T0,
        updated_at: T0,
    }
}

fn origin() -> Origin {
    Origin::client(client())
}

fn client() -> ClientIp {
    ClientIp::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)))
}

fn device() -> Device {
    Device::new(Some("test/1"), Some(client()))
}

fn hash(text: &str) -> PasswordHash {
    PasswordHash::from_phc(text.to_owned())
}

fn entry(event: Event, account: AccountId) -> Entry {
    Entry {
        event,
        account,
        session: None,
        origin: origin(),
    }
}

fn ending(at: Timestamp) -> Ending {
    Ending {
        at,
        forget_at: at + 24 * IDLE,
        origin: origin(),
    }
}

async fn create(store: &Store, account: &Account) -> Created {
    let create = CreateAccount {
        account: account.clone(),
        password: hash("first"),
        entry: entry(Event::Registered, account.id),
    };
    store.commit(create).await.unwrap()
}

async fn created(store: &Store, email: &str) -> Account {
    let account = account(email);
    assert_eq!(create(store, &account).await, Created::Done);
    account
}

async fn opened(store: &Store, account: &Account) -> SessionId {
    let id = SessionId::random();
    let open = OpenSession {
        session: NewSession {
            id,
            account: account.id,
            device: device(),
            at: T0,
            expires_at: T0 + IDLE,
            ends_at: T0 + 3 * IDLE,
        },
        unless_changed_from: T0,
        entry: entry(Event::LoggedIn, account.id),
    };
    store.commit(open).await.unwrap().expect("an open session");
    id
}

async fn rotate(store: &Store, session: SessionId, counter: u64, at: Timestamp) -> Rotation {
    let rotate = Rotate {
        session,
        counter,
        device: device(),
        idle: IDLE,
        grace: GRACE,
        ending: ending(at),
    };
    store.commit(rotate).await.unwrap()
}

fn is_successor(rotation: &Rotation) -> bool {
    matches!(rotation, Rotation::Successor { .. })
}

async fn an_account_is_found_by_each_of_its_names(store: &Store) {
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

async fn a_login_name_belongs_to_one_account(store: &Store) {
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

async fn accounts_are_listed_page_by_page(store: &Store) {
    let mut all = Vec::new();
    for number in 0..5 {
        all.push(created(store, &format!("a{number}@example.com")).await);
    }
    all.sort_by_key(|account| account.id.to_string());
    let first = store.accounts(None, 3).await.unwrap();
    let rest = store.accounts(first.last().map(|a| a.id), 3).await.unwrap();
    assert_eq!([first, rest].concat(), all);
}

async fn a_refresh_token_is_good_once_and_once_more_within_the_grace(store: &Store) {
    let ann = created(store, "ann@example.com").await;
    let session = opened(store, &ann).await;
    let later = T0 + Duration::from_secs(60);
    assert!(is_successor(&rotate(store, session, 0, later).await));
    // The second tab, with the same token, at the last moment of the grace.
    assert!(is_successor(
        &rotate(store, session, 0, later + GRACE).await
    ));
    // Both now hold the same successor.
    let later = later + GRACE;
    assert!(is_successor(&rotate(store, session, 1, later).await));
    assert!(is_successor(&rotate(store, session, 1, later).await));
}

async fn a_used_refresh_token_ends_its_session(store: &Store) {
    let ann = created(store, "ann@example.com").await;
    let after = T0 + Duration::from_millis(1);
    for (rotations, shown, at) in [
        (1, 0, after + GRACE + Duration::from_millis(1)), // the parent, after the grace
        (2, 0, after),                                    // the grandparent, within it
    ] {
        let session = opened(store, &ann).await;
        for counter in 0..rotations {
            assert!(is_successor(&rotate(store, session, counter, after).await));
        }
        let Rotation::Reused { revoked, entry } = rotate(store, session, shown, at).await else {
            panic!("a used token was not noticed");
        };
        assert_eq!(entry.event, Event::RefreshReused);
        let expected = vec![(Revocation::Session(session), ending(at).forget_at)];
        assert_eq!(revoked, expected);
        for counter in [shown, rotations] {
            let rotation = rotate(store, session, counter, at).await;
            assert!(matches!(rotation, Rotation::Unknown), "{rotation:?}");
        }
    }
    let session = opened(store, &ann).await;
    let rotation = rotate(store, session, 7, after).await;
    assert!(
        matches!(rotation, Rotation::Unknown),
        "a token from the future"
    );
    assert!(is_successor(&rotate(store, session, 0, after).await));
    let rotation = rotate(store, SessionId::random(), 0, after).await;
    assert!(matches!(rotation, Rotation::Unknown));
}

async fn many_refreshes_at_one_time_rotate_once(store: &Store) {
    let ann = created(store, "ann@example.com").await;
    let session = opened(store, &ann).await;
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { rotate(&store, session, 0, T0).await })
        })
        .collect();
    for task in tasks {
        assert!(is_successor(&task.await.unwrap()));
    }
    // Had one of them rotated a second time, this would be a token from the past.
    assert!(is_successor(&rotate(store, session, 1, T0).await));
}

async fn sessions_expire_and_slide_up_to_their_end(store: &Store) {
    let ann = created(store, "ann@example.com").await;
    let session = opened(store, &ann).await;
    let minute = Duration::from_secs(60);
    assert_eq!(store.sessions(ann.id, T0).await.unwrap().len(), 1);

    let rotation = rotate(store, session, 0, T0 + IDLE - minute).await;
    let Rotation::Successor { expires_at, .. } = rotation else {
        panic!("{rotation:?}");
    };
    assert_eq!(expires_at, T0 + 2 * IDLE - minute);
    assert!(is_successor(
        &rotate(store, session, 1, T0 + 2 * IDLE - 2 * minute).await
    ));
    let rotation = rotate(store, session, 2, T0 + 3 * IDLE - 3 * minute).await;
    let Rotation::Successor {
        expires_at,
        account,
    } = rotation
    else {
        panic!("{rotation:?}");
    };
    assert_eq!(expires_at, T0 + 3 * IDLE, "not beyond its end");
    assert_eq!(*account, ann);

    let [seen] = &store.sessions(ann.id, T0).await.unwrap()[..] else {
        panic!("one session");
    };
    assert_eq!(seen.id, session);
    assert_eq!(seen.device, device());
    assert_eq!(seen.last_used_at, T0 + 3 * IDLE - 3 * minute);

    let end = T0 + 3 * IDLE;
    assert!(matches!(
        rotate(store, session, 3, end).await,
        Rotation::Expired
    ));
    assert!(store.sessions(ann.id, end).await.unwrap().is_empty());
    assert_eq!(store.session_owner(session, end).await.unwrap(), None);
    let before = end - Duration::from_millis(1);
    assert_eq!(
        store.session_owner(session, before).await.unwrap(),
        Some(ann.id)
    );
}

async fn ended_sessions_are_revoked_and_read_in_order(store: &Store) {
    let ann = created(store, "ann@example.com").await;
    let bob = created(store, "bob@example.com").await;
    let [one, two, three] = [
        opened(store, &ann).await,
        opened(store, &ann).await,
        opened(store, &ann).await,
    ];
    let foreign = opened(store, &bob).await;
    let end = |account: AccountId, which| EndSessions {
        account,
        which,
        ending: ending(T0),
    };

    let revoked = store.commit(end(bob.id, Which::Only(one))).await.unwrap();
    assert_eq!(revoked, vec![], "nobody ends another's session");
    let first = store.commit(end(ann.id, Which::Only(one))).await.unwrap();
    assert_eq!(
        first,
        vec![(Revocation::Session(one), ending(T0).forget_at)]
    );
    let again = store.commit(end(ann.id, Which::Only(one))).await.unwrap();
    assert_eq!(again, vec![]);

    let news = store.revocations(0).await.unwrap();
    assert_eq!(news.revocations, first);

    let second = store.commit(end(ann.id, Which::AllBut(two))).await.unwrap();
    let legacy = Revocation::Subject {
        subject: ann.id.to_string(),
        until: T0,
    };
    let revoked: Vec<_> = second
        .iter()
        .map(|(revocation, _)| revocation.clone())
        .collect();
    assert_eq!(revoked, vec![Revocation::Session(three), legacy]);
    let later = store.revocations(news.place).await.unwrap();
    assert_eq!(later.revocations, second);
    let nothing = store.revocations(later.place).await.unwrap();
    assert_eq!((nothing.revocations.len(), nothing.place), (0, later.place));

    assert_eq!(store.session_owner(two, T0).await.unwrap(), Some(ann.id));
    assert_eq!(store.session_owner(three, T0).await.unwrap(), None);
    assert_eq!(
        store.session_owner(foreign, T0).await.unwrap(),
        Some(bob.id)
    );
}

async fn an_account_that_changes_loses_its_sessions(store: &Store) {
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

async fn what_has_expired_is_swept_away(store: &Store) {
    let ann = created(store, "ann@example.com").await;
    let session = opened(store, &ann).await;
    let end = EndSessions {
        account: ann.id,
        which: Which::Only(session),
        ending: ending(T0),
    };
    assert_eq!(store.commit(end).await.unwrap().len(), 1);
    opened(store, &ann).await;
    let sweep = |now| Sweep {
        now,
        sessions_before: now,
    };
    assert_eq!(store.commit(sweep(T0 + IDLE)).await.unwrap(), 0);
    let place = store.revocations(0).await.unwrap().place;
    assert_eq!(store.commit(sweep(T0 + 25 * IDLE)).await.unwrap(), 3);

    // A place that was read once is never given to another revocation.
    let session = opened(store, &ann).await;
    let end = EndSessions {
        account: ann.id,
        which: Which::Only(session),
        ending: ending(T0),
    };
    assert_eq!(store.commit(end).await.unwrap().len(), 1);
    assert_eq!(store.revocations(place).await.unwrap().revocations.len(), 1);

    let key = |secret: u8| KeepRingKey {
        ring: "test",
        id: 0,
        secret: Secret::new(vec![secret]),
        at: T0,
    };
    store.commit(key(1)).await.unwrap();
    store.commit(key(2)).await.unwrap();
    let keys = store.ring_keys("test").await.unwrap();
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0].1.expose(), [1], "the first key stays");
    assert!(store.ping().await.is_ok());
}
