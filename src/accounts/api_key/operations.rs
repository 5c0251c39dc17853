//! Making, listing, rotating and revoking API keys, and telling who calls with one.

use std::time::Duration;

use super::uses::APART;
use super::{
    ApiKey, ApiKeyId, Binding, DeadKey, Holder, KeyForm, KeyOwner, KeyText, OpenedKey, ShownKey,
};
use crate::accounts::audit::{Entry, Event, Origin};
use crate::accounts::{AccountId, Accounts, DisplayName, Status};
use crate::clock::Timestamp;
use crate::store::{CreateApiKey, KeyCreated, NoteKeyUses, RevokeApiKey, RotateApiKey, StoreError};

/// A rotated key works on for at least so long, or not at all: workers look at a key again within
/// a minute, so a shorter overlap could not be kept.
const SHORTEST_OVERLAP: Duration = Duration::from_secs(5 * 60);

/// A key to be made.
#[derive(Clone, Debug)]
pub struct NewApiKey {
    pub name: DisplayName,
    pub binding: Binding,
    /// `None`: until it is revoked.
    pub lifetime: Option<Duration>,
}

/// A key that was just made, with its text: nobody can show it again.
#[derive(Clone, Debug)]
pub struct IssuedKey {
    pub key: ApiKey,
    pub text: KeyText,
}

