//! People: accounts, their passwords and sessions. The store is behind [`crate::store`].

pub mod audit;
mod breached;
mod email;
mod hasher;
mod name;
mod password;
mod revocation;
mod rules;
mod session;
mod user;

use std::sync::Arc;

use arc_swap::ArcSwap;

pub use audit::{Actor, Audit, Event, Origin, Refusal};
pub use breached::BreachedPasswords;
pub use email::{EmailAddress, EmailError};
pub use hasher::{Cost, HashError, HashSettings, Hasher, NotACost};
pub use name::{DisplayName, LoginName, NameError, Username};
pub use password::{
    OwnNames, Owner, PasswordHash, PasswordPolicy, PasswordTooLong, PlainPassword, PolicyError,
};
pub use revocation::{Revocation, Revocations};
pub use rules::{Registration, Rules, SessionRules};
pub use session::{Device, NotASessionId, Opened, RefreshToken, Session, SessionId};
pub use user::{Account, AccountId, NotARole, NotAnAccountId, Role, Status};

use crate::clock::Clock;
use crate::store::{Database, OpenError, StoreError};

/// What is fixed for the life of the process.
#[derive(Clone, Debug)]
pub struct Settings {
    pub database: Database,
    pub hashing: HashSettings,
}

/// Somebody who is to have an account.
#[derive(Clone, Debug)]
pub struct NewAccount {
    pub email: EmailAddress,
    pub password: PlainPassword,
    pub username: Option<Username>,
    /// `None`: the local part of the address.
    pub name: Option<DisplayName>,
}

