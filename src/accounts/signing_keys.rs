//! The way to the sealed signing keys, which live where the accounts do.

use super::Accounts;
use crate::store::{
    AddSigningKey, ForgetSigningKeys, OrderSigningKey, Pace, ResealSigningKey, RetireSigningKey,
    Retired, SealedKey, StoreError,
};

impl Accounts {
    /// The signing keys in the order of their numbers.
    pub async fn signing_keys(&self) -> Result<Vec<SealedKey>, StoreError> {
        self.store().signing_keys().await
    }

    /// Whether somebody asked for a successor of the key of this number.
    pub async fn signing_key_order(&self, number: i64) -> Result<Option<Pace>, StoreError> {
        self.store().signing_key_order(number).await
    }

    /// Adds a key unless another node has added one of its number. Answers whether it was added.
    pub async fn add_signing_key(&self, key: SealedKey) -> Result<bool, StoreError> {
        self.store().commit(AddSigningKey(key)).await
    }

    /// Puts a key sealed anew in the place of the one that is sealed under the master `from`.
    pub async fn reseal_signing_key(&self, from: String, key: SealedKey) -> Result<(), StoreError> {
        self.store().commit(ResealSigningKey { from, key }).await
    }

    /// Asks the gateways for a successor of the newest key. Answers the number of that; `None`:
    /// there is none.
    pub async fn order_signing_key(&self, pace: Pace) -> Result<Option<i64>, StoreError> {
        self.store().commit(OrderSigningKey(pace)).await
    }

    /// Takes a key away that somebody else may have: within a second no gateway believes what it signed.
    pub async fn retire_signing_key(&self, id: String) -> Result<Retired, StoreError> {
        let at = self.now();
        self.store().commit(RetireSigningKey { id, at }).await
    }

    /// Forgets the keys before this number.
    pub async fn forget_signing_keys(&self, before: i64) -> Result<(), StoreError> {
        self.store().commit(ForgetSigningKeys { before }).await
    }
}
