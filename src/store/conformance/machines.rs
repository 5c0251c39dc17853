//! API keys and service accounts, as every store must keep them.

use super::*;
use crate::accounts::{
    ApiKey, ApiKeyId, Binding, KeyHash, KeyOwner, ServiceAccount, ServiceName, WrittenBinding,
};

const HOUR: Duration = Duration::from_secs(3600);

fn key(owner: KeyOwner) -> ApiKey {
    let written = WrittenBinding {
        scopes: vec!["agents:read".into()],
        routes: vec!["app".into()],
        networks: vec!["10.0.0.0/8".into()],
        limits: vec!["slow".into()],
    };
    ApiKey {
        id: ApiKeyId::parse(&SessionId::random().to_string()).unwrap(),
        owner,
        name: DisplayName::parse("build").unwrap(),
        binding: Binding::parse(&written).unwrap(),
        created_at: T0,
        lifetime: Some(24 * HOUR),
        expires_at: Some(T0 + 24 * HOUR),
        revoked_at: None,
        last_used_at: None,
    }
}

async fn create_key(store: &Store, key: &ApiKey, most: Option<u32>) -> KeyCreated {
    let create = CreateApiKey {
        key: key.clone(),
        hash: KeyHash::stored([7; 32]),
        most,
        entry: entry(Event::ApiKeyCreated(key.id), key.owner.id()),
    };
    store.commit(create).await.unwrap()
}

async fn kept(store: &Store, owner: KeyOwner) -> ApiKey {
    let key = key(owner);
    assert_eq!(create_key(store, &key, None).await, KeyCreated::Done);
    key
}

fn service(name: &str) -> ServiceAccount {
    ServiceAccount {
        id: AccountId::random(),
        name: ServiceName::parse(name).unwrap(),
        roles: vec![Role::parse("bot").unwrap()],
        status: Status::Active,
        created_at: T0,
        updated_at: T0,
    }
}

async fn add(store: &Store, service: &ServiceAccount) -> Created {
    let create = CreateService {
        service: service.clone(),
        entry: entry(Event::ServiceAdded, service.id),
    };
    store.commit(create).await.unwrap()
}

async fn found(store: &Store, key: &ApiKey) -> Option<ApiKey> {
    store.api_key(key.id).await.unwrap().map(|(key, _)| key)
}

pub(super) async fn a_key_is_kept_whole_and_found_by_its_id(store: &Store) {
    let ann = KeyOwner::User(created(store, "ann@example.com").await.id);
    let bob = KeyOwner::User(created(store, "bob@example.com").await.id);
    let mut keys = [kept(store, ann).await, kept(store, ann).await];
    keys.sort_by_key(|key| key.id);
    let [first, second] = keys;
    let other = kept(store, bob).await;
    let (read, hash) = store.api_key(first.id).await.unwrap().unwrap();
    assert_eq!(read, first);
    assert!(hash.is(&KeyHash::stored([7; 32])));
    let page = |owner, after, limit| store.api_keys(owner, (after, limit));
    let all = page(Some(ann), None, 10).await.unwrap();
    assert_eq!(all, [first.clone(), second.clone()]);
    let rest = page(Some(ann), Some(first.id), 10).await.unwrap();
    assert_eq!(rest, [second]);
    assert_eq!(page(None, None, 10).await.unwrap().len(), 3);
    assert_eq!(page(None, None, 1).await.unwrap().len(), 1);
    assert_eq!(page(Some(bob), None, 10).await.unwrap(), [other]);
}

