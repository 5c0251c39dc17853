//! Whether an account is let in, in the database.

use super::sql::{Connection, query};
use super::{Change, accounts, sessions};
use crate::accounts::Status;
use crate::accounts::audit::Event;
use crate::store::StoreError;
use crate::store::change::{Revoked, SetStatus, Which};

impl Change for SetStatus {
    type Output = Option<Revoked>;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Self::Output, StoreError> {
        let set = query(
            "UPDATE accounts SET status = $2, updated_at = $3 \
             WHERE id = $1 AND status <> 'deleted'",
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
