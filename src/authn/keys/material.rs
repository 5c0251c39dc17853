//! Key material that fits one algorithm: parsed once, verifies and perhaps signs.
//!
//! All eleven algorithms are aws-lc-rs calls; keys are parsed when they are loaded, so that a
//! request pays for the signature only.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, ParsedPublicKey, RsaKeyPair,
    RsaSubjectPublicKey,
};

use crate::authn::algorithm::{Algorithm, Family};
use crate::secret::{self, Secret, WeakSecret};

use super::numbers::{Curve, PublicNumbers};
use super::schemes::{ecdsa_signing, rsa_padding, verification};

/// Why bytes are no key for an algorithm. Nothing of the key is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("{0} takes a shared secret, not a key pair")]
    NeedsSecret(Algorithm),
    #[error("{0} takes a PEM or JWK key, not a shared secret")]
    NeedsKeyPair(Algorithm),
    #[error(transparent)]
    Weak(#[from] WeakSecret),
    #[error("this is not a PEM file with a PUBLIC KEY or an unencrypted PRIVATE KEY")]
    NotPem,
    #[error("this is a certificate: extract its public key (openssl x509 -pubkey -noout)")]
    Certificate,
    #[error("this is not a JWK (RFC 7517)")]
    NotJwk,
    #[error("the JWK's `alg` is not {0}")]
    JwkAlgorithm(Algorithm),
    #[error("the JWK has no `alg`, and none is configured")]
    NoAlgorithm,
    #[error("the key does not fit {0}: another type, curve or size, or its parts disagree")]
    Unfit(Algorithm),
    #[error("an RSA key needs 2048 to 8192 bits")]
    RsaSize,
    #[error("the key was refused by the cryptographic library")]
    Refused,
}

/// A key of one algorithm.
pub struct Material {
    algorithm: Algorithm,
    verifier: Verifier,
    signer: Option<Signer>,
    /// What a JWKS tells of it; a shared secret has none.
    public: Option<PublicNumbers>,
}

enum Verifier {
    Hmac(Box<hmac::Key>),
    Public(ParsedPublicKey),
}

enum Signer {
    Hmac(Box<hmac::Key>),
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// A message that could not be signed; only a failing random source does that.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the key cannot sign")]
pub struct SignError;

impl Material {
    /// A shared secret for HS256, HS384 or HS512, refused when it is a printed sample or short.
    pub fn from_secret(algorithm: Algorithm, secret: &Secret) -> Result<Self, KeyError> {
        // RFC 7518 §3.2
        secret::refuse_weak(secret, algorithm.shortest_secret().unwrap_or_default())?;
        Self::from_any_secret(algorithm, secret)
    }

    /// A shared secret of whatever strength: for development, and for backends whose secret is
    /// what it is.
    pub fn from_any_secret(algorithm: Algorithm, secret: &Secret) -> Result<Self, KeyError> {
        let hash = match algorithm {
            Algorithm::Hs256 => hmac::HMAC_SHA256,
            Algorithm::Hs384 => hmac::HMAC_SHA384,
            Algorithm::Hs512 => hmac::HMAC_SHA512,
            Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512
            | Algorithm::Es256
            | Algorithm::Es384
            | Algorithm::Es512
            | Algorithm::Ps256
            | Algorithm::EdDsa => return Err(KeyError::NeedsKeyPair(algorithm)),
        };
        secret::not_a_key_file(secret)?;
        let key = Box::new(hmac::Key::new(hash, secret.expose()));
        Ok(Self {
            algorithm,
            verifier: Verifier::Hmac(key.clone()),
            signer: Some(Signer::Hmac(key)),
            public: None,
        })
    }

    /// A public key: X.509 SubjectPublicKeyInfo, or PKCS#1 for RSA, in DER.
    pub fn from_public_der(algorithm: Algorithm, der: &[u8]) -> Result<Self, KeyError> {
        let unfit = KeyError::Unfit(algorithm);
        let public = match algorithm.family() {
            Family::Hmac => return Err(KeyError::NeedsSecret(algorithm)),
            Family::Rsa => {
                let key = RsaSubjectPublicKey::from_der(der).map_err(|_| unfit)?;
                PublicNumbers::rsa(key.as_ref())
            }
            Family::Ec => {
                let curve = Curve::of(algorithm).ok_or(unfit)?;
                let key = verification(algorithm)
                    .and_then(|rule| ParsedPublicKey::new(rule, der).ok())
                    .ok_or(unfit)?;
                PublicNumbers::ec_from_spki(curve, &key)
            }
            Family::Ed25519 => {
                let key = ParsedPublicKey::new(&signature::ED25519, der).map_err(|_| unfit)?;
                PublicNumbers::ed25519_from_spki(&key)
            }
        };
        Self::from_numbers(algorithm, public.ok_or(unfit)?)
    }

    /// A public key from its numbers.
    pub fn from_numbers(algorithm: Algorithm, public: PublicNumbers) -> Result<Self, KeyError> {
        Self::new(algorithm, public, None)
    }

