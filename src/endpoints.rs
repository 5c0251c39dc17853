//! The paths that the gateway answers itself: one module a profile.

/// One of our own endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Jwks,
    Echo,
}
