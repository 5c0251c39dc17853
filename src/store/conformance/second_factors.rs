//! What every store must do with second factors and recovery codes.

mod sessions;

use super::*;
use crate::accounts::RecoveryDigest;

pub(super) use sessions::{
    a_removed_factor_takes_its_codes_and_the_sessions_along,
    no_session_is_opened_without_a_factor_that_is_confirmed,
    no_session_slips_in_while_a_factor_is_confirmed,
};

const STEP: i64 = 60_000_000;

fn sealed(under: &str, octets: &[u8]) -> SealedFactor {
    SealedFactor {
        sealed: octets.to_vec(),
        master: under.to_owned(),
    }
}

fn first() -> SealedFactor {
    sealed("m1", &[0, 1, 255])
}

fn codes(numbers: &[u8]) -> Vec<RecoveryDigest> {
    let code = |number: &u8| RecoveryDigest::new([*number; 32]);
    numbers.iter().map(code).collect()
}

fn later(seconds: u64) -> Timestamp {
    T0 + Duration::from_secs(seconds)
}

async fn offer(store: &Store, account: AccountId, factor: SealedFactor) -> bool {
    offer_at(store, account, factor, T0).await
}

async fn offer_at(store: &Store, account: AccountId, factor: SealedFactor, at: Timestamp) -> bool {
    let offer = OfferSecondFactor {
        account,
        factor,
        at,
    };
    store.commit(offer).await.unwrap()
}

fn confirmation(account: AccountId, factor: SealedFactor, numbers: &[u8]) -> ConfirmSecondFactor {
    ConfirmSecondFactor {
        account,
        factor,
        step: STEP,
        recovery: codes(numbers),
        ending: ending(later(1)),
    }
}

async fn confirm(store: &Store, account: AccountId, factor: SealedFactor) -> Option<Revoked> {
    let confirmation = confirmation(account, factor, &[1, 2, 3]);
    store.commit(confirmation).await.unwrap()
}

/// An account with a confirmed factor, as it stands then.
async fn protected(store: &Store, email: &str) -> Account {
    let id = created(store, email).await.id;
    assert!(offer(store, id, first()).await);
    assert!(confirm(store, id, first()).await.is_some());
    store.account(id).await.unwrap().unwrap().0
}

async fn take(store: &Store, account: AccountId, factor: SealedFactor, step: i64) -> bool {
    let taken = UseSecondFactor {
        account,
        factor,
        step,
    };
    store.commit(taken).await.unwrap()
}

async fn recover(store: &Store, account: AccountId, number: u8) -> Option<Entry> {
    let recovery = UseRecoveryCode {
        account,
        digest: RecoveryDigest::new([number; 32]),
        at: T0,
        origin: origin(),
    };
    store.commit(recovery).await.unwrap()
}

async fn replace(store: &Store, account: AccountId, numbers: &[u8]) -> Option<Entry> {
    let replacement = ReplaceRecoveryCodes {
        account,
        recovery: codes(numbers),
        at: T0,
        origin: origin(),
    };
    store.commit(replacement).await.unwrap()
}

async fn remove(store: &Store, account: AccountId, at: Timestamp) -> Option<Revoked> {
    let removal = RemoveSecondFactor {
        account,
        ending: ending(at),
    };
    store.commit(removal).await.unwrap()
}

/// Puts a recovery code where no change of ours would: beside a factor that was merely offered.
struct Stray(AccountId, RecoveryDigest);

impl Change for Stray {
    type Output = ();

    async fn apply(&self, connection: &mut sql::Connection<'_>) -> Result<(), StoreError> {
        query("INSERT INTO recovery_codes (account_id, digest) VALUES ($1, $2)")
            .bind(self.0.to_string())
            .bind(self.1.as_bytes())
            .execute(connection)
            .await
            .map(drop)
    }
}

