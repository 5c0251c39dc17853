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
use super::token::{Claims, fresh_id};

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
const CARRIED: [&str; 5] = ["email", "name", "username", "role", "sid"];

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
