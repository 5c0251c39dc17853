//! Tokens for upstreams: one that takes the caller's place, and an assertion of who the caller is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use http::HeaderValue;
use serde::Serialize;
use serde_json::Value;

use crate::clock::Timestamp;

use super::Identity;
use super::cache::{Minted, TokenCache};
use super::jws::{self, Kind};
use super::keys::{Key, SignError};
use super::token::{ATTRIBUTES, Claims, fresh_id};

/// How long a minted token or an assertion lives unless configured: a request, and its retries.
pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);

/// Makes short-lived tokens for one upstream, under a key that it knows. Made once a snapshot.
#[derive(Debug)]
pub struct Minter {
    id: MinterId,
    form: Form,
    key: Arc<Key>,
    issuer: Option<Box<str>>,
    audience: Option<Box<str>>,
    lifetime: Duration,
}

/// What a [`Minter`] makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Form {
    /// `Bearer <jwt>` with the claims of an access token, for backends that verify themselves.
    Bearer,
    /// `<jwt>` of the type `assertion+jwt`, for a header of its own.
    Assertion,
}

/// SHA-256 of everything that a minted value depends on beside the caller's token: a reload that
/// changes none of it keeps what was minted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct MinterId([u8; 32]);

/// The claims of the caller that go on to an upstream as they are.
/// `scopes` are those of an API key: what it may not do, its token may not do either.
/// `amr` says whether there was a second factor.
const CARRIED: [&str; 8] = [
    "email", "name", "username", "role", "sid", "amr", "scopes", ATTRIBUTES,
];

#[derive(Serialize)]
struct Written<'a> {
    sub: &'a str,
    user_id: &'a str,
    uuid: &'a str,
    #[serde(flatten)]
    carried: BTreeMap<&'static str, &'a Value>,
    roles: &'a [Box<str>],
    iat: i64,
    exp: i64,
    jti: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
}

impl Minter {
    /// Makes `Authorization` values: `Bearer` and an access token under the upstream's own key.
    pub fn bearer(key: Arc<Key>, audience: Option<Box<str>>, lifetime: Duration) -> Self {
        Self::new(Form::Bearer, key, (None, audience), lifetime)
    }

    /// Makes assertions of who the caller is. `issuer` is the gateway's public URL, `audience`
    /// the upstream's name; `key` has its public half in our JWKS.
    pub fn assertion(
        key: Arc<Key>,
        issuer: Option<Box<str>>,
        audience: Option<Box<str>>,
        lifetime: Duration,
    ) -> Self {
        Self::new(Form::Assertion, key, (issuer, audience), lifetime)
    }

    fn new(
        form: Form,
        key: Arc<Key>,
        (issuer, audience): (Option<Box<str>>, Option<Box<str>>),
        lifetime: Duration,
    ) -> Self {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(match form {
            Form::Bearer => b"bearer",
            Form::Assertion => b"assert",
        });
        hash.update(key.fingerprint().bytes());
        hash.update(&lifetime.as_millis().to_be_bytes());
        for text in [issuer.as_deref(), audience.as_deref()] {
            hash.update(&text.map_or(usize::MAX, str::len).to_be_bytes());
            hash.update(text.unwrap_or_default().as_bytes());
        }
        let mut id = [0; 32];
        for (to, from) in id.iter_mut().zip(hash.finish().as_ref()) {
            *to = *from;
        }
        Self {
            id: MinterId(id),
            form,
            key,
            issuer,
            audience,
            lifetime,
        }
    }

    /// The header value for this caller: one made earlier while half its life is left, else a new
    /// one. A signature costs up to 0.7 ms of the worker's time, so it is not made per request.
    pub fn header(
        &self,
        caller: &Identity,
        cache: &TokenCache,
        now: Timestamp,
    ) -> Result<HeaderValue, SignError> {
        if let Some(minted) = cache.minted(self.id, caller.token)
            && now < minted.until
        {
            return Ok(minted.value);
        }
        let value = self.mint(&caller.claims, now)?;
        let minted = Minted {
            value: value.clone(),
            until: now + self.lifetime / 2,
        };
        cache.keep_minted(self.id, caller.token, minted);
        Ok(value)
    }

