//! Sessions in the database.

use super::revocations::Whose;
use super::sql::{Connection, Row, query};
use super::{Change, Store, accounts, audit, revocations, rows};
use crate::accounts::audit::{Entry, Event};
use crate::accounts::{AccountId, Factors, Revocation, Session, SessionId, SessionLife};
use crate::clock::Timestamp;
use crate::store::StoreError;
use crate::store::change::{
    EndSessions, Ending, NewSession, OpenSession, Revoked, Rotate, Rotation, SessionOpened, Which,
};

/// One is displaced by each log-in, and more when fewer are allowed than were before: so many at once,
/// so that no log-in takes long.
const DISPLACED_AT_ONCE: i64 = 100;

impl Store {
    /// The live sessions of an account, latest use first, as many as `limit`.
    pub async fn sessions(
        &self,
        account: AccountId,
        (now, limit): (Timestamp, u32),
    ) -> Result<Vec<Session>, StoreError> {
        query(
            "SELECT id, account_id, device, client, created_at, last_used_at, expires_at \
             FROM sessions WHERE account_id = $1 AND ended_at IS NULL AND expires_at > $2 \
             ORDER BY last_used_at DESC, id LIMIT $3",
        )
        .bind(account.to_string())
        .bind(now.millis())
        .bind(i64::from(limit))
        .fetch_all(self)
        .await?
        .iter()
        .map(rows::session)
        .collect()
    }

    pub async fn session_owner(
        &self,
        session: SessionId,
        now: Timestamp,
    ) -> Result<Option<AccountId>, StoreError> {
        query(
            "SELECT account_id FROM sessions \
             WHERE id = $1 AND ended_at IS NULL AND expires_at > $2",
        )
        .bind(session.to_string())
        .bind(now.millis())
        .fetch_optional(self)
        .await?
        .map(|row| rows::account_id(&row, "account_id"))
        .transpose()
    }

    /// How this session stands, if it is live at `now`.
    pub async fn session_life(
        &self,
        session: SessionId,
        now: Timestamp,
    ) -> Result<Option<SessionLife>, StoreError> {
        let found = query(
            "SELECT changed_at, expires_at FROM sessions \
             WHERE id = $1 AND ended_at IS NULL AND expires_at > $2",
        )
        .bind(session.to_string())
        .bind(now.millis())
        .fetch_optional(self)
        .await?;
        let Some(row) = found else {
            return Ok(None);
        };
        Ok(Some(SessionLife {
            refreshed_at: Timestamp::from_millis(row.try_get("changed_at")?),
            expires_at: Timestamp::from_millis(row.try_get("expires_at")?),
        }))
    }
}

impl Change for OpenSession {
    type Output = Option<SessionOpened>;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Self::Output, StoreError> {
        let session = &self.session;
        let Some(account) = accounts::active(connection, session.account).await? else {
            return Ok(None);
        };
        if account.updated_at != self.unless_changed_from {
            return Ok(None);
        }
        let opened = query(
            "INSERT INTO sessions (id, account_id, counter, changed_at, created_at, last_used_at, \
             expires_at, ends_at, device, client, second_factor) \
             SELECT $1, $2, 0, $3, $3, $3, $4, $5, $6, $7, $8 \
             WHERE $8 = 1 OR NOT EXISTS (SELECT 1 FROM second_factors \
             WHERE account_id = $2 AND confirmed_at IS NOT NULL)",
        )
        .bind(session.id.to_string())
        .bind(session.account.to_string())
        .bind(session.at.millis())
        .bind(session.expires_at.millis())
        .bind(session.ends_at.millis())
        .bind(&session.device.name)
        .bind(rows::client_text(session.device.client))
        .bind(match session.factors {
            Factors::One => 0_i64,
            Factors::Two => 1,
        })
        .execute(&mut *connection)
        .await?;
        if opened == 0 {
            return Ok(None);
        }
        accounts::logged_in(connection, session.account, session.at).await?;
        audit::write(connection, &self.entry, session.at).await?;
        let (entries, revoked) = self.displace(connection).await?;
        Ok(Some(SessionOpened {
            account,
            entries,
            revoked,
        }))
    }
}

impl OpenSession {
    /// Ends the sessions that are too many beside this one.
    async fn displace(
        &self,
        connection: &mut Connection<'_>,
    ) -> Result<(Vec<Entry>, Revoked), StoreError> {
        let NewSession { id, account, .. } = self.session;
        let too_many = query(
            "SELECT id FROM sessions WHERE account_id = $1 AND ended_at IS NULL \
             AND expires_at > $2 AND id <> $3 ORDER BY last_used_at DESC, id LIMIT $4 OFFSET $5",
        )
        .bind(account.to_string())
        .bind(self.ending.at.millis())
        .bind(id.to_string())
        .bind(DISPLACED_AT_ONCE)
        .bind(i64::from(self.most) - 1)
        .fetch_all(&mut *connection)
        .await?;
        let (mut entries, mut revoked) = (Vec::new(), Revoked::new());
        for row in &too_many {
            let session = rows::session_id(row, "id")?;
            let entry = Entry {
                event: Event::SessionDisplaced,
                account: Some(account),
                session: Some(session),
                origin: self.ending.origin.clone(),
            };
            audit::write(connection, &entry, self.ending.at).await?;
            entries.push(entry);
            revoked.extend(end(connection, account, Which::Only(session), &self.ending).await?);
        }
        Ok((entries, revoked))
    }
}