pub(super) async fn a_key_needs_an_active_owner_and_is_one_of_so_many(store: &Store) {
    let ann = created(store, "ann@example.com").await;
    let owner = KeyOwner::User(ann.id);
    let nobody = KeyOwner::User(AccountId::random());
    let no_service = KeyOwner::Service(ann.id);
    for stranger in [nobody, no_service] {
        let answer = create_key(store, &key(stranger), None).await;
        assert_eq!(answer, KeyCreated::NoOwner);
    }
    assert_eq!(
        create_key(store, &key(owner), Some(1)).await,
        KeyCreated::Done
    );
    let more = create_key(store, &key(owner), Some(1)).await;
    assert_eq!(more, KeyCreated::TooMany);
    // One that has expired is not counted.
    let late = ApiKey {
        created_at: T0 + 25 * HOUR,
        ..key(owner)
    };
    assert_eq!(create_key(store, &late, Some(1)).await, KeyCreated::Done);
    let disable = SetStatus {
        account: ann.id,
        status: Status::Disabled,
        ending: ending(T0),
    };
    assert!(store.commit(disable).await.unwrap().is_some());
    let answer = create_key(store, &key(owner), None).await;
    assert_eq!(answer, KeyCreated::NoOwner);
}

pub(super) async fn a_revoked_key_is_news_once(store: &Store) {
    let ann = KeyOwner::User(created(store, "ann@example.com").await.id);
    let bob = KeyOwner::User(created(store, "bob@example.com").await.id);
    let key = kept(store, ann).await;
    let at = T0 + HOUR;
    let revoke = |owner| RevokeApiKey {
        id: key.id,
        owner,
        ending: ending(at),
    };
    assert!(store.commit(revoke(Some(bob))).await.unwrap().is_none());
    assert_eq!(found(store, &key).await.unwrap().revoked_at, None);
    let (owner, revoked) = store.commit(revoke(Some(ann))).await.unwrap().unwrap();
    let expected = (
        Revocation::Session(key.id.as_session()),
        ending(at).forget_at,
    );
    assert_eq!((owner, &revoked), (ann, &vec![expected.clone()]));
    assert_eq!(found(store, &key).await.unwrap().revoked_at, Some(at));
    let news = store.revocations(&Place::default()).await.unwrap();
    assert_eq!(news.revocations, [expected]);
    let (_, again) = store.commit(revoke(None)).await.unwrap().unwrap();
    assert!(again.is_empty());
    assert_eq!(
        store
            .revocations(&Place::default())
            .await
            .unwrap()
            .revocations
            .len(),
        1
    );
}

pub(super) async fn a_rotated_key_ends_after_its_overlap(store: &Store) {
    let ann = KeyOwner::User(created(store, "ann@example.com").await.id);
    let old = kept(store, ann).await;
    let at = T0 + HOUR;
    let rotate = |old: &ApiKey, overlap| {
        let key = key(ann);
        RotateApiKey {
            old: old.id,
            until: at + overlap,
            hash: KeyHash::stored([8; 32]),
            ending: ending(at),
            entry: entry(Event::ApiKeyRotated(old.id, key.id), ann.id()),
            key,
        }
    };
    let with_overlap = rotate(&old, HOUR);
    let next = with_overlap.key.clone();
    assert_eq!(store.commit(with_overlap).await.unwrap(), Some(vec![]));
    let ends = found(store, &old).await.unwrap();
    assert_eq!((ends.expires_at, ends.revoked_at), (Some(at + HOUR), None));
    assert_eq!(found(store, &next).await.unwrap(), next);
    // An overlap makes no key live longer than it would have.
    let longer = rotate(&old, 100 * HOUR);
    assert!(store.commit(longer).await.unwrap().is_some());
    let ends = found(store, &old).await.unwrap();
    assert_eq!(ends.expires_at, Some(at + HOUR));
    assert_eq!(ends.lifetime, old.lifetime, "its successors live as long");
    let endless = ApiKey {
        lifetime: None,
        expires_at: None,
        ..key(ann)
    };
    assert_eq!(create_key(store, &endless, None).await, KeyCreated::Done);
    for _ in 0..2 {
        let rotated = store.commit(rotate(&endless, HOUR)).await.unwrap();
        assert!(rotated.is_some());
        let ends = found(store, &endless).await.unwrap();
        assert_eq!((ends.expires_at, ends.lifetime), (Some(at + HOUR), None));
    }

    let revoked = store.commit(rotate(&next, Duration::ZERO)).await.unwrap();
    assert_eq!(revoked.unwrap().len(), 1);
    assert_eq!(found(store, &next).await.unwrap().revoked_at, Some(at));
    let dead = rotate(&next, HOUR);
    let unborn = dead.key.clone();
    assert!(store.commit(dead).await.unwrap().is_none());
    assert!(found(store, &unborn).await.is_none());
}