    fn mint(&self, claims: &Claims, now: Timestamp) -> Result<HeaderValue, SignError> {
        let carried = |name: &'static str| claims.value(name).map(|value| (name, value));
        let written = Written {
            sub: claims.subject(),
            user_id: claims.subject(),
            uuid: claims.subject(),
            carried: CARRIED.into_iter().filter_map(carried).collect(),
            roles: claims.roles(),
            iat: now.seconds(),
            exp: (now + self.lifetime).seconds(),
            jti: fresh_id(),
            iss: self.issuer.as_deref(),
            aud: self.audience.as_deref(),
        };
        let (kind, prefix) = match self.form {
            Form::Bearer => (Kind::Access, "Bearer "),
            Form::Assertion => (Kind::Assertion, ""),
        };
        let token = jws::sign(kind, &written, &self.key)?;
        let mut value = HeaderValue::try_from(format!("{prefix}{token}")).map_err(|_| SignError)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::super::algorithm::Algorithm;
    use super::super::cache::CacheSize;
    use super::super::keys::tests::{key, material};
    use super::super::keys::{KeyRing, KeyUse};
    use super::super::rules::Tokens;
    use super::super::token::TokenError;
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn caller() -> Identity {
        Identity::sample(&serde_json::json!({
            "sub": "u1", "email": "a@example.com", "roles": ["admin"], "secret": "not carried",
            "amr": ["pwd", "otp", "mfa"],
            "exp": 1_800_000_900, "sid": "00000000000000000000000000000001",
        }))
    }

    fn minter(audience: &str) -> Minter {
        let key = key("up", material(Algorithm::Hs256), KeyUse::Sign);
        Minter::bearer(Arc::new(key), Some(audience.into()), DEFAULT_LIFETIME)
    }

    #[test]
    fn a_minted_token_carries_the_caller_to_its_upstream_only() {
        let cache = TokenCache::new(CacheSize::default());
        let value = minter("agents").header(&caller(), &cache, NOW).unwrap();
        assert!(value.is_sensitive());
        let token = value.to_str().unwrap().strip_prefix("Bearer ").unwrap();

        let own = key("up", material(Algorithm::Hs256), KeyUse::Sign);
        let mut upstream = Tokens::new(KeyRing::new(vec![own]).unwrap());
        assert_eq!(
            upstream.verify(token, NOW).unwrap_err(),
            TokenError::Audience,
            "for somebody else it is not good"
        );
        upstream.audience = vec!["agents".into()];
        let claims = upstream.verify(token, NOW).unwrap();
        assert_eq!(claims.subject(), "u1");
        assert_eq!(claims.text("user_id"), Some("u1"));
        assert_eq!(claims.text("email"), Some("a@example.com"));
        assert_eq!(claims.roles(), [Box::from("admin")]);
        assert!(claims.by_two_factors());
        assert_eq!(claims.value("secret"), None);
        assert_eq!(claims.expires(), NOW + DEFAULT_LIFETIME);
    }

    #[test]
    fn a_minted_token_is_used_again_for_half_its_life() {
        let cache = TokenCache::new(CacheSize::default());
        let minted = |at| minter("agents").header(&caller(), &cache, at).unwrap();
        let first = minted(NOW);
        assert_eq!(first, minted(NOW + Duration::from_secs(29)));
        assert_ne!(first, minted(NOW + Duration::from_secs(30)));
        let other = minter("other").header(&caller(), &cache, NOW).unwrap();
        assert_ne!(first, other, "another upstream's minter mints its own");
    }

    #[test]
    fn an_assertion_is_of_its_own_type() {
        let cache = TokenCache::new(CacheSize::default());
        let ring = KeyRing::new(vec![key("e", material(Algorithm::EdDsa), KeyUse::Sign)]);
        let tokens = Tokens::new(ring.unwrap());
        let asserts = tokens.assertion(Some("https://api".into()), Some("agents".into()));
        let value = asserts.unwrap().header(&caller(), &cache, NOW).unwrap();
        let token = value.to_str().unwrap();
        assert_eq!(tokens.verify(token, NOW).unwrap_err(), TokenError::Type);
        let key = material(Algorithm::EdDsa);
        let (message, signature) = token.rsplit_once('.').unwrap();
        use base64::Engine as _;
        let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
        assert!(key.verifies(message.as_bytes(), &engine.decode(signature).unwrap()));
    }

    #[test]
    fn a_ring_of_secrets_makes_no_assertions() {
        let ring = KeyRing::new(vec![key("a", material(Algorithm::Hs256), KeyUse::Sign)]);
        assert!(Tokens::new(ring.unwrap()).assertion(None, None).is_none());
    }
}
