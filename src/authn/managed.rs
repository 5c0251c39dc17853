//! Signing keys that the gateways make and renew themselves. They live sealed in the database, which
//! is where the nodes agree on them: a key is published before it signs, and verifies until the last
//! token that it signed has expired.

mod plan;

use std::time::Duration;

use super::algorithm::Algorithm;
use super::keys::{Key, KeyError, KeyId, Material, Origin, RingError};
use super::rules::Tokens;
use crate::accounts::Accounts;
use crate::clock::Timestamp;
use crate::secret::{self, MasterRing, Secret};
use crate::store::{Pace, SealedKey, StoreError};

pub use plan::Plan;

use plan::Planned;

/// How long a key that was asked for at once is published: until every node has surely read it.
const AT_ONCE: Duration = Duration::from_secs(5);

/// What the configuration says of managed keys.
#[derive(Clone, Debug)]
pub struct ManagedSettings {
    pub algorithm: Algorithm,
    /// How long each key signs.
    pub rotate: Duration,
    /// How long a key is published before it signs: longer than anybody caches the JWKS.
    pub publish: Duration,
    pub masters: MasterRing,
}

/// Why there are no managed keys.
#[derive(Debug, thiserror::Error)]
pub enum ManagedError {
    #[error("the signing keys cannot be read or written")]
    Store(#[from] StoreError),
    #[error("the signing key `{0}` is sealed under a master key that is not configured ({1})")]
    NoMaster(String, String),
    #[error("the signing key `{0}` does not open under its master key: it was changed")]
    Sealed(String),
    #[error("the signing key `{0}` is none that this version knows")]
    Unknown(String),
    #[error("no signing key could be made")]
    Generate(#[source] KeyError),
    #[error("the signing keys make no ring")]
    Ring(#[from] RingError),
}

impl ManagedSettings {
    /// The keys as the database has them, after making what is due: the first key, or the next.
    ///
    /// # Errors
    ///
    /// When the database is away, or a key does not open.
    pub async fn tend(
        &self,
        accounts: &Accounts,
        (now, longest_token): (Timestamp, Duration),
    ) -> Result<Vec<SealedKey>, ManagedError> {
        let keys = accounts.signing_keys().await?;
        let Some((number, signs_from)) = self.due(accounts, (&keys, now)).await? else {
            return self.look_after(accounts, keys, (now, longest_token)).await;
        };
        let key = self.make(number, (now, signs_from))?;
        let id = key.id.clone();
        if accounts.add_signing_key(key).await? {
            tracing::info!(id, signs_from = %signs_from.rfc3339(), "a new signing key was made");
        }
        // Ours, or that of the node that was first.
        Ok(accounts.signing_keys().await?)
    }

    /// These rules with the keys that `keys` are at `now`.
    ///
    /// # Errors
    ///
    /// When a key does not open.
    pub fn apply(
        &self,
        tokens: &Tokens,
        (keys, now): (&[SealedKey], Timestamp),
    ) -> Result<Tokens, ManagedError> {
        let plan = Plan::of(keys, (now, tokens.longest_life()));
        let mut opened = Vec::new();
        for planned in plan.keys() {
            let sealed = keys.iter().find(|key| key.number == planned.number);
            if let Some(sealed) = sealed {
                opened.push(self.open(sealed, planned)?);
            }
        }
        Ok(Tokens {
            ring: tokens.ring.with_managed(opened)?,
            managed: Some(plan),
            ..tokens.clone()
        })
    }

    /// The number of the key that is to be made now, and when it is to sign.
    async fn due(
        &self,
        accounts: &Accounts,
        (keys, now): (&[SealedKey], Timestamp),
    ) -> Result<Option<(i64, Timestamp)>, StoreError> {
        let Some(newest) = keys.last() else {
            // Nobody has cached a key set that lacks it.
            return Ok(Some((1, now)));
        };
        // After its predecessor, whatever this node's clock says.
        let published = || (now + self.publish).max(newest.signs_from + Duration::from_millis(1));
        let signs_from = match accounts.signing_key_order(newest.number).await? {
            // Somebody may have the key that signs: a newest one that is only published is not
            // waited for.
            Some(Pace::Now) => now + AT_ONCE.min(self.publish),
            Some(Pace::Published) => published(),
            None if now + self.publish >= newest.signs_from + self.rotate => published(),
            None => return Ok(None),
        };
        Ok(Some((newest.number.saturating_add(1), signs_from)))
    }

    /// Seals anew what an old master key sealed, and forgets keys whose tokens have long expired.
    async fn look_after(
        &self,
        accounts: &Accounts,
        mut keys: Vec<SealedKey>,
        (now, longest_token): (Timestamp, Duration),
    ) -> Result<Vec<SealedKey>, ManagedError> {
        for key in &mut keys {
            if self.masters.is_first(&key.master) {
                continue;
            }
            let document = self.unseal(key)?;
            let from = std::mem::replace(&mut key.master, self.masters.first().to_owned());
            key.sealed = self.seal(key, &document)?;
            tracing::info!(
                id = key.id,
                "a signing key was sealed under the new master key"
            );
            accounts.reseal_signing_key(from, key.clone()).await?;
        }
        let plan = Plan::of(&keys, (now, longest_token));
        if let (Some(first), Some(kept)) = (keys.first(), plan.keys().first())
            && first.number < kept.number
        {
            accounts.forget_signing_keys(kept.number).await?;
            keys.retain(|key| key.number >= kept.number);
        }
        Ok(keys)
    }

    fn make(
        &self,
        number: i64,
        (created_at, signs_from): (Timestamp, Timestamp),
    ) -> Result<SealedKey, ManagedError> {
        let generated = Material::generate(self.algorithm);
        let (_, document) = generated.map_err(ManagedError::Generate)?;
        let marks = u32::from_be_bytes(secret::random());
        let mut key = SealedKey {
            number,
            id: format!("managed-{number}-{marks:08x}"),
            algorithm: self.algorithm.name().to_owned(),
            master: self.masters.first().to_owned(),
            sealed: Vec::new(),
            created_at,
            signs_from,
        };
        key.sealed = self.seal(&key, &document)?;
        Ok(key)
    }

    fn open(&self, sealed: &SealedKey, planned: &Planned) -> Result<Key, ManagedError> {
        let document = self.unseal(sealed)?;
        let unknown = || ManagedError::Unknown(sealed.id.clone());
        let algorithm = Algorithm::parse(&sealed.algorithm).map_err(|_| unknown())?;
        let material = match algorithm.shortest_secret() {
            Some(_) => Material::from_secret(algorithm, &document),
            None => Material::from_private_der(algorithm, document.expose()),
        };
        Ok(Key {
            id: KeyId::parse(&sealed.id).map_err(|_| unknown())?,
            material: material.map_err(|_| unknown())?,
            purpose: planned.purpose,
            origin: Origin::Ours,
            not_after: planned.not_after,
        })
    }

    fn seal(&self, key: &SealedKey, document: &Secret) -> Result<Vec<u8>, ManagedError> {
        let sealed = self.masters.seal(&bound_to(key), document);
        sealed.ok_or_else(|| ManagedError::Sealed(key.id.clone()))
    }

    fn unseal(&self, key: &SealedKey) -> Result<Secret, ManagedError> {
        if !self.masters.has(&key.master) {
            return Err(ManagedError::NoMaster(key.id.clone(), key.master.clone()));
        }
        self.masters
            .open(&key.master, &bound_to(key), &key.sealed)
            .ok_or_else(|| ManagedError::Sealed(key.id.clone()))
    }
}

/// What a sealed key cannot be moved away from: who writes to the database cannot give one key
/// another's name, number or algorithm.
fn bound_to(key: &SealedKey) -> Vec<u8> {
    format!(
        "portcullis signing key\n{}\n{}\n{}",
        key.number, key.id, key.algorithm
    )
    .into_bytes()
}

#[cfg(test)]
mod tests;
