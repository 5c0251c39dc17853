//! What a caller may do: the only place that makes a [`Permit`].

use crate::authn::Caller;

/// What one route demands of its callers.
#[derive(Clone, Debug)]
pub struct Policy {
    pub auth: Auth,
    /// Any one of these; empty: every identified caller.
    pub roles: Vec<String>,
    /// All of these.
    pub claims: Vec<ClaimRule>,
}

/// Whether a route looks at credentials at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Credentials are neither judged nor passed on.
    None,
    /// No credential is an anonymous caller; a bad one is refused.
    Optional,
    Required,
}

/// A claim that must be there with one of these values (a list claim: must contain one).
#[derive(Clone, Debug)]
pub struct ClaimRule {
    pub claim: String,
    pub any_of: Vec<serde_json::Value>,
}

/// Proof that a policy let this caller through. Only [`Policy::permit`] makes one.
#[must_use]
#[derive(Debug)]
pub struct Permit {
    caller: Caller,
}

/// Why a caller may not do this; 403.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    #[error("none of the caller's roles is admitted")]
    Role,
    #[error("the claim `{0}` does not satisfy the route")]
    Claim(String),
}
