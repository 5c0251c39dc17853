//! What an operator gets at the socket, over a real database.

use std::path::PathBuf;

use tempfile::TempDir;

use super::client::{self, ClientError};
use super::machines::MachineCommand;
use super::users::{UserAnswer, UserCommand, UserView};
use super::*;
use crate::accounts::{Accounts, Cost, HashSettings, LoginName, PlainPassword, Rules, Settings};
use crate::clock::Clock;
use crate::store::Database;

struct Bench {
    folder: TempDir,
    socket: PathBuf,
    accounts: Accounts,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            database: Database::Sqlite(folder.path().join("accounts.db")),
            hashing: HashSettings {
                cost: Cost::new(64, 1, 1).unwrap(),
                ..HashSettings::default()
            },
            key_prefix: crate::accounts::KeyPrefix::default(),
        };
        let opened = Accounts::open(&settings, Rules::default(), Clock::system()).await;
        let accounts = opened.unwrap();
        accounts.calibrate().await.unwrap().await;
        let path = folder.path().join("admin.sock");
        let socket = AdminSocket::bind(SocketSettings {
            path: path.clone(),
            uids: Vec::new(),
        });
        tokio::spawn(socket.await.unwrap().serve(accounts.clone()));
        Self {
            folder,
            socket: path,
            accounts,
        }
    }

    async fn tell(&self, command: UserCommand) -> Result<UserAnswer, ClientError> {
        client::command(&self.socket, &command).await
    }

    async fn user(&self, command: UserCommand) -> UserView {
        match self.tell(command).await.unwrap() {
            UserAnswer::User(user) => *user,
            other => panic!("{other:?}"),
        }
    }

    async fn refusal(&self, command: UserCommand) -> String {
        match self.tell(command).await.unwrap_err() {
            ClientError::Refused(message) => message,
            other => panic!("{other}"),
        }
    }

    async fn add_ann(&self) -> UserView {
        self.user(UserCommand::Add {
            email: String::from("ann@example.com"),
            password: String::from("a long enough one"),
            username: Some(String::from("ann")),
            name: None,
            roles: vec![String::from("admin")],
        })
        .await
    }

    async fn can_log_in(&self, password: &str) -> bool {
        let name = LoginName::parse("ann@example.com").unwrap();
        let password = PlainPassword::parse(password).unwrap();
        let found = self.accounts.look_up(&name).await.unwrap();
        let checked = self.accounts.check_password(found, &password).await;
        checked.unwrap().is_some()
    }
}

fn ann() -> String {
    String::from("ann@example.com")
}

#[tokio::test]
async fn an_account_lives_its_life_through_the_socket() {
    let bench = Bench::new().await;
    let added = bench.add_ann().await;
    assert_eq!(added.roles, ["admin"]);
    assert!(bench.can_log_in("a long enough one").await);

    let locked = bench.user(UserCommand::Lock { user: added.id }).await;
    assert_eq!(locked.status, "locked");
    assert!(!bench.can_log_in("a long enough one").await);

    let by_username = String::from("ann");
    let unlocked = bench.user(UserCommand::Unlock { user: by_username }).await;
    assert_eq!(unlocked.status, "active");

    let password = String::from("another long one");
    let user = ann();
    bench.user(UserCommand::Password { user, password }).await;
    assert!(!bench.can_log_in("a long enough one").await);
    assert!(bench.can_log_in("another long one").await);

    let roles = vec![String::from("member"), String::from("billing")];
    let user = ann();
    let changed = bench.user(UserCommand::Role { user, roles }).await;
    assert_eq!(changed.roles, ["member", "billing"]);

    let disabled = bench.user(UserCommand::Disable { user: ann() }).await;
    assert_eq!(disabled.status, "disabled");
    let shown = bench.user(UserCommand::Show { user: ann() }).await;
    assert_eq!(shown.sessions, Some(Vec::new()));

    let deleted = bench.tell(UserCommand::Delete { user: ann() }).await;
    assert!(matches!(deleted, Ok(UserAnswer::Deleted(_))));
    let (after, limit) = (None, None);
    let listed = bench.tell(UserCommand::List { after, limit }).await;
    assert_eq!(listed.unwrap(), UserAnswer::Users(Vec::new()));
}

#[tokio::test]
async fn what_cannot_be_done_is_said_and_changes_nothing() {
    let bench = Bench::new().await;
    bench.add_ann().await;
    let nobody = String::from("nobody@example.com");
    let unknown = bench.refusal(UserCommand::Lock { user: nobody }).await;
    assert_eq!(unknown, "there is no such account");
    let again = UserCommand::Add {
        email: String::from("ANN@example.com"),
        password: String::from("a long enough one"),
        username: None,
        name: None,
        roles: Vec::new(),
    };
    assert!(bench.refusal(again).await.contains("taken"));
    let password = String::from("short");
    let user = ann();
    let refused = bench
        .refusal(UserCommand::Password { user, password })
        .await;
    assert!(refused.contains("at least 8"), "{refused}");
    let roles = vec![String::from("a,b")];
    let user = ann();
    let refused = bench.refusal(UserCommand::Role { user, roles }).await;
    assert!(refused.starts_with("roles: "), "{refused}");
    assert!(bench.can_log_in("a long enough one").await);
}

#[tokio::test]
async fn without_a_gateway_the_command_line_learns_that_there_is_none() {
    let bench = Bench::new().await;
    let elsewhere = bench.folder.path().join("nowhere.sock");
    let told = client::command(&elsewhere, &UserCommand::Show { user: ann() }).await;
    assert!(matches!(told, Err(ClientError::Absent)));
}

#[tokio::test]
async fn a_key_that_would_be_dead_at_once_is_not_made() {
    let bench = Bench::new().await;
    let add = r#"{"operation":"service_add","name":"reports"}"#;
    let create =
        r#"{"operation":"key_create","owner":{"service":"reports"},"name":"x","lifetime":0}"#;
    let tell = async |text: &str| {
        let command: MachineCommand = serde_json::from_str(text).unwrap();
        client::command(&bench.socket, &command).await
    };
    tell(add).await.unwrap();
    let refused = tell(create).await.unwrap_err();
    assert_eq!(refused.to_string(), "lifetime: at least 1");
}
