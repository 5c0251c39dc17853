//! What every store must do with invitations.

use super::*;
use crate::accounts::{Invitation, InvitationDigest};

fn invitation(letter: &str, uses: u32) -> Invitation {
    Invitation {
        digest: InvitationDigest::parse(&letter.repeat(64)).unwrap(),
        roles: vec![Role::parse("editor").unwrap()],
        uses,
        used: 0,
        created_at: T0,
        expires_at: T0 + IDLE,
    }
}

async fn come(store: &Store, number: u32, by: &Invitation, at: Timestamp) -> Created {
    let mut account = account(&format!("a{number}@example.com"));
    account.created_at = at;
    let create = CreateAccount {
        password: hash("first"),
        invitation: Some(by.digest.clone()),
        entry: entry(Event::Registered, account.id),
        account,
    };
    store.commit(create).await.unwrap()
}

fn told(event: Event) -> Entry {
    Entry {
        event,
        account: None,
        session: None,
        origin: Origin::operator("suite"),
    }
}

pub(super) async fn an_invitation_is_used_as_often_as_it_says(store: &Store) {
    let (single, double) = (invitation("a", 1), invitation("b", 2));
    for invitation in [&single, &double] {
        let create = CreateInvitation {
            invitation: invitation.clone(),
            entry: told(Event::Invited(invitation.digest.clone())),
        };
        store.commit(create).await.unwrap();
        let found = store.invitation(&invitation.digest).await.unwrap();
        assert_eq!(found.as_ref(), Some(invitation));
    }

    // Of many at one time, one comes in.
    let mut attempts = tokio::task::JoinSet::new();
    for number in 0..8 {
        let (store, single) = (store.clone(), single.clone());
        attempts.spawn(async move { come(&store, number, &single, T0).await });
    }
    let outcomes = attempts.join_all().await;
    let done = |created: &&Created| **created == Created::Done;
    assert_eq!(outcomes.iter().filter(done).count(), 1);
    assert_eq!(store.accounts(None, 99).await.unwrap().len(), 1);

    // Who is refused for another reason uses nothing up; an expired one is none.
    let taken = store.accounts(None, 1).await.unwrap().remove(0);
    let number: u32 = taken.email.local_part()[1..].parse().unwrap();
    assert_eq!(come(store, number, &double, T0).await, Created::Taken);
    let late = T0 + IDLE;
    assert_eq!(come(store, 10, &double, late).await, Created::NotInvited);
    let good = store.invitations(T0).await.unwrap();
    assert_eq!(good, std::slice::from_ref(&double));
    assert_eq!(come(store, 10, &double, T0).await, Created::Done);

    let revoke = RevokeInvitation {
        digest: double.digest.clone(),
        at: T0,
        entry: told(Event::InvitationRevoked(double.digest.clone())),
    };
    assert!(store.commit(revoke.clone()).await.unwrap());
    assert!(!store.commit(revoke).await.unwrap());
    let told = query("SELECT event, detail FROM audit WHERE account_id = '' ORDER BY id");
    let rows = told.fetch_all(store).await.unwrap();
    let told = rows.iter().map(|row| {
        let text = |column| row.try_get::<String>(column).unwrap();
        (text("event"), text("detail"))
    });
    let expected = [
        ("invited", &single),
        ("invited", &double),
        ("invitation_revoked", &double),
    ];
    let expected = expected.map(|(event, of)| (event.to_owned(), of.digest.to_string()));
    assert_eq!(told.collect::<Vec<_>>(), expected);
    assert_eq!(come(store, 11, &double, T0).await, Created::NotInvited);
    assert!(store.invitations(T0).await.unwrap().is_empty());
}
