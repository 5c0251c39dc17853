//! Accounts over a real database: what somebody who registers, logs in and leaves gets.

mod moving_in;
mod operations;
mod second_factor;
mod sessions;

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroUsize;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::inbound::ClientIp;

/// Accounts in a folder of their own, under a clock that the test turns.
struct World {
    folder: TempDir,
    clock: Clock,
    accounts: Accounts,
}

impl World {
    async fn new() -> Self {
        Self::with(Rules::default()).await
    }

    async fn with(rules: Rules) -> Self {
        let folder = TempDir::new().unwrap();
        let clock = Clock::manual(Timestamp::from_seconds(1_800_000_000));
        let accounts = open(folder.path(), rules, &clock, 64).await;
        Self {
            folder,
            clock,
            accounts,
        }
    }

    /// Another process on the same database.
    async fn beside(&self) -> Accounts {
        open(self.folder.path(), Rules::default(), &self.clock, 64).await
    }

    async fn ann(&self) -> Account {
        self.accounts.register(ann(), &origin()).await.unwrap()
    }

    async fn check(&self, name: &str, password: &str) -> Option<Account> {
        let name = LoginName::parse(name).unwrap();
        let found = self.accounts.look_up(&name).await.unwrap();
        let checked = self.accounts.check_password(found, &plain(password)).await;
        checked.unwrap()
    }

    async fn opened(&self, account: &Account) -> Opened {
        self.accounts
            .open_session(&Proof::by_password(account.clone()), device())
            .await
            .unwrap()
    }

    async fn refresh(&self, token: &RefreshToken) -> Result<Opened, RefreshError> {
        self.accounts.refresh(token.expose(), &device()).await
    }

    fn is_revoked(&self, session: &Opened) -> bool {
        is_revoked(&self.accounts, session)
    }
}

async fn open(folder: &Path, rules: Rules, clock: &Clock, memory_kib: u32) -> Accounts {
    let settings = Settings {
        database: Database::Sqlite(folder.join("accounts.db")),
        hashing: HashSettings {
            cost: Cost::new(memory_kib, 1, 1).unwrap(),
            threads: NonZeroUsize::MIN,
            queue: NonZeroUsize::new(64).unwrap(),
        },
        key_prefix: KeyPrefix::default(),
    };
    let opened = Accounts::open(&settings, rules, clock.clone()).await;
    let accounts = opened.unwrap();
    accounts.calibrate().await.unwrap().await;
    accounts
}

fn is_revoked(accounts: &Accounts, session: &Opened) -> bool {
    let subject = session.account.id.to_string();
    let issued_at = session.account.created_at;
    accounts
        .revocations()
        .is_revoked(Some(session.id), &subject, issued_at)
}

fn plain(text: &str) -> PlainPassword {
    PlainPassword::parse(text).unwrap()
}

const PASSWORD: &str = "correct horse battery";

fn ann() -> NewAccount {
    NewAccount {
        email: EmailAddress::parse("Ann@example.com").unwrap(),
        password: plain(PASSWORD),
        username: Some(Username::parse("AnnLee").unwrap()),
        name: None,
        invitation: None,
    }
}

fn origin() -> Origin {
    Origin::client(ClientIp::new(IpAddr::V4(Ipv4Addr::LOCALHOST)))
}

fn device() -> Device {
    Device::new(Some("test/1"), None)
}

#[tokio::test]
async fn who_registers_logs_in_by_either_name_in_any_case() {
    let world = World::new().await;
    let ann = world.ann().await;
    assert_eq!(ann.name.as_str(), "Ann");
    for name in ["ann@example.com", "ANN@EXAMPLE.COM", "annlee", "AnnLee"] {
        assert_eq!(
            world.check(name, PASSWORD).await.as_ref(),
            Some(&ann),
            "{name}"
        );
    }
    assert_eq!(world.accounts.find(ann.id).await.unwrap(), Some(ann));
}

#[tokio::test]
async fn a_name_is_taken_in_every_case_and_kind() {
    let world = World::new().await;
    world.ann().await;
    for (email, username) in [
        ("ANN@example.com", None),
        ("other@example.com", Some("annlee")),
    ] {
        let new = NewAccount {
            email: EmailAddress::parse(email).unwrap(),
            username: username.map(|name| Username::parse(name).unwrap()),
            ..ann()
        };
        let refused = world.accounts.register(new, &origin()).await;
        assert!(matches!(refused, Err(RegisterError::Taken)), "{email}");
    }
    let own = NewAccount {
        email: EmailAddress::parse("bob@example.com").unwrap(),
        username: Some(Username::parse("BOB@example.com").unwrap()),
        ..ann()
    };
    assert!(world.accounts.register(own, &origin()).await.is_ok());
    let foreign = NewAccount {
        email: EmailAddress::parse("eve@example.com").unwrap(),
        username: Some(Username::parse("victim@example.com").unwrap()),
        ..ann()
    };
    let refused = world.accounts.register(foreign, &origin()).await;
    assert!(matches!(refused, Err(RegisterError::ForeignUsername)));
}

#[tokio::test]
async fn of_many_who_register_one_name_at_one_time_one_gets_it() {
    let world = World::new().await;
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let accounts = world.accounts.clone();
            tokio::spawn(async move { accounts.register(ann(), &origin()).await })
        })
        .collect();
    let mut registered = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => registered += 1,
            Err(error) => assert!(matches!(error, RegisterError::Taken), "{error}"),
        }
    }
    assert_eq!(registered, 1);
}

