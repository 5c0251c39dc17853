//! What happened to accounts and sessions, kept in the database and written to the log.

use std::fmt;

use super::api_key::ApiKeyId;
use super::invitation::InvitationDigest;
use super::session::SessionId;
use super::user::{AccountId, Role, Status};
use crate::inbound::ClientIp;

/// Who did something, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub actor: Actor,
    pub client: Option<ClientIp>,
}

/// Who did something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Somebody on the network: who it is, the event says.
    Client,
    /// Somebody on this machine, by the name of the user that runs the command.
    Operator(String),
    /// The gateway itself.
    Gateway,
}

impl Origin {
    pub fn client(client: ClientIp) -> Self {
        Self {
            actor: Actor::Client,
            client: Some(client),
        }
    }

    pub fn operator(name: impl Into<String>) -> Self {
        Self {
            actor: Actor::Operator(name.into()),
            client: None,
        }
    }

    pub fn gateway() -> Self {
        Self {
            actor: Actor::Gateway,
            client: None,
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client => f.write_str("client"),
            Self::Operator(name) => write!(f, "operator:{name}"),
            Self::Gateway => f.write_str("gateway"),
        }
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Registered,
    LoggedIn,
    /// A session was handed on to this further host.
    SignedOn(String),
    LoggedOut,
    /// The account had as many sessions as it may, and a newer one took this one's place.
    SessionDisplaced,
    /// All sessions of the account ended, or all but the one that asked.
    LoggedOutEverywhere,
    /// A refresh token came a second time: somebody else has a copy. The session ended.
    RefreshReused,
    PasswordChanged,
    SecondFactorAdded,
    SecondFactorRemoved,
    /// One that stood in for the second factor.
    RecoveryCodeUsed,
    RecoveryCodesReplaced,
    EmailVerified,
    StatusChanged(Status),
    RolesChanged(Vec<Role>),
    /// The names of those that were set or removed: what they say may be personal.
    AttributesChanged(Vec<String>),
    /// Brought from another program, with this id.
    Imported,
    Deleted,
    ServiceAdded,
    ApiKeyCreated(ApiKeyId),
    /// The old one and its successor.
    ApiKeyRotated(ApiKeyId, ApiKeyId),
    ApiKeyRevoked(ApiKeyId),
    Invited(InvitationDigest),
    InvitationRevoked(InvitationDigest),
}

impl Event {
    /// The stable word in the table and in the log.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::LoggedIn => "logged_in",
            Self::SignedOn(_) => "signed_on",
            Self::LoggedOut => "logged_out",
            Self::SessionDisplaced => "session_displaced",
            Self::LoggedOutEverywhere => "logged_out_everywhere",
            Self::RefreshReused => "refresh_reused",
            Self::PasswordChanged => "password_changed",
            Self::SecondFactorAdded => "second_factor_added",
            Self::SecondFactorRemoved => "second_factor_removed",
            Self::RecoveryCodeUsed => "recovery_code_used",
            Self::RecoveryCodesReplaced => "recovery_codes_replaced",
            Self::EmailVerified => "email_verified",
            Self::StatusChanged(_) => "status_changed",
            Self::RolesChanged(_) => "roles_changed",
            Self::AttributesChanged(_) => "attributes_changed",
            Self::Imported => "imported",
            Self::Deleted => "deleted",
            Self::ServiceAdded => "service_added",
            Self::ApiKeyCreated(_) => "api_key_created",
            Self::ApiKeyRotated(..) => "api_key_rotated",
            Self::ApiKeyRevoked(_) => "api_key_revoked",
            Self::Invited(_) => "invited",
            Self::InvitationRevoked(_) => "invitation_revoked",
        }
    }

    /// What the event set, if it set something.
    pub fn detail(&self) -> String {
        match self {
            Self::StatusChanged(status) => status.word().to_owned(),
            Self::RolesChanged(roles) => {
                roles.iter().map(Role::as_str).collect::<Vec<_>>().join(",")
            }
            Self::AttributesChanged(names) => names.join(","),
            Self::SignedOn(host) => host.clone(),
            Self::ApiKeyCreated(id) | Self::ApiKeyRevoked(id) => id.to_string(),
            Self::ApiKeyRotated(old, new) => format!("{old} {new}"),
            Self::Invited(digest) | Self::InvitationRevoked(digest) => digest.to_string(),
            Self::Registered
            | Self::Imported
            | Self::LoggedIn
            | Self::LoggedOut
            | Self::SessionDisplaced
            | Self::LoggedOutEverywhere
            | Self::RefreshReused
            | Self::PasswordChanged
            | Self::SecondFactorAdded
            | Self::SecondFactorRemoved
            | Self::RecoveryCodeUsed
            | Self::RecoveryCodesReplaced
            | Self::EmailVerified
            | Self::Deleted
            | Self::ServiceAdded => String::new(),
        }
    }
}

/// One entry of the audit log. It is stored in the transaction that it tells of: there is no
/// change without its entry and no entry without its change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub event: Event,
    /// Whom it concerns; `None`: no account in particular.
    pub account: Option<AccountId>,
    pub session: Option<SessionId>,
    pub origin: Origin,
}

/// Writes the audit lines of the structured log (target `audit`).
#[derive(Clone, Copy, Debug, Default)]
pub struct Audit;

/// Why a log-in did not succeed, for the log alone: the client gets one answer for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Unknown name, wrong password, or an account that is not active.
    Credentials,
    /// By the lockout, before the password was looked at.
    LockedOut,
    /// The password was right, and the second factor was not.
    SecondFactor,
}

impl Audit {
    /// Logs an entry that was stored.
    pub fn stored(self, entry: &Entry) {
        tracing::info!(
            target: "audit",
            event = entry.event.word(),
            detail = entry.event.detail(),
            account = entry.account.map(|id| id.to_string()),
            session = entry.session.map(|id| id.to_string()),
            actor = %entry.origin.actor,
            client = entry.origin.client.map(|ip| ip.address().to_string()),
        );
    }

    /// Logs a refused log-in. It is not stored: whoever guesses passwords must not be able to
    /// fill the disk. Of a name that is not an account's nothing is written at all.
    pub fn refused(self, why: Refusal, account: Option<AccountId>, origin: &Origin) {
        let reason = match why {
            Refusal::Credentials => "credentials",
            Refusal::LockedOut => "locked_out",
            Refusal::SecondFactor => "second_factor",
        };
        tracing::info!(
            target: "audit",
            event = "login_refused",
            reason,
            account = account.map(|id| id.to_string()),
            actor = %origin.actor,
            client = origin.client.map(|ip| ip.address().to_string()),
        );
    }
}
