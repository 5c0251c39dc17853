//! Revocations in SQLite, and the end of what has expired.

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::{Change, Sqlite, rows};
use crate::accounts::Revocation;
use crate::clock::Timestamp;
use crate::store::change::Sweep;
use crate::store::{RevocationNews, StoreError};

impl Sqlite {
    pub(crate) async fn revocations(&self, place: i64) -> Result<RevocationNews, StoreError> {
        let mut news = RevocationNews {
            revocations: Vec::new(),
            place,
        };
        // One writer at a time: an id that is seen has no lower one still to come.
        let found = sqlx::query(
            "SELECT id, session_id, subject, issued_until, expires_at FROM revocations \
             WHERE id > ?1 ORDER BY id",
        )
        .bind(place)
        .fetch_all(&self.readers)
        .await?;
        for row in found {
            news.place = row.try_get("id")?;
            let subject: Option<String> = row.try_get("subject")?;
            let revocation = match subject {
                Some(subject) => Revocation::Subject {
                    subject,
                    until: Timestamp::from_millis(row.try_get("issued_until")?),
                },
                None => Revocation::Session(rows::session_id(&row, "session_id")?),
            };
            let forget_at = Timestamp::from_millis(row.try_get("expires_at")?);
            news.revocations.push((revocation, forget_at));
        }
        Ok(news)
    }
}

/// Adds a revocation to the transaction of the change that it belongs to.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    revocation: &Revocation,
    forget_at: Timestamp,
) -> Result<(), StoreError> {
    let (session, subject, until) = match revocation {
        Revocation::Session(session) => (Some(session.to_string()), None, None),
        Revocation::Subject { subject, until } => (None, Some(subject), Some(until.millis())),
    };
    sqlx::query(
        "INSERT INTO revocations (session_id, subject, issued_until, expires_at) \
         VALUES (?1, ?2, ?3, ?4)",
    )
    .bind(session)
    .bind(subject)
    .bind(until)
    .bind(forget_at.millis())
    .execute(connection)
    .await?;
    Ok(())
}

impl Change for Sweep {
    type Output = u64;

    async fn apply(&self, connection: &mut SqliteConnection) -> Result<u64, StoreError> {
        let sessions = sqlx::query("DELETE FROM sessions WHERE expires_at < ?1")
            .bind(self.sessions_before.millis())
            .execute(&mut *connection)
            .await?;
        let revocations = sqlx::query("DELETE FROM revocations WHERE expires_at < ?1")
            .bind(self.now.millis())
            .execute(&mut *connection)
            .await?;
        Ok(sessions.rows_affected() + revocations.rows_affected())
    }
}
