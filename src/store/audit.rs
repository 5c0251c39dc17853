//! The audit log's table.

use super::rows;
use super::sql::{Connection, query};
use crate::accounts::audit::Entry;
use crate::clock::Timestamp;
use crate::store::StoreError;

/// Adds an entry to the transaction of the change that it tells of.
pub(super) async fn write(
    connection: &mut Connection<'_>,
    entry: &Entry,
    at: Timestamp,
) -> Result<(), StoreError> {
    query(
        "INSERT INTO audit (at, event, detail, account_id, session_id, actor, client) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(at.millis())
    .bind(entry.event.word())
    .bind(entry.event.detail())
    // The column is older than entries that concern no account.
    .bind(entry.account.map_or_else(String::new, |id| id.to_string()))
    .bind(entry.session.map(|session| session.to_string()))
    .bind(entry.origin.actor.to_string())
    .bind(rows::client_text(entry.origin.client))
    .execute(connection)
    .await?;
    Ok(())
}
