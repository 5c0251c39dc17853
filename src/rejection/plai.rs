//! PLai's shape: `{"error", "message", "code", "detail"}`; its chat client reads `detail`.

use serde::Serialize;

use super::refusal::{Reason, Refusal};

#[derive(Serialize)]
pub(super) struct Error {
    error: &'static str,
    message: String,
    code: u16,
    detail: String,
    /// seconds
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
}

impl Error {
    pub fn of(refusal: &Refusal) -> Self {
        let message = message(refusal);
        Self {
            error: word(refusal.reason),
            detail: message.clone(),
            message,
            code: refusal.reason.status().as_u16(),
            retry_after: refusal.retry_seconds(),
        }
    }
}

/// Its word for a 401 is one, whatever the cause.
fn word(reason: Reason) -> &'static str {
    match reason {
        Reason::CredentialMissing
        | Reason::CredentialMalformed
        | Reason::TokenInvalid
        | Reason::TokenExpired
        | Reason::SessionEnded
        | Reason::LoginFailed
        | Reason::RefreshFailed
        | Reason::SignOnFailed => "unauthorized",
        Reason::RateLimited | Reason::LockedOut => "rate_limit_exceeded",
        Reason::Malformed
        | Reason::CredentialsAmbiguous
        | Reason::PasswordWrong
        | Reason::Forbidden
        | Reason::OriginForbidden
        | Reason::RegistrationClosed
        | Reason::EmailUnverified
        | Reason::SecondFactorNeeded
        | Reason::CodeWrong
        | Reason::NotInvited
        | Reason::ApprovalPending
        | Reason::NotFound
        | Reason::MethodNotAllowed
        | Reason::BodyTooSlow
        | Reason::LoginTaken
        | Reason::SecondFactorExists
        | Reason::BodyTooLarge
        | Reason::Misdirected
        | Reason::InvalidBody
        | Reason::HeadersTooLarge
        | Reason::Internal
        | Reason::BadGateway
        | Reason::Busy
        | Reason::Unavailable
        | Reason::UpstreamFull
        | Reason::GatewayTimeout => reason.code(),
    }
}

fn message(refusal: &Refusal) -> String {
    if refusal.reason.is_refused_token() {
        String::from("Invalid or expired token")
    } else {
        refusal.message()
    }
}
