//! Key files: PEM (PKCS#8, SEC 1, PKCS#1, SubjectPublicKeyInfo) and JWK.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::pem::{PemObject, SectionKind};
use zeroize::Zeroizing;

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

/// A new random key for `algorithm` as its file is written: PKCS#8 in PEM, or a line that begins
/// with `base64:` for a shared secret.
pub fn generate(algorithm: Algorithm) -> Result<Zeroizing<String>, KeyError> {
    let (_, document) = Material::generate(algorithm)?;
    let encoded = Zeroizing::new(STANDARD.encode(document.expose()));
    if algorithm.shortest_secret().is_some() {
        return Ok(Zeroizing::new(format!("base64:{}\n", *encoded)));
    }
    let mut pem = Zeroizing::new(String::from("-----BEGIN PRIVATE KEY-----\n"));
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        // RFC 7468 §2: lines of 64 characters.
        let (line, after) = rest.split_at_checked(64).unwrap_or((rest, ""));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    Ok(pem)
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
