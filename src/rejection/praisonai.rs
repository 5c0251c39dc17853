//! PraisonAI's shape: `{"detail": text}`, and pydantic's list for a body that is invalid.

use serde_json::{Value, json};

use super::fault::FieldFault;
use super::refusal::{Reason, Refusal};

pub(super) fn body(refusal: &Refusal) -> Value {
    match &refusal.invalid {
        Some(invalid) => {
            json!({ "detail": invalid.faults().iter().map(FieldFault::pydantic).collect::<Value>() })
        }
        None => json!({ "detail": detail(refusal) }),
    }
}

/// The real server's words where it has some.
fn detail(refusal: &Refusal) -> String {
    let words = match refusal.reason {
        Reason::CredentialMissing => "Missing Authorization header",
        Reason::CredentialMalformed => "Invalid Authorization header format. Use: Bearer <token>",
        Reason::TokenInvalid | Reason::TokenExpired | Reason::SessionEnded => {
            "Invalid or expired token"
        }
        Reason::LoginFailed => "Invalid email or password",
        Reason::LoginTaken => "Email already registered",
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
        | Reason::SecondFactorExists
        | Reason::CodeWrong
        | Reason::NotInvited
        | Reason::ApprovalPending
        | Reason::NotFound
        | Reason::MethodNotAllowed
        | Reason::BodyTooSlow
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
        | Reason::GatewayTimeout => return refusal.message(),
    };
    String::from(words)
}
