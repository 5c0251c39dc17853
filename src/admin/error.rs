//! Why an operator's command did nothing: for its answer, and for programs that read that.

use http::StatusCode;

use crate::accounts::{
    ApiKeyError, HashError, OperateError, PolicyError, RegisterError, SecondFactorError,
};
use crate::store::StoreError;

/// Why a command did nothing.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    #[error("there is no such account")]
    Unknown,
    #[error("that is the id of one account and the name of another")]
    Ambiguous,
    #[error("{field}: {reason}")]
    Invalid { field: &'static str, reason: String },
    #[error("the name is taken")]
    Taken,
    #[error("the account has no second factor")]
    NoSecondFactor,
    #[error("there is no such service account")]
    UnknownService,
    #[error("there is no such key")]
    UnknownKey,
    #[error("there are no managed signing keys: a gateway with [tokens.managed] makes the first")]
    NoSigningKeys,
    #[error(
        "the key signs, or is to sign: have another one sign first (`portcullis key rotate --now`)"
    )]
    KeySigns,
    /// A key was not made or changed.
    #[error(transparent)]
    Key(ApiKeyError),
    #[error("the password may not be chosen: {0}")]
    Password(#[source] PolicyError),
    #[error("no password can be hashed now")]
    Hash(#[source] HashError),
    #[error("the database cannot be used")]
    Store(#[source] StoreError),
}

impl OperationError {
    /// The stable word for programs.
    pub const fn word(&self) -> &'static str {
        match self {
            OperationError::Unknown => "unknown_user",
            OperationError::UnknownService => "unknown_service",
            OperationError::UnknownKey => "unknown_key",
            OperationError::NoSecondFactor => "no_second_factor",
            OperationError::NoSigningKeys => "no_signing_keys",
            OperationError::KeySigns => "key_signs",
            OperationError::Key(_) => "key_refused",
            OperationError::Ambiguous => "ambiguous",
            OperationError::Invalid { .. } => "invalid",
            OperationError::Taken => "taken",
            OperationError::Password(_) => "password_refused",
            OperationError::Hash(_) | OperationError::Store(_) => "unavailable",
        }
    }

    pub(super) const fn status(&self) -> StatusCode {
        match self {
            OperationError::Unknown
            | OperationError::UnknownService
            | OperationError::UnknownKey => StatusCode::NOT_FOUND,
            OperationError::Invalid { .. }
            | OperationError::Password(_)
            | OperationError::Key(_) => StatusCode::UNPROCESSABLE_ENTITY,
            OperationError::Taken
            | OperationError::Ambiguous
            | OperationError::NoSecondFactor
            | OperationError::NoSigningKeys
            | OperationError::KeySigns => StatusCode::CONFLICT,
            OperationError::Hash(_) | OperationError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl From<StoreError> for OperationError {
    fn from(error: StoreError) -> Self {
        OperationError::Store(error)
    }
}

impl From<ApiKeyError> for OperationError {
    fn from(error: ApiKeyError) -> Self {
        match error {
            ApiKeyError::Unknown => OperationError::UnknownKey,
            ApiKeyError::Store(store) => OperationError::Store(store),
            ApiKeyError::Dead(_)
            | ApiKeyError::Owner
            | ApiKeyError::Closed
            | ApiKeyError::TooMany { .. }
            | ApiKeyError::Scope(_)
            | ApiKeyError::Limits
            | ApiKeyError::TooLong { .. }
            | ApiKeyError::Overlap => OperationError::Key(error),
        }
    }
}

impl From<SecondFactorError> for OperationError {
    fn from(error: SecondFactorError) -> Self {
        match error {
            SecondFactorError::Store(store) => OperationError::Store(store),
            SecondFactorError::Absent
            | SecondFactorError::Off
            | SecondFactorError::Exists
            | SecondFactorError::NotOffered
            | SecondFactorError::Wrong
            | SecondFactorError::Sealed => OperationError::NoSecondFactor,
        }
    }
}

impl From<OperateError> for OperationError {
    fn from(error: OperateError) -> Self {
        match error {
            OperateError::Unknown => OperationError::Unknown,
            OperateError::Password(policy) => OperationError::Password(policy),
            OperateError::Attribute(error) => OperationError::Invalid {
                field: "attribute",
                reason: error.to_string(),
            },
            OperateError::Hash(hash) => OperationError::Hash(hash),
            OperateError::Store(store) => OperationError::Store(store),
        }
    }
}

impl From<RegisterError> for OperationError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Taken => OperationError::Taken,
            RegisterError::Password(policy) => OperationError::Password(policy),
            RegisterError::Hash(hash) => OperationError::Hash(hash),
            RegisterError::Store(store) => OperationError::Store(store),
            RegisterError::ForeignUsername => OperationError::Invalid {
                field: "username",
                reason: error.to_string(),
            },
            // Rules of registration, which an operator is not bound by.
            RegisterError::Closed | RegisterError::Domain | RegisterError::NotInvited => {
                OperationError::Invalid {
                    field: "email",
                    reason: error.to_string(),
                }
            }
        }
    }
}
