//! Half of a log-in: the password was right, and the second factor is still to be shown.

use std::time::Duration;

use super::super::{Account, AccountId, Accounts, Status};
use crate::clock::Timestamp;
use crate::store::StoreError;

/// How long a second factor may take to be shown.
const LIFETIME: Duration = Duration::from_secs(5 * 60);

/// Whose password was right, as the account was then. Nothing of it is stored: it is sealed, and what
/// must be good once is the code.
struct Challenge {
    account: AccountId,
    /// A password that was changed since opens nothing.
    updated_at: Timestamp,
    expires_at: Timestamp,
}

impl Challenge {
    fn written(&self) -> String {
        let (updated, expires) = (self.updated_at.millis(), self.expires_at.millis());
        format!("{}.{updated}.{expires}", self.account)
    }

    fn read(payload: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(payload).ok()?.split('.');
        let (account, updated, expires) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self {
            account: AccountId::parse(account).ok()?,
            updated_at: Timestamp::from_millis(updated.parse().ok()?),
            expires_at: Timestamp::from_millis(expires.parse().ok()?),
        })
    }
}

impl Accounts {
    /// What somebody whose password was right shows together with a second factor, and for how long
    /// that is worth something.
    pub fn challenge(&self, account: &Account) -> Result<(String, Duration), StoreError> {
        let challenge = Challenge {
            account: account.id,
            updated_at: account.updated_at,
            expires_at: self.now() + LIFETIME,
        };
        let sealed = self.0.challenge_ring.seal(challenge.written().as_bytes());
        Ok((sealed.ok_or(StoreError::Closed)?, LIFETIME))
    }

    /// The account whose password was right. `None`: the challenge is not ours, took too long, or the
    /// account is not what it was; made up, it costs no query.
    pub async fn challenged(&self, text: &str) -> Result<Option<Account>, StoreError> {
        let opened = self.0.challenge_ring.open(text);
        let Some(challenge) = opened.and_then(|payload| Challenge::read(&payload)) else {
            return Ok(None);
        };
        if challenge.expires_at <= self.now() {
            return Ok(None);
        }
        let account = self.find(challenge.account).await?;
        Ok(account.filter(|account| {
            account.status == Status::Active && account.updated_at == challenge.updated_at
        }))
    }
}
