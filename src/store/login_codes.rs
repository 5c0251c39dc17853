//! Codes of the login host in the database, which alone decides whether one is good.

use super::sql::{Connection, query};
use super::{Change, audit, rows};
use crate::accounts::audit::{Entry, Event};
use crate::accounts::{AccountId, BrowserSession, Keep, SessionId};
use crate::clock::Timestamp;
use crate::store::StoreError;
use crate::store::change::{IssueLoginCode, RedeemLoginCode, Redeemed};

impl Change for IssueLoginCode {
    type Output = bool;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<bool, StoreError> {
        let BrowserSession { session, keep } = self.session;
        if live(connection, session, self.at).await?.is_none() {
            return Ok(false);
        }
        query(
            "INSERT INTO login_codes (digest, session_id, host, ticket, remembered, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(self.digest.as_bytes())
        .bind(session.to_string())
        .bind(&self.good_for.host)
        .bind(self.good_for.ticket.as_bytes())
        .bind(match keep {
            Keep::UntilClosed => 0_i64,
            Keep::Remembered => 1,
        })
        .bind(self.expires_at.millis())
        .execute(&mut *connection)
        .await?;
        query(
            "DELETE FROM login_codes WHERE digest IN (SELECT digest FROM login_codes \
             WHERE session_id = $1 AND digest <> $2 ORDER BY expires_at DESC, digest \
             LIMIT $4 OFFSET $3)",
        )
        .bind(session.to_string())
        .bind(self.digest.as_bytes())
        .bind(i64::from(self.most) - 1)
        .bind(i64::from(u32::MAX))
        .execute(connection)
        .await?;
        Ok(true)
    }
}

impl Change for RedeemLoginCode {
    type Output = Option<Redeemed>;

    /// Whoever takes the row out has the code; nobody takes it out twice, on whichever node. It is
    /// gone also when it was shown in the wrong place.
    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Option<Redeemed>, StoreError> {
        let taken = query(
            "DELETE FROM login_codes WHERE digest = $1 \
             RETURNING session_id, host, ticket, remembered, expires_at",
        )
        .bind(self.digest.as_bytes())
        .fetch_optional(&mut *connection)
        .await?;
        let Some(row) = taken else {
            return Ok(None);
        };
        let (host, ticket): (&str, &[u8]) = (row.try_get("host")?, row.try_get("ticket")?);
        let expires_at = Timestamp::from_millis(row.try_get("expires_at")?);
        let shown_for = &self.shown_for;
        if host != shown_for.host || ticket != shown_for.ticket.as_bytes() || expires_at <= self.at
        {
            return Ok(None);
        }
        let session = rows::session_id(&row, "session_id")?;
        let Some((account, expires_at)) = live(connection, session, self.at).await? else {
            return Ok(None);
        };
        let keep = match row.try_get::<i64>("remembered")? {
            0 => Keep::UntilClosed,
            _other => Keep::Remembered,
        };
        let entry = Entry {
            event: Event::SignedOn(shown_for.host.clone()),
            account: Some(account),
            session: Some(session),
            origin: self.origin.clone(),
        };
        audit::write(connection, &entry, self.at).await?;
        Ok(Some(Redeemed {
            session: BrowserSession { session, keep },
            expires_at,
            entry,
        }))
    }
}

/// Whose a session is and when it expires, if it is live and of an active account.
async fn live(
    connection: &mut Connection<'_>,
    session: SessionId,
    now: Timestamp,
) -> Result<Option<(AccountId, Timestamp)>, StoreError> {
    let row = query(
        "SELECT s.account_id, s.expires_at FROM sessions s JOIN accounts a ON a.id = s.account_id \
         WHERE s.id = $1 AND s.ended_at IS NULL AND s.expires_at > $2 AND a.status = 'active'",
    )
    .bind(session.to_string())
    .bind(now.millis())
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let expires_at = Timestamp::from_millis(row.try_get("expires_at")?);
    Ok(Some((rows::account_id(&row, "account_id")?, expires_at)))
}
