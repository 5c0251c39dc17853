//! Who is calling: the answer that the rest of the path of a request goes by.

use std::sync::Arc;

use super::{Claims, KeyGrant, Tenure, TokenDigest};

/// The answer to "who is calling". The authenticator gives it; nothing else in the program makes one.
#[derive(Clone, Debug)]
pub enum Caller {
    Anonymous,
    /// Shared, since it is handed on from step to step and kept by streams.
    Identified(Arc<Identity>),
}

/// A caller whose credential held.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The verified claims: shared with the token cache.
    pub claims: Arc<Claims>,
    pub credential: Credential,
    /// How long it holds, for what outlives the request.
    pub tenure: Tenure,
    /// The token that was shown, by its digest.
    pub(crate) token: TokenDigest,
}

/// What the caller showed. Wherever a token was, after authentication it stands in
/// `Authorization: Bearer` and nowhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// `Authorization: Bearer` with a JWT that we verified.
    Bearer,
    /// A JWT from `Sec-WebSocket-Protocol`, on a route that opts in, and the subprotocol that
    /// carried it: a browser expects it in the 101.
    Subprotocol(&'static str),
    /// A JWT from `?token=`, on a route that opts in.
    Query,
    /// An API key, on a route that takes them. It goes no further.
    ApiKey(Arc<KeyGrant>),
    /// The cookie of a browser's session.
    Cookie,
}

impl From<Identity> for Caller {
    fn from(identity: Identity) -> Self {
        Caller::Identified(Arc::new(identity))
    }
}

impl Credential {
    /// What the caller's API key allows, when it is one.
    pub fn grant(&self) -> Option<&KeyGrant> {
        match self {
            Credential::Bearer
            | Credential::Subprotocol(_)
            | Credential::Query
            | Credential::Cookie => None,
            Credential::ApiKey(grant) => Some(grant),
        }
    }
}

#[cfg(test)]
impl Identity {
    /// A caller with these claims, for the tests of what is done with callers.
    pub(crate) fn sample(claims: &serde_json::Value) -> Self {
        let claims = Claims::parse(claims.to_string().as_bytes()).unwrap();
        Self {
            token: TokenDigest::of(claims.subject()),
            tenure: Tenure::sample(&claims),
            claims: Arc::new(claims),
            credential: Credential::Bearer,
        }
    }
}
