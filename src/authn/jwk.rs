//! JSON Web Keys (RFC 7517): read one from a file, publish our public ones as a set.

use std::sync::Arc;

use aws_lc_rs::rsa::{KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::secret::Secret;

use super::algorithm::{Algorithm, Family};
use super::keys::{Curve, Key, KeyError, Material, Origin, PublicNumbers, ecdsa_signing};

/// A JWK as it is written, its numbers still in base64url.
#[derive(Deserialize)]
pub(super) struct Jwk {
    kty: KeyType,
    #[serde(default)]
    pub(super) kid: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<Number>,
    e: Option<Number>,
    x: Option<Number>,
    y: Option<Number>,
    d: Option<Number>,
    p: Option<Number>,
    q: Option<Number>,
    dp: Option<Number>,
    dq: Option<Number>,
    qi: Option<Number>,
    k: Option<Number>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
enum KeyType {
    #[serde(rename = "RSA")]
    Rsa,
    #[serde(rename = "EC")]
    Ec,
    #[serde(rename = "OKP")]
    Okp,
    #[serde(rename = "oct")]
    Oct,
}

/// Bytes in base64url. Some are private: wiped when dropped.
struct Number(Secret);

/// A public key as a JWKS shows it.
#[derive(Serialize)]
struct Published<'a> {
    kty: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    crv: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<String>,
    kid: &'a str,
    alg: &'static str,
    #[serde(rename = "use")]
    purpose: &'static str,
}

#[derive(Serialize)]
struct Set<'a> {
    keys: Vec<Published<'a>>,
}

/// The JWK Set of those of `keys` that are ours and have a public half. A shared secret is never
/// in it, and neither is another issuer's key.
pub(super) fn set(keys: &[Arc<Key>]) -> Bytes {
    let published = keys.iter().filter_map(|key| match key.origin {
        Origin::Ours => publish(key),
        Origin::Foreign { .. } => None,
    });
    let set = Set {
        keys: published.collect(),
    };
    // Strings only: writing them as JSON cannot fail.
    serde_json::to_vec(&set).unwrap_or_default().into()
}

fn publish(key: &Key) -> Option<Published<'_>> {
    let encode = |bytes: &[u8]| Some(URL_SAFE_NO_PAD.encode(bytes));
    let mut published = Published {
        kty: "OKP",
        crv: None,
        n: None,
        e: None,
        x: None,
        y: None,
        kid: key.id.as_str(),
        alg: key.algorithm().name(),
        purpose: "sig",
    };
    match key.material.public()? {
        PublicNumbers::Rsa { n, e } => {
            published.kty = "RSA";
            published.n = encode(n);
            published.e = encode(e);
        }
        PublicNumbers::Ec { curve, x, y } => {
            published.kty = "EC";
            published.crv = Some(curve.name());
            published.x = encode(x);
            published.y = encode(y);
        }
        PublicNumbers::Ed25519 { x } => {
            published.crv = Some("Ed25519");
            published.x = encode(x);
        }
    }
    Some(published)
}

impl Jwk {
    pub(super) fn parse(json: &[u8]) -> Result<Self, KeyError> {
        serde_json::from_slice(json).map_err(|_| KeyError::NotJwk)
    }

    /// The key for `configured`, or for the JWK's own `alg`; when both are there they must agree.
    pub(super) fn material(&self, configured: Option<Algorithm>) -> Result<Material, KeyError> {
        let own = self.alg.as_deref().map(Algorithm::parse);
        let algorithm = match (configured, own) {
            (Some(configured), None) => configured,
            (Some(configured), Some(own)) if own == Ok(configured) => configured,
            (Some(configured), Some(_)) => return Err(KeyError::JwkAlgorithm(configured)),
            (None, Some(own)) => own.map_err(|_| KeyError::NoAlgorithm)?,
            (None, None) => return Err(KeyError::NoAlgorithm),
        };
        let unfit = KeyError::Unfit(algorithm);
        match (self.kty, algorithm.family()) {
            (KeyType::Oct, Family::Hmac) => {
                Material::from_secret(algorithm, &need(&self.k, unfit)?.0)
            }
            (KeyType::Rsa, Family::Rsa) => self.rsa(algorithm),
            (KeyType::Ec, Family::Ec) => self.ec(algorithm),
            (KeyType::Okp, Family::Ed25519) => self.ed25519(algorithm),
            (KeyType::Rsa | KeyType::Ec | KeyType::Okp | KeyType::Oct, _) => Err(unfit),
        }
    }

