//! What every store must do with sessions, refresh tokens and revocations.

use super::*;
use crate::accounts::SessionLife;

pub(in crate::store) async fn rotate(
    store: &Store,
    session: SessionId,
    counter: u64,
    at: Timestamp,
) -> Rotation {
    try_rotate(store, session, counter, at).await.unwrap()
}

pub(in crate::store) async fn try_rotate(
    store: &Store,
    session: SessionId,
    counter: u64,
    at: Timestamp,
) -> Result<Rotation, StoreError> {
    let rotate = Rotate {
        session,
        counter,
        device: device(),
        idle: IDLE,
        grace: GRACE,
        ending: ending(at),
    };
    store.commit(rotate).await
}

pub(in crate::store) fn is_successor(rotation: &Rotation) -> bool {
    matches!(rotation, Rotation::Successor { .. })
}

pub(super) async fn a_refresh_token_is_good_once_and_once_more_within_the_grace(store: &Store) {
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

pub(super) async fn a_used_refresh_token_ends_its_session(store: &Store) {
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

pub(super) async fn many_refreshes_at_one_time_rotate_once(store: &Store) {
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

pub(super) async fn a_session_in_use_lives_on_up_to_its_end(store: &Store) {
    let ann = created(store, "ann@example.com").await;
    let (used, idle, ended) = (
        opened(store, &ann).await,
        opened(store, &ann).await,
        opened(store, &ann).await,
    );
    let end = EndSessions {
        account: ann.id,
        which: Which::Only(ended),
        ending: ending(T0),
    };
    let _revoked = store.commit(end).await.unwrap();
    let minute = Duration::from_secs(60);
    let seen_at = |session, at: Timestamp, until: Timestamp| SessionUse {
        session,
        at,
        client: client(),
        until,
    };
    let later = T0 + IDLE - minute;
    let uses = [
        seen_at(used, later, later + IDLE),
        // Late news of an earlier use takes nothing back.
        seen_at(used, T0 + minute, T0 + IDLE),
        seen_at(ended, later, later + IDLE),
        seen_at(idle, T0 + IDLE, T0 + 2 * IDLE),
        seen_at(SessionId::random(), later, later + IDLE),
    ];
    store.commit(UseSessions(uses.to_vec())).await.unwrap();
    let live = store.live_session(used, T0 + IDLE).await.unwrap().unwrap();
    assert_eq!(live.account, ann);
    assert_eq!(live.last_used_at, later);
    assert_eq!(live.expires_at, later + IDLE);
    assert_eq!(live.ends_at, T0 + 3 * IDLE);
    for session in [idle, ended, SessionId::random()] {
        let live = store.live_session(session, T0 + IDLE).await.unwrap();
        assert!(live.is_none(), "{live:?}");
    }
    let last = seen_at(used, later, T0 + 9 * IDLE);
    store.commit(UseSessions(vec![last])).await.unwrap();
    let live = store.live_session(used, T0 + IDLE).await.unwrap().unwrap();
    assert_eq!(live.expires_at, T0 + 3 * IDLE, "not beyond its end");
    assert!(
        store
            .live_session(used, T0 + 3 * IDLE)
            .await
            .unwrap()
            .is_none()
    );

    let disable = SetStatus {
        account: ann.id,
        status: Status::Disabled,
        ending: ending(T0 + IDLE),
    };
    store.commit(disable).await.unwrap();
    assert!(store.live_session(used, T0 + IDLE).await.unwrap().is_none());
}

pub(super) async fn sessions_expire_and_slide_up_to_their_end(store: &Store) {
    let ann = created(store, "ann@example.com").await;
    let session = opened(store, &ann).await;
    let minute = Duration::from_secs(60);
    assert_eq!(store.sessions(ann.id, (T0, MANY)).await.unwrap().len(), 1);

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
        factors: Factors::One,
    } = rotation
    else {
        panic!("{rotation:?}");
    };
    assert_eq!(expires_at, T0 + 3 * IDLE, "not beyond its end");
    assert_eq!(*account, ann);

    let [seen] = &store.sessions(ann.id, (T0, MANY)).await.unwrap()[..] else {
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
    assert!(
        store
            .sessions(ann.id, (end, MANY))
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(store.session_owner(session, end).await.unwrap(), None);
    let before = end - Duration::from_millis(1);
    assert_eq!(
        store.session_owner(session, before).await.unwrap(),
        Some(ann.id)
    );
}

pub(super) async fn a_session_too_many_takes_the_place_of_the_one_unused_for_longest(
    store: &Store,
) {
    let ann = created(store, "ann@example.com").await;
    let bob = created(store, "bob@example.com").await;
    let foreign = opened(store, &bob).await;
    let [used, unused, ended] = [
        opened(store, &ann).await,
        opened(store, &ann).await,
        opened(store, &ann).await,
    ];
    let minute = Duration::from_secs(60);
    assert!(is_successor(&rotate(store, used, 0, T0 + minute).await));
    let end = EndSessions {
        account: ann.id,
        which: Which::Only(ended),
        ending: ending(T0),
    };
    store.commit(end).await.unwrap();
    let at = T0 + 2 * minute;
    let open = |most| {
        let first = opening(&ann);
        let session = NewSession {
            at,
            ..first.session
        };
        OpenSession {
            session,
            most,
            ending: ending(at),
            ..first
        }
    };
    // What has ended takes no place.
    let third = store.commit(open(3)).await.unwrap().unwrap();
    assert_eq!((third.entries, third.revoked), (vec![], vec![]));
    let open_fourth = open(3);
    let fourth = open_fourth.session.id;
    let displaced = store.commit(open_fourth).await.unwrap().unwrap();
    let [entry] = &displaced.entries[..] else {
        panic!("{displaced:?}");
    };
    assert_eq!(
        (&entry.event, entry.session),
        (&Event::SessionDisplaced, Some(unused))
    );
    let revoked = (Revocation::Session(unused), ending(at).forget_at);
    assert_eq!(displaced.revoked, [revoked]);
    assert_eq!(store.session_owner(unused, at).await.unwrap(), None);
    let live = store.sessions(ann.id, (at, MANY)).await.unwrap();
    assert_eq!(live.len(), 3);
    assert_eq!(live.last().map(|session| session.id), Some(used));
    let first_two = store.sessions(ann.id, (at, 2)).await.unwrap();
    assert_eq!(first_two, live[..2]);
    // Fewer are allowed now: the new one stays, whatever is older goes.
    let open_last = open(1);
    let last = open_last.session.id;
    let displaced = store.commit(open_last).await.unwrap().unwrap();
    assert_eq!(displaced.revoked.len(), 3);
    assert_eq!(store.session_owner(fourth, at).await.unwrap(), None);
    let live = store.sessions(ann.id, (at, MANY)).await.unwrap();
    assert_eq!(live.iter().map(|one| one.id).collect::<Vec<_>>(), [last]);
    assert_eq!(
        store.session_owner(foreign, at).await.unwrap(),
        Some(bob.id)
    );
}

pub(super) async fn ended_sessions_are_revoked_and_read_in_order(store: &Store) {
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

    let news = store.revocations(&Place::default()).await.unwrap();
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
    let later = store.revocations(&news.place).await.unwrap();
    assert_eq!(later.revocations, second);
    let nothing = store.revocations(&later.place).await.unwrap();
    assert_eq!(nothing.revocations, vec![]);

    assert_eq!(store.session_owner(two, T0).await.unwrap(), Some(ann.id));
    assert_eq!(store.session_owner(three, T0).await.unwrap(), None);
    assert_eq!(
        store.session_owner(foreign, T0).await.unwrap(),
        Some(bob.id)
    );
}

pub(super) async fn what_has_expired_is_swept_away(store: &Store) {
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
        offers_before: now,
    };
    assert_eq!(store.commit(sweep(T0 + IDLE)).await.unwrap(), 0);
    let place = store.revocations(&Place::default()).await.unwrap().place;
    assert_eq!(store.commit(sweep(T0 + 25 * IDLE)).await.unwrap(), 3);

    // A place that was read once is never given to another revocation.
    let session = opened(store, &ann).await;
    let end = EndSessions {
        account: ann.id,
        which: Which::Only(session),
        ending: ending(T0),
    };
    assert_eq!(store.commit(end).await.unwrap().len(), 1);
    assert_eq!(
        store.revocations(&place).await.unwrap().revocations.len(),
        1
    );

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

pub(super) async fn a_session_says_how_it_stands(store: &Store) {
    let ann = created(store, "ann@example.com").await;
    let session = opened(store, &ann).await;
    let life = |at| store.session_life(session, at);
    let first = SessionLife {
        refreshed_at: T0,
        expires_at: T0 + IDLE,
    };
    assert_eq!(life(T0).await.unwrap(), Some(first));
    let later = T0 + IDLE / 2;
    assert!(is_successor(&rotate(store, session, 0, later).await));
    let refreshed = SessionLife {
        refreshed_at: later,
        expires_at: later + IDLE,
    };
    assert_eq!(life(T0 + IDLE).await.unwrap(), Some(refreshed));
    assert_eq!(life(later + IDLE).await.unwrap(), None, "it has expired");
    let end = EndSessions {
        account: ann.id,
        which: Which::Only(session),
        ending: ending(later),
    };
    assert_eq!(store.commit(end).await.unwrap().len(), 1);
    assert_eq!(life(later).await.unwrap(), None, "it was ended");
}
