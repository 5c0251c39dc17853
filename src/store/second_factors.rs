//! Second factors and recovery codes in the database, which alone decides whether a code is good
//! once more.

use super::sql::{Connection, query};
use super::{Change, Store, accounts, audit, sessions};
use crate::accounts::audit::{Entry, Event};
use crate::accounts::{AccountId, RecoveryDigest};
use crate::clock::Timestamp;
use crate::store::StoreError;
use crate::store::change::{
    ConfirmSecondFactor, Ending, OfferSecondFactor, RemoveSecondFactor, ReplaceRecoveryCodes,
    ResealSecondFactor, Revoked, UseRecoveryCode, UseSecondFactor, Which,
};

/// The secret of a second factor as it is kept: opened only by a key that the database does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedFactor {
    pub sealed: Vec<u8>,
    /// Which master key opens it.
    pub master: String,
}

/// A second factor as it stands in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecondFactor {
    pub sealed: SealedFactor,
    /// `None`: its owner has shown no code of it yet, and nobody is asked for one.
    pub confirmed_at: Option<Timestamp>,
    /// Of the last code that was taken, in steps of 30 seconds; -1: none was.
    pub last_step: i64,
    /// Recovery codes that are left.
    pub recovery_codes: u32,
}

impl Store {
    /// An account's second factor, also one that is merely offered.
    pub async fn second_factor(
        &self,
        account: AccountId,
    ) -> Result<Option<SecondFactor>, StoreError> {
        let found = query(
            "SELECT f.sealed, f.master, f.confirmed_at, f.last_step, \
             (SELECT count(*) FROM recovery_codes r WHERE r.account_id = f.account_id) AS number \
             FROM second_factors f WHERE f.account_id = $1",
        )
        .bind(account.to_string())
        .fetch_optional(self)
        .await?;
        let Some(row) = found else {
            return Ok(None);
        };
        let confirmed_at: Option<i64> = row.try_get("confirmed_at")?;
        Ok(Some(SecondFactor {
            sealed: SealedFactor {
                sealed: row.try_get("sealed")?,
                master: row.try_get("master")?,
            },
            confirmed_at: confirmed_at.map(Timestamp::from_millis),
            last_step: row.try_get("last_step")?,
            recovery_codes: u32::try_from(row.try_get::<i64>("number")?)
                .map_err(|_| StoreError::Unreadable("a count"))?,
        }))
    }
}

impl Change for OfferSecondFactor {
    type Output = bool;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<bool, StoreError> {
        let kept = query(
            "INSERT INTO second_factors (account_id, sealed, master, offered_at, last_step) \
             SELECT id, $2, $3, $4, -1 FROM accounts WHERE id = $1 AND status = 'active' \
             ON CONFLICT (account_id) DO UPDATE SET sealed = excluded.sealed, \
             master = excluded.master, offered_at = excluded.offered_at \
             WHERE second_factors.confirmed_at IS NULL",
        )
        .bind(self.account.to_string())
        .bind(self.factor.sealed.as_slice())
        .bind(self.factor.master.as_str())
        .bind(self.at.millis())
        .execute(connection)
        .await?;
        Ok(kept == 1)
    }
}

impl Change for ConfirmSecondFactor {
    type Output = Option<Revoked>;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Self::Output, StoreError> {
        let confirmed = query(
            "UPDATE second_factors SET confirmed_at = $4, last_step = $5 \
             WHERE account_id = $1 AND sealed = $2 AND master = $3 AND confirmed_at IS NULL",
        )
        .bind(self.account.to_string())
        .bind(self.factor.sealed.as_slice())
        .bind(self.factor.master.as_str())
        .bind(self.ending.at.millis())
        .bind(self.step)
        .execute(&mut *connection)
        .await?;
        if confirmed == 0 {
            return Ok(None);
        }
        replace_codes(connection, self.account, &self.recovery).await?;
        let event = Event::SecondFactorAdded;
        changed(connection, self.account, event, &self.ending)
            .await
            .map(Some)
    }
}

impl Change for UseSecondFactor {
    type Output = bool;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<bool, StoreError> {
        let taken = query(
            "UPDATE second_factors SET last_step = $4 \
             WHERE account_id = $1 AND sealed = $2 AND master = $3 \
             AND confirmed_at IS NOT NULL AND last_step < $4",
        )
        .bind(self.account.to_string())
        .bind(self.factor.sealed.as_slice())
        .bind(self.factor.master.as_str())
        .bind(self.step)
        .execute(connection)
        .await?;
        Ok(taken == 1)
    }
}

