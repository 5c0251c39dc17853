//! What an operator may do about invitations.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::OperationError;
use super::fields;
use crate::accounts::{Accounts, Invitation, InvitationDigest, NewInvitation, Origin, Role};

/// Longest life of an invitation, in seconds: ten years.
const LONGEST: u64 = 10 * 366 * 86_400;

/// One command, as it travels: `{"operation":"create","uses":1,"lifetime":604800}`.
#[derive(Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "snake_case", deny_unknown_fields)]
pub enum InvitationCommand {
    Create {
        /// Empty: those of everybody who registers.
        #[serde(default)]
        roles: Vec<String>,
        uses: u32,
        /// seconds
        lifetime: u64,
    },
    List,
    Revoke {
        /// As `list` shows it.
        invitation: String,
    },
}

/// What a command answers.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvitationAnswer {
    Created {
        /// Shown this once.
        code: String,
        invitation: InvitationView,
    },
    Invitations(Vec<InvitationView>),
    Revoked(String),
}

/// An invitation as an operator sees it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvitationView {
    pub id: String,
    pub roles: Vec<String>,
    pub uses: u32,
    pub used: u32,
    pub created_at: String,
    pub expires_at: String,
}

/// Does what `command` says, in the name of `origin`.
///
/// # Errors
/// See [`OperationError`]; then nothing was changed.
pub async fn perform(
    accounts: &Accounts,
    origin: &Origin,
    command: InvitationCommand,
) -> Result<InvitationAnswer, OperationError> {
    match command {
        InvitationCommand::Create {
            roles,
            uses,
            lifetime,
        } => {
            let roles: Vec<Role> = fields::parse_roles(&roles)?;
            let new = NewInvitation {
                roles: Some(roles).filter(|roles| !roles.is_empty()),
                uses: at_least_one("uses", uses)?,
                lifetime: Duration::from_secs(at_least_one("lifetime", lifetime)?.min(LONGEST)),
            };
            let (invitation, code) = accounts.invite(new, origin).await?;
            Ok(InvitationAnswer::Created {
                code: code.expose().to_owned(),
                invitation: InvitationView::of(&invitation),
            })
        }
        InvitationCommand::List => {
            let good = accounts.invitations().await?;
            let views = good.iter().map(InvitationView::of).collect();
            Ok(InvitationAnswer::Invitations(views))
        }
        InvitationCommand::Revoke { invitation } => {
            let digest = fields::read("invitation", InvitationDigest::parse(&invitation))?;
            match accounts.revoke_invitation(digest, origin).await? {
                true => Ok(InvitationAnswer::Revoked(invitation)),
                false => Err(invalid("invitation", "there is no such invitation")),
            }
        }
    }
}

impl InvitationView {
    fn of(invitation: &Invitation) -> Self {
        Self {
            id: invitation.digest.to_string(),
            roles: invitation.roles.iter().map(Role::to_string).collect(),
            uses: invitation.uses,
            used: invitation.used,
            created_at: invitation.created_at.rfc3339(),
            expires_at: invitation.expires_at.rfc3339(),
        }
    }
}

fn at_least_one<T: Default + PartialEq>(
    field: &'static str,
    number: T,
) -> Result<T, OperationError> {
    match number == T::default() {
        true => Err(invalid(field, "at least 1")),
        false => Ok(number),
    }
}

fn invalid(field: &'static str, reason: &str) -> OperationError {
    OperationError::Invalid {
        field,
        reason: reason.to_owned(),
    }
}