pub(super) async fn uses_are_noted_an_hour_apart(store: &Store) {
    let ann = KeyOwner::User(created(store, "ann@example.com").await.id);
    let key = kept(store, ann).await;
    for (at, last) in [
        (T0, T0),
        (T0 + HOUR / 2, T0),
        (T0 + HOUR, T0 + HOUR),
        (T0, T0 + HOUR),
    ] {
        let uses = NoteKeyUses {
            uses: vec![(key.id, at)],
            apart: HOUR,
        };
        store.commit(uses).await.unwrap();
        assert_eq!(found(store, &key).await.unwrap().last_used_at, Some(last));
    }
}

pub(super) async fn a_service_changes_and_goes_with_its_keys(store: &Store) {
    let ci = service("CI");
    assert_eq!(add(store, &ci).await, Created::Done);
    assert_eq!(add(store, &service("ci")).await, Created::Taken);
    let name = ServiceName::parse("cI").unwrap();
    assert_eq!(
        store.service_by_name(&name).await.unwrap(),
        Some(ci.clone())
    );
    let owner = KeyOwner::Service(ci.id);
    let key = kept(store, owner).await;
    let at = T0 + HOUR;
    let news = vec![(
        Revocation::Subject {
            subject: ci.id.to_string(),
            until: at,
        },
        ending(at).forget_at,
    )];

    let status = SetServiceStatus {
        service: ci.id,
        status: Status::Disabled,
        ending: ending(at),
    };
    assert_eq!(store.commit(status).await.unwrap(), Some(news.clone()));
    let roles = SetServiceRoles {
        service: ci.id,
        roles: Vec::new(),
        ending: ending(at),
    };
    assert_eq!(store.commit(roles).await.unwrap(), Some(news.clone()));
    let changed = store.service(ci.id).await.unwrap().unwrap();
    assert_eq!((changed.status, changed.updated_at), (Status::Disabled, at));
    assert!(changed.roles.is_empty());
    assert_eq!(store.services().await.unwrap(), [changed]);
    let refused = create_key(store, &self::key(owner), None).await;
    assert_eq!(refused, KeyCreated::NoOwner);

    let delete = DeleteService {
        service: ci.id,
        ending: ending(at),
    };
    assert_eq!(store.commit(delete.clone()).await.unwrap(), Some(news));
    assert!(store.commit(delete).await.unwrap().is_none());
    assert!(found(store, &key).await.is_none());
    assert_eq!(add(store, &service("ci")).await, Created::Done);
}

pub(super) async fn keys_go_with_their_user_and_when_they_are_long_dead(store: &Store) {
    let ann = created(store, "ann@example.com").await;
    let bob = created(store, "bob@example.com").await;
    let hers = kept(store, KeyOwner::User(ann.id)).await;
    let his = kept(store, KeyOwner::User(bob.id)).await;
    let endless = ApiKey {
        expires_at: None,
        ..key(KeyOwner::User(bob.id))
    };
    assert_eq!(create_key(store, &endless, None).await, KeyCreated::Done);
    let delete = Delete {
        account: ann.id,
        ending: ending(T0),
    };
    assert!(store.commit(delete).await.unwrap().is_some());
    assert!(found(store, &hers).await.is_none());
    assert!(found(store, &his).await.is_some());
    let sweep = Sweep {
        now: T0 + 30 * HOUR,
        sessions_before: T0 + 25 * HOUR,
        offers_before: T0,
    };
    store.commit(sweep).await.unwrap();
    assert!(found(store, &his).await.is_none());
    assert!(found(store, &endless).await.is_some());
}
