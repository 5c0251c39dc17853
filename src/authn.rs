//! Who is calling: finds the credential of a request, verifies it, and names the caller.

pub mod algorithm;
pub mod api_key;
pub mod cache;
pub mod keys;
pub mod managed;
pub mod minter;
pub mod rules;
pub mod token;

mod caller;
mod error;
mod jwk;
mod jws;
mod places;
mod session;
mod tenure;

use std::sync::Arc;

use http::header;
use tokio::runtime::Handle;

use crate::accounts::{Accounts, Revocations};
use crate::authz::Auth;
use crate::clock::{Clock, Timestamp};
use crate::inbound::cookie::SessionCookie;
use crate::inbound::{Inbound, Site, is_safe};
use crate::route::{CredentialKinds, Route, TokenPlaces};

pub use api_key::{DEFAULT_KEY_HEADER, KeyError, KeyGrant};
pub use cache::{CacheSize, TokenCache, TokenDigest};
pub use caller::{Caller, Credential, Identity};
pub use error::{AuthnError, CookieFate};
pub use minter::Minter;
pub use rules::Tokens;
pub use session::Sessions;
pub use tenure::{Grounds, Tenure};
pub use token::{ATTRIBUTES, AccessTokenClaims, Claims, Lifetimes, TokenError};

use api_key::ApiKeys;
use cache::Verified;
use keys::{Key, Origin};
use places::{Authorized, Shown};

/// A caller, and what becomes of the browser's session cookie.
#[derive(Debug)]
pub struct Authenticated {
    pub caller: Caller,
    pub cookie: CookieFate,
}

/// Names the callers of one worker.
pub struct Authenticator {
    cache: TokenCache,
    /// `None`: no key is one of ours.
    keys: Option<ApiKeys>,
    revocations: Revocations,
    clock: Clock,
    sessions: Option<Sessions>,
}

impl Authenticator {
    pub fn new(cache: CacheSize, revocations: Revocations, clock: Clock) -> Self {
        Self {
            cache: TokenCache::new(cache),
            keys: None,
            revocations,
            clock,
            sessions: None,
        }
    }

    /// The same, which knows the sessions of browsers too.
    #[must_use]
    pub fn with_sessions(self, sessions: Sessions) -> Self {
        Self {
            sessions: Some(sessions),
            ..self
        }
    }

    /// The same, which also knows API keys. Look-ups run on `control`.
    #[must_use]
    pub fn with_api_keys(self, size: CacheSize, accounts: Accounts, control: Handle) -> Self {
        Self {
            keys: Some(ApiKeys::new(size, accounts, control)),
            ..self
        }
    }

    /// This worker's verified and minted tokens.
    pub fn cache(&self) -> &TokenCache {
        &self.cache
    }

    /// Names the caller of `req`, as far as `route` asks. A token in a place that the route does
    /// not read is taken out of the request, on public routes too, and so is a key of ours. What is
    /// shown on purpose, a token or a key, beats the cookie that a browser sends by itself.
    ///
    /// Waits only for a key or a session that is not known yet, or was looked at long ago.
    pub async fn authenticate(
        &self,
        req: &mut Inbound,
        route: &Route,
        tokens: &Tokens,
    ) -> Result<Authenticated, AuthnError> {
        let shown = Shown {
            websocket: req.upgrade.is_some(),
            headers: &mut req.headers,
            path: &mut req.path,
        };
        let auth = route.policy.auth;
        let asked = Asked {
            auth,
            kinds: route.credentials,
            places: route.tokens,
        };
        let explicit = self.identify(shown, asked, tokens);
        let nobody = matches!(
            explicit,
            Ok(Named::Caller(Caller::Anonymous)) | Err(AuthnError::Missing)
        );
        if nobody
            && auth != Auth::None
            && route.credentials.cookie
            && let Some(sessions) = &self.sessions
            && let cookie = tokens.cookies.on(&req.host)
            && let Some(text) = cookie.shown(&req.headers)
        {
            return by_cookie(sessions, (&cookie, text), (&*req, auth), tokens).await;
        }
        let key = match explicit? {
            Named::Caller(caller) => return Ok(caller.into()),
            Named::Key(key) => key,
        };
        let keys = self.keys.as_ref();
        let keys = keys.ok_or(AuthnError::ApiKey(KeyError::Foreign))?;
        let at = api_key::Use {
            client: req.client,
            route: &route.name,
            attributes: &tokens.attributes,
        };
        let mut identity = keys.identify(&key, at, &self.clock).await?;
        identity.tenure.max_staleness = tokens.max_staleness;
        self.check_news(tokens)?;
        Ok(Caller::from(identity).into())
    }

