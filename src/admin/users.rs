//! What an operator may do to accounts: the same commands over the socket and from the command
//! line.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::OperationError;
use super::fields::{optional, parse_roles, read};
use super::import::{self, ImportLine, ImportReport};
use crate::accounts::{
    Account, AccountId, Accounts, DisplayName, EmailAddress, FactorState, ImportMode, LoginName,
    NewAccount, Origin, PlainPassword, Role, Session, Status, Username,
};

/// Accounts that one `list` answers at most, and when no limit is given.
const PAGE: u32 = 1000;

/// One command, as it travels: `{"operation":"lock","user":"a@example.com"}`. A `user` is an id, an
/// e-mail address or a username.
#[derive(Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "snake_case", deny_unknown_fields)]
pub enum UserCommand {
    Add {
        email: String,
        password: String,
        #[serde(default)]
        username: Option<String>,
        #[serde(default)]
        name: Option<String>,
        #[serde(default)]
        roles: Vec<String>,
    },
    List {
        /// The id after which to go on.
        #[serde(default)]
        after: Option<String>,
        #[serde(default)]
        limit: Option<u32>,
    },
    Show {
        user: String,
    },
    Lock {
        user: String,
    },
    /// Makes a locked or disabled account active again, or lets it wait for approval again.
    Unlock {
        user: String,
    },
    Disable {
        user: String,
    },
    /// Lets an account in that waits for it.
    Approve {
        user: String,
    },
    /// The address has been shown to be its owner's.
    Verify {
        user: String,
    },
    Delete {
        user: String,
    },
    /// These roles and no others.
    Role {
        user: String,
        roles: Vec<String>,
    },
    Password {
        user: String,
        password: String,
    },
    /// For whoever has lost it, and the recovery codes: from now on the password is enough.
    RemoveSecondFactor {
        user: String,
    },
    SetAttribute {
        user: String,
        name: String,
        /// Absent or `null`: the attribute is removed.
        #[serde(default)]
        value: Option<Value>,
    },
    /// Adds accounts that come from another program, unless they are there.
    Import {
        accounts: Vec<ImportLine>,
        /// Only says what would become of them.
        #[serde(default)]
        dry_run: bool,
    },
}

/// What a command answers.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserAnswer {
    User(Box<UserView>),
    Users(Vec<UserView>),
    Deleted(String),
    Imported(ImportReport),
}

/// An account as an operator sees it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserView {
    pub id: String,
    pub email: String,
    pub email_verified: bool,
    pub username: Option<String>,
    pub name: String,
    pub roles: Vec<String>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub attributes: Map<String, Value>,
    /// `active`, `pending`, `locked` or `disabled`.
    pub status: String,
    pub created_at: String,
    pub updated_at: String,
    /// Only of one account that is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_factor: Option<FactorView>,
    /// Live sessions, when one account is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<Vec<SessionView>>,
}

/// A live session as an operator sees it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionView {
    pub device: String,
    pub client: Option<String>,
    pub created_at: String,
    pub last_used_at: String,
    pub expires_at: String,
}

/// A second factor as an operator sees it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactorView {
    pub since: String,
    /// How many are left.
    pub recovery_codes: u32,
}

