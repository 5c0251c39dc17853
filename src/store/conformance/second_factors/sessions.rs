//! Sessions and the factor of their account: none is opened without it, and none outlives it.

use super::*;

pub(in super::super) async fn no_session_is_opened_without_a_factor_that_is_confirmed(
    store: &Store,
) {
    let ann = created(store, "ann@example.com").await;
    assert!(offer(store, ann.id, first()).await);
    let open = opening_with(&ann, Factors::One);
    let plain = open.session.id;
    assert!(store.commit(open).await.unwrap().is_some());
    let live = async |session| store.live_session(session, T0).await.unwrap();
    assert_eq!(live(plain).await.unwrap().factors, Factors::One);

    let ann = protected(store, "bob@example.com").await;
    let refused = opening_with(&ann, Factors::One);
    let never = refused.session.id;
    assert!(store.commit(refused).await.unwrap().is_none());
    assert_eq!(store.session_owner(never, T0).await.unwrap(), None);
    let logged_in = query("SELECT 1 FROM audit WHERE account_id = $1 AND event = 'logged_in'");
    let logged_in = logged_in.bind(ann.id.to_string()).fetch_all(store).await;
    assert_eq!(logged_in.unwrap().len(), 0);
    // The factor makes up for nothing else.
    let late = OpenSession {
        unless_changed_from: T0,
        ..opening_with(&ann, Factors::Two)
    };
    assert!(store.commit(late).await.unwrap().is_none());

    let open = opening_with(&ann, Factors::Two);
    let strong = open.session.id;
    assert!(store.commit(open).await.unwrap().is_some());
    assert_eq!(live(strong).await.unwrap().factors, Factors::Two);
    // What it was opened with, it tells at each refresh, also within the grace.
    for (session, opened_with) in [(strong, Factors::Two), (plain, Factors::One)] {
        for at in [T0, T0 + GRACE] {
            let rotation = rotate(store, session, 0, at).await;
            let Rotation::Successor { factors, .. } = rotation else {
                panic!("{rotation:?}");
            };
            assert_eq!(factors, opened_with);
        }
    }
}

pub(in super::super) async fn no_session_slips_in_while_a_factor_is_confirmed(store: &Store) {
    for number in 0..10 {
        let ann = created(store, &format!("a{number}@example.com")).await;
        assert!(offer(store, ann.id, first()).await);
        let mut logins = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let (store, open) = (store.clone(), opening_with(&ann, Factors::One));
            logins.spawn(async move { store.commit(open).await.unwrap().is_some() });
        }
        // As if the account had been looked at after it was confirmed, by this very millisecond.
        let confirmation = ConfirmSecondFactor {
            ending: ending(T0),
            ..confirmation(ann.id, first(), &[1])
        };
        let confirmed = store.commit(confirmation).await.unwrap();
        assert!(confirmed.is_some());
        logins.join_all().await;
        let live = store.sessions(ann.id, (T0, MANY)).await.unwrap();
        assert_eq!(live, []);
    }
}

pub(in super::super) async fn a_removed_factor_takes_its_codes_and_the_sessions_along(
    store: &Store,
) {
    let ann = protected(store, "ann@example.com").await;
    let bob = protected(store, "bob@example.com").await;
    let open = opening_with(&ann, Factors::Two);
    let session = open.session.id;
    assert!(store.commit(open).await.unwrap().is_some());

    let revoked = remove(store, ann.id, later(2)).await.unwrap();
    let ended: Vec<_> = revoked.into_iter().map(|(what, _)| what).collect();
    let subject = Revocation::Subject {
        subject: ann.id.to_string(),
        until: later(2),
    };
    assert_eq!(ended, [Revocation::Session(session), subject]);
    assert_eq!(store.second_factor(ann.id).await.unwrap(), None);
    assert!(recover(store, ann.id, 1).await.is_none());
    assert!(!take(store, ann.id, first(), STEP + 1).await);
    let changed = store.account(ann.id).await.unwrap().unwrap().0;
    assert_eq!(changed.updated_at, later(2));
    let mut expected = vec![
        at("second_factor_added", later(1)),
        at("second_factor_removed", later(2)),
    ];
    assert_eq!(told(store, ann.id).await, expected);
    assert_eq!(remove(store, ann.id, later(3)).await, None);

    // One that is merely offered goes without a word.
    assert!(offer(store, ann.id, sealed("m1", b"next")).await);
    let open = opening_with(&changed, Factors::One);
    let session = open.session.id;
    assert!(store.commit(open).await.unwrap().is_some());
    assert_eq!(remove(store, ann.id, later(3)).await, None);
    assert_eq!(store.second_factor(ann.id).await.unwrap(), None);
    assert_eq!(told(store, ann.id).await, expected);
    assert_eq!(store.account(ann.id).await.unwrap().unwrap().0, changed);
    let owner = store.session_owner(session, T0).await.unwrap();
    assert_eq!(owner, Some(ann.id));

    // A new one begins anew: of the old one nothing is left.
    assert!(offer(store, ann.id, first()).await);
    let offered = store.second_factor(ann.id).await.unwrap().unwrap();
    assert_eq!((offered.last_step, offered.recovery_codes), (-1, 0));
    let confirmation = confirmation(ann.id, first(), &[1]);
    assert!(store.commit(confirmation).await.unwrap().is_some());
    assert!(recover(store, ann.id, 2).await.is_none());
    expected.push(at("second_factor_added", later(1)));
    assert_eq!(told(store, ann.id).await, expected);

    let others = store.second_factor(bob.id).await.unwrap().unwrap();
    assert_eq!(others.recovery_codes, 3);
}
