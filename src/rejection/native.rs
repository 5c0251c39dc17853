//! The native shape: RFC 9457 `application/problem+json`.

use serde::Serialize;
use serde_json::Value;

use super::Asked;
use super::fault::{FieldFault, InvalidBody};
use super::refusal::Refusal;

/// `type` is `about:blank`, so `title` is the status's phrase (RFC 9457 §4.2.1); `code` is the word
/// to compare.
#[derive(Serialize)]
pub(super) struct Problem {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    code: &'static str,
    request_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<Vec<Value>>,
    /// seconds
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
}

impl Problem {
    pub fn of(refusal: &Refusal, asked: &Asked) -> Self {
        let status = refusal.reason.status();
        let listed =
            |invalid: &InvalidBody| invalid.faults().iter().map(FieldFault::problem).collect();
        Self {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: refusal.message(),
            code: refusal.reason.code(),
            request_id: asked.id.to_string(),
            errors: refusal.invalid.as_ref().map(listed),
            retry_after: refusal.retry_seconds(),
        }
    }
}
