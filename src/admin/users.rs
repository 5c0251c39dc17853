//! What an operator may do to accounts: the same commands over the socket and from the command
//! line.

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::import::{self, ImportLine, ImportReport};
use crate::accounts::{
    Account, AccountId, Accounts, ApiKeyError, DisplayName, EmailAddress, HashError, ImportMode,
    LoginName, NewAccount, OperateError, Origin, PlainPassword, PolicyError, RegisterError, Role,
    Session, Status, Username,
};
use crate::store::StoreError;

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
    /// Makes a locked or disabled account active again.
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
    SetAttribute {
        user: String,
        name: String,
        /// Absent: the attribute is removed.
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
    User(UserView),
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

/// Why a command did nothing.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    #[error("there is no such account")]
    Unknown,
    #[error("that is the id of one account and the name of another")]
    Ambiguous,
    #[error("{field}: {reason}")]
    Invalid { field: &'static str, reason: String },
    #[error("the name is taken")]
    Taken,
    #[error("there is no such service account")]
    UnknownService,
    #[error("there is no such key")]
    UnknownKey,
    #[error("there are no managed signing keys: a gateway with [tokens.managed] makes the first")]
    NoSigningKeys,
    /// A key was not made or changed.
    #[error(transparent)]
    Key(ApiKeyError),
    #[error("the password may not be chosen: {0}")]
    Password(#[source] PolicyError),
    #[error("no password can be hashed now")]
    Hash(#[source] HashError),
    #[error("the database cannot be used")]
    Store(#[source] StoreError),
}

/// Does what `command` says, in the name of `origin`.
///
/// # Errors
/// See [`UserError`]; then nothing was changed.
pub async fn perform(
    accounts: &Accounts,
    origin: &Origin,
    command: UserCommand,
) -> Result<UserAnswer, UserError> {
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
            Ok(UserAnswer::User(UserView::of(&account)))
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
            let mut view = UserView::of(&account);
            view.sessions = Some(sessions.iter().map(SessionView::of).collect());
            Ok(UserAnswer::User(view))
        }
        UserCommand::Lock { user } => set_status(accounts, origin, &user, Status::Locked).await,
        UserCommand::Unlock { user } => {
            let account = find(accounts, &user).await?;
            match account.status {
                Status::Pending => Err(UserError::Invalid {
                    field: "user",
                    reason: String::from("the account waits for approval, which is another thing"),
                }),
                Status::Active | Status::Locked | Status::Disabled => {
                    set_status(accounts, origin, &user, Status::Active).await
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
                Status::Active | Status::Locked | Status::Disabled => Err(UserError::Invalid {
                    field: "user",
                    reason: format!(
                        "the account does not wait for approval: it is {}",
                        account.status
                    ),
                }),
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

impl UserError {
    /// The stable word for programs.
    pub const fn word(&self) -> &'static str {
        match self {
            UserError::Unknown => "unknown_user",
            UserError::UnknownService => "unknown_service",
            UserError::UnknownKey => "unknown_key",
            UserError::NoSigningKeys => "no_signing_keys",
            UserError::Key(_) => "key_refused",
            UserError::Ambiguous => "ambiguous",
            UserError::Invalid { .. } => "invalid",
            UserError::Taken => "taken",
            UserError::Password(_) => "password_refused",
            UserError::Hash(_) | UserError::Store(_) => "unavailable",
        }
    }

    pub(super) const fn status(&self) -> StatusCode {
        match self {
            UserError::Unknown | UserError::UnknownService | UserError::UnknownKey => {
                StatusCode::NOT_FOUND
            }
            UserError::Invalid { .. } | UserError::Password(_) | UserError::Key(_) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            UserError::Taken | UserError::Ambiguous | UserError::NoSigningKeys => {
                StatusCode::CONFLICT
            }
            UserError::Hash(_) | UserError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl From<StoreError> for UserError {
    fn from(error: StoreError) -> Self {
        UserError::Store(error)
    }
}

impl From<ApiKeyError> for UserError {
    fn from(error: ApiKeyError) -> Self {
        match error {
            ApiKeyError::Unknown => UserError::UnknownKey,
            ApiKeyError::Store(store) => UserError::Store(store),
            ApiKeyError::Dead(_)
            | ApiKeyError::Owner
            | ApiKeyError::Closed
            | ApiKeyError::TooMany { .. }
            | ApiKeyError::Scope(_)
            | ApiKeyError::Limits
            | ApiKeyError::TooLong { .. }
            | ApiKeyError::Overlap => UserError::Key(error),
        }
    }
}

impl From<OperateError> for UserError {
    fn from(error: OperateError) -> Self {
        match error {
            OperateError::Unknown => UserError::Unknown,
            OperateError::Password(policy) => UserError::Password(policy),
            OperateError::Attribute(error) => UserError::Invalid {
                field: "attribute",
                reason: error.to_string(),
            },
            OperateError::Hash(hash) => UserError::Hash(hash),
            OperateError::Store(store) => UserError::Store(store),
        }
    }
}

impl From<RegisterError> for UserError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Taken => UserError::Taken,
            RegisterError::Password(policy) => UserError::Password(policy),
            RegisterError::Hash(hash) => UserError::Hash(hash),
            RegisterError::Store(store) => UserError::Store(store),
            RegisterError::ForeignUsername => UserError::Invalid {
                field: "username",
                reason: error.to_string(),
            },
            // Rules of registration, which an operator is not bound by.
            RegisterError::Closed | RegisterError::Domain | RegisterError::NotInvited => {
                UserError::Invalid {
                    field: "email",
                    reason: error.to_string(),
                }
            }
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
            sessions: None,
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
) -> Result<UserAnswer, UserError> {
    let id = find(accounts, user).await?.id;
    accounts.set_status(id, status, origin).await?;
    answer_with(accounts, id).await
}

async fn answer_with(accounts: &Accounts, id: AccountId) -> Result<UserAnswer, UserError> {
    let account = accounts.find(id).await?.ok_or(UserError::Unknown)?;
    Ok(UserAnswer::User(UserView::of(&account)))
}

pub(super) async fn find(accounts: &Accounts, user: &str) -> Result<Account, UserError> {
    let by_id = match AccountId::parse(user) {
        Ok(id) => accounts.find(id).await?,
        Err(_) => None,
    };
    let by_name = match LoginName::parse(user) {
        Ok(name) => accounts.find_by_login(&name).await?,
        Err(_) => None,
    };
    match (by_id, by_name) {
        (Some(one), Some(other)) if one.id != other.id => Err(UserError::Ambiguous),
        (Some(found), _) | (None, Some(found)) => Ok(found),
        (None, None) => Err(UserError::Unknown),
    }
}

pub(super) fn parse_roles(roles: &[String]) -> Result<Vec<Role>, UserError> {
    roles
        .iter()
        .map(|role| read("roles", Role::parse(role)))
        .collect()
}

pub(super) fn optional<T, E: std::error::Error>(
    field: &'static str,
    text: Option<String>,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Option<T>, UserError> {
    text.map(|text| read(field, parse(&text))).transpose()
}

pub(super) fn read<T, E: std::error::Error>(
    field: &'static str,
    parsed: Result<T, E>,
) -> Result<T, UserError> {
    parsed.map_err(|error| UserError::Invalid {
        field,
        reason: error.to_string(),
    })
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
