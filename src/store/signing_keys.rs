//! The signing keys that the gateways make for themselves, sealed, in the database.

use super::sql::{Connection, Row, query};
use super::{Change, Store};
use crate::clock::Timestamp;
use crate::store::StoreError;

/// A signing key as the database has it: sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedKey {
    /// Each key's is one more than its predecessor's.
    pub number: i64,
    pub id: String,
    pub algorithm: String,
    /// Which master key opens it.
    pub master: String,
    pub sealed: Vec<u8>,
    pub created_at: Timestamp,
    /// Until then it is only published.
    pub signs_from: Timestamp,
}

/// How soon a new key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// After it was published for as long as the configuration says.
    Published,
    /// As soon as every node has it.
    Now,
}

/// Adds a key, unless there is one of its number. Answers whether it was added.
#[derive(Clone, Debug)]
pub struct AddSigningKey(pub SealedKey);

/// Puts the same key sealed under another master key, if it is still sealed under `from`.
#[derive(Clone, Debug)]
pub struct ResealSigningKey {
    pub from: String,
    pub key: SealedKey,
}

/// Asks for a successor of the newest key. Answers its number; `None`: there is no key.
#[derive(Clone, Copy, Debug)]
pub struct OrderSigningKey(pub Pace);

/// Forgets the keys before this number, and the wishes for their successors.
#[derive(Clone, Copy, Debug)]
pub struct ForgetSigningKeys {
    pub before: i64,
}

/// Takes a key away, so that nobody believes what it signed: not the one that signs at this time.
#[derive(Clone, Debug)]
pub struct RetireSigningKey {
    pub id: String,
    pub at: Timestamp,
}

/// What came of [`RetireSigningKey`].
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retired {
    Done,
    Unknown,
    /// No later key signs yet.
    Signs,
}

impl Pace {
    const fn name(self) -> &'static str {
        match self {
            Pace::Published => "published",
            Pace::Now => "now",
        }
    }
}

impl Store {
    /// The signing keys in the order of their numbers.
    pub async fn signing_keys(&self) -> Result<Vec<SealedKey>, StoreError> {
        query(
            "SELECT number, id, algorithm, master, sealed, created_at, signs_from \
             FROM signing_keys ORDER BY number",
        )
        .fetch_all(self)
        .await?
        .iter()
        .map(sealed_key)
        .collect()
    }

    /// Whether somebody asked for a successor of the key of this number.
    pub async fn signing_key_order(&self, number: i64) -> Result<Option<Pace>, StoreError> {
        let row = query("SELECT pace FROM signing_key_orders WHERE number = $1")
            .bind(number)
            .fetch_optional(self)
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let pace: String = row.try_get("pace")?;
        [Pace::Published, Pace::Now]
            .into_iter()
            .find(|known| known.name() == pace)
            .map(Some)
            .ok_or(StoreError::Unreadable("the pace of a new signing key"))
    }
}

fn sealed_key(row: &Row) -> Result<SealedKey, StoreError> {
    Ok(SealedKey {
        number: row.try_get("number")?,
        id: row.try_get("id")?,
        algorithm: row.try_get("algorithm")?,
        master: row.try_get("master")?,
        sealed: row.try_get("sealed")?,
        created_at: Timestamp::from_millis(row.try_get("created_at")?),
        signs_from: Timestamp::from_millis(row.try_get("signs_from")?),
    })
}

impl Change for AddSigningKey {
    type Output = bool;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<bool, StoreError> {
        let key = &self.0;
        let added = query(
            "INSERT INTO signing_keys \
             (number, id, algorithm, master, sealed, created_at, signs_from) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
        )
        .bind(key.number)
        .bind(key.id.as_str())
        .bind(key.algorithm.as_str())
        .bind(key.master.as_str())
        .bind(key.sealed.as_slice())
        .bind(key.created_at.millis())
        .bind(key.signs_from.millis())
        .execute(connection)
        .await?;
        Ok(added == 1)
    }
}

impl Change for ResealSigningKey {
    type Output = ();

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<(), StoreError> {
        query("UPDATE signing_keys SET master = $3, sealed = $4 WHERE number = $1 AND master = $2")
            .bind(self.key.number)
            .bind(self.from.as_str())
            .bind(self.key.master.as_str())
            .bind(self.key.sealed.as_slice())
            .execute(connection)
            .await?;
        Ok(())
    }
}

impl Change for OrderSigningKey {
    type Output = Option<i64>;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Option<i64>, StoreError> {
        let newest = query("SELECT max(number) AS number FROM signing_keys")
            .fetch_optional(&mut *connection)
            .await?;
        let newest: Option<i64> = match newest {
            Some(row) => row.try_get("number")?,
            None => None,
        };
        let Some(number) = newest else {
            return Ok(None);
        };
        query(
            "INSERT INTO signing_key_orders (number, pace) VALUES ($1, $2) \
             ON CONFLICT (number) DO UPDATE SET pace = excluded.pace",
        )
        .bind(number)
        .bind(self.0.name())
        .execute(connection)
        .await?;
        Ok(Some(number))
    }
}

impl Change for RetireSigningKey {
    type Output = Retired;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Retired, StoreError> {
        let found = query("SELECT number FROM signing_keys WHERE id = $1")
            .bind(self.id.as_str())
            .fetch_optional(&mut *connection)
            .await?;
        let Some(row) = found else {
            return Ok(Retired::Unknown);
        };
        let number: i64 = row.try_get("number")?;
        let later = query("SELECT 1 FROM signing_keys WHERE number > $1 AND signs_from <= $2")
            .bind(number)
            .bind(self.at.millis())
            .fetch_all(&mut *connection)
            .await?;
        if later.is_empty() {
            return Ok(Retired::Signs);
        }
        query("DELETE FROM signing_keys WHERE number = $1")
            .bind(number)
            .execute(connection)
            .await?;
        Ok(Retired::Done)
    }
}

impl Change for ForgetSigningKeys {
    type Output = ();

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<(), StoreError> {
        for text in [
            "DELETE FROM signing_keys WHERE number < $1",
            "DELETE FROM signing_key_orders WHERE number < $1",
        ] {
            query(text)
                .bind(self.before)
                .execute(&mut *connection)
                .await?;
        }
        Ok(())
    }
}
