//! Whether an account is let in, in the database.

use super::sql::{Connection, query};
use super::{Change, accounts, sessions};
use crate::accounts::Status;
use crate::accounts::audit::Event;
use crate::store::StoreError;
use crate::store::change::{Revoked, SetStatus, Unlock, Which};

impl Change for SetStatus {
    type Output = Option<Revoked>;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Self::Output, StoreError> {
        let set = query(
            "UPDATE accounts SET unapproved = CASE WHEN $2 = 'active' THEN 0 \
             WHEN status = 'pending' THEN 1 ELSE unapproved END, \
             status = $2, updated_at = $3 WHERE id = $1 AND status <> 'deleted'",
        )
        .bind(self.account.to_string())
        .bind(self.status.word())
        .bind(self.ending.at.millis())
        .execute(&mut *connection)
        .await?;
        if set == 0 {
            return Ok(None);
        }
        let event = Event::StatusChanged(self.status);
        accounts::note(connection, self.account, event, &self.ending).await?;
        match self.status {
            Status::Active => Ok(Some(Revoked::new())),
            Status::Pending | Status::Locked | Status::Disabled => {
                sessions::end(connection, self.account, Which::All, &self.ending)
                    .await
                    .map(Some)
            }
        }
    }
}

impl Change for Unlock {
    type Output = Option<Status>;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Self::Output, StoreError> {
        let row = query(
            "UPDATE accounts SET status = CASE WHEN status = 'pending' OR unapproved = 1 \
             THEN 'pending' ELSE 'active' END, updated_at = $2 \
             WHERE id = $1 AND status <> 'deleted' RETURNING status",
        )
        .bind(self.account.to_string())
        .bind(self.ending.at.millis())
        .fetch_optional(&mut *connection)
        .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let status = Status::parse(row.try_get("status")?);
        let status = status.ok_or(StoreError::Unreadable("accounts.status"))?;
        let event = Event::StatusChanged(status);
        accounts::note(connection, self.account, event, &self.ending).await?;
        Ok(Some(status))
    }
}