impl Change for Rotate {
    type Output = Rotation;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Rotation, StoreError> {
        let Ok(counter) = i64::try_from(self.counter) else {
            return Ok(Rotation::Unknown);
        };
        let now = self.ending.at;
        let rotated = query(
            "UPDATE sessions SET counter = counter + 1, changed_at = $3, last_used_at = $3, \
             expires_at = CASE WHEN ends_at < $4 THEN ends_at ELSE $4 END, \
             device = $5, client = $6 \
             WHERE id = $1 AND counter = $2 AND ended_at IS NULL AND expires_at > $3 \
             RETURNING account_id, expires_at, second_factor",
        )
        .bind(self.session.to_string())
        .bind(counter)
        .bind(now.millis())
        .bind((now + self.idle).millis())
        .bind(&self.device.name)
        .bind(rows::client_text(self.device.client))
        .fetch_optional(&mut *connection)
        .await?;
        if let Some(row) = rotated {
            return successor(connection, &row).await;
        }

        let Some(row) = query(
            "SELECT account_id, counter, changed_at, expires_at, second_factor FROM sessions \
             WHERE id = $1 AND ended_at IS NULL",
        )
        .bind(self.session.to_string())
        .fetch_optional(&mut *connection)
        .await?
        else {
            return Ok(Rotation::Unknown);
        };
        let account = rows::account_id(&row, "account_id")?;
        let expires_at = Timestamp::from_millis(row.try_get("expires_at")?);
        if expires_at <= now {
            return Ok(Rotation::Expired);
        }
        let current: i64 = row.try_get("counter")?;
        if counter > current {
            // Not forged, so the database is older than the token: restored from a backup.
            return Ok(Rotation::Unknown);
        }
        let changed_at = Timestamp::from_millis(row.try_get("changed_at")?);
        // Only the parent of the token that is good now: a grandparent has been used up for good.
        if counter.checked_add(1) == Some(current) && now.since(changed_at) <= self.grace {
            return successor(connection, &row).await;
        }
        let entry = Entry {
            event: Event::RefreshReused,
            account: Some(account),
            session: Some(self.session),
            origin: self.ending.origin.clone(),
        };
        audit::write(connection, &entry, now).await?;
        let which = Which::Only(self.session);
        let revoked = end(connection, account, which, &self.ending).await?;
        Ok(Rotation::Reused {
            entry: Box::new(entry),
            revoked,
        })
    }
}

/// Reads `account_id, expires_at, second_factor` of the session.
async fn successor(connection: &mut Connection<'_>, row: &Row) -> Result<Rotation, StoreError> {
    let account = rows::account_id(row, "account_id")?;
    let Some(account) = accounts::active(connection, account).await? else {
        return Ok(Rotation::Unknown);
    };
    Ok(Rotation::Successor {
        account: Box::new(account),
        expires_at: Timestamp::from_millis(row.try_get("expires_at")?),
        factors: rows::factors(row)?,
    })
}

impl Change for EndSessions {
    type Output = Revoked;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Revoked, StoreError> {
        let revoked = end(connection, self.account, self.which, &self.ending).await?;
        if revoked.is_empty() {
            return Ok(revoked);
        }
        let (event, session) = match self.which {
            Which::Only(session) => (Event::LoggedOut, Some(session)),
            Which::All => (Event::LoggedOutEverywhere, None),
            Which::AllBut(kept) => (Event::LoggedOutEverywhere, Some(kept)),
        };
        let entry = Entry {
            event,
            account: Some(self.account),
            session,
            origin: self.ending.origin.clone(),
        };
        audit::write(connection, &entry, self.ending.at).await?;
        Ok(revoked)
    }
}

/// Ends sessions and revokes their tokens; unless it is only one, also the account's tokens that
/// name no session. Sessions that have expired are among them: their last token may still be good.
pub(super) async fn end(
    connection: &mut Connection<'_>,
    account: AccountId,
    which: Which,
    ending: &Ending,
) -> Result<Revoked, StoreError> {
    let (only, but) = match which {
        Which::All => (None, None),
        Which::Only(session) => (Some(session.to_string()), None),
        Which::AllBut(session) => (None, Some(session.to_string())),
    };
    let whose = Whose {
        account: account.as_str(),
        only: only.as_deref(),
        but: but.as_deref(),
    };
    revocations::write_sessions(connection, &whose, ending.forget_at).await?;
    let ended = query(
        "UPDATE sessions SET ended_at = $2 WHERE account_id = $1 AND ended_at IS NULL \
         AND ($3 IS NULL OR id = $3) AND ($4 IS NULL OR id <> $4) RETURNING id",
    )
    .bind(whose.account)
    .bind(ending.at.millis())
    .bind(whose.only)
    .bind(whose.but)
    .fetch_all(&mut *connection)
    .await?;
    let mut revoked = Revoked::with_capacity(ended.len() + 1);
    for row in &ended {
        let session = rows::session_id(row, "id")?;
        revoked.push((Revocation::Session(session), ending.forget_at));
    }
    match which {
        Which::All | Which::AllBut(_) => {
            let subject = Revocation::Subject {
                subject: account.to_string(),
                until: ending.at,
            };
            let forget_at = ending.forget_subject_at();
            revocations::write(connection, &subject, forget_at).await?;
            revoked.push((subject, forget_at));
        }
        Which::Only(_) => {}
    }
    Ok(revoked)
}
