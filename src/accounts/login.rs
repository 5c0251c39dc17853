//! Passwords in use: checked at log-in, changed by their owner.

use super::audit::{Event, Origin};
use super::password::Owner;
use super::{
    Account, AccountId, Accounts, Checked, HashError, LoginName, PasswordHash, PlainPassword,
    PolicyError, SessionId, Status, Username,
};
use crate::store::{Rehash, SetPassword, StoreError, Which};

/// Why a password could not be checked. (That it is wrong is an answer, not an error.)
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whose name was typed: an account's, or nobody's. The same for both until the password is looked
/// at.
#[derive(Debug)]
pub struct Candidate(Option<(Account, PasswordHash)>);

/// A change of password by its owner.
#[derive(Clone, Debug)]
pub struct PasswordChange {
    pub account: AccountId,
    pub current: PlainPassword,
    pub new: PlainPassword,
    /// The session that asks: it goes on, all others end.
    pub keep: Option<SessionId>,
}

/// Why a password was not changed, or not taken from somebody who is logged in.
#[derive(Debug, thiserror::Error)]
pub enum ChangePasswordError {
    /// The current password is wrong, or the account may not be used any more.
    #[error("the current password is wrong")]
    Wrong,
    #[error("the password may not be chosen")]
    Password(#[from] PolicyError),
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Accounts {
    /// Whoever has this login name.
    pub async fn look_up(&self, name: &LoginName) -> Result<Candidate, StoreError> {
        self.store().account_by_login(name).await.map(Candidate)
    }

    /// The candidate, if it is an active account with this password. `None` for nobody, a wrong
    /// password and an account that is not active: after exactly one hash, and after the same time
    /// whatever scheme the account's password is hashed by.
    pub async fn check_password(
        &self,
        candidate: Candidate,
        password: &PlainPassword,
    ) -> Result<Option<Account>, CheckError> {
        let Candidate(found) = candidate;
        let checked = match &found {
            Some((account, hash)) => self.check(account, hash, password).await?,
            None => self.hasher().verify_nobody(password).await?,
        };
        let Some((account, hash)) = found.filter(|_| checked.is_right) else {
            self.wait_for_failure(checked.took).await;
            return Ok(None);
        };
        if self.hasher().is_outdated(&hash) {
            self.rehash(account.id, password, hash).await;
        }
        Ok(Some(account))
    }

    /// Changes a password for its owner, and ends the account's other sessions.
    pub async fn change_password(
        &self,
        change: PasswordChange,
        origin: &Origin,
    ) -> Result<(), ChangePasswordError> {
        let (account, hash) = self.with_password(change.account, &change.current).await?;
        self.rules()
            .passwords
            .check(&change.new, &owner(&account))?;
        let set = SetPassword {
            account: account.id,
            password: self.hasher().hash(&change.new).await?,
            // Of two changes at one time with the same current password, one is wrong.
            unless_changed_from: Some(hash),
            end: change.keep.map_or(Which::All, Which::AllBut),
            ending: self.ending(origin),
        };
        let revoked = self.store().commit(set).await?;
        self.revoked(revoked.ok_or(ChangePasswordError::Wrong)?);
        self.note(Event::PasswordChanged, account.id, origin);
        Ok(())
    }

    /// Whether this is the password of an account of somebody who is logged in.
    pub async fn confirm_password(
        &self,
        account: AccountId,
        password: &PlainPassword,
    ) -> Result<(), ChangePasswordError> {
        self.with_password(account, password).await.map(drop)
    }

    async fn with_password(
        &self,
        account: AccountId,
        password: &PlainPassword,
    ) -> Result<(Account, PasswordHash), ChangePasswordError> {
        let Some((account, hash)) = self.store().account(account).await? else {
            let _wrong = self.hasher().verify_nobody(password).await?;
            return Err(ChangePasswordError::Wrong);
        };
        let checked = self.check(&account, &hash, password).await?;
        match checked.is_right {
            true => Ok((account, hash)),
            false => Err(ChangePasswordError::Wrong),
        }
    }

    /// Whether this is the password of an account that may be used, after one hash in any case.
    async fn check(
        &self,
        account: &Account,
        hash: &PasswordHash,
        password: &PlainPassword,
    ) -> Result<Checked, HashError> {
        match self.hasher().verify(password, hash).await {
            Ok(checked) => Ok(Checked {
                is_right: checked.is_right && account.status == Status::Active,
                ..checked
            }),
            // To the client the account looks like any other that the password does not fit.
            Err(HashError::Unreadable) => {
                tracing::error!(account = %account.id, "the stored password hash cannot be read");
                self.hasher().verify_nobody(password).await
            }
            Err(error @ (HashError::Busy { .. } | HashError::Gone)) => Err(error),
        }
    }

    /// Hashes a password anew with today's parameters. It is a favour: whether it succeeds does
    /// not matter to whoever logs in.
    async fn rehash(&self, account: AccountId, password: &PlainPassword, from: PasswordHash) {
        let Ok(to) = self.hasher().hash(password).await else {
            return;
        };
        let rehash = Rehash { account, from, to };
        if let Err(error) = self.store().commit(rehash).await {
            tracing::warn!(%error, "a password hash could not be renewed");
        }
    }
}

impl Candidate {
    /// For an attempt that is to fail whatever the password is.
    pub fn nobody() -> Self {
        Self(None)
    }

    pub fn account(&self) -> Option<AccountId> {
        self.0.as_ref().map(|(account, _)| account.id)
    }
}

/// The names that a password of this account should not consist of.
pub(super) fn owner(account: &Account) -> Owner<'_> {
    Owner {
        email: &account.email,
        username: account.username.as_ref().map(Username::as_str),
        name: Some(account.name.as_str()),
    }
}
