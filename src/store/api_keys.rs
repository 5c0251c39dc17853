//! API keys in the database.

use super::sql::{Connection, Row, query};
use super::{Change, Store, accounts, audit, revocations, rows, services};
use crate::accounts::audit::{Entry, Event};
use crate::accounts::{
    ApiKey, ApiKeyId, Binding, DisplayName, KeyHash, KeyOwner, Revocation, WrittenBinding,
};
use crate::clock::Timestamp;
use crate::store::StoreError;
use crate::store::change::{
    CreateApiKey, Ending, KeyCreated, NoteKeyUses, RevokeApiKey, Revoked, RotateApiKey,
};

/// When a key that was rotated would have ended, of one that had no end.
const NEVER: Timestamp = Timestamp::from_millis(i64::MAX);

impl Store {
    pub async fn api_key(&self, id: ApiKeyId) -> Result<Option<(ApiKey, KeyHash)>, StoreError> {
        query(
            "SELECT id, hash, account_id, service_id, name, binding, created_at, expires_at, \
             would_expire_at, revoked_at, last_used_at FROM api_keys WHERE id = $1",
        )
        .bind(id.to_string())
        .fetch_optional(self)
        .await?
        .map(|row| api_key(&row))
        .transpose()
    }

    pub async fn api_keys(
        &self,
        owner: Option<KeyOwner>,
        (after, limit): (Option<ApiKeyId>, u32),
    ) -> Result<Vec<ApiKey>, StoreError> {
        let (account, service) = owner.map_or((None, None), columns);
        query(
            "SELECT id, hash, account_id, service_id, name, binding, created_at, expires_at, \
             would_expire_at, revoked_at, last_used_at FROM api_keys \
             WHERE id > $1 AND ($2 IS NULL OR account_id = $2) \
             AND ($3 IS NULL OR service_id = $3) ORDER BY id LIMIT $4",
        )
        .bind(after.map(|id| id.to_string()).unwrap_or_default())
        .bind(account)
        .bind(service)
        .bind(i64::from(limit))
        .fetch_all(self)
        .await?
        .iter()
        .map(|row| api_key(row).map(|(key, _)| key))
        .collect()
    }
}

impl Change for CreateApiKey {
    type Output = KeyCreated;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<KeyCreated, StoreError> {
        let owner = self.key.owner;
        let is_active = match owner {
            KeyOwner::User(id) => accounts::active(connection, id).await?.is_some(),
            KeyOwner::Service(id) => services::is_active(connection, id).await?,
        };
        if !is_active {
            return Ok(KeyCreated::NoOwner);
        }
        if let Some(most) = self.most {
            let (account, service) = columns(owner);
            let live = query(
                "SELECT count(*) AS live FROM api_keys WHERE revoked_at IS NULL \
                 AND (expires_at IS NULL OR expires_at > $3) \
                 AND (account_id = $1 OR service_id = $2)",
            )
            .bind(account)
            .bind(service)
            .bind(self.key.created_at.millis())
            .fetch_optional(&mut *connection)
            .await?;
            let live: i64 = live.map_or(Ok(0), |row| row.try_get("live"))?;
            if live >= i64::from(most) {
                return Ok(KeyCreated::TooMany);
            }
        }
        insert(connection, &self.key, &self.hash).await?;
        audit::write(connection, &self.entry, self.key.created_at).await?;
        Ok(KeyCreated::Done)
    }
}

impl Change for RotateApiKey {
    type Output = Option<Revoked>;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Self::Output, StoreError> {
        let at = self.ending.at;
        let ends = query(
            "UPDATE api_keys SET would_expire_at = COALESCE(would_expire_at, expires_at, $4), \
             expires_at = CASE WHEN expires_at < $3 THEN expires_at ELSE $3 END \
             WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)",
        )
        .bind(self.old.to_string())
        .bind(at.millis())
        .bind(self.until.millis())
        .bind(NEVER.millis())
        .execute(&mut *connection)
        .await?;
        if ends == 0 {
            return Ok(None);
        }
        insert(connection, &self.key, &self.hash).await?;
        audit::write(connection, &self.entry, at).await?;
        match self.until <= at {
            true => end(connection, self.old, &self.ending).await.map(Some),
            false => Ok(Some(Revoked::new())),
        }
    }
}

impl Change for RevokeApiKey {
    type Output = Option<(KeyOwner, Revoked)>;

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<Self::Output, StoreError> {
        let (account, service) = self.owner.map_or((None, None), columns);
        let Some(row) = query(
            "SELECT account_id, service_id, revoked_at FROM api_keys WHERE id = $1 \
             AND ($2 IS NULL OR account_id = $2) AND ($3 IS NULL OR service_id = $3)",
        )
        .bind(self.id.to_string())
        .bind(account)
        .bind(service)
        .fetch_optional(&mut *connection)
        .await?
        else {
            return Ok(None);
        };
        let owner = owner(&row)?;
        let revoked_at: Option<i64> = row.try_get("revoked_at")?;
        if revoked_at.is_some() {
            return Ok(Some((owner, Revoked::new())));
        }
        let entry = Entry {
            event: Event::ApiKeyRevoked(self.id),
            account: Some(owner.id()),
            session: None,
            origin: self.ending.origin.clone(),
        };
        audit::write(connection, &entry, self.ending.at).await?;
        let revoked = end(connection, self.id, &self.ending).await?;
        Ok(Some((owner, revoked)))
    }
}

