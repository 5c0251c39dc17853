//! Changes of API keys and service accounts.

use std::time::Duration;

use super::Ending;
use crate::accounts::audit::Entry;
use crate::accounts::{
    AccountId, ApiKey, ApiKeyId, KeyHash, KeyOwner, Role, ServiceAccount, Status,
};
use crate::clock::Timestamp;

/// Adds a key.
#[derive(Clone, Debug)]
pub struct CreateApiKey {
    pub key: ApiKey,
    pub hash: KeyHash,
    /// Most keys that the owner may have, this one included. `None`: any number.
    pub most: Option<u32>,
    pub entry: Entry,
}

/// What came of [`CreateApiKey`].
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyCreated {
    Done,
    /// The owner is not there or not active: nothing was changed.
    NoOwner,
    /// Nothing was changed.
    TooMany,
}

/// Adds the successor of a key, which expires at `until`, or is revoked when that is now. `None`:
/// the old key is not good any more, and nothing was changed.
#[derive(Clone, Debug)]
pub struct RotateApiKey {
    pub old: ApiKeyId,
    pub until: Timestamp,
    pub key: ApiKey,
    pub hash: KeyHash,
    pub ending: Ending,
    pub entry: Entry,
}

/// Revokes a key of `owner`, or anybody's. `None`: no such key. Nothing is revoked, and no entry
/// written, when it was revoked before.
#[derive(Clone, Debug)]
pub struct RevokeApiKey {
    pub id: ApiKeyId,
    pub owner: Option<KeyOwner>,
    pub ending: Ending,
}

/// Notes when keys were used, each unless it was used less than `apart` before.
#[derive(Clone, Debug)]
pub struct NoteKeyUses {
    pub uses: Vec<(ApiKeyId, Timestamp)>,
    pub apart: Duration,
}

/// Adds a service account, unless its name is taken.
#[derive(Clone, Debug)]
pub struct CreateService {
    pub service: ServiceAccount,
    pub entry: Entry,
}

/// Sets a service's status. `None`: no such service.
#[derive(Clone, Debug)]
pub struct SetServiceStatus {
    pub service: AccountId,
    pub status: Status,
    pub ending: Ending,
}

/// Sets a service's roles. `None`: no such service.
#[derive(Clone, Debug)]
pub struct SetServiceRoles {
    pub service: AccountId,
    pub roles: Vec<Role>,
    pub ending: Ending,
}

/// Deletes a service and its keys. `None`: no such service.
#[derive(Clone, Debug)]
pub struct DeleteService {
    pub service: AccountId,
    pub ending: Ending,
}
