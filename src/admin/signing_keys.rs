//! What an operator may do about the signing keys that the gateways make for themselves.

use serde::{Deserialize, Serialize};

use super::error::OperationError;
use crate::accounts::Accounts;
use crate::store::{Pace, Retired, SealedKey};

/// One command, as it travels: `{"operation":"rotate"}`.
#[derive(Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "snake_case", deny_unknown_fields)]
pub enum SigningKeyCommand {
    List,
    /// A running gateway makes the next key, which signs after it was published.
    Rotate,
    /// The next key signs within seconds.
    RotateNow,
    /// What this key signed is not believed any more.
    Retire {
        id: String,
    },
}

/// What a command answers.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SigningKeyAnswer {
    Keys(Vec<SigningKeyView>),
    /// The number of the key that gets a successor.
    Ordered(i64),
    /// The id of the key that is gone.
    Retired(String),
}

/// A signing key as an operator sees it: nothing of the key itself.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKeyView {
    pub number: i64,
    pub id: String,
    pub algorithm: String,
    /// Which master key seals it.
    pub master: String,
    pub created_at: String,
    pub signs_from: String,
}

/// Does what `command` says.
///
/// # Errors
/// See [`OperationError`]; then nothing was changed.
pub(super) async fn perform(
    accounts: &Accounts,
    command: SigningKeyCommand,
) -> Result<SigningKeyAnswer, OperationError> {
    let pace = match command {
        SigningKeyCommand::List => {
            let keys = accounts
                .signing_keys()
                .await
                .map_err(OperationError::Store)?;
            let views = keys.iter().map(view).collect();
            return Ok(SigningKeyAnswer::Keys(views));
        }
        SigningKeyCommand::Retire { id } => {
            let retired = accounts.retire_signing_key(id.clone()).await;
            return match retired.map_err(OperationError::Store)? {
                Retired::Done => {
                    tracing::warn!(id, "a signing key was retired: its tokens are refused");
                    Ok(SigningKeyAnswer::Retired(id))
                }
                Retired::Unknown => Err(OperationError::UnknownKey),
                Retired::Signs => Err(OperationError::KeySigns),
            };
        }
        SigningKeyCommand::Rotate => Pace::Published,
        SigningKeyCommand::RotateNow => Pace::Now,
    };
    let ordered = accounts.order_signing_key(pace).await;
    let number = ordered.map_err(OperationError::Store)?;
    number
        .map(SigningKeyAnswer::Ordered)
        .ok_or(OperationError::NoSigningKeys)
}

fn view(key: &SealedKey) -> SigningKeyView {
    SigningKeyView {
        number: key.number,
        id: key.id.clone(),
        algorithm: key.algorithm.clone(),
        master: key.master.clone(),
        created_at: key.created_at.rfc3339(),
        signs_from: key.signs_from.rfc3339(),
    }
}