impl Change for NoteKeyUses {
    type Output = ();

    async fn apply(&self, connection: &mut Connection<'_>) -> Result<(), StoreError> {
        for (id, at) in &self.uses {
            query(
                "UPDATE api_keys SET last_used_at = $2 \
                 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at <= $3)",
            )
            .bind(id.to_string())
            .bind(at.millis())
            .bind((*at - self.apart).millis())
            .execute(&mut *connection)
            .await?;
        }
        Ok(())
    }
}

/// Takes the keys of an owner who is deleted: their names are the owner's words.
pub(super) async fn delete_all(
    connection: &mut Connection<'_>,
    owner: KeyOwner,
) -> Result<(), StoreError> {
    let (account, service) = columns(owner);
    query("DELETE FROM api_keys WHERE account_id = $1 OR service_id = $2")
        .bind(account)
        .bind(service)
        .execute(connection)
        .await?;
    Ok(())
}

async fn insert(
    connection: &mut Connection<'_>,
    key: &ApiKey,
    hash: &KeyHash,
) -> Result<(), StoreError> {
    let (account, service) = columns(key.owner);
    let binding = serde_json::to_string(&key.binding.written());
    query(
        "INSERT INTO api_keys (id, hash, account_id, service_id, name, binding, created_at, \
         expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(key.id.to_string())
    .bind(hash.bytes())
    .bind(account)
    .bind(service)
    .bind(key.name.as_str())
    .bind(binding.map_err(|_| StoreError::Unreadable("the binding of a key"))?)
    .bind(key.created_at.millis())
    .bind(key.expires_at.map(Timestamp::millis))
    .execute(connection)
    .await?;
    Ok(())
}

/// Revokes a key whose row is there.
async fn end(
    connection: &mut Connection<'_>,
    id: ApiKeyId,
    ending: &Ending,
) -> Result<Revoked, StoreError> {
    query("UPDATE api_keys SET revoked_at = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(ending.at.millis())
        .execute(&mut *connection)
        .await?;
    let revocation = Revocation::Session(id.as_session());
    revocations::write(connection, &revocation, ending.forget_at).await?;
    Ok(vec![(revocation, ending.forget_at)])
}

/// The columns `account_id` and `service_id`.
fn columns(owner: KeyOwner) -> (Option<String>, Option<String>) {
    match owner {
        KeyOwner::User(id) => (Some(id.to_string()), None),
        KeyOwner::Service(id) => (None, Some(id.to_string())),
    }
}

fn owner(row: &Row) -> Result<KeyOwner, StoreError> {
    let account: Option<&str> = row.try_get("account_id")?;
    match account {
        Some(_) => rows::account_id(row, "account_id").map(KeyOwner::User),
        None => rows::account_id(row, "service_id").map(KeyOwner::Service),
    }
}

fn api_key(row: &Row) -> Result<(ApiKey, KeyHash), StoreError> {
    let id: &str = row.try_get("id")?;
    let hash: Vec<u8> = row.try_get("hash")?;
    let binding: &str = row.try_get("binding")?;
    let moment = |column: &'static str| -> Result<Option<Timestamp>, StoreError> {
        let at: Option<i64> = row.try_get(column)?;
        Ok(at.map(Timestamp::from_millis))
    };
    let created_at = Timestamp::from_millis(row.try_get("created_at")?);
    let expires_at = moment("expires_at")?;
    let end = moment("would_expire_at")?.or(expires_at);
    let end = end.filter(|end| *end != NEVER);
    let key = ApiKey {
        id: ApiKeyId::parse(id).map_err(|_| StoreError::Unreadable("the id of a key"))?,
        owner: owner(row)?,
        name: DisplayName::stored(row.try_get("name")?),
        binding: read_binding(binding)?,
        created_at,
        lifetime: end.map(|end| end.since(created_at)),
        expires_at,
        revoked_at: moment("revoked_at")?,
        last_used_at: moment("last_used_at")?,
    };
    let hash: [u8; 32] = hash
        .try_into()
        .map_err(|_| StoreError::Unreadable("the hash of a key"))?;
    Ok((key, KeyHash::stored(hash)))
}

/// What cannot be read binds a key to nothing that is known: it is not good for everything.
fn read_binding(text: &str) -> Result<Binding, StoreError> {
    let unreadable = || StoreError::Unreadable("the binding of a key");
    let written: WrittenBinding = serde_json::from_str(text).map_err(|_| unreadable())?;
    Binding::parse(&written).map_err(|_| unreadable())
}
