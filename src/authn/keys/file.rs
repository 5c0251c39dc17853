//! Key files: PEM (PKCS#8, SEC 1, PKCS#1, SubjectPublicKeyInfo) and JWK.

use rustls_pki_types::pem::{PemObject, SectionKind};

use crate::authn::algorithm::Algorithm;
use crate::authn::jwk::Jwk;

use super::material::{KeyError, Material};

/// A key read from a file, and the name that the file gives it.
#[derive(Debug)]
pub struct KeyFile {
    pub material: Material,
    /// A JWK's `kid`.
    pub kid: Option<String>,
}

impl KeyFile {
    /// Reads PEM, or a JWK when the text begins with a brace. `algorithm` may be left out for a
    /// JWK that has an `alg`.
    pub fn parse(algorithm: Option<Algorithm>, bytes: &[u8]) -> Result<Self, KeyError> {
        if bytes.trim_ascii_start().starts_with(b"{") {
            let jwk = Jwk::parse(bytes)?;
            return Ok(Self {
                material: jwk.material(algorithm)?,
                kid: jwk.kid,
            });
        }
        let material = from_pem(algorithm.ok_or(KeyError::NoAlgorithm)?, bytes)?;
        Ok(Self {
            material,
            kid: None,
        })
    }
}

/// The first key of a PEM file; `openssl ecparam` puts the curve's parameters in front of it.
fn from_pem(algorithm: Algorithm, pem: &[u8]) -> Result<Material, KeyError> {
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
        let (kind, der) = section.map_err(|_| KeyError::NotPem)?;
        match kind {
            SectionKind::PublicKey => return Material::from_public_der(algorithm, &der),
            SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey => {
                return Material::from_private_der(algorithm, &der);
            }
            SectionKind::Certificate => return Err(KeyError::Certificate),
            // The enum is not ours, and open.
            _ => {}
        }
    }
    Err(KeyError::NotPem)
}
