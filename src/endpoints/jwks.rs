//! `/.well-known/jwks.json`: the public halves of our asymmetric keys (RFC 7517).

use http::{HeaderValue, Response, header};

use super::EndpointContext;
use super::profile::{Cost, Line, READ};
use crate::authz::Auth;
use crate::body::Body;

pub(super) const LINE: Line = Line {
    paths: &["/.well-known/jwks.json"],
    methods: READ,
    auth: Auth::None,
    cost: Cost::Read,
};

/// How long a verifier may keep the set: a key is published this long before it signs.
const CACHING: HeaderValue = HeaderValue::from_static("public, max-age=300");

pub(super) fn answer(context: &EndpointContext) -> Response<Body> {
    let mut response = Response::new(Body::from(context.tokens.ring.jwks().clone()));
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("application/jwk-set+json");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, CACHING);
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}
