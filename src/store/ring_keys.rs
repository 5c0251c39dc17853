//! The keys that the gateway makes for itself, in the database.

use super::sql::{Connection, query};
use super::{Change, Store};
use crate::secret::Secret;
use crate::store::StoreError;
use crate::store::change::KeepRingKey;

impl Store {
    pub async fn ring_keys(&self, ring: &'static str) -> Result<Vec<(u8, Secret)>, StoreError> {
        query("SELECT id, secret FROM ring_keys WHERE ring = $1 ORDER BY id")
            .bind(ring)
            .fetch_all(self)
            .await?
            .iter()
            .map(|row| {
                let id = u8::try_from(row.try_get::<i64>("id")?)
                    .map_err(|_| StoreError::Unreadable("the id of a key"))?;
                Ok((id, Secret::new(row.try_get("secret")?)))
            })
            .collect()
    }
}

impl Change for KeepRingKey {
    type Output = ();

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<(), StoreError> {
        query(
            "INSERT INTO ring_keys (ring, id, secret, created_at) VALUES ($1, $2, $3, $4) \
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
