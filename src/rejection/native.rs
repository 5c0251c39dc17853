//! The native shape: RFC 9457 `application/problem+json`.

use serde_json::{Value, json};

use super::Asked;
use super::fault::FieldFault;
use super::refusal::Refusal;

/// `type` is `about:blank`, so `title` is the status's phrase (RFC 9457 §4.2.1); `code` is the word
/// to compare.
pub(super) fn body(refusal: &Refusal, asked: &Asked) -> Value {
    let status = refusal.reason.status();
    let mut problem = json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "detail": refusal.message(),
        "code": refusal.reason.code(),
        "request_id": asked.id.to_string(),
    });
    if let Some(invalid) = &refusal.invalid {
        problem["errors"] = invalid.faults().iter().map(FieldFault::problem).collect();
    }
    if let Some(seconds) = refusal.retry_seconds() {
        problem["retry_after"] = json!(seconds);
    }
    problem
}
