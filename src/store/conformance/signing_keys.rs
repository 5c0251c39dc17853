//! What every store must do with signing keys.

use super::*;

fn key(number: i64, id: &str) -> SealedKey {
    SealedKey {
        number,
        id: id.to_owned(),
        algorithm: String::from("ES256"),
        master: String::from("first"),
        sealed: vec![0, 1, 255],
        created_at: T0,
        signs_from: T0 + IDLE,
    }
}

pub(super) async fn of_keys_of_one_number_the_first_stays(store: &Store) {
    assert!(store.signing_keys().await.unwrap().is_empty());
    let many = (0..8).map(|i| store.commit(AddSigningKey(key(1, &format!("k{i}")))));
    let mut added = 0;
    for outcome in futures_of(many).await {
        added += usize::from(outcome.unwrap());
    }
    assert_eq!(added, 1);
    assert!(store.commit(AddSigningKey(key(2, "next"))).await.unwrap());
    let keys = store.signing_keys().await.unwrap();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[1], key(2, "next"));

    let resealed = SealedKey {
        master: String::from("second"),
        sealed: vec![7],
        ..key(2, "next")
    };
    for from in ["another", "first", "first"] {
        let reseal = ResealSigningKey {
            from: from.to_owned(),
            key: resealed.clone(),
        };
        store.commit(reseal).await.unwrap();
    }
    assert_eq!(store.signing_keys().await.unwrap()[1], resealed);
    store.commit(ForgetSigningKeys { before: 2 }).await.unwrap();
    assert_eq!(store.signing_keys().await.unwrap(), [resealed]);
}

pub(super) async fn a_wish_for_a_new_key_is_for_a_successor_of_the_newest(store: &Store) {
    let order = |pace| store.commit(OrderSigningKey(pace));
    assert_eq!(order(Pace::Now).await.unwrap(), None, "there is no key");
    store.commit(AddSigningKey(key(4, "k"))).await.unwrap();
    assert_eq!(store.signing_key_order(4).await.unwrap(), None);
    assert_eq!(order(Pace::Published).await.unwrap(), Some(4));
    assert_eq!(order(Pace::Now).await.unwrap(), Some(4));
    assert_eq!(store.signing_key_order(4).await.unwrap(), Some(Pace::Now));
    store.commit(AddSigningKey(key(5, "l"))).await.unwrap();
    assert_eq!(store.signing_key_order(5).await.unwrap(), None);
}

pub(super) async fn a_key_is_retired_once_a_later_one_signs(store: &Store) {
    let retire = |id: &str, at| {
        let id = id.to_owned();
        store.commit(RetireSigningKey { id, at })
    };
    let signs = T0 + IDLE;
    store.commit(AddSigningKey(key(1, "old"))).await.unwrap();
    assert_eq!(retire("old", signs).await.unwrap(), Retired::Signs);
    store.commit(AddSigningKey(key(2, "new"))).await.unwrap();
    assert_eq!(retire("old", T0).await.unwrap(), Retired::Signs);
    assert_eq!(retire("new", signs).await.unwrap(), Retired::Signs);
    assert_eq!(retire("other", signs).await.unwrap(), Retired::Unknown);
    assert_eq!(retire("old", signs).await.unwrap(), Retired::Done);
    assert_eq!(retire("old", signs).await.unwrap(), Retired::Unknown);
    assert_eq!(store.signing_keys().await.unwrap(), [key(2, "new")]);
}

/// All of them at one time.
async fn futures_of<F: Future<Output = T> + Send, T: Send>(
    futures: impl Iterator<Item = F>,
) -> Vec<T> {
    let mut under_way: Vec<_> = futures.map(Box::pin).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|cx| {
        under_way.retain_mut(|future| match future.as_mut().poll(cx) {
            std::task::Poll::Ready(outcome) => {
                done.push(outcome);
                false
            }
            std::task::Poll::Pending => true,
        });
        match under_way.is_empty() {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    done
}