    fn rsa(&self, algorithm: Algorithm) -> Result<Material, KeyError> {
        let unfit = KeyError::Unfit(algorithm);
        let (n, e) = (need(&self.n, unfit)?, need(&self.e, unfit)?);
        let Some(d) = &self.d else {
            let public = PublicNumbers::Rsa {
                n: n.trimmed().to_vec(),
                e: e.trimmed().to_vec(),
            };
            return Material::from_numbers(algorithm, public);
        };
        let components = KeyPairComponents {
            public_key: PublicKeyComponents {
                n: n.trimmed(),
                e: e.trimmed(),
            },
            d: d.bytes(),
            p: need(&self.p, unfit)?.bytes(),
            q: need(&self.q, unfit)?.bytes(),
            dP: need(&self.dp, unfit)?.bytes(),
            dQ: need(&self.dq, unfit)?.bytes(),
            qInv: need(&self.qi, unfit)?.bytes(),
        };
        let pair = RsaKeyPair::from_components(&components).map_err(|_| unfit)?;
        Material::from_rsa(algorithm, pair)
    }

    fn ec(&self, algorithm: Algorithm) -> Result<Material, KeyError> {
        let unfit = KeyError::Unfit(algorithm);
        let curve = Curve::of(algorithm).ok_or(unfit)?;
        let (x, y) = (need(&self.x, unfit)?, need(&self.y, unfit)?);
        let fits = |number: &Number| number.bytes().len() == curve.coordinate();
        if self.crv.as_deref() != Some(curve.name()) || !fits(x) || !fits(y) {
            return Err(unfit);
        }
        let public = PublicNumbers::Ec {
            curve,
            x: x.bytes().to_vec(),
            y: y.bytes().to_vec(),
        };
        let Some(d) = &self.d else {
            return Material::from_numbers(algorithm, public);
        };
        let rule = ecdsa_signing(algorithm).ok_or(unfit)?;
        let point = public.encoded();
        EcdsaKeyPair::from_private_key_and_public_key(rule, d.bytes(), &point)
            .map_err(|_| unfit)
            .and_then(|pair| Material::from_ecdsa(algorithm, pair))
    }

    fn ed25519(&self, algorithm: Algorithm) -> Result<Material, KeyError> {
        let unfit = KeyError::Unfit(algorithm);
        let x = need(&self.x, unfit)?.bytes();
        if self.crv.as_deref() != Some("Ed25519") {
            return Err(unfit);
        }
        let Some(d) = &self.d else {
            let public = PublicNumbers::ed25519(x).ok_or(unfit)?;
            return Material::from_numbers(algorithm, public);
        };
        Ed25519KeyPair::from_seed_and_public_key(d.bytes(), x)
            .map_err(|_| unfit)
            .and_then(|pair| Material::from_ed25519(algorithm, pair))
    }
}

fn need(number: &Option<Number>, missing: KeyError) -> Result<&Number, KeyError> {
    number.as_ref().ok_or(missing)
}

impl Number {
    fn bytes(&self) -> &[u8] {
        self.0.expose()
    }

    /// Without the leading zero that some writers put in front.
    fn trimmed(&self) -> &[u8] {
        super::keys::without_leading_zeros(self.bytes())
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = zeroize::Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('='));
        bytes
            .map(|bytes| Number(Secret::new(bytes)))
            .map_err(|_| serde::de::Error::custom("not base64url"))
    }
}
