//! RAG Modulo's shape: `{"detail": text, "error": text}`; its command line prints `error`.

use serde_json::{Value, json};

use super::refusal::{Reason, Refusal};

pub(super) fn body(refusal: &Refusal) -> Value {
    let text = detail(refusal);
    json!({ "detail": text, "error": text })
}

/// The document's words where it has some.
fn detail(refusal: &Refusal) -> String {
    match refusal.reason {
        Reason::CredentialMissing => String::from("Not authenticated"),
        Reason::TokenExpired => String::from("Token has expired"),
        Reason::CredentialMalformed
        | Reason::TokenInvalid
        | Reason::SessionEnded
        | Reason::LoginFailed => String::from("Invalid authentication credentials"),
        Reason::Malformed
        | Reason::CredentialsAmbiguous
        | Reason::RefreshFailed
        | Reason::SignOnFailed
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
        | Reason::RateLimited
        | Reason::LockedOut
        | Reason::HeadersTooLarge
        | Reason::Internal
        | Reason::BadGateway
        | Reason::Busy
        | Reason::Unavailable
        | Reason::UpstreamFull
        | Reason::GatewayTimeout => refusal.message(),
    }
}
