//! The keys that the gateway makes for itself, in SQLite.

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::{Change, Sqlite};
use crate::secret::Secret;
use crate::store::StoreError;
use crate::store::change::KeepRingKey;

impl Sqlite {
    pub(crate) async fn ring_keys(
        &self,
        ring: &'static str,
    ) -> Result<Vec<(u8, Secret)>, StoreError> {
        sqlx::query("SELECT id, secret FROM ring_keys WHERE ring = ?1 ORDER BY id")
            .bind(ring)
            .fetch_all(&self.readers)
            .await?
            .iter()
            .map(|row| Ok((row.try_get("id")?, Secret::new(row.try_get("secret")?))))
            .collect()
    }
}

impl Change for KeepRingKey {
    type Output = ();

    async fn apply(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO ring_keys (ring, id, secret, created_at) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT DO NOTHING",
        )
        .bind(self.ring)
        .bind(self.id)
        .bind(self.secret.expose())
        .bind(self.at.millis())
        .execute(connection)
        .await?;
        Ok(())
    }
}
