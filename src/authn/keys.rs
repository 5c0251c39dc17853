//! The key ring: several keys verify, one signs, and each key alone says its algorithm.

mod file;
mod material;
mod numbers;
mod schemes;

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;
use bytes::Bytes;

use crate::clock::Timestamp;

use super::algorithm::Algorithm;
use super::jwk;

pub use file::{KeyFile, generate};
pub use material::{KeyError, Material, SignError};
pub(super) use numbers::without_leading_zeros;
pub use numbers::{Curve, PublicNumbers};
pub(super) use schemes::ecdsa_signing;

/// A key's name: the `kid` of the tokens it signs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyId(Arc<str>);

/// A name that is empty, longer than 128 bytes, or not printable ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to 128 printable ASCII characters")]
pub struct KeyIdError;

/// What a key of the ring does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUse {
    /// Signs our access tokens, and verifies them.
    Sign,
    /// Verifies only: a key that signed before, or an old backend's.
    Verify,
    /// Signs assertions for upstreams; access tokens under it are refused.
    Assert,
}

/// Whose tokens a key signs: decides which `iss` and `aud` they must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Ours: what `[tokens]` says.
    Ours,
    /// Another issuer's, such as the backend that issued tokens before the gateway did.
    Foreign {
        issuer: Option<Box<str>>,
        audience: Vec<Box<str>>,
    },
}

/// One key of the ring.
#[derive(Debug)]
pub struct Key {
    pub id: KeyId,
    pub material: Material,
    pub purpose: KeyUse,
    pub origin: Origin,
    /// From this time on its tokens are refused, whatever their `exp`.
    pub not_after: Option<Timestamp>,
}

/// Tells one key from another in the token cache, over a reload too: half of a SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 16]);

/// The keys of one configuration snapshot.
#[derive(Clone, Debug)]
pub struct KeyRing {
    keys: Vec<(Fingerprint, Arc<Key>)>,
    /// So many of the keys stand in the configuration; the others are managed.
    configured: usize,
    /// `None` until a managed key is there that signs.
    signing: Option<Arc<Key>>,
    asserting: Option<Arc<Key>>,
    jwks: Bytes,
}

/// Why keys make no ring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    #[error("no key signs: give one of them `use = \"sign\"`")]
    NoSigner,
    #[error(
        "both `{0}` and `{1}` sign: rotation leaves one `use = \"sign\"`, the others \"verify\""
    )]
    TwoSigners(String, String),
    #[error("managed keys sign: `{0}` can only verify")]
    ManagedSigns(String),
    #[error("both `{0}` and `{1}` sign assertions")]
    TwoAsserters(String, String),
    #[error("two keys have the id `{0}`")]
    SameId(String),
    #[error("key `{0}` signs, but it is only a public key")]
    PublicOnly(String),
    #[error("key `{0}` signs, so it cannot have an end date")]
    SignerEnds(String),
    #[error("key `{0}` signs assertions, which upstreams verify by its public key: {1} has none")]
    SecretAsserter(String, Algorithm),
}

