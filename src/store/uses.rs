//! Sessions in use: what a session cookie stands for, and when it was used last.

use super::sql::{Connection, query};
use super::{Change, Store, StoreError, UseSessions, rows};
use crate::accounts::{Account, Factors, SessionId};
use crate::clock::Timestamp;

/// A session that is live, as it stands in the database, and whose it is.
#[derive(Clone, Debug)]
pub struct LiveSession {
    pub account: Account,
    pub last_used_at: Timestamp,
    /// When it ends unless it is used before.
    pub expires_at: Timestamp,
    /// It is never extended beyond.
    pub ends_at: Timestamp,
    /// By which it was opened.
    pub factors: Factors,
}

impl Store {
    /// A session that is live at `now` and of an active account.
    pub async fn live_session(
        &self,
        session: SessionId,
        now: Timestamp,
    ) -> Result<Option<LiveSession>, StoreError> {
        let row = query(
            "SELECT a.id, a.status, a.email, a.username, a.name, a.password, a.roles, \
             a.email_verified_at, a.created_at, a.updated_at, a.attributes, \
             s.last_used_at, s.expires_at, s.ends_at, s.second_factor \
             FROM sessions s JOIN accounts a ON a.id = s.account_id \
             WHERE s.id = $1 AND s.ended_at IS NULL AND s.expires_at > $2 \
             AND a.status = 'active'",
        )
        .bind(session.to_string())
        .bind(now.millis())
        .fetch_optional(self)
        .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        Ok(Some(LiveSession {
            account: rows::account(&row)?.0,
            last_used_at: Timestamp::from_millis(row.try_get("last_used_at")?),
            expires_at: Timestamp::from_millis(row.try_get("expires_at")?),
            ends_at: Timestamp::from_millis(row.try_get("ends_at")?),
            factors: rows::factors(&row)?,
        }))
    }
}

impl Change for UseSessions {
    type Output = ();

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<(), StoreError> {
        for used in &self.0 {
            query(
                "UPDATE sessions SET \
                 last_used_at = CASE WHEN last_used_at < $2 THEN $2 ELSE last_used_at END, \
                 client = $3, \
                 expires_at = CASE WHEN ends_at < $4 THEN ends_at \
                 WHEN expires_at < $4 THEN $4 ELSE expires_at END \
                 WHERE id = $1 AND ended_at IS NULL AND expires_at > $2",
            )
            .bind(used.session.to_string())
            .bind(used.at.millis())
            .bind(rows::client_text(Some(used.client)))
            .bind(used.until.millis())
            .execute(connection)
            .await?;
        }
        Ok(())
    }
}