/// Its session, also one of an account that has changed since it was made.
fn opening_with(account: &Account, factors: Factors) -> OpenSession {
    let open = opening(account);
    OpenSession {
        session: NewSession {
            factors,
            ..open.session
        },
        unless_changed_from: account.updated_at,
        ..open
    }
}

/// What the audit log tells of an account beside its sessions' beginnings.
async fn told(store: &Store, account: AccountId) -> Vec<(String, i64)> {
    let rows = query(
        "SELECT event, at, detail, client FROM audit WHERE account_id = $1 \
         AND event NOT IN ('registered', 'logged_in') ORDER BY id",
    )
    .bind(account.to_string())
    .fetch_all(store)
    .await
    .unwrap();
    let entry = |row: &sql::Row| {
        assert_eq!(row.try_get::<String>("detail").unwrap(), "");
        assert_eq!(row.try_get::<String>("client").unwrap(), "192.0.2.7");
        (row.try_get("event").unwrap(), row.try_get("at").unwrap())
    };
    rows.iter().map(entry).collect()
}

fn at(event: &str, at: Timestamp) -> (String, i64) {
    (event.to_owned(), at.millis())
}

async fn rows(store: &Store, text: &'static str) -> usize {
    query(text).fetch_all(store).await.unwrap().len()
}

pub(super) async fn a_factor_counts_once_its_owner_has_shown_a_code(store: &Store) {
    let ann = created(store, "ann@example.com").await;
    let bob = created(store, "bob@example.com").await;
    let found = async || store.second_factor(ann.id).await.unwrap();
    assert_eq!(found().await, None);
    assert!(confirm(store, ann.id, first()).await.is_none());

    // An offer is worth nothing yet, and gives way to the next.
    assert!(offer(store, ann.id, sealed("m0", b"old")).await);
    assert!(offer(store, ann.id, first()).await);
    let offered = SecondFactor {
        sealed: first(),
        confirmed_at: None,
        last_step: -1,
        recovery_codes: 0,
    };
    assert_eq!(found().await.as_ref(), Some(&offered));
    assert!(!take(store, ann.id, first(), STEP).await);
    assert_eq!(replace(store, ann.id, &[9]).await, None);
    let stray = Stray(ann.id, RecoveryDigest::new([9; 32]));
    store.commit(stray).await.unwrap();
    assert!(recover(store, ann.id, 9).await.is_none());
    let session = opened(store, &ann).await;
    let others = opened(store, &bob).await;

    // Another secret, another master key, another account.
    for (account, factor) in [
        (ann.id, sealed("m1", b"old")),
        (ann.id, sealed("m2", &first().sealed)),
        (bob.id, first()),
    ] {
        let confirmed = confirm(store, account, factor).await;
        assert!(confirmed.is_none());
    }
    let with_stray = SecondFactor {
        recovery_codes: 1,
        ..offered
    };
    assert_eq!(found().await, Some(with_stray));
    assert_eq!(told(store, ann.id).await, []);
    assert_eq!(store.account(ann.id).await.unwrap().unwrap().0, ann);
    assert_eq!(
        store.session_owner(session, T0).await.unwrap(),
        Some(ann.id)
    );

    let revoked = confirm(store, ann.id, first()).await.unwrap();
    let end = ending(later(1));
    let subject = Revocation::Subject {
        subject: ann.id.to_string(),
        until: later(1),
    };
    let expected = [
        (Revocation::Session(session), end.forget_at),
        (subject, end.forget_subject_at()),
    ];
    assert_eq!(revoked, expected);
    let news = store.revocations(&Place::default()).await.unwrap();
    assert_eq!(news.revocations, expected);
    assert_eq!(store.session_owner(session, T0).await.unwrap(), None);
    assert_eq!(store.session_owner(others, T0).await.unwrap(), Some(bob.id));
    let confirmed = SecondFactor {
        sealed: first(),
        confirmed_at: Some(later(1)),
        last_step: STEP,
        recovery_codes: 3,
    };
    assert_eq!(found().await.as_ref(), Some(&confirmed));
    let changed = store.account(ann.id).await.unwrap().unwrap().0;
    assert_eq!(changed.updated_at, later(1));

    // It stays as it is, whatever is offered or confirmed again.
    assert!(!offer(store, ann.id, sealed("m1", b"new")).await);
    assert!(confirm(store, ann.id, first()).await.is_none());
    assert_eq!(found().await, Some(confirmed));
    let once = [at("second_factor_added", later(1))];
    assert_eq!(told(store, ann.id).await, once);
    assert_eq!(store.second_factor(bob.id).await.unwrap(), None);
}