impl KeyId {
    pub fn parse(text: &str) -> Result<Self, KeyIdError> {
        let printable = text.bytes().all(|byte| matches!(byte, 0x21..=0x7e));
        if text.is_empty() || text.len() > 128 || !printable {
            return Err(KeyIdError);
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Key {
    pub fn algorithm(&self) -> Algorithm {
        self.material.algorithm()
    }

    /// Whether its tokens are refused by now.
    pub(super) fn retired(&self, now: Timestamp) -> bool {
        self.not_after.is_some_and(|end| now >= end)
    }

    /// Of everything that a verification under this key depended on, but for what is judged anew
    /// at each request.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(self.algorithm().name().as_bytes());
        hash.update(&[0]);
        hash.update(self.id.as_str().as_bytes());
        hash.update(&[0]);
        hash.update(match &self.origin {
            Origin::Ours => &[0],
            Origin::Foreign { .. } => &[1],
        });
        hash.update(&self.material.fingerprint_input());
        let mut print = [0; 16];
        for (to, from) in print.iter_mut().zip(hash.finish().as_ref()) {
            *to = *from;
        }
        Fingerprint(print)
    }
}

impl Fingerprint {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl KeyRing {
    /// A ring in which exactly one key signs.
    pub fn new(keys: Vec<Key>) -> Result<Self, RingError> {
        let ring = Self::of(keys.into_iter().map(Arc::new).collect())?;
        match ring.signing {
            Some(_) => Ok(ring),
            None => Err(RingError::NoSigner),
        }
    }

    /// A ring in which no key signs yet: a managed one will.
    pub fn without_signer(keys: Vec<Key>) -> Result<Self, RingError> {
        let ring = Self::of(keys.into_iter().map(Arc::new).collect())?;
        match &ring.signing {
            None => Ok(ring),
            Some(key) => Err(RingError::ManagedSigns(key.id.to_string())),
        }
    }

    /// The keys of the configuration with these, of which exactly one signs.
    pub(super) fn with_managed(&self, managed: Vec<Key>) -> Result<Self, RingError> {
        let configured = self.keys.iter().take(self.configured);
        let mut keys: Vec<_> = configured.map(|(_, key)| Arc::clone(key)).collect();
        keys.extend(managed.into_iter().map(Arc::new));
        let ring = Self::of(keys)?;
        match ring.signing {
            Some(_) => Ok(Self {
                configured: self.configured,
                ..ring
            }),
            None => Err(RingError::NoSigner),
        }
    }

    fn of(keys: Vec<Arc<Key>>) -> Result<Self, RingError> {
        let mut signing: Option<Arc<Key>> = None;
        let mut asserting: Option<Arc<Key>> = None;
        for (at, key) in keys.iter().enumerate() {
            let id = || key.id.to_string();
            if keys.iter().take(at).any(|earlier| earlier.id == key.id) {
                return Err(RingError::SameId(id()));
            }
            if key.purpose == KeyUse::Verify {
                continue;
            }
            if !key.material.can_sign() {
                return Err(RingError::PublicOnly(id()));
            }
            if key.not_after.is_some() {
                return Err(RingError::SignerEnds(id()));
            }
            let (place, twice): (_, fn(String, String) -> RingError) = match key.purpose {
                KeyUse::Sign | KeyUse::Verify => (&mut signing, RingError::TwoSigners),
                KeyUse::Assert if key.material.public().is_none() => {
                    return Err(RingError::SecretAsserter(id(), key.algorithm()));
                }
                KeyUse::Assert => (&mut asserting, RingError::TwoAsserters),
            };
            if let Some(first) = place.replace(Arc::clone(key)) {
                return Err(twice(first.id.to_string(), id()));
            }
        }
        let asserting = asserting.or_else(|| {
            let signing = signing.as_ref();
            let public = signing.filter(|signing| signing.material.public().is_some());
            public.map(Arc::clone)
        });
        Ok(Self {
            jwks: jwk::set(&keys),
            configured: keys.len(),
            keys: keys.into_iter().map(|k| (k.fingerprint(), k)).collect(),
            signing,
            asserting,
        })
    }

    /// The key under which new access tokens go out. `None`: the managed keys are not there yet.
    pub fn signing(&self) -> Option<&Arc<Key>> {
        self.signing.as_ref()
    }

    /// The key of assertions: the one configured for it, else the signing key when it has a
    /// public half. `None`: only secrets are configured.
    pub fn asserting(&self) -> Option<&Arc<Key>> {
        self.asserting.as_ref()
    }

    /// Our public keys as a JWK Set (RFC 7517 §5), the body of `/.well-known/jwks.json`.
    pub fn jwks(&self) -> &Bytes {
        &self.jwks
    }

    /// The keys that may have signed a token: those of its algorithm, and of its `kid` when it
    /// names one. A `kid` chooses among these keys only.
    pub(super) fn candidates<'a>(
        &'a self,
        algorithm: Algorithm,
        kid: Option<&str>,
    ) -> impl Iterator<Item = (Fingerprint, &'a Key)> {
        self.keys
            .iter()
            .filter(move |(_, key)| {
                key.purpose != KeyUse::Assert
                    && key.algorithm() == algorithm
                    && kid.is_none_or(|kid| kid == key.id.as_str())
            })
            .map(|(print, key)| (*print, &**key))
    }

    /// The key that a cached verification was done with, if it is still in the ring.
    pub(super) fn by_fingerprint(&self, print: Fingerprint) -> Option<&Key> {
        self.keys
            .iter()
            .find(|(known, key)| *known == print && key.purpose != KeyUse::Assert)
            .map(|(_, key)| &**key)
    }
}

#[cfg(test)]
impl Fingerprint {
    /// Of no key.
    pub(super) fn sample() -> Self {
        Self([0; 16])
    }
}

#[cfg(test)]
pub(in crate::authn) mod tests;