#[tokio::test]
async fn the_rules_say_who_may_register_and_with_what_password() {
    let world = World::with(Rules {
        registration: Registration::Domains(vec![String::from("corp.example")]),
        ..Rules::default()
    })
    .await;
    let refused = world.accounts.register(ann(), &origin()).await;
    assert!(matches!(refused, Err(RegisterError::Domain)));
    let subdomain = NewAccount {
        email: EmailAddress::parse("eve@evil.corp.example").unwrap(),
        ..ann()
    };
    let refused = world.accounts.register(subdomain, &origin()).await;
    assert!(matches!(refused, Err(RegisterError::Domain)));

    world.accounts.use_rules(Rules {
        registration: Registration::Closed,
        ..Rules::default()
    });
    let refused = world.accounts.register(ann(), &origin()).await;
    assert!(matches!(refused, Err(RegisterError::Closed)));
    let added = world.accounts.add(ann(), Vec::new(), &origin()).await;
    assert!(added.is_ok(), "operators are not asked");

    world.accounts.use_rules(Rules::default());
    let short = NewAccount {
        email: EmailAddress::parse("bob@example.com").unwrap(),
        username: None,
        password: plain("short"),
        name: None,
        invitation: None,
    };
    let refused = world.accounts.register(short, &origin()).await;
    let too_short = PolicyError::TooShort { min: 8 };
    assert!(matches!(refused, Err(RegisterError::Password(why)) if why == too_short));
}

#[tokio::test]
async fn unknown_wrong_and_disabled_cost_one_hash_each_and_look_alike() {
    let world = World::new().await;
    let ann = world.ann().await;
    let hashes = || world.accounts.hasher().hashes();

    let before = hashes();
    assert_eq!(world.check("annlee", "wrong").await, None);
    assert_eq!(hashes(), before + 1, "wrong password");
    assert_eq!(world.check("nobody", "wrong").await, None);
    assert_eq!(hashes(), before + 2, "unknown name");
    let disabled = world
        .accounts
        .set_status(ann.id, Status::Disabled, &origin())
        .await;
    disabled.unwrap();
    assert_eq!(world.check("annlee", PASSWORD).await, None);
    assert_eq!(hashes(), before + 3, "disabled account");
    world.accounts.delete(ann.id, &origin()).await.unwrap();
    assert_eq!(world.check("annlee", PASSWORD).await, None);
    assert_eq!(hashes(), before + 4, "deleted account");
}

#[tokio::test]
async fn a_hash_of_yesterdays_cost_is_renewed_when_its_owner_logs_in() {
    let world = World::new().await;
    world.ann().await;
    world.accounts.close().await;
    let dearer = open(world.folder.path(), Rules::default(), &world.clock, 128).await;
    let name = LoginName::parse("annlee").unwrap();
    for hashes in [2, 3] {
        let found = dearer.look_up(&name).await.unwrap();
        let checked = dearer.check_password(found, &plain(PASSWORD)).await;
        assert!(checked.unwrap().is_some());
        assert_eq!(dearer.hasher().hashes(), hashes);
    }
}

#[tokio::test]
async fn a_changed_password_ends_the_other_sessions_and_the_old_password() {
    let world = World::new().await;
    let ann = world.ann().await;
    let (here, elsewhere) = (world.opened(&ann).await, world.opened(&ann).await);
    let change = |current: &str, new: &str| PasswordChange {
        account: ann.id,
        current: plain(current),
        new: plain(new),
        keep: Some(here.id),
    };
    world.clock.advance(Duration::from_secs(1));

    let wrong = world
        .accounts
        .change_password(change("wrong", "a good new one"), &origin())
        .await;
    assert!(matches!(wrong, Err(ChangePasswordError::Wrong)));
    let poor = world
        .accounts
        .change_password(change(PASSWORD, "annlee"), &origin())
        .await;
    assert!(matches!(poor, Err(ChangePasswordError::Password(_))));
    assert!(!world.is_revoked(&elsewhere));

    let done = world
        .accounts
        .change_password(change(PASSWORD, "a good new one"), &origin())
        .await;
    done.unwrap();
    assert!(world.is_revoked(&elsewhere) && !world.is_revoked(&here));
    let legacy = ann.id.to_string();
    let revocations = world.accounts.revocations();
    assert!(
        revocations.is_revoked(None, &legacy, ann.created_at),
        "legacy tokens too"
    );
    assert_eq!(world.check("annlee", PASSWORD).await, None);
    assert!(world.check("annlee", "a good new one").await.is_some());

    let late = world
        .accounts
        .open_session(&Proof::by_password(ann), device())
        .await;
    let why = "a log-in with the old password that was under way";
    assert!(matches!(late, Err(OpenSessionError::NotActive)), "{why}");
}

#[tokio::test]
async fn a_hash_that_cannot_be_read_is_a_password_that_does_not_fit() {
    let world = World::new().await;
    let ann = world.ann().await;
    let break_it = crate::store::SetPassword {
        account: ann.id,
        password: PasswordHash::from_phc(String::from("$5$rounds=5000$unknown")),
        unless_changed_from: None,
        end: crate::store::Which::All,
        ending: world.accounts.ending(&origin()),
    };
    world.accounts.store().commit(break_it).await.unwrap();
    let before = world.accounts.hasher().hashes();
    assert_eq!(world.check("annlee", PASSWORD).await, None);
    assert_eq!(world.accounts.hasher().hashes(), before + 1);
}