/// Does what `command` says, in the name of `origin`.
///
/// # Errors
/// See [`OperationError`]; then nothing was changed.
pub async fn perform(
    accounts: &Accounts,
    origin: &Origin,
    command: UserCommand,
) -> Result<UserAnswer, OperationError> {
    match command {
        UserCommand::Add {
            email,
            password,
            username,
            name,
            roles,
        } => {
            let new = NewAccount {
                email: read("email", EmailAddress::parse(&email))?,
                password: read("password", PlainPassword::parse(password))?,
                username: optional("username", username, Username::parse)?,
                name: optional("name", name, DisplayName::parse)?,
                invitation: None,
            };
            let account = accounts.add(new, parse_roles(&roles)?, origin).await?;
            Ok(UserAnswer::User(Box::new(UserView::of(&account))))
        }
        UserCommand::List { after, limit } => {
            let after = optional("after", after, AccountId::parse)?;
            let limit = limit.unwrap_or(PAGE).min(PAGE);
            let found = accounts.list(after, limit).await?;
            Ok(UserAnswer::Users(found.iter().map(UserView::of).collect()))
        }
        UserCommand::Show { user } => {
            let account = find(accounts, &user).await?;
            let sessions = accounts.sessions(account.id).await?;
            let factor = accounts.second_factor(account.id).await?;
            let mut view = UserView::of(&account);
            view.second_factor = factor.map(FactorView::of);
            view.sessions = Some(sessions.iter().map(SessionView::of).collect());
            Ok(UserAnswer::User(Box::new(view)))
        }
        UserCommand::Lock { user } => set_status(accounts, origin, &user, Status::Locked).await,
        UserCommand::Unlock { user } => {
            let account = find(accounts, &user).await?;
            match account.status {
                Status::Pending => Err(OperationError::Invalid {
                    field: "user",
                    reason: String::from("the account waits for approval, which is another thing"),
                }),
                Status::Active | Status::Locked | Status::Disabled => {
                    accounts.unlock(account.id, origin).await?;
                    answer_with(accounts, account.id).await
                }
            }
        }
        UserCommand::Disable { user } => {
            set_status(accounts, origin, &user, Status::Disabled).await
        }
        UserCommand::Approve { user } => {
            let account = find(accounts, &user).await?;
            match account.status {
                Status::Pending => set_status(accounts, origin, &user, Status::Active).await,
                Status::Active | Status::Locked | Status::Disabled => {
                    Err(OperationError::Invalid {
                        field: "user",
                        reason: format!(
                            "the account does not wait for approval: it is {}",
                            account.status
                        ),
                    })
                }
            }
        }
        UserCommand::Verify { user } => {
            let account = find(accounts, &user).await?;
            accounts.verify_email(&account, origin).await?;
            answer_with(accounts, account.id).await
        }
        UserCommand::Delete { user } => {
            let id = find(accounts, &user).await?.id;
            accounts.delete(id, origin).await?;
            Ok(UserAnswer::Deleted(id.to_string()))
        }
        UserCommand::Role { user, roles } => {
            let roles = parse_roles(&roles)?;
            let id = find(accounts, &user).await?.id;
            accounts.set_roles(id, roles, origin).await?;
            answer_with(accounts, id).await
        }
        UserCommand::Password { user, password } => {
            let password = read("password", PlainPassword::parse(password))?;
            let id = find(accounts, &user).await?.id;
            accounts.set_password(id, &password, origin).await?;
            answer_with(accounts, id).await
        }
        UserCommand::RemoveSecondFactor { user } => {
            let id = find(accounts, &user).await?.id;
            accounts.remove_second_factor(id, origin).await?;
            answer_with(accounts, id).await
        }
        UserCommand::SetAttribute { user, name, value } => {
            let id = find(accounts, &user).await?.id;
            accounts.set_attribute(id, (&name, value), origin).await?;
            answer_with(accounts, id).await
        }
        UserCommand::Import {
            accounts: lines,
            dry_run,
        } => {
            let mode = match dry_run {
                true => ImportMode::Rehearse,
                false => ImportMode::Import,
            };
            let report = import::perform(accounts, origin, (lines, mode)).await?;
            Ok(UserAnswer::Imported(report))
        }
    }
}

impl UserView {
    fn of(account: &Account) -> Self {
        Self {
            id: account.id.to_string(),
            email: String::from(account.email.as_str()),
            email_verified: account.email_verified,
            username: account.username.as_ref().map(|u| String::from(u.as_str())),
            name: String::from(account.name.as_str()),
            roles: account.roles.iter().map(Role::to_string).collect(),
            attributes: account
                .attributes
                .iter()
                .map(|(name, value)| (name.to_owned(), value.clone()))
                .collect(),
            status: String::from(account.status.word()),
            created_at: account.created_at.rfc3339(),
            updated_at: account.updated_at.rfc3339(),
            second_factor: None,
            sessions: None,
        }
    }
}

impl FactorView {
    fn of(state: FactorState) -> Self {
        Self {
            since: state.since.rfc3339(),
            recovery_codes: state.recovery_codes,
        }
    }
}

impl SessionView {
    fn of(session: &Session) -> Self {
        Self {
            device: session.device.name.clone(),
            client: session.device.client.map(|ip| ip.address().to_string()),
            created_at: session.created_at.rfc3339(),
            last_used_at: session.last_used_at.rfc3339(),
            expires_at: session.expires_at.rfc3339(),
        }
    }
}

async fn set_status(
    accounts: &Accounts,
    origin: &Origin,
    user: &str,
    status: Status,
) -> Result<UserAnswer, OperationError> {
    let id = find(accounts, user).await?.id;
    accounts.set_status(id, status, origin).await?;
    answer_with(accounts, id).await
}

async fn answer_with(accounts: &Accounts, id: AccountId) -> Result<UserAnswer, OperationError> {
    let account = accounts.find(id).await?.ok_or(OperationError::Unknown)?;
    Ok(UserAnswer::User(Box::new(UserView::of(&account))))
}

pub(super) async fn find(accounts: &Accounts, user: &str) -> Result<Account, OperationError> {
    let by_id = match AccountId::parse(user) {
        Ok(id) => accounts.find(id).await?,
        Err(_) => None,
    };
    let by_name = match LoginName::parse(user) {
        Ok(name) => accounts.find_by_login(&name).await?,
        Err(_) => None,
    };
    match (by_id, by_name) {
        (Some(one), Some(other)) if one.id != other.id => Err(OperationError::Ambiguous),
        (Some(found), _) | (None, Some(found)) => Ok(found),
        (None, None) => Err(OperationError::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_reads_back_as_it_was_written() {
        for text in [
            r#"{"operation":"lock","user":"a@example.com"}"#,
            r#"{"operation":"role","user":"a","roles":["admin","member"]}"#,
            r#"{"operation":"list","after":null,"limit":10}"#,
        ] {
            let command: UserCommand = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&command).unwrap(), text);
        }
    }

    #[test]
    fn a_command_with_an_unknown_word_is_not_half_understood() {
        for text in [
            r#"{"operation":"lock","user":"a","for":"1h"}"#,
            r#"{"operation":"ban","user":"a"}"#,
            r#"{"user":"a"}"#,
        ] {
            assert!(serde_json::from_str::<UserCommand>(text).is_err(), "{text}");
        }
    }
}
