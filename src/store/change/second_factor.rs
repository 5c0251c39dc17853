//! Changes of second factors and recovery codes.

use super::Ending;
use crate::accounts::audit::Origin;
use crate::accounts::{AccountId, RecoveryDigest};
use crate::clock::Timestamp;
use crate::store::SealedFactor;

/// Keeps a secret that its owner must still show a code of; replaces one that was not confirmed.
/// Answers whether it was kept: not when the account is not active or has a confirmed one.
#[derive(Clone, Debug)]
pub struct OfferSecondFactor {
    pub account: AccountId,
    pub factor: SealedFactor,
    pub at: Timestamp,
}

/// Confirms the secret that a code was checked against, keeps the recovery codes in place of any old
/// ones and ends all sessions. `None`: it is not `factor` any more, or was confirmed before, and
/// nothing was changed.
#[derive(Clone, Debug)]
pub struct ConfirmSecondFactor {
    pub account: AccountId,
    pub factor: SealedFactor,
    /// Of the code.
    pub step: i64,
    pub recovery: Vec<RecoveryDigest>,
    pub ending: Ending,
}

/// Takes a code of a confirmed factor. Answers whether its step is later than the last that was
/// taken and the factor is still sealed as it was when the code was checked: of many that show one
/// code, on whichever node, one is let in (RFC 6238 §5.2).
#[derive(Clone, Debug)]
pub struct UseSecondFactor {
    pub account: AccountId,
    pub factor: SealedFactor,
    pub step: i64,
}

/// Uses a recovery code up. `None`: the account has no such code, or no confirmed factor.
#[derive(Clone, Debug)]
pub struct UseRecoveryCode {
    pub account: AccountId,
    pub digest: RecoveryDigest,
    pub at: Timestamp,
    pub origin: Origin,
}

/// Replaces the recovery codes. `None`: the account has no confirmed factor, and nothing was changed.
#[derive(Clone, Debug)]
pub struct ReplaceRecoveryCodes {
    pub account: AccountId,
    pub recovery: Vec<RecoveryDigest>,
    pub at: Timestamp,
    pub origin: Origin,
}

/// Removes an account's factor and recovery codes and ends all its sessions. `None`: it has none that
/// is confirmed; one that was merely offered is gone, and nothing else was changed.
#[derive(Clone, Debug)]
pub struct RemoveSecondFactor {
    pub account: AccountId,
    pub ending: Ending,
}

/// Puts the same secret sealed anew. Answers whether it was still sealed as `from`.
#[derive(Clone, Debug)]
pub struct ResealSecondFactor {
    pub account: AccountId,
    pub from: SealedFactor,
    pub to: SealedFactor,
}
