//! Certificates and their keys: read from files, chosen by the name a client asks for.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate chain and its key, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The server's certificate first, then its issuers.
    pub chain: PathBuf,
    /// PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
}

/// Why a certificate cannot be used: which file, and what is wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("cannot read {}: {source}", file.display())]
    Read { file: PathBuf, source: io::Error },
    #[error("{} is not PEM: {source}", file.display())]
    Syntax { file: PathBuf, source: pem::Error },
    #[error("{} holds no certificate (-----BEGIN CERTIFICATE-----)", .0.display())]
    NoCertificate(PathBuf),
    #[error("{} holds no private key that is not encrypted", .0.display())]
    NoKey(PathBuf),
    #[error("the key in {} cannot be used: {source}", file.display())]
    Key {
        file: PathBuf,
        source: rustls::Error,
    },
    #[error("the key in {} is not the key of the certificate in {}", key.display(), chain.display())]
    Mismatch { chain: PathBuf, key: PathBuf },
    #[error("the certificate in {} cannot be read: {reason}", file.display())]
    Certificate { file: PathBuf, reason: String },
    #[error("no certificate is configured")]
    None,
}

/// A set of certificates. The first one is for clients that name no host, or none that we know.
#[derive(Debug)]
pub struct Certificates {
    first: Arc<CertifiedKey>,
    exact: HashMap<Box<str>, Arc<CertifiedKey>>,
    /// By what follows the `*.`.
    wildcards: HashMap<Box<str>, Arc<CertifiedKey>>,
}

impl Certificates {
    /// Reads every certificate, or says what is wrong with the first that cannot be used. Where two
    /// name the same host, the earlier one is used.
    pub fn load(files: &[CertificateFiles]) -> Result<Self, CertificateError> {
        let provider = super::tls::provider();
        let (mut first, mut exact, mut wildcards) = (None, HashMap::new(), HashMap::new());
        for files in files {
            let (key, names) = load(files, &provider)?;
            for name in names {
                match name.strip_prefix("*.") {
                    Some(parent) => wildcards.entry(parent.into()),
                    None => exact.entry(name.as_str().into()),
                }
                .or_insert_with(|| Arc::clone(&key));
            }
            first.get_or_insert(key);
        }
        Ok(Self {
            first: first.ok_or(CertificateError::None)?,
            exact,
            wildcards,
        })
    }

    /// The certificate that names `host` (lower case, without a port): itself, or by a wildcard for its
    /// leftmost label (RFC 9525 §6.3).
    pub(super) fn naming(&self, host: &str) -> Option<&Arc<CertifiedKey>> {
        let wildcard = || self.wildcards.get(host.split_once('.')?.1);
        self.exact.get(host).or_else(wildcard)
    }

    /// The certificate for a client that asks for `name`.
    pub(super) fn choose(&self, name: Option<&str>) -> &Arc<CertifiedKey> {
        name.and_then(|name| self.naming(name))
            .unwrap_or(&self.first)
    }
}

type Loaded = (Arc<CertifiedKey>, Vec<String>);

fn load(files: &CertificateFiles, provider: &CryptoProvider) -> Result<Loaded, CertificateError> {
    let (chain_file, key_file) = (&files.chain, &files.key);
    let text = read(chain_file)?;
    let chain = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|source| CertificateError::Syntax {
        file: chain_file.clone(),
        source,
    })?;
    let leaf = chain
        .first()
        .ok_or_else(|| CertificateError::NoCertificate(chain_file.clone()))?;
    let names = names(leaf).map_err(|reason| CertificateError::Certificate {
        file: chain_file.clone(),
        reason,
    })?;
    let text = zeroize::Zeroizing::new(read(key_file)?);
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|source| match source {
        pem::Error::NoItemsFound => CertificateError::NoKey(key_file.clone()),
        source => CertificateError::Syntax {
            file: key_file.clone(),
            source,
        },
    })?;
    let key = provider.key_provider.load_private_key(key);
    let key = key.map_err(|source| CertificateError::Key {
        file: key_file.clone(),
        source,
    })?;
    let certified = CertifiedKey::new(chain, key);
    certified
        .keys_match()
        .map_err(|_| CertificateError::Mismatch {
            chain: chain_file.clone(),
            key: key_file.clone(),
        })?;
    Ok((Arc::new(certified), names))
}

fn read(file: &Path) -> Result<Vec<u8>, CertificateError> {
    std::fs::read(file).map_err(|source| CertificateError::Read {
        file: file.to_owned(),
        source,
    })
}

/// The DNS names of a certificate, lower case.
fn names(leaf: &CertificateDer<'_>) -> Result<Vec<String>, String> {
    let leaf = webpki::EndEntityCert::try_from(leaf).map_err(|error| error.to_string())?;
    Ok(leaf
        .valid_dns_names()
        .map(str::to_ascii_lowercase)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn issue(&self, file: &str, names: &[&str]) -> CertificateFiles {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            let issued = rcgen::generate_simple_self_signed(names).unwrap();
            CertificateFiles {
                chain: self.write(&format!("{file}.pem"), &issued.cert.pem()),
                key: self.write(&format!("{file}.key"), &issued.signing_key.serialize_pem()),
            }
        }

        fn write(&self, file: &str, text: &str) -> PathBuf {
            let path = self.0.path().join(file);
            std::fs::write(&path, text).unwrap();
            path
        }
    }

    #[test]
    fn the_certificate_is_chosen_by_name() {
        let folder = Folder::new();
        let site = folder.issue("site", &["example.com", "*.Example.com"]);
        let api = folder.issue("api", &["api.example.com"]);
        let certificates = Certificates::load(&[site.clone(), api.clone()]).unwrap();
        let [site, api] = [site, api].map(|files| {
            let text = std::fs::read(files.chain).unwrap();
            CertificateDer::from_pem_slice(&text).unwrap()
        });
        for (name, expected) in [
            (Some("example.com"), &site),
            (Some("www.example.com"), &site),
            (Some("api.example.com"), &api),
            (Some("a.b.example.com"), &site),
            (Some("unknown.test"), &site),
            (None, &site),
        ] {
            assert_eq!(&certificates.choose(name).cert[0], expected, "{name:?}");
        }
        assert!(certificates.naming("a.b.example.com").is_none());
    }

    #[test]
    fn what_is_wrong_is_said_with_the_file() {
        let folder = Folder::new();
        let (a, b) = (
            folder.issue("a", &["a.test"]),
            folder.issue("b", &["b.test"]),
        );
        let text = folder.write("text.pem", "hello\n");
        let broken = folder.write("broken.pem", "-----BEGIN CERTIFICATE-----\n!\n");
        let missing = folder.0.path().join("missing.pem");
        for (chain, key, expected) in [
            (&missing, &a.key, "cannot read"),
            (&text, &a.key, "holds no certificate"),
            (&broken, &a.key, "broken.pem is not PEM"),
            (&a.chain, &text, "holds no private key"),
            (&a.chain, &missing, "missing.pem"),
            (&a.chain, &b.key, "b.key is not the key of the certificate"),
        ] {
            let files = CertificateFiles {
                chain: chain.clone(),
                key: key.clone(),
            };
            let error = Certificates::load(&[files]).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(Certificates::load(&[]).is_err());
    }
}