/// Why nobody could be registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    #[error("registration is closed")]
    Closed,
    #[error("addresses of this domain may not register")]
    Domain,
    /// The address or the username; which one is not said.
    #[error("the login name is taken")]
    Taken,
    #[error("a username that looks like an address must be the account's own")]
    ForeignUsername,
    #[error("the password may not be chosen")]
    Password(#[from] PolicyError),
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a password could not be checked. (That it is wrong is an answer, not an error.)
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a password was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangePasswordError {
    /// The current password is wrong, or the account is not there any more.
    #[error("the current password is wrong")]
    Wrong,
    #[error("the password may not be chosen")]
    Password(#[from] PolicyError),
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why no session was opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenSessionError {
    /// It was stopped or deleted since its password was checked.
    #[error("the account is not active")]
    NotActive,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a refresh token was refused. The client gets one answer for the first three.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// Not one of ours, or of a session that has ended.
    #[error("the refresh token is not valid")]
    Invalid,
    #[error("the session has expired")]
    Expired,
    /// It was used before: somebody has a copy. The session was ended by this call.
    #[error("the refresh token was used before; its session has been ended")]
    Reused,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why an operator's command did nothing.
#[derive(Debug, thiserror::Error)]
pub enum OperateError {
    #[error("there is no such account")]
    Unknown,
    #[error("the password may not be chosen")]
    Password(#[from] PolicyError),
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A change of password by its owner.
#[derive(Clone, Debug)]
pub struct PasswordChange {
    pub account: AccountId,
    pub current: PlainPassword,
    pub new: PlainPassword,
    /// The session that asks: it goes on, all others end.
    pub keep: Option<SessionId>,
}

/// The accounts. Clones share everything.
#[derive(Clone)]
pub struct Accounts(Arc<Shared>);

struct Shared {
    hasher: Hasher,
    revocations: Revocations,
    rules: ArcSwap<Rules>,
    clock: Clock,
}

impl Accounts {
    /// Opens the database (makes it when it is not there), brings its schema up to date, loads the
    /// revocations and starts the hashing threads. Must be called on the `control` runtime.
    pub async fn open(
        _settings: &Settings,
        _rules: Rules,
        _clock: Clock,
    ) -> Result<Self, OpenError> {
        Err(OpenError::Unfinished)
    }

    /// Follows what other processes change in the database and clears away what has expired, for
    /// ever: to be spawned once on the `control` runtime of a running gateway.
    pub async fn follow(self) {}

    /// Waits for what is under way and closes the database.
    pub async fn close(&self) {}

    /// From now on these rules hold.
    pub fn use_rules(&self, rules: Rules) {
        self.0.rules.store(Arc::new(rules));
    }

    pub fn revocations(&self) -> &Revocations {
        &self.0.revocations
    }

    pub fn hasher(&self) -> &Hasher {
        &self.0.hasher
    }

    pub fn audit(&self) -> Audit {
        Audit
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }

    /// Registers somebody who asks for it, as the rules allow.
    pub async fn register(
        &self,
        _new: NewAccount,
        _origin: &Origin,
    ) -> Result<Account, RegisterError> {
        Err(StoreError::Closed.into())
    }

    /// The active account with this name and password. `None` for an unknown name, a wrong
    /// password and an account that is not active, after the same work: exactly one hash.
    pub async fn check_password(
        &self,
        _name: &LoginName,
        _password: &PlainPassword,
    ) -> Result<Option<Account>, CheckError> {
        let _ = self.0.clock.now();
        Err(StoreError::Closed.into())
    }

    /// The account with this id, whatever its status.
    pub async fn find(&self, _id: AccountId) -> Result<Option<Account>, StoreError> {
        Err(StoreError::Closed)
    }

    /// The account with this login name, whatever its status.
    pub async fn find_by_login(&self, _name: &LoginName) -> Result<Option<Account>, StoreError> {
        Err(StoreError::Closed)
    }

    /// Opens a session for somebody whose password was checked.
    pub async fn open_session(
        &self,
        _account: &Account,
        _device: Device,
    ) -> Result<Opened, OpenSessionError> {
        Err(StoreError::Closed.into())
    }

    /// Exchanges a refresh token for its successor. The same token again within the grace gets
    /// the same successor; later it ends the session.
    pub async fn refresh(&self, _token: &str, _device: &Device) -> Result<Opened, RefreshError> {
        Err(StoreError::Closed.into())
    }

    /// Whose live session this refresh token belongs to, without using it up: a device that logged
    /// in before keeps its own allowance when the account is under attack.
    pub async fn recognise(&self, _token: &str) -> Result<Option<AccountId>, StoreError> {
        Err(StoreError::Closed)
    }

    /// The live sessions of an account, latest use first.
    pub async fn sessions(&self, _account: AccountId) -> Result<Vec<Session>, StoreError> {
        Err(StoreError::Closed)
    }

    /// Ends one session of this account; nothing happens when it has ended or is another's.
    pub async fn end_session(
        &self,
        _account: AccountId,
        _session: SessionId,
        _origin: &Origin,
    ) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }

    /// Ends all sessions of the account but one. Answers how many.
    pub async fn end_other_sessions(
        &self,
        _account: AccountId,
        _keep: SessionId,
        _origin: &Origin,
    ) -> Result<u64, StoreError> {
        Err(StoreError::Closed)
    }

    /// Ends all sessions of the account. Answers how many.
    pub async fn end_all_sessions(
        &self,
        _account: AccountId,
        _origin: &Origin,
    ) -> Result<u64, StoreError> {
        Err(StoreError::Closed)
    }

    /// Changes a password for its owner, and ends the account's other sessions.
    pub async fn change_password(
        &self,
        _change: PasswordChange,
        _origin: &Origin,
    ) -> Result<(), ChangePasswordError> {
        Err(StoreError::Closed.into())
    }

    /// Adds an account, whatever the rules say of registration.
    pub async fn add(
        &self,
        _new: NewAccount,
        _roles: Vec<Role>,
        _origin: &Origin,
    ) -> Result<Account, RegisterError> {
        Err(StoreError::Closed.into())
    }

    /// Up to `limit` accounts in the order of their ids, those after `after`.
    pub async fn list(
        &self,
        _after: Option<AccountId>,
        _limit: u32,
    ) -> Result<Vec<Account>, StoreError> {
        Err(StoreError::Closed)
    }

    /// Locks, disables or activates an account. All its sessions end unless it becomes active.
    pub async fn set_status(
        &self,
        _account: AccountId,
        _status: Status,
        _origin: &Origin,
    ) -> Result<(), OperateError> {
        Err(OperateError::Unknown)
    }

    /// Gives an account these roles. When it loses one, all its sessions end.
    pub async fn set_roles(
        &self,
        _account: AccountId,
        _roles: Vec<Role>,
        _origin: &Origin,
    ) -> Result<(), OperateError> {
        Err(OperateError::Unknown)
    }

    /// Sets an account's password and ends all its sessions.
    pub async fn set_password(
        &self,
        _account: AccountId,
        _password: &PlainPassword,
        _origin: &Origin,
    ) -> Result<(), OperateError> {
        Err(OperateError::Unknown)
    }

    /// Deletes an account: its names are free again, its sessions end, its data are gone but for
    /// the audit log.
    pub async fn delete(&self, _account: AccountId, _origin: &Origin) -> Result<(), OperateError> {
        Err(OperateError::Unknown)
    }
}