pub(super) async fn only_an_active_account_is_offered_a_factor(store: &Store) {
    let ann = created(store, "ann@example.com").await;
    let disable = SetStatus {
        account: ann.id,
        status: Status::Disabled,
        ending: ending(T0),
    };
    assert!(store.commit(disable).await.unwrap().is_some());
    for account in [ann.id, AccountId::random()] {
        assert!(!offer(store, account, first()).await);
        assert_eq!(store.second_factor(account).await.unwrap(), None);
    }
}

pub(super) async fn a_step_is_taken_once_and_no_earlier_one_after_it(store: &Store) {
    let ann = protected(store, "ann@example.com").await.id;
    let bob = protected(store, "bob@example.com").await.id;
    // The one that the factor was confirmed with is taken.
    for (factor, step, taken) in [
        (first(), STEP, false),
        (first(), STEP - 1, false),
        (sealed("m2", &first().sealed), STEP + 1, false),
        (sealed("m1", b"other"), STEP + 1, false),
        (first(), STEP + 1, true),
        (first(), STEP + 1, false),
        (first(), STEP, false),
        (first(), STEP + 3, true),
        (first(), STEP + 2, false),
    ] {
        let answer = take(store, ann, factor.clone(), step).await;
        assert_eq!(answer, taken, "{factor:?} {}", step - STEP);
    }
    let found = store.second_factor(ann).await.unwrap().unwrap();
    assert_eq!(found.last_step, STEP + 3);
    let others = store.second_factor(bob).await.unwrap().unwrap();
    assert_eq!(others.last_step, STEP);
    assert!(!take(store, AccountId::random(), first(), STEP).await);
}

pub(super) async fn of_many_that_show_a_code_at_one_time_one_is_let_in(store: &Store) {
    let ann = protected(store, "ann@example.com").await.id;
    let (mut steps, mut recoveries) = (tokio::task::JoinSet::new(), tokio::task::JoinSet::new());
    for _ in 0..8 {
        let (one, other) = (store.clone(), store.clone());
        steps.spawn(async move { take(&one, ann, first(), STEP + 1).await });
        recoveries.spawn(async move { recover(&other, ann, 1).await.is_some() });
    }
    for attempts in [steps, recoveries] {
        let outcomes = attempts.join_all().await;
        assert_eq!(outcomes.iter().filter(|taken| **taken).count(), 1);
    }
    let found = store.second_factor(ann).await.unwrap().unwrap();
    assert_eq!((found.last_step, found.recovery_codes), (STEP + 1, 2));
    let told = told(store, ann).await;
    let used = |(event, _): &&(String, i64)| event == "recovery_code_used";
    assert_eq!(told.iter().filter(used).count(), 1);
}