impl Change for UseRecoveryCode {
    type Output = Option<Entry>;

    /// Whoever takes the row out has used the code; nobody takes it out twice, on whichever node.
    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Self::Output, StoreError> {
        let taken = query(
            "DELETE FROM recovery_codes WHERE account_id = $1 AND digest = $2 \
             AND EXISTS (SELECT 1 FROM second_factors \
             WHERE account_id = $1 AND confirmed_at IS NOT NULL)",
        )
        .bind(self.account.to_string())
        .bind(self.digest.as_bytes())
        .execute(&mut *connection)
        .await?;
        if taken == 0 {
            return Ok(None);
        }
        let entry = Entry {
            event: Event::RecoveryCodeUsed,
            account: Some(self.account),
            session: None,
            origin: self.origin.clone(),
        };
        audit::write(connection, &entry, self.at).await?;
        Ok(Some(entry))
    }
}

impl Change for ReplaceRecoveryCodes {
    type Output = Option<Entry>;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Option<Entry>, StoreError> {
        let confirmed = query(
            "SELECT 1 FROM second_factors WHERE account_id = $1 AND confirmed_at IS NOT NULL",
        )
        .bind(self.account.to_string())
        .fetch_optional(&mut *connection)
        .await?;
        if confirmed.is_none() {
            return Ok(None);
        }
        replace_codes(connection, self.account, &self.recovery).await?;
        let entry = Entry {
            event: Event::RecoveryCodesReplaced,
            account: Some(self.account),
            session: None,
            origin: self.origin.clone(),
        };
        audit::write(connection, &entry, self.at).await?;
        Ok(Some(entry))
    }
}

impl Change for RemoveSecondFactor {
    type Output = Option<Revoked>;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Self::Output, StoreError> {
        if !delete(connection, self.account).await? {
            return Ok(None);
        }
        let event = Event::SecondFactorRemoved;
        changed(connection, self.account, event, &self.ending)
            .await
            .map(Some)
    }
}

impl Change for ResealSecondFactor {
    type Output = bool;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<bool, StoreError> {
        let sealed = query(
            "UPDATE second_factors SET sealed = $4, master = $5 \
             WHERE account_id = $1 AND sealed = $2 AND master = $3",
        )
        .bind(self.account.to_string())
        .bind(self.from.sealed.as_slice())
        .bind(self.from.master.as_str())
        .bind(self.to.sealed.as_slice())
        .bind(self.to.master.as_str())
        .execute(connection)
        .await?;
        Ok(sealed == 1)
    }
}

/// Deletes an account's factor and recovery codes. Answers whether the factor was confirmed.
pub(super) async fn delete(
    connection: &mut Connection<'_>,
    account: AccountId,
) -> Result<bool, StoreError> {
    replace_codes(connection, account, &[]).await?;
    let deleted = query("DELETE FROM second_factors WHERE account_id = $1 RETURNING confirmed_at")
        .bind(account.to_string())
        .fetch_optional(connection)
        .await?;
    let Some(row) = deleted else {
        return Ok(false);
    };
    Ok(row.try_get::<Option<i64>>("confirmed_at")?.is_some())
}

async fn replace_codes(
    connection: &mut Connection<'_>,
    account: AccountId,
    codes: &[RecoveryDigest],
) -> Result<(), StoreError> {
    query("DELETE FROM recovery_codes WHERE account_id = $1")
        .bind(account.to_string())
        .execute(&mut *connection)
        .await?;
    for code in codes {
        query("INSERT INTO recovery_codes (account_id, digest) VALUES ($1, $2)")
            .bind(account.to_string())
            .bind(code.as_bytes())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// What becomes of an account whose factor came or went: a log-in that was checked before comes too
/// late, and its sessions end.
async fn changed(
    connection: &mut Connection<'_>,
    account: AccountId,
    event: Event,
    ending: &Ending,
) -> Result<Revoked, StoreError> {
    query("UPDATE accounts SET updated_at = $2 WHERE id = $1")
        .bind(account.to_string())
        .bind(ending.at.millis())
        .execute(&mut *connection)
        .await?;
    accounts::note(connection, account, event, ending).await?;
    sessions::end(connection, account, Which::All, ending).await
}