    /// A private key: PKCS#8, SEC 1 for EC, or PKCS#1 for RSA, in DER.
    pub fn from_private_der(algorithm: Algorithm, der: &[u8]) -> Result<Self, KeyError> {
        let unfit = |_| KeyError::Unfit(algorithm);
        match algorithm.family() {
            Family::Hmac => Err(KeyError::NeedsSecret(algorithm)),
            Family::Rsa => RsaKeyPair::from_pkcs8(der)
                .or_else(|_| RsaKeyPair::from_der(der))
                .map_err(unfit)
                .and_then(|pair| Self::from_rsa(algorithm, pair)),
            Family::Ec => {
                let rule = ecdsa_signing(algorithm).ok_or(KeyError::Unfit(algorithm))?;
                let pair = EcdsaKeyPair::from_private_key_der(rule, der).map_err(unfit)?;
                Self::from_ecdsa(algorithm, pair)
            }
            Family::Ed25519 => Ed25519KeyPair::from_pkcs8(der)
                .map_err(unfit)
                .and_then(|pair| Self::from_ed25519(algorithm, pair)),
        }
    }

    /// An RSA key pair for any of the RSA algorithms.
    pub(in crate::authn) fn from_rsa(
        algorithm: Algorithm,
        pair: RsaKeyPair,
    ) -> Result<Self, KeyError> {
        let public = PublicNumbers::rsa(pair.public_key().as_ref());
        let public = public.ok_or(KeyError::Unfit(algorithm))?;
        Self::new(algorithm, public, Some(Signer::Rsa(pair)))
    }

    pub(in crate::authn) fn from_ecdsa(
        algorithm: Algorithm,
        pair: EcdsaKeyPair,
    ) -> Result<Self, KeyError> {
        let public = Curve::of(algorithm)
            .and_then(|curve| PublicNumbers::ec(curve, pair.public_key().as_ref()))
            .ok_or(KeyError::Unfit(algorithm))?;
        Self::new(algorithm, public, Some(Signer::Ecdsa(pair)))
    }

    pub(in crate::authn) fn from_ed25519(
        algorithm: Algorithm,
        pair: Ed25519KeyPair,
    ) -> Result<Self, KeyError> {
        let public = PublicNumbers::ed25519(pair.public_key().as_ref());
        let public = public.ok_or(KeyError::Unfit(algorithm))?;
        Self::new(algorithm, public, Some(Signer::Ed25519(pair)))
    }

    fn new(
        algorithm: Algorithm,
        public: PublicNumbers,
        signer: Option<Signer>,
    ) -> Result<Self, KeyError> {
        let bits = public.rsa_bits();
        if bits.is_some_and(|bits| !(2048..=8192).contains(&bits)) {
            return Err(KeyError::RsaSize);
        }
        let unfit = KeyError::Unfit(algorithm);
        let rule = verification(algorithm).ok_or(unfit)?;
        let key = ParsedPublicKey::new(rule, public.encoded()).map_err(|_| unfit)?;
        Ok(Self {
            algorithm,
            verifier: Verifier::Public(key),
            signer,
            public: Some(public),
        })
    }

    /// A new random key, with its PKCS#8 document (or its bytes, for a shared secret).
    pub fn generate(algorithm: Algorithm) -> Result<(Self, Secret), KeyError> {
        let refused = |_| KeyError::Refused;
        let document = match algorithm.family() {
            Family::Hmac => {
                let secret = Secret::new(crate::secret::random::<64>().to_vec());
                return Ok((Self::from_secret(algorithm, &secret)?, secret));
            }
            Family::Rsa => {
                let pair = RsaKeyPair::generate(KeySize::Rsa3072).map_err(refused)?;
                let der = aws_lc_rs::encoding::AsDer::as_der(&pair).map_err(refused)?;
                let der: &aws_lc_rs::encoding::Pkcs8V1Der<'_> = &der;
                Secret::new(der.as_ref().to_vec())
            }
            Family::Ec => {
                let rule = ecdsa_signing(algorithm).ok_or(KeyError::Unfit(algorithm))?;
                let pair = EcdsaKeyPair::generate(rule).map_err(refused)?;
                Secret::new(pair.to_pkcs8v1().map_err(refused)?.as_ref().to_vec())
            }
            Family::Ed25519 => {
                let pair = Ed25519KeyPair::generate().map_err(refused)?;
                Secret::new(pair.to_pkcs8v1().map_err(refused)?.as_ref().to_vec())
            }
        };
        Ok((
            Self::from_private_der(algorithm, document.expose())?,
            document,
        ))
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub fn can_sign(&self) -> bool {
        self.signer.is_some()
    }

    pub(in crate::authn) fn public(&self) -> Option<&PublicNumbers> {
        self.public.as_ref()
    }

    /// Whether `signature` is this key's over `message`.
    #[must_use]
    pub(in crate::authn) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.verifier {
            Verifier::Hmac(key) => hmac::verify(key, message, signature).is_ok(),
            Verifier::Public(key) => key.verify_sig(message, signature).is_ok(),
        }
    }

    /// This key's signature over `message`.
    pub(in crate::authn) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let random = SystemRandom::new();
        match self.signer.as_ref().ok_or(SignError)? {
            Signer::Hmac(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
            Signer::Rsa(pair) => {
                let padding = rsa_padding(self.algorithm).ok_or(SignError)?;
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut signature)
                    .map_err(|_| SignError)?;
                Ok(signature)
            }
            Signer::Ecdsa(pair) => pair
                .sign(&random, message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| SignError),
            Signer::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }

    /// Tells this key from every other without telling it: for an HMAC key its tag of a fixed text.
    pub(in crate::authn) fn fingerprint_input(&self) -> Vec<u8> {
        match &self.verifier {
            Verifier::Hmac(key) => hmac::sign(key, b"portcullis key fingerprint")
                .as_ref()
                .to_vec(),
            Verifier::Public(key) => key.as_ref().to_vec(),
        }
    }
}

impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Material({})", self.algorithm)
    }
}
