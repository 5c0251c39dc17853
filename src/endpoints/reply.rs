//! The answers of our own endpoints: JSON that nobody keeps, or nothing.

use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body::Body as _;
use serde::Serialize;

use super::EndpointError;
use crate::body::Body;
use crate::rejection::Rejection;

/// JSON with a token or a person in it: no cache may keep it (RFC 6749 §5.1).
pub(super) fn json(
    status: StatusCode,
    value: &impl Serialize,
) -> Result<Response<Body>, Rejection> {
    let text = serde_json::to_string(value).map_err(EndpointError::from)?;
    let mut response = private(status, Body::from(text));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    Ok(response)
}

/// 204: done, nothing to say.
pub(super) fn nothing() -> Response<Body> {
    private(StatusCode::NO_CONTENT, Body::Empty)
}

/// An answer to HEAD has the length of the one to GET, and no body (RFC 9110 §9.3.2).
pub(super) fn to(method: &Method, mut response: Response<Body>) -> Response<Body> {
    if method != Method::HEAD {
        return response;
    }
    if let Some(length) = response.body().size_hint().exact() {
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    response.map(|_body| Body::Empty)
}

fn private(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}