    fn identify(
        &self,
        mut shown: Shown<'_>,
        asked: Asked,
        tokens: &Tokens,
    ) -> Result<Named, AuthnError> {
        let is_key = |text: &str| self.keys.as_ref().is_some_and(|keys| keys.begins(text));
        let elsewhere = shown.take_elsewhere(asked.places);
        let field = shown.take_key(&tokens.key_header, asked.kinds, is_key);
        let required = match asked.auth {
            Auth::None => return Ok(Named::Caller(Caller::Anonymous)),
            Auth::Optional => false,
            Auth::Required => true,
        };
        let (authorization, elsewhere, field) = (
            shown.authorization(asked.kinds, is_key)?,
            elsewhere?,
            field?,
        );
        let (bearer, key) = match (authorization, field) {
            (Some(Authorized::Bearer(_)), Some(_)) => return Err(AuthnError::Ambiguous),
            (Some(Authorized::Bearer(bearer)), None) => (Some(bearer), None),
            (Some(Authorized::Key(key)), Some(other)) if key != other => {
                return Err(AuthnError::Ambiguous);
            }
            (Some(Authorized::Key(key)), _) => (None, Some(key)),
            (None, field) => (None, field),
        };
        if let Some(key) = key {
            return match (elsewhere, asked.kinds.api_key) {
                (Some(_), _) => Err(AuthnError::Ambiguous),
                (None, true) => Ok(Named::Key(key)),
                (None, false) => Err(AuthnError::Kind),
            };
        }
        if !asked.kinds.bearer && (bearer.is_some() || elsewhere.is_some()) {
            return Err(AuthnError::Kind);
        }
        let (verified, credential) = match (bearer, elsewhere) {
            (Some(bearer), Some(other)) if bearer != other.token => {
                return Err(AuthnError::Ambiguous);
            }
            (Some(bearer), _) => (self.verify(bearer, tokens)?, Credential::Bearer),
            (None, Some(other)) => {
                let verified = self.verify(&other.token, tokens)?;
                shown.set_bearer(&other.token)?;
                (verified, other.credential)
            }
            (None, None) if required => return Err(AuthnError::Missing),
            (None, None) => return Ok(Named::Caller(Caller::Anonymous)),
        };
        let (claims, token, tenure) = verified;
        Ok(Named::Caller(Caller::from(Identity {
            claims,
            credential,
            tenure,
            token,
        })))
    }

    /// The claims of a token that is good now and whose session lives. What was verified before
    /// costs a SHA-256, a look-up, some comparisons and an atomic load.
    pub fn verify(
        &self,
        token: &str,
        tokens: &Tokens,
    ) -> Result<(Arc<Claims>, TokenDigest, Tenure), AuthnError> {
        if token.len() > jws::MAX_TOKEN {
            return Err(AuthnError::Token(TokenError::TooLong));
        }
        let digest = TokenDigest::of(token);
        // Read before the revocations are asked: one that arrives in between is seen next time.
        let generation = self.revocations.generation();
        let known = self.cache.find(&digest);
        // What was verified with a key that is gone is verified anew: another may hold it.
        let known = known.and_then(|known| Some((tokens.ring.by_fingerprint(known.key)?, known)));
        let (key, known) = match known {
            Some(known) => known,
            None => {
                let (claims, key, print) = tokens.open(token).map_err(AuthnError::Token)?;
                (key, Verified::new(claims, print))
            }
        };
        let now = self.clock.now();
        tokens
            .judge_under(key, &known.claims, now)
            .map_err(AuthnError::Token)?;
        let tenure = Tenure::of_token(&known.claims, (key, known.key), (tokens, now));
        if known.alive_in != Some(generation) {
            if self.is_revoked(&known.claims, key) {
                self.cache.forget(&digest);
                return Err(AuthnError::Revoked);
            }
            self.cache.remember(digest, known.in_generation(generation));
        }
        self.check_news(tokens)?;
        Ok((known.claims, digest, tenure))
    }

    /// Nobody is believed who may have been revoked long ago.
    fn check_news(&self, tokens: &Tokens) -> Result<(), AuthnError> {
        match self.revocations.staleness() > tokens.max_staleness {
            true => Err(AuthnError::Unavailable),
            false => Ok(()),
        }
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

/// What a route asks of a request.
#[derive(Clone, Copy)]
struct Asked {
    auth: Auth,
    kinds: CredentialKinds,
    places: TokenPlaces,
}

/// Who was named by a token or not at all; or the key by which somebody is to be named.
#[derive(Debug)]
enum Named {
    Caller(Caller),
    Key(String),
}

impl From<Caller> for Authenticated {
    fn from(caller: Caller) -> Self {
        Self {
            caller,
            cookie: CookieFate::Leave,
        }
    }
}

/// Names the caller by the session cookie. A browser sends it along whoever made the request: one
/// that may change something, or opens a WebSocket, must show that a page of this origin did.
async fn by_cookie(
    sessions: &Sessions,
    shown: (&SessionCookie, &str),
    (req, auth): (&Inbound, Auth),
    tokens: &Tokens,
) -> Result<Authenticated, AuthnError> {
    let Some(named) = sessions.judge(shown, req.client, tokens).await? else {
        let (cookie, _) = shown;
        return match auth {
            Auth::Required => Err(AuthnError::Cookie(cookie.clone())),
            Auth::None | Auth::Optional => Ok(Authenticated {
                caller: Caller::Anonymous,
                cookie: CookieFate::Clear(cookie.clone()),
            }),
        };
    };
    // Another proxy that asks about a WebSocket does not open it here: its key tells.
    let opens = req.upgrade.is_some() || req.headers.contains_key(header::SEC_WEBSOCKET_KEY);
    if (opens || !is_safe(&req.method))
        && Site::of(&req.headers, req.scheme, &req.host) == Site::Unproved
    {
        return Err(AuthnError::ForeignSite);
    }
    Ok(Authenticated {
        caller: Caller::from(Identity {
            tenure: Tenure::of_cookie(named.session, named.until, tokens),
            claims: named.claims,
            credential: Credential::Cookie,
            token: named.token,
        }),
        cookie: named.renewal.map_or(CookieFate::Leave, CookieFate::Renew),
    })
}

#[cfg(test)]
mod tests;
