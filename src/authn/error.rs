//! Why nobody could be named, and what that does to the browser's session cookie.

use http::HeaderValue;

use super::{KeyError, TokenError};
use crate::inbound::cookie::SessionCookie;
use crate::store::StoreError;

/// Why nobody could be named. Each is a 401, but for `Ambiguous` (400), `OtherRoute` and
/// `ForeignSite` (403), `Unavailable` and `Store` (503).
#[derive(Clone, Debug, thiserror::Error)]
pub enum AuthnError {
    #[error("no credential")]
    Missing,
    #[error("the Authorization header is not `Bearer <token>`")]
    Scheme,
    #[error("the token was refused")]
    Token(#[source] TokenError),
    #[error("the session of this token has ended")]
    Revoked,
    #[error("the API key was refused")]
    ApiKey(#[source] KeyError),
    #[error("the route does not take this kind of credential")]
    Kind,
    #[error("the API key is bound to other routes")]
    OtherRoute,
    #[error("two different credentials in one request")]
    Ambiguous,
    /// The database is away: revocations have not been heard of for too long, or an API key
    /// cannot be looked up.
    #[error("the credential cannot be judged now")]
    Unavailable,
    /// Made up, torn, or of a session that is over.
    #[error("the session cookie names no session")]
    Cookie(SessionCookie),
    #[error("the request shows a cookie and no proof that a page of this origin sent it")]
    ForeignSite,
    #[error("the session cannot be looked up")]
    Store(#[source] StoreError),
}

impl AuthnError {
    /// Whether somebody showed a credential and it was no good: that is charged to the address.
    pub fn is_refused_credential(&self) -> bool {
        match self {
            AuthnError::Token(_)
            | AuthnError::Scheme
            | AuthnError::Ambiguous
            | AuthnError::ApiKey(_)
            | AuthnError::Kind
            | AuthnError::Cookie(_)
            | AuthnError::Revoked => true,
            AuthnError::Missing
            | AuthnError::OtherRoute
            | AuthnError::Unavailable
            | AuthnError::ForeignSite
            | AuthnError::Store(_) => false,
        }
    }

    /// What becomes of the session cookie: one that names nothing is taken from the browser.
    /// While the store is away nobody knows, and nothing is cleared.
    pub fn cookie_fate(&self) -> CookieFate {
        match self {
            AuthnError::Cookie(cookie) => CookieFate::Clear(cookie.clone()),
            AuthnError::Missing
            | AuthnError::Scheme
            | AuthnError::Token(_)
            | AuthnError::Revoked
            | AuthnError::ApiKey(_)
            | AuthnError::Kind
            | AuthnError::OtherRoute
            | AuthnError::Ambiguous
            | AuthnError::Unavailable
            | AuthnError::ForeignSite
            | AuthnError::Store(_) => CookieFate::Leave,
        }
    }
}

/// What the answer does to the browser's session cookie.
#[derive(Clone, Debug, Default)]
pub enum CookieFate {
    #[default]
    Leave,
    /// This `Set-Cookie`: the session lives on for longer.
    Renew(HeaderValue),
    /// It names no session.
    Clear(SessionCookie),
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    /// The log writes an error and its sources, one after the other.
    #[test]
    fn a_refusal_leaves_its_cause_to_its_source() {
        for (refusal, text, cause) in [
            (
                AuthnError::Token(TokenError::Malformed),
                "the token was refused",
                "it is not a compact JWS",
            ),
            (
                AuthnError::ApiKey(KeyError::Network),
                "the API key was refused",
                &KeyError::Network.to_string(),
            ),
        ] {
            assert_eq!(refusal.to_string(), text);
            let source = refusal.source().map(ToString::to_string);
            assert_eq!(source.as_deref(), Some(cause));
        }
    }
}
