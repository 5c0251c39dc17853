//! AgentFlow's shape: an envelope that always has `error` and `metadata`, or its client breaks.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use super::Asked;
use super::fault::FieldFault;
use super::refusal::{Quota, Reason, Refusal};
use crate::clock::Timestamp;

pub(super) fn body(refusal: &Refusal, asked: &Asked) -> Value {
    let message = message(refusal);
    let mut error = Map::new();
    error.insert(String::from("code"), json!(code(refusal.reason)));
    error.insert(String::from("message"), json!(message));
    error.insert(String::from("details"), details(refusal));
    if let Some(quota) = refusal.quota {
        error.insert(String::from("limit"), json!(quota.requests));
        error.insert(
            String::from("window_seconds"),
            json!(quota.window.as_secs()),
        );
    }
    if let Some(seconds) = refusal.retry_seconds() {
        error.insert(String::from("retry_after_seconds"), json!(seconds));
    }
    json!({
        "error": error,
        "metadata": {
            "request_id": asked.id.to_string(),
            "timestamp": asked.at.rfc3339(),
            "message": message,
            "status": "error",
        },
    })
}

/// The headers of its own limiter, which its client reads.
pub(super) fn write_headers(refusal: &Refusal, now: Timestamp, headers: &mut HeaderMap) {
    let Some(quota) = refusal.quota else {
        return;
    };
    let after = refusal.retry_after.unwrap_or(quota.window);
    let mut write = |name, value: u64| {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
    };
    write("x-ratelimit-limit", quota.requests);
    write("x-ratelimit-remaining", 0);
    write(
        "x-ratelimit-reset",
        u64::try_from((now + after).seconds()).unwrap_or(0),
    );
    write(
        "x-ratelimit-reset-after",
        refusal.retry_seconds().unwrap_or(quota.window.as_secs()),
    );
}

/// Its words; `REVOKED_TOKEN` is what it says when there is no token at all.
fn code(reason: Reason) -> &'static str {
    match reason {
        Reason::CredentialMissing | Reason::CredentialMalformed | Reason::SessionEnded => {
            "REVOKED_TOKEN"
        }
        Reason::TokenInvalid
        | Reason::LoginFailed
        | Reason::RefreshFailed
        | Reason::SignOnFailed => "INVALID_TOKEN",
        Reason::TokenExpired => "EXPIRED_TOKEN",
        Reason::Forbidden
        | Reason::OriginForbidden
        | Reason::RegistrationClosed
        | Reason::EmailUnverified
        | Reason::SecondFactorNeeded
        | Reason::CodeWrong
        | Reason::NotInvited
        | Reason::ApprovalPending
        | Reason::PasswordWrong => "FORBIDDEN",
        Reason::InvalidBody => "VALIDATION_ERROR",
        Reason::RateLimited | Reason::LockedOut => "RATE_LIMIT_EXCEEDED",
        Reason::Malformed
        | Reason::CredentialsAmbiguous
        | Reason::NotFound
        | Reason::MethodNotAllowed
        | Reason::BodyTooSlow
        | Reason::LoginTaken
        | Reason::SecondFactorExists
        | Reason::BodyTooLarge
        | Reason::Misdirected
        | Reason::HeadersTooLarge
        | Reason::Internal
        | Reason::BadGateway
        | Reason::Busy
        | Reason::Unavailable
        | Reason::UpstreamFull
        | Reason::GatewayTimeout => "HTTPException",
    }
}

fn message(refusal: &Refusal) -> String {
    match refusal.reason {
        Reason::CredentialMissing
        | Reason::CredentialMalformed
        | Reason::TokenInvalid
        | Reason::SessionEnded
        | Reason::LoginFailed
        | Reason::RefreshFailed
        | Reason::SignOnFailed => String::from("Invalid token, please login again"),
        Reason::TokenExpired => String::from("Token has expired, please login again"),
        Reason::RateLimited => rate_limit_message(refusal),
        Reason::InvalidBody => {
            String::from("The request data is invalid. Please check your input.")
        }
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

fn rate_limit_message(refusal: &Refusal) -> String {
    let Some(Quota { requests, window }) = refusal.quota else {
        return refusal.message();
    };
    let window = window.as_secs();
    let after = refusal.retry_seconds().unwrap_or(window);
    format!("Too many requests. Limit: {requests} per {window}s. Retry after {after}s.")
}

fn details(refusal: &Refusal) -> Value {
    match &refusal.invalid {
        Some(invalid) => invalid.faults().iter().map(FieldFault::brief).collect(),
        None => json!([]),
    }
}
