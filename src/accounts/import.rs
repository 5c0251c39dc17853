//! Accounts that come from another program, with their ids, their dates and their password hashes.

use super::audit::{Entry, Event, Origin};
use super::{
    Account, AccountId, Accounts, Attributes, DisplayName, EmailAddress, LoginName, PasswordHash,
    Role, Status, Username,
};
use crate::clock::Timestamp;
use crate::store::{CreateAccount, Created, StoreError};

/// An account as another program knew it.
#[derive(Clone, Debug)]
pub struct ImportedAccount {
    /// `None`: it gets one of ours.
    pub id: Option<AccountId>,
    pub email: EmailAddress,
    pub email_verified: bool,
    pub username: Option<Username>,
    /// `None`: the local part of the address.
    pub name: Option<DisplayName>,
    /// `None`: those of somebody who registers.
    pub roles: Option<Vec<Role>>,
    pub attributes: Attributes,
    pub status: Status,
    /// `None`: now.
    pub created_at: Option<Timestamp>,
    /// `None`: nobody can log in by a password until one is set.
    pub password: Option<PasswordHash>,
}

/// Whether an import changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportMode {
    Import,
    /// Finds out what would become of it.
    Rehearse,
}

/// What became of an account that was to be imported.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    Added,
    /// It is there already, perhaps changed since: it was left alone.
    Present,
}

/// Why an account was not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("the e-mail address or the username belongs to another account")]
    Taken,
    #[error("a username that looks like an address must be the account's own")]
    ForeignUsername,
    #[error("it was created in the future")]
    Future,
    /// What its tokens and rows of backends say of it would come to life again.
    #[error("an account of this id was deleted here, and no id is given twice")]
    Deleted,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Accounts {
    /// Imports one account, unless it is there: that is one with its id, or, when it brings none,
    /// with its address. Rules for registration and passwords do not apply to it.
    ///
    /// # Errors
    /// See [`ImportError`]; then nothing was changed.
    pub async fn import(
        &self,
        new: ImportedAccount,
        mode: ImportMode,
        origin: &Origin,
    ) -> Result<Arrival, ImportError> {
        let own = LoginName::from(&new.email);
        let username = new.username.as_ref().map(LoginName::from);
        let foreign = |name: &Username| name.is_address() && LoginName::from(name) != own;
        if new.username.as_ref().is_some_and(foreign) {
            return Err(ImportError::ForeignUsername);
        }
        let now = self.now();
        if new.created_at.is_some_and(|created| created > now) {
            return Err(ImportError::Future);
        }
        let there = match new.id {
            Some(id) => self.store().account(id).await?,
            None => self.store().account_by_login(&own).await?,
        };
        if there.is_some() {
            return Ok(Arrival::Present);
        }
        if let Some(id) = new.id
            && self.store().was_deleted(id).await?
        {
            return Err(ImportError::Deleted);
        }
        match mode {
            ImportMode::Import => self.take_in(new, now, origin).await,
            ImportMode::Rehearse => {
                for name in [Some(&own), username.as_ref()].into_iter().flatten() {
                    if self.store().account_by_login(name).await?.is_some() {
                        return Err(ImportError::Taken);
                    }
                }
                Ok(Arrival::Added)
            }
        }
    }

    async fn take_in(
        &self,
        new: ImportedAccount,
        now: Timestamp,
        origin: &Origin,
    ) -> Result<Arrival, ImportError> {
        let account = Account {
            id: new.id.unwrap_or_else(AccountId::random),
            name: new
                .name
                .unwrap_or_else(|| DisplayName::from_email(&new.email)),
            email: new.email,
            email_verified: new.email_verified,
            username: new.username,
            roles: new
                .roles
                .unwrap_or_else(|| self.rules().default_roles.clone()),
            attributes: new.attributes,
            status: new.status,
            created_at: new.created_at.unwrap_or(now),
            updated_at: now,
        };
        let entry = Entry {
            event: Event::Imported,
            account: Some(account.id),
            session: None,
            origin: origin.clone(),
        };
        let create = CreateAccount {
            account,
            password: new.password.unwrap_or_else(|| self.hasher().unmatched()),
            invitation: None,
            entry: entry.clone(),
        };
        match self.store().commit(create).await? {
            Created::Done => {
                self.audit().stored(&entry);
                Ok(Arrival::Added)
            }
            Created::Taken | Created::NotInvited => Err(ImportError::Taken),
            // It came in meanwhile.
            Created::Known => Ok(Arrival::Present),
        }
    }
}