/// Why no key was made or changed.
#[derive(Debug, thiserror::Error)]
pub enum ApiKeyError {
    #[error("there is no such key")]
    Unknown,
    #[error("the key cannot be rotated: {0}")]
    Dead(#[source] DeadKey),
    #[error("the owner is not there or not active")]
    Owner,
    #[error("keys are made by operators only")]
    Closed,
    #[error("a user has at most {most} keys")]
    TooMany { most: u32 },
    #[error("the scope `{0}` is not among those that users may give to keys")]
    Scope(String),
    #[error("a user's key is bound to routes, networks and scopes, not to limits")]
    Limits,
    #[error("a user's key lives at most {} days", .longest.as_secs() / 86_400)]
    TooLong { longest: Duration },
    #[error("an overlap is 0, or at least 5 minutes")]
    Overlap,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Accounts {
    /// How the keys of this gateway look.
    pub fn key_form(&self) -> &KeyForm {
        &self.0.key_form
    }

    /// Makes a key, in the name of an operator.
    pub async fn create_api_key(
        &self,
        owner: KeyOwner,
        new: NewApiKey,
        origin: &Origin,
    ) -> Result<IssuedKey, ApiKeyError> {
        self.create(owner, new, (None, origin)).await
    }

    /// Makes a key for its owner, as the rules allow.
    pub async fn create_own_api_key(
        &self,
        account: AccountId,
        mut new: NewApiKey,
        origin: &Origin,
    ) -> Result<IssuedKey, ApiKeyError> {
        let rules = self.rules().api_keys.clone();
        if !rules.self_service {
            return Err(ApiKeyError::Closed);
        }
        // A scope may be what lets a caller through: nobody gives it to themselves unless allowed.
        let foreign = |scope: &&super::Scope| !rules.scopes.contains(scope);
        if let Some(scope) = new.binding.scopes.iter().find(foreign) {
            return Err(ApiKeyError::Scope(scope.as_str().to_owned()));
        }
        if !new.binding.limits.is_empty() {
            return Err(ApiKeyError::Limits);
        }
        let lifetime = new.lifetime.unwrap_or(rules.longest);
        if lifetime > rules.longest {
            return Err(ApiKeyError::TooLong {
                longest: rules.longest,
            });
        }
        new.lifetime = Some(lifetime);
        let most = Some(rules.per_user);
        self.create(KeyOwner::User(account), new, (most, origin))
            .await
    }

    async fn create(
        &self,
        owner: KeyOwner,
        new: NewApiKey,
        (most, origin): (Option<u32>, &Origin),
    ) -> Result<IssuedKey, ApiKeyError> {
        let at = self.now();
        let made = self.key_form().make().ok_or(StoreError::Closed)?;
        let key = ApiKey {
            id: made.shown.id,
            owner,
            name: new.name,
            binding: new.binding,
            created_at: at,
            lifetime: new.lifetime,
            expires_at: new.lifetime.map(|lifetime| at + lifetime),
            revoked_at: None,
            last_used_at: None,
        };
        let entry = entry(Event::ApiKeyCreated(key.id), owner, origin);
        let create = CreateApiKey {
            key: key.clone(),
            hash: made.shown.hash,
            most,
            entry: entry.clone(),
        };
        match self.store().commit(create).await? {
            KeyCreated::Done => {
                self.audit().stored(&entry);
                let text = made.text;
                Ok(IssuedKey { key, text })
            }
            KeyCreated::NoOwner => Err(ApiKeyError::Owner),
            KeyCreated::TooMany => Err(ApiKeyError::TooMany {
                most: most.unwrap_or_default(),
            }),
        }
    }

    /// The key with this id, whatever has become of it.
    pub async fn api_key(&self, id: ApiKeyId) -> Result<Option<ApiKey>, StoreError> {
        Ok(self.store().api_key(id).await?.map(|(key, _)| key))
    }

    /// Up to `limit` keys in the order of their ids, those after `after`: of one owner, or all.
    pub async fn api_keys(
        &self,
        owner: Option<KeyOwner>,
        (after, limit): (Option<ApiKeyId>, u32),
    ) -> Result<Vec<ApiKey>, StoreError> {
        self.store().api_keys(owner, (after, limit)).await
    }

    /// Makes a key with the owner, name, binding and length of life of this one, which works on
    /// for `overlap`.
    pub async fn rotate_api_key(
        &self,
        id: ApiKeyId,
        overlap: Duration,
        origin: &Origin,
    ) -> Result<IssuedKey, ApiKeyError> {
        if !overlap.is_zero() && overlap < SHORTEST_OVERLAP {
            return Err(ApiKeyError::Overlap);
        }
        let at = self.now();
        let old = self.api_key(id).await?.ok_or(ApiKeyError::Unknown)?;
        old.state(at).map_err(ApiKeyError::Dead)?;
        let made = self.key_form().make().ok_or(StoreError::Closed)?;
        let key = ApiKey {
            id: made.shown.id,
            created_at: at,
            expires_at: old.lifetime.map(|lifetime| at + lifetime),
            last_used_at: None,
            ..old
        };
        let entry = entry(Event::ApiKeyRotated(id, key.id), key.owner, origin);
        let rotate = RotateApiKey {
            old: id,
            until: at + overlap,
            key: key.clone(),
            hash: made.shown.hash,
            ending: self.ending(origin),
            entry: entry.clone(),
        };
        let revoked = self.store().commit(rotate).await?;
        let revoked = revoked.ok_or(ApiKeyError::Dead(DeadKey::Revoked))?;
        self.revoked(revoked);
        self.audit().stored(&entry);
        let text = made.text;
        Ok(IssuedKey { key, text })
    }

    /// Ends a key at once: of this owner, or anybody's. A key that has ended stays so.
    pub async fn revoke_api_key(
        &self,
        id: ApiKeyId,
        owner: Option<KeyOwner>,
        origin: &Origin,
    ) -> Result<(), ApiKeyError> {
        let revoke = RevokeApiKey {
            id,
            owner,
            ending: self.ending(origin),
        };
        let revoked = self.store().commit(revoke).await?;
        let (owner, revoked) = revoked.ok_or(ApiKeyError::Unknown)?;
        if !revoked.is_empty() {
            self.revoked(revoked);
            self.audit()
                .stored(&entry(Event::ApiKeyRevoked(id), owner, origin));
        }
        Ok(())
    }

    /// Who calls with this key. One look-up: workers remember the answer.
    pub async fn open_api_key(
        &self,
        shown: &ShownKey,
    ) -> Result<Result<OpenedKey, DeadKey>, StoreError> {
        let Some((key, hash)) = self.store().api_key(shown.id).await? else {
            return Ok(Err(DeadKey::Unknown));
        };
        if !hash.is(&shown.hash) {
            return Ok(Err(DeadKey::Unknown));
        }
        if let Err(dead) = key.state(self.now()) {
            return Ok(Err(dead));
        }
        let holder = match key.owner {
            KeyOwner::User(id) => self
                .find(id)
                .await?
                .filter(|account| account.status == Status::Active)
                .map(|account| Holder::User(Box::new(account))),
            KeyOwner::Service(id) => self
                .service(id)
                .await?
                .filter(|service| service.status == Status::Active)
                .map(Holder::Service),
        };
        let opened = holder.map(|holder| OpenedKey { key, holder });
        Ok(opened.ok_or(DeadKey::Owner))
    }

    /// Notes that a key was used, and answers whether that was worth noting: the last use was long
    /// enough ago.
    pub fn note_key_use(&self, key: ApiKeyId, last: Option<Timestamp>, now: Timestamp) -> bool {
        let worth = last.is_none_or(|last| now.since(last) >= APART);
        if worth {
            self.0.key_uses.note(key, now);
        }
        worth
    }

    /// Writes the uses that have gathered.
    pub(crate) async fn write_key_uses(&self) {
        let uses = self.0.key_uses.take();
        if uses.is_empty() {
            return;
        }
        if let Err(error) = self
            .store()
            .commit(NoteKeyUses { uses, apart: APART })
            .await
        {
            tracing::warn!(%error, "the last use of keys could not be written");
        }
    }
}

fn entry(event: Event, owner: KeyOwner, origin: &Origin) -> Entry {
    Entry {
        event,
        account: Some(owner.id()),
        session: None,
        origin: origin.clone(),
    }
}
