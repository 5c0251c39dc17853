//! Who is calling: finds the credential of a request, verifies it, and names the caller.

pub mod algorithm;
pub mod cache;
pub mod keys;
pub mod minter;
pub mod rules;
pub mod token;

mod jwk;
mod jws;
mod places;

use std::sync::Arc;

use crate::accounts::Revocations;
use crate::authz::Auth;
use crate::clock::{Clock, Timestamp};
use crate::inbound::Inbound;
use crate::route::{Route, TokenPlaces};

pub use cache::{CacheSize, TokenCache, TokenDigest};
pub use minter::Minter;
pub use rules::Tokens;
pub use token::{AccessTokenClaims, Claims, Lifetimes, TokenError};

use cache::Verified;
use keys::{Key, Origin};
use places::Shown;

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
    /// The token that was shown, by its digest.
    pub(crate) token: TokenDigest,
}

/// What the caller showed. Wherever the token was, after authentication it stands in
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

impl AuthnError {
    /// Whether somebody showed a credential and it was no good: that is charged to the address.
    pub fn is_refused_credential(&self) -> bool {
        match self {
            AuthnError::Token(_)
            | AuthnError::Scheme
            | AuthnError::Ambiguous
            | AuthnError::Revoked => true,
            AuthnError::Missing | AuthnError::Unavailable => false,
        }
    }
}

/// Names the callers of one worker.
#[derive(Debug)]
pub struct Authenticator {
    cache: TokenCache,
    revocations: Revocations,
    clock: Clock,
}

impl Authenticator {
    pub fn new(cache: CacheSize, revocations: Revocations, clock: Clock) -> Self {
        Self {
            cache: TokenCache::new(cache),
            revocations,
            clock,
        }
    }

    /// This worker's verified and minted tokens.
    pub fn cache(&self) -> &TokenCache {
        &self.cache
    }

    /// Names the caller of `req`, as far as `route` asks. A token in a place that the route does
    /// not read is taken out of the request, on public routes too.
    pub fn authenticate(
        &self,
        req: &mut Inbound,
        route: &Route,
        tokens: &Tokens,
    ) -> Result<Caller, AuthnError> {
        let shown = Shown {
            websocket: req.upgrade.is_some(),
            headers: &mut req.headers,
            path: &mut req.path,
        };
        self.identify(shown, (route.policy.auth, route.tokens), tokens)
    }

    fn identify(
        &self,
        mut shown: Shown<'_>,
        (auth, places): (Auth, TokenPlaces),
        tokens: &Tokens,
    ) -> Result<Caller, AuthnError> {
        let elsewhere = shown.take_elsewhere(places);
        let required = match auth {
            Auth::None => return Ok(Caller::Anonymous),
            Auth::Optional => false,
            Auth::Required => true,
        };
        let (claims, token, credential) = match (shown.bearer()?, elsewhere?) {
            (Some(bearer), Some(other)) if bearer != other.token => {
                return Err(AuthnError::Ambiguous);
            }
            (Some(bearer), _) => {
                let (claims, token) = self.verify(bearer, tokens)?;
                (claims, token, Credential::Bearer)
            }
            (None, Some(other)) => {
                let (claims, token) = self.verify(&other.token, tokens)?;
                shown.set_bearer(&other.token)?;
                (claims, token, other.credential)
            }
            (None, None) if required => return Err(AuthnError::Missing),
            (None, None) => return Ok(Caller::Anonymous),
        };
        Ok(Caller::Identified(Identity {
            claims,
            credential,
            token,
        }))
    }

    /// The claims of a token that is good now and whose session lives. What was verified before
    /// costs a SHA-256, a look-up, some comparisons and an atomic load.
    fn verify(
        &self,
        token: &str,
        tokens: &Tokens,
    ) -> Result<(Arc<Claims>, TokenDigest), AuthnError> {
        if token.len() > jws::MAX_TOKEN {
            return Err(AuthnError::Token(TokenError::TooLong));
        }
        let digest = TokenDigest::of(token);
        // Read before the revocations are asked: one that arrives in between is seen next time.
        let generation = self.revocations.generation();
        let known = self.cache.find(&digest);
        let known = match known.filter(|known| tokens.ring.has(known.key)) {
            Some(known) => known,
            None => Verified::new(tokens.open(token).map_err(AuthnError::Token)?),
        };
        let key = tokens
            .judge(&known.claims, known.key, self.clock.now())
            .map_err(AuthnError::Token)?;
        if known.alive_in != Some(generation) {
            if self.is_revoked(&known.claims, key) {
                self.cache.forget(&digest);
                return Err(AuthnError::Revoked);
            }
            self.cache.remember(digest, known.in_generation(generation));
        }
        if self.revocations.staleness() > tokens.max_staleness {
            return Err(AuthnError::Unavailable);
        }
        Ok((known.claims, digest))
    }

    fn is_revoked(&self, claims: &Claims, key: &Key) -> bool {
        // Another issuer's `sid` names no session of ours.
        let session = match key.origin {
            Origin::Ours => claims.session(),
            Origin::Foreign { .. } => None,
        };
        // A token that does not say when it was issued is as old as any revocation.
        let issued_at = claims.issued_at().unwrap_or(Timestamp::from_seconds(0));
        self.revocations
            .is_revoked(session, claims.subject(), issued_at)
    }
}

#[cfg(test)]
impl Identity {
    /// A caller with these claims, for the tests of what is done with callers.
    pub(crate) fn sample(claims: &serde_json::Value) -> Self {
        let claims = Claims::parse(claims.to_string().as_bytes()).unwrap();
        Self {
            token: TokenDigest::of(claims.subject()),
            claims: Arc::new(claims),
            credential: Credential::Bearer,
        }
    }
}

#[cfg(test)]
mod tests;
