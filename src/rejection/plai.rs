//! PLai's shape: `{"error", "message", "code", "detail"}`; its chat client reads `detail`.

use serde_json::{Value, json};

use super::refusal::{Reason, Refusal};

pub(super) fn body(refusal: &Refusal) -> Value {
    let message = message(refusal);
    let mut body = json!({
        "error": word(refusal.reason),
        "message": message,
        "code": refusal.reason.status().as_u16(),
        "detail": message,
    });
    if let Some(seconds) = refusal.retry_seconds() {
        body["retry_after"] = json!(seconds);
    }
    body
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
        | Reason::RefreshFailed => "unauthorized",
        Reason::RateLimited | Reason::LockedOut => "rate_limit_exceeded",
        Reason::Malformed
        | Reason::CredentialsAmbiguous
        | Reason::PasswordWrong
        | Reason::Forbidden
        | Reason::OriginForbidden
        | Reason::RegistrationClosed
        | Reason::NotFound
        | Reason::MethodNotAllowed
        | Reason::BodyTooSlow
        | Reason::LoginTaken
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
