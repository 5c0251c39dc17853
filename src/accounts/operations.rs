//! What operators do to accounts.

use serde_json::Value;

use super::audit::{Event, Origin};
use super::{
    Account, AccountId, Accounts, AttributeError, HashError, LoginName, PlainPassword, PolicyError,
    Role, Status, login,
};
use crate::store::{
    Delete, Revoked, SetAttributes, SetPassword, SetRoles, SetStatus, StoreError, Unlock,
    VerifyEmail, Which,
};

/// How often a change that another one overtook is tried.
const ATTEMPTS: usize = 5;

/// Why an operator's command did nothing.
#[derive(Debug, thiserror::Error)]
pub enum OperateError {
    #[error("there is no such account")]
    Unknown,
    #[error("the password may not be chosen")]
    Password(#[from] PolicyError),
    #[error(transparent)]
    Attribute(#[from] AttributeError),
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Accounts {
    /// The account with this id, whatever its status.
    pub async fn find(&self, id: AccountId) -> Result<Option<Account>, StoreError> {
        let found = self.store().account(id).await?;
        Ok(found.map(|(account, _)| account))
    }

    /// The account with this login name, whatever its status.
    pub async fn find_by_login(&self, name: &LoginName) -> Result<Option<Account>, StoreError> {
        let found = self.store().account_by_login(name).await?;
        Ok(found.map(|(account, _)| account))
    }

    /// Up to `limit` accounts in the order of their ids, those after `after`.
    pub async fn list(
        &self,
        after: Option<AccountId>,
        limit: u32,
    ) -> Result<Vec<Account>, StoreError> {
        self.store().accounts(after, limit).await
    }

    /// Locks, disables or activates an account. All its sessions end unless it becomes active.
    pub async fn set_status(
        &self,
        account: AccountId,
        status: Status,
        origin: &Origin,
    ) -> Result<(), OperateError> {
        let set = SetStatus {
            account,
            status,
            ending: self.ending(origin),
        };
        let revoked = self.store().commit(set).await?;
        self.operated(revoked)?;
        self.note(Event::StatusChanged(status), account, origin);
        Ok(())
    }

    /// Takes back that an account was locked or disabled. One that waited for approval before waits again.
    pub async fn unlock(&self, account: AccountId, origin: &Origin) -> Result<(), OperateError> {
        let unlock = Unlock {
            account,
            ending: self.ending(origin),
        };
        let status = self.store().commit(unlock).await?;
        let status = status.ok_or(OperateError::Unknown)?;
        self.note(Event::StatusChanged(status), account, origin);
        Ok(())
    }

    /// Gives an account these roles. When it loses one, all its sessions end; new ones are in its
    /// next access token.
    pub async fn set_roles(
        &self,
        account: AccountId,
        roles: Vec<Role>,
        origin: &Origin,
    ) -> Result<(), OperateError> {
        let set = SetRoles {
            account,
            roles: roles.clone(),
            ending: self.ending(origin),
        };
        let revoked = self.store().commit(set).await?;
        self.operated(revoked)?;
        self.note(Event::RolesChanged(roles), account, origin);
        Ok(())
    }

    /// Marks an account's address as shown to be its owner's: tokens say so from their next refresh.
    pub async fn verify_email(
        &self,
        account: &Account,
        origin: &Origin,
    ) -> Result<(), OperateError> {
        let verify = VerifyEmail {
            account: account.id,
            email: account.email.clone(),
            at: self.now(),
            origin: origin.clone(),
        };
        if !self.store().commit(verify).await? {
            return Err(OperateError::Unknown);
        }
        self.note(Event::EmailVerified, account.id, origin);
        Ok(())
    }

    /// Sets one attribute of an account, or with `None` removes it. When it had another value, all
    /// sessions end; a new one is in the account's next access token, where tokens carry it.
    pub async fn set_attribute(
        &self,
        account: AccountId,
        (name, value): (&str, Option<Value>),
        origin: &Origin,
    ) -> Result<(), OperateError> {
        // Whoever loses against another change looks again.
        for _ in 0..ATTEMPTS {
            let found = self.find(account).await?.ok_or(OperateError::Unknown)?;
            let to = found.attributes.with(name, value.clone())?;
            if to == found.attributes {
                return Ok(());
            }
            let set = SetAttributes {
                account,
                from: found.attributes,
                to,
                ending: self.ending(origin),
            };
            if let Some(revoked) = self.store().commit(set).await? {
                self.revoked(revoked);
                let event = Event::AttributesChanged(vec![name.to_owned()]);
                self.note(event, account, origin);
                return Ok(());
            }
        }
        Err(OperateError::Store(StoreError::Busy))
    }

    /// Sets an account's password and ends all its sessions.
    pub async fn set_password(
        &self,
        account: AccountId,
        password: &PlainPassword,
        origin: &Origin,
    ) -> Result<(), OperateError> {
        let found = self.find(account).await?.ok_or(OperateError::Unknown)?;
        self.rules()
            .passwords
            .check(password, &login::owner(&found))?;
        let set = SetPassword {
            account,
            password: self.hasher().hash(password).await?,
            unless_changed_from: None,
            end: Which::All,
            ending: self.ending(origin),
        };
        let revoked = self.store().commit(set).await?;
        self.operated(revoked)?;
        self.note(Event::PasswordChanged, account, origin);
        Ok(())
    }

    /// Deletes an account: its names are free again, its sessions end, its data are gone but for
    /// its id and the audit log.
    pub async fn delete(&self, account: AccountId, origin: &Origin) -> Result<(), OperateError> {
        let delete = Delete {
            account,
            ending: self.ending(origin),
        };
        let revoked = self.store().commit(delete).await?;
        self.operated(revoked)?;
        self.note(Event::Deleted, account, origin);
        Ok(())
    }

    /// Revokes what the change revoked, if there was an account to change.
    fn operated(&self, revoked: Option<Revoked>) -> Result<(), OperateError> {
        self.revoked(revoked.ok_or(OperateError::Unknown)?);
        Ok(())
    }
}
