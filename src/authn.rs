//! Who is calling: finds the credential of a request, verifies it, and names the caller.

pub mod keys;
pub mod token;

use std::sync::Arc;

pub use token::{Claims, TokenError};

/// The answer to "who is calling". Only the authenticator makes one.
#[derive(Clone, Debug)]
pub enum Caller {
    Anonymous,
    Identified(Identity),
}

/// A caller whose credential held.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The verified claims: shared with the token cache.
    pub claims: Arc<Claims>,
    pub credential: Credential,
}

/// What the caller showed; decides what `authorization = "forward"` may forward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// `Authorization: Bearer` with a JWT that we verified.
    Bearer,
    /// A JWT from `Sec-WebSocket-Protocol`, on a route that opts in.
    Subprotocol,
    /// A JWT from `?token=`, on a route that opts in.
    Query,
}

/// Why nobody could be named. Each is a 401, but for `Ambiguous` (400) and `Unavailable` (503).
#[derive(Clone, Debug, thiserror::Error)]
pub enum AuthnError {
    #[error("no credential")]
    Missing,
    #[error("the Authorization header is not `Bearer <token>`")]
    Scheme,
    #[error("the token was refused: {0}")]
    Token(#[source] TokenError),
    #[error("the session of this token has ended")]
    Revoked,
    #[error("two different credentials in one request")]
    Ambiguous,
    #[error("revocations have not been heard of for too long")]
    Unavailable,
}
