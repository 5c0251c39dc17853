//! What an operator may do to API keys and service accounts: the same commands over the socket and
//! from the command line.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::OperationError;
use super::{fields, users};
use crate::accounts::{
    Accounts, ApiKey, ApiKeyId, Binding, DisplayName, IssuedKey, KeyOwner, NewApiKey, Origin, Role,
    ServiceAccount, ServiceName, Status, WrittenBinding,
};

/// Keys that one `list` answers at most, and when no limit is given.
const PAGE: u32 = 1000;

/// One command, as it travels: `{"operation":"key_revoke","key":"…"}`.
#[derive(Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "snake_case", deny_unknown_fields)]
pub enum MachineCommand {
    KeyCreate {
        owner: OwnerName,
        name: String,
        #[serde(default)]
        binding: WrittenBinding,
        /// In seconds; absent: until it is revoked.
        #[serde(default)]
        lifetime: Option<u64>,
    },
    KeyList {
        #[serde(default)]
        owner: Option<OwnerName>,
        /// The id after which to go on.
        #[serde(default)]
        after: Option<String>,
        #[serde(default)]
        limit: Option<u32>,
    },
    KeyShow {
        key: String,
    },
    /// Makes a successor; the old key works on for a while.
    KeyRotate {
        key: String,
        /// In seconds; 0: the old key ends at once.
        overlap: u64,
    },
    KeyRevoke {
        key: String,
    },
    ServiceAdd {
        name: String,
        #[serde(default)]
        roles: Vec<String>,
    },
    ServiceList,
    ServiceDisable {
        service: String,
    },
    ServiceEnable {
        service: String,
    },
    /// These roles and no others.
    ServiceRole {
        service: String,
        roles: Vec<String>,
    },
    ServiceDelete {
        service: String,
    },
}

/// Whose key: a user by id, e-mail address or username, or a service by its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnerName {
    User(String),
    Service(String),
}

/// What a command answers.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MachineAnswer {
    Key(KeyView),
    /// The only time that the key itself is shown.
    Issued {
        secret: String,
        key: KeyView,
    },
    Keys(Vec<KeyView>),
    Service(ServiceView),
    Services(Vec<ServiceView>),
    Deleted(String),
}

/// A key as operators and its owner see it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyView {
    pub id: String,
    pub name: String,
    pub owner: OwnerName,
    #[serde(flatten)]
    pub binding: WrittenBinding,
    pub created_at: String,
    pub expires_at: Option<String>,
    pub revoked_at: Option<String>,
    /// To the hour, give or take.
    pub last_used_at: Option<String>,
}

/// A service account as an operator sees it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceView {
    pub id: String,
    pub name: String,
    pub roles: Vec<String>,
    /// `active` or `disabled`.
    pub status: String,
    pub created_at: String,
    pub updated_at: String,
}

/// Does what `command` says, in the name of `origin`.
///
/// # Errors
/// See [`OperationError`]; then nothing was changed.
pub async fn perform(
    accounts: &Accounts,
    origin: &Origin,
    command: MachineCommand,
) -> Result<MachineAnswer, OperationError> {
    match command {
        MachineCommand::KeyCreate {
            owner,
            name,
            binding,
            lifetime,
        } => {
            let new = NewApiKey {
                name: fields::read("name", DisplayName::parse(&name))?,
                binding: fields::read("binding", Binding::parse(&binding))?,
                lifetime: lifetime.map(some_time).transpose()?,
            };
            let owner = find_owner(accounts, &owner).await?;
            let issued = accounts.create_api_key(owner, new, origin).await?;
            Ok(issued_answer(&issued))
        }
        MachineCommand::KeyList {
            owner,
            after,
            limit,
        } => {
            let owner = match owner {
                Some(owner) => Some(find_owner(accounts, &owner).await?),
                None => None,
            };
            let after = fields::optional("after", after, ApiKeyId::parse)?;
            let page = (after, limit.unwrap_or(PAGE).min(PAGE));
            let keys = accounts.api_keys(owner, page).await?;
            Ok(MachineAnswer::Keys(keys.iter().map(KeyView::of).collect()))
        }
        MachineCommand::KeyShow { key } => show(accounts, parse_key(&key)?).await,
        MachineCommand::KeyRotate { key, overlap } => {
            let (id, overlap) = (parse_key(&key)?, Duration::from_secs(overlap));
            let issued = accounts.rotate_api_key(id, overlap, origin).await?;
            Ok(issued_answer(&issued))
        }
        MachineCommand::KeyRevoke { key } => {
            let id = parse_key(&key)?;
            accounts.revoke_api_key(id, None, origin).await?;
            show(accounts, id).await
        }
        MachineCommand::ServiceAdd { name, roles } => {
            let name = fields::read("name", ServiceName::parse(&name))?;
            let roles = fields::parse_roles(&roles)?;
            let added = accounts.add_service(name, roles, origin).await?;
            let added = added.ok_or(OperationError::Taken)?;
            Ok(MachineAnswer::Service(ServiceView::of(&added)))
        }
        MachineCommand::ServiceList => {
            let services = accounts.services().await?;
            let views = services.iter().map(ServiceView::of).collect();
            Ok(MachineAnswer::Services(views))
        }
        MachineCommand::ServiceDisable { service } => {
            set_status(accounts, origin, (&service, Status::Disabled)).await
        }
        MachineCommand::ServiceEnable { service } => {
            set_status(accounts, origin, (&service, Status::Active)).await
        }
        MachineCommand::ServiceRole { service, roles } => {
            let roles = fields::parse_roles(&roles)?;
            let found = find_service(accounts, &service).await?;
            accounts.set_service_roles(found.id, roles, origin).await?;
            answer_with(accounts, &service).await
        }
        MachineCommand::ServiceDelete { service } => {
            let found = find_service(accounts, &service).await?;
            accounts.delete_service(found.id, origin).await?;
            Ok(MachineAnswer::Deleted(found.id.to_string()))
        }
    }
}

