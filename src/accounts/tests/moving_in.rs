//! Accounts that come with a hash of another program.

use super::*;

/// bcrypt of Python 3, of the password below.
const BCRYPT: &str = "$2b$06$4Zr3YKS.Cg6SIEFloohLM.76RzNanBTqqPWTljJ8./YdTlcNLAATy";
const BCRYPT_PASSWORD: &str = "correct horse бат 7";

fn bob(id: Option<&str>) -> ImportedAccount {
    ImportedAccount {
        id: id.map(|id| AccountId::parse(id).unwrap()),
        email: EmailAddress::parse("bob@example.com").unwrap(),
        email_verified: true,
        username: None,
        name: None,
        roles: None,
        attributes: Attributes::default(),
        status: Status::Active,
        created_at: Some(Timestamp::from_seconds(1_500_000_000)),
        password: Some(PasswordHash::import(BCRYPT).unwrap()),
    }
}

impl World {
    async fn import(&self, account: ImportedAccount) -> Result<Arrival, ImportError> {
        let mode = ImportMode::Import;
        self.accounts.import(account, mode, &origin()).await
    }

    async fn scheme(&self, id: AccountId) -> Option<String> {
        let found = self.accounts.store().account(id).await.unwrap();
        found.unwrap().1.scheme()
    }
}

#[tokio::test]
async fn the_first_login_hashes_the_password_as_ours_are() {
    let world = World::new().await;
    assert_eq!(world.import(bob(Some("42"))).await.unwrap(), Arrival::Added);
    let id = AccountId::parse("42").unwrap();
    assert_eq!(world.check("bob@example.com", "wrong").await, None);
    assert_eq!(world.scheme(id).await.as_deref(), Some("$2b$06"));
    let before = world.check("bob@example.com", BCRYPT_PASSWORD).await;
    assert_eq!(before.unwrap().id, id);
    let own = world.accounts.hasher().own_scheme();
    assert_eq!(world.scheme(id).await, Some(own));
    let after = world.check("bob@example.com", BCRYPT_PASSWORD).await;
    assert_eq!(
        after.unwrap().created_at,
        Timestamp::from_seconds(1_500_000_000)
    );
}

#[tokio::test]
async fn who_is_there_is_left_alone_and_a_name_is_not_given_twice() {
    let world = World::new().await;
    let ann = world.ann().await;
    assert_eq!(world.import(bob(None)).await.unwrap(), Arrival::Added);
    assert_eq!(world.import(bob(None)).await.unwrap(), Arrival::Present);
    let other = world.import(bob(Some("42"))).await;
    assert!(matches!(other, Err(ImportError::Taken)));
    let same = bob(Some(ann.id.as_str()));
    assert_eq!(world.import(same).await.unwrap(), Arrival::Present);
    world.accounts.delete(ann.id, &origin()).await.unwrap();
    let mut gone = bob(Some(ann.id.as_str()));
    gone.email = EmailAddress::parse("ann@example.com").unwrap();
    let arrival = world.import(gone).await;
    assert!(matches!(arrival, Err(ImportError::Deleted)), "{arrival:?}");
    let mut early = bob(Some("7"));
    early.email = EmailAddress::parse("cat@example.com").unwrap();
    early.created_at = Some(world.clock.now() + Duration::from_secs(60));
    assert!(matches!(
        world.import(early).await,
        Err(ImportError::Future)
    ));
}

#[tokio::test]
async fn an_imported_user_and_nobody_cost_one_hash_each() {
    let world = World::new().await;
    assert_eq!(world.import(bob(None)).await.unwrap(), Arrival::Added);
    world.accounts.calibrate().await.unwrap().await;
    let before = world.accounts.hasher().hashes();
    for (done, name) in (1..).zip(["bob@example.com", "nobody@example.com"]) {
        assert_eq!(world.check(name, "wrong").await, None);
        assert_eq!(world.accounts.hasher().hashes(), before + done, "{name}");
    }
}

#[tokio::test]
async fn the_id_of_a_deleted_account_is_refused_and_a_dry_run_says_so() {
    let world = World::new().await;
    assert_eq!(world.import(bob(Some("42"))).await.unwrap(), Arrival::Added);
    let id = AccountId::parse("42").unwrap();
    world.accounts.delete(id, &origin()).await.unwrap();
    for mode in [ImportMode::Rehearse, ImportMode::Import] {
        let again = world
            .accounts
            .import(bob(Some("42")), mode, &origin())
            .await;
        assert!(matches!(again, Err(ImportError::Deleted)), "{again:?}");
    }
    assert_eq!(world.import(bob(None)).await.unwrap(), Arrival::Added);
}
