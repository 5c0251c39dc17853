//! Sessions from log-in to log-out.

use std::time::Duration;

use super::audit::{Entry, Event, Origin};
use super::refresh::Refresh;
use super::{
    Account, AccountId, Accounts, Device, Opened, Proof, RefreshToken, Session, SessionId,
    SessionLife,
};
use crate::store::{EndSessions, NewSession, OpenSession, Rotate, Rotation, StoreError, Which};

/// Why no session was opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenSessionError {
    /// It was stopped, deleted or changed since its password was checked.
    #[error("the account is not what it was when its password was checked")]
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

/// A session that is not open yet, with its first refresh token.
pub(super) struct Opening {
    pub open: OpenSession,
    refresh: RefreshToken,
}

impl Accounts {
    /// Opens a session for somebody who has proved who they are.
    pub async fn open_session(
        &self,
        proof: &Proof,
        device: Device,
    ) -> Result<Opened, OpenSessionError> {
        let idle = self.rules().sessions.idle;
        self.open_for(proof, device, idle).await
    }

    /// Opens a session that ends when it is not used for `idle`.
    pub(super) async fn open_for(
        &self,
        proof: &Proof,
        device: Device,
        idle: Duration,
    ) -> Result<Opened, OpenSessionError> {
        let opening = self.opening(proof, device, idle)?;
        let opened = self.store().commit(opening.open.clone()).await?;
        let opened = opened.ok_or(OpenSessionError::NotActive)?;
        self.revoked(opened.revoked);
        for entry in &opened.entries {
            self.audit().stored(entry);
        }
        Ok(self.opened(opening, opened.account))
    }

    /// A session that is to be opened for the account as it is now.
    pub(super) fn opening(
        &self,
        Proof { account, factors }: &Proof,
        device: Device,
        idle: Duration,
    ) -> Result<Opening, StoreError> {
        let rules = self.rules();
        let absolute = rules.sessions.absolute;
        let origin = Origin {
            actor: super::Actor::Client,
            client: device.client,
        };
        let ending = self.ending(&origin);
        let at = ending.at;
        let session = NewSession {
            id: SessionId::random(),
            account: account.id,
            device,
            at,
            expires_at: at + idle.min(absolute),
            ends_at: at + absolute,
            factors: *factors,
        };
        let first = Refresh {
            session: session.id,
            counter: 0,
        };
        let entry = Entry {
            event: Event::LoggedIn,
            account: Some(account.id),
            session: Some(session.id),
            origin,
        };
        Ok(Opening {
            refresh: first.token(self.refresh_ring()).ok_or(StoreError::Closed)?,
            open: OpenSession {
                session,
                unless_changed_from: account.updated_at,
                entry,
                most: rules.sessions.per_user,
                ending,
            },
        })
    }

    /// The session that was opened, with its account as it was found.
    pub(super) fn opened(&self, opening: Opening, account: Account) -> Opened {
        let Opening { open, refresh } = opening;
        self.audit().stored(&open.entry);
        Opened {
            id: open.session.id,
            account,
            factors: open.session.factors,
            refresh,
            expires_at: open.session.expires_at,
        }
    }

    /// Exchanges a refresh token for its successor. The same token again within the grace gets
    /// the same successor; later it ends the session.
    pub async fn refresh(&self, token: &str, device: &Device) -> Result<Opened, RefreshError> {
        let ring = self.refresh_ring();
        let shown = Refresh::parse(token, ring).ok_or(RefreshError::Invalid)?;
        let rules = self.rules();
        let rotate = Rotate {
            session: shown.session,
            counter: shown.counter,
            device: device.clone(),
            idle: rules.sessions.idle,
            grace: rules.sessions.grace,
            ending: self.ending(&Origin {
                actor: super::Actor::Client,
                client: device.client,
            }),
        };
        match self.store().commit(rotate).await? {
            Rotation::Successor {
                account,
                factors,
                expires_at,
            } => Ok(Opened {
                id: shown.session,
                account: *account,
                factors,
                refresh: shown.successor().token(ring).ok_or(StoreError::Closed)?,
                expires_at,
            }),
            Rotation::Unknown => Err(RefreshError::Invalid),
            Rotation::Expired => Err(RefreshError::Expired),
            Rotation::Reused { entry, revoked } => {
                self.revoked(revoked);
                self.audit().stored(&entry);
                Err(RefreshError::Reused)
            }
        }
    }

    /// Whose live session this refresh token belongs to, without using it up: a device that logged
    /// in before keeps its own allowance when the account is under attack.
    pub async fn recognise(&self, token: &str) -> Result<Option<AccountId>, StoreError> {
        let Some(shown) = Refresh::parse(token, self.refresh_ring()) else {
            return Ok(None);
        };
        self.store().session_owner(shown.session, self.now()).await
    }

    /// The live sessions of an account, latest use first, and no more than it may have.
    pub async fn sessions(&self, account: AccountId) -> Result<Vec<Session>, StoreError> {
        let most = self.rules().sessions.per_user;
        self.store().sessions(account, (self.now(), most)).await
    }

    /// How a session stands; `None` when it is over.
    pub async fn session_life(&self, id: SessionId) -> Result<Option<SessionLife>, StoreError> {
        self.store().session_life(id, self.now()).await
    }

    /// Ends one session of this account; nothing happens when it has ended or is another's. Answers
    /// how many ended: one or none.
    pub async fn end_session(
        &self,
        account: AccountId,
        session: SessionId,
        origin: &Origin,
    ) -> Result<u64, StoreError> {
        let which = Which::Only(session);
        self.end_sessions(account, which, origin).await
    }

    /// Ends the session that a refresh token belongs to, for a client that logs out with nothing
    /// else. What is not a token of ours is ignored (RFC 7009 §2.2).
    pub async fn end_session_of(&self, token: &str, origin: &Origin) -> Result<(), StoreError> {
        let Some(shown) = Refresh::parse(token, self.refresh_ring()) else {
            return Ok(());
        };
        let owner = self.store().session_owner(shown.session, self.now());
        match owner.await? {
            Some(account) => self
                .end_session(account, shown.session, origin)
                .await
                .map(drop),
            None => Ok(()),
        }
    }

    /// Ends all sessions of the account but one, and its tokens that name none. Answers how many
    /// sessions ended.
    pub async fn end_other_sessions(
        &self,
        account: AccountId,
        keep: SessionId,
        origin: &Origin,
    ) -> Result<u64, StoreError> {
        self.end_sessions(account, Which::AllBut(keep), origin)
            .await
    }

    /// Ends all sessions of the account, and its tokens that name none. Answers how many sessions
    /// ended.
    pub async fn end_all_sessions(
        &self,
        account: AccountId,
        origin: &Origin,
    ) -> Result<u64, StoreError> {
        self.end_sessions(account, Which::All, origin).await
    }

    async fn end_sessions(
        &self,
        account: AccountId,
        which: Which,
        origin: &Origin,
    ) -> Result<u64, StoreError> {
        let end = EndSessions {
            account,
            which,
            ending: self.ending(origin),
        };
        let revoked = self.store().commit(end).await?;
        if revoked.is_empty() {
            return Ok(0);
        }
        let ended = self.revoked(revoked);
        let (event, session) = match which {
            Which::Only(session) => (Event::LoggedOut, Some(session)),
            Which::AllBut(kept) => (Event::LoggedOutEverywhere, Some(kept)),
            Which::All => (Event::LoggedOutEverywhere, None),
        };
        self.audit().stored(&Entry {
            event,
            account: Some(account),
            session,
            origin: origin.clone(),
        });
        Ok(ended)
    }
}