impl KeyView {
    pub fn of(key: &ApiKey) -> Self {
        let id = key.owner.id().to_string();
        Self {
            id: key.id.to_string(),
            name: key.name.as_str().to_owned(),
            owner: match key.owner {
                KeyOwner::User(_) => OwnerName::User(id),
                KeyOwner::Service(_) => OwnerName::Service(id),
            },
            binding: key.binding.written(),
            created_at: key.created_at.rfc3339(),
            expires_at: key.expires_at.map(|at| at.rfc3339()),
            revoked_at: key.revoked_at.map(|at| at.rfc3339()),
            last_used_at: key.last_used_at.map(|at| at.rfc3339()),
        }
    }
}

impl ServiceView {
    fn of(service: &ServiceAccount) -> Self {
        Self {
            id: service.id.to_string(),
            name: service.name.to_string(),
            roles: service.roles.iter().map(Role::to_string).collect(),
            status: String::from(service.status.word()),
            created_at: service.created_at.rfc3339(),
            updated_at: service.updated_at.rfc3339(),
        }
    }
}

fn issued_answer(issued: &IssuedKey) -> MachineAnswer {
    MachineAnswer::Issued {
        secret: issued.text.expose().to_owned(),
        key: KeyView::of(&issued.key),
    }
}

async fn show(accounts: &Accounts, id: ApiKeyId) -> Result<MachineAnswer, OperationError> {
    let key = accounts
        .api_key(id)
        .await?
        .ok_or(OperationError::UnknownKey)?;
    Ok(MachineAnswer::Key(KeyView::of(&key)))
}

async fn set_status(
    accounts: &Accounts,
    origin: &Origin,
    (service, status): (&str, Status),
) -> Result<MachineAnswer, OperationError> {
    let found = find_service(accounts, service).await?;
    accounts
        .set_service_status(found.id, status, origin)
        .await?;
    answer_with(accounts, service).await
}

async fn answer_with(accounts: &Accounts, service: &str) -> Result<MachineAnswer, OperationError> {
    let service = find_service(accounts, service).await?;
    Ok(MachineAnswer::Service(ServiceView::of(&service)))
}

async fn find_owner(accounts: &Accounts, owner: &OwnerName) -> Result<KeyOwner, OperationError> {
    match owner {
        OwnerName::User(user) => users::find(accounts, user)
            .await
            .map(|account| KeyOwner::User(account.id)),
        OwnerName::Service(service) => find_service(accounts, service)
            .await
            .map(|service| KeyOwner::Service(service.id)),
    }
}

async fn find_service(
    accounts: &Accounts,
    service: &str,
) -> Result<ServiceAccount, OperationError> {
    let name = fields::read("service", ServiceName::parse(service))?;
    let found = accounts.service_by_name(&name).await?;
    found.ok_or(OperationError::UnknownService)
}

/// A key that is dead when it is made would be shown as if it were good.
fn some_time(seconds: u64) -> Result<Duration, OperationError> {
    match seconds {
        0 => Err(OperationError::Invalid {
            field: "lifetime",
            reason: String::from("at least 1"),
        }),
        1.. => Ok(Duration::from_secs(seconds)),
    }
}

fn parse_key(text: &str) -> Result<ApiKeyId, OperationError> {
    ApiKeyId::parse(text).map_err(|_| OperationError::Invalid {
        field: "key",
        reason: String::from("expected the id of a key, as `api-key list` shows it"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_reads_back_as_it_was_written() {
        for text in [
            r#"{"operation":"key_create","owner":{"service":"ci"},"name":"n","binding":{"scopes":["a"]},"lifetime":60}"#,
            r#"{"operation":"key_rotate","key":"k","overlap":0}"#,
            r#"{"operation":"service_role","service":"ci","roles":["admin"]}"#,
        ] {
            let command: MachineCommand = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&command).unwrap(), text);
        }
    }

    #[test]
    fn a_binding_with_an_unknown_word_does_not_bind_half() {
        let text = r#"{"operation":"key_create","owner":{"user":"a"},"name":"n","binding":{"netwroks":["10.0.0.0/8"]}}"#;
        assert!(serde_json::from_str::<MachineCommand>(text).is_err());
    }
}