pub(super) async fn a_recovery_code_is_good_once_and_until_it_is_replaced(store: &Store) {
    let ann = protected(store, "ann@example.com").await.id;
    let bob = created(store, "bob@example.com").await.id;
    assert!(recover(store, ann, 4).await.is_none());
    assert!(recover(store, bob, 1).await.is_none(), "another's");
    let used = recover(store, ann, 2).await.unwrap();
    assert_eq!(used, entry(Event::RecoveryCodeUsed, ann));
    let left = async || {
        let found = store.second_factor(ann).await.unwrap();
        found.unwrap().recovery_codes
    };
    assert_eq!(left().await, 2);
    assert!(recover(store, ann, 2).await.is_none());

    let replaced = replace(store, ann, &[5, 6, 7, 8]).await;
    assert_eq!(replaced, Some(entry(Event::RecoveryCodesReplaced, ann)));
    for old in [1, 2, 3] {
        assert!(recover(store, ann, old).await.is_none(), "{old}");
    }
    let found = store.second_factor(ann).await.unwrap().unwrap();
    assert_eq!((found.last_step, found.recovery_codes), (STEP, 4));
    for (new, expected) in [(8, 3), (5, 2), (7, 1), (6, 0)] {
        assert!(recover(store, ann, new).await.is_some(), "{new}");
        assert_eq!(left().await, expected, "{new}");
    }
    assert_eq!(replace(store, bob, &[1]).await, None);
    assert!(recover(store, bob, 1).await.is_none());
    let expected = [
        at("second_factor_added", later(1)),
        at("recovery_code_used", T0),
        at("recovery_codes_replaced", T0),
        at("recovery_code_used", T0),
        at("recovery_code_used", T0),
        at("recovery_code_used", T0),
        at("recovery_code_used", T0),
    ];
    assert_eq!(told(store, ann).await, expected);
    assert_eq!(told(store, bob).await, []);
}

pub(super) async fn a_factor_is_sealed_anew_once(store: &Store) {
    let ann = protected(store, "ann@example.com").await.id;
    let bob = protected(store, "bob@example.com").await.id;
    let to = sealed("m2", b"anew");
    let reseal = async |from: SealedFactor| {
        let reseal = ResealSecondFactor {
            account: ann,
            from,
            to: to.clone(),
        };
        store.commit(reseal).await.unwrap()
    };
    assert!(!reseal(sealed("m1", b"other")).await);
    assert!(!reseal(sealed("m0", &first().sealed)).await);
    let before = store.second_factor(ann).await.unwrap().unwrap();
    assert!(reseal(first()).await);
    assert!(!reseal(first()).await);
    let after = store.second_factor(ann).await.unwrap().unwrap();
    assert_eq!(
        after,
        SecondFactor {
            sealed: to.clone(),
            ..before
        }
    );
    let others = store.second_factor(bob).await.unwrap().unwrap();
    assert_eq!(others.sealed, first());
    assert!(!take(store, ann, first(), STEP + 1).await);
    assert!(take(store, ann, to.clone(), STEP + 1).await);
}

pub(super) async fn factors_go_with_their_account_and_offers_after_a_while(store: &Store) {
    let ann = protected(store, "ann@example.com").await;
    let bob = protected(store, "bob@example.com").await;
    let cid = created(store, "cid@example.com").await;
    assert!(offer(store, cid.id, first()).await);
    let sweep = |offers_before| Sweep {
        now: T0,
        sessions_before: T0,
        offers_before,
    };
    assert_eq!(store.commit(sweep(T0)).await.unwrap(), 0);
    assert!(store.second_factor(cid.id).await.unwrap().is_some());
    // Offered anew it has its time anew.
    assert!(offer_at(store, cid.id, first(), later(2)).await);
    assert_eq!(store.commit(sweep(later(2))).await.unwrap(), 0);
    assert_eq!(store.commit(sweep(later(3))).await.unwrap(), 1);
    assert_eq!(store.second_factor(cid.id).await.unwrap(), None);
    assert!(confirm(store, cid.id, first()).await.is_none());

    let delete = Delete {
        account: ann.id,
        ending: ending(T0),
    };
    assert!(store.commit(delete).await.unwrap().is_some());
    assert_eq!(store.second_factor(ann.id).await.unwrap(), None);
    assert_eq!(rows(store, "SELECT 1 FROM second_factors").await, 1);
    assert_eq!(rows(store, "SELECT 1 FROM recovery_codes").await, 3);
    assert!(!offer(store, ann.id, first()).await);
    let others = store.second_factor(bob.id).await.unwrap().unwrap();
    assert_eq!(others.recovery_codes, 3);
}
