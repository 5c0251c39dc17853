//! TLS towards upstreams: the system's authorities, or only those that the operator names.

use std::path::Path;
use std::sync::Arc;

use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio_rustls::TlsConnector;

use super::error::AuthoritiesError;
use crate::clock::Clock;

const HTTP_2: &[u8] = b"h2";
const HTTP_1: &[u8] = b"http/1.1";

/// How the servers of one upstream are believed. There is no way to believe any certificate.
pub(super) struct Tls {
    authorities: Arc<RootCertStore>,
    any: TlsConnector,
    http1: TlsConnector,
}

/// Which versions of HTTP a connection may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Versions {
    /// What the server likes best of HTTP/2 and HTTP/1.1.
    Any,
    /// HTTP/1.1: its connections can be switched to WebSocket.
    Http1,
}

impl Tls {
    /// Trusts the certificates in the PEM file `ca` and nothing else, or the system's authorities.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or names no authority.
    pub fn new(ca: Option<&Path>, clock: &Clock) -> Result<Self, AuthoritiesError> {
        let mut roots = RootCertStore::empty();
        match ca {
            Some(file) => {
                for certificate in read_certificates(file)? {
                    roots
                        .add(certificate)
                        .map_err(|e| AuthoritiesError::Invalid(file.to_owned(), e))?;
                }
            }
            None => {
                // What the system has that cannot be parsed is of no use, and no error of ours.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        let authorities = Arc::new(roots);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config =
            ClientConfig::builder_with_details(provider, Arc::new(WallTime(clock.clone())))
                .with_safe_default_protocol_versions()
                .map_err(AuthoritiesError::Tls)?
                .with_root_certificates(authorities.clone())
                .with_no_client_auth();
        config.alpn_protocols = vec![HTTP_1.to_vec()];
        let http1 = TlsConnector::from(Arc::new(config.clone()));
        config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1.to_vec()];
        Ok(Self {
            authorities,
            any: TlsConnector::from(Arc::new(config)),
            http1,
        })
    }

    pub fn connector(&self, versions: Versions) -> &TlsConnector {
        match versions {
            Versions::Any => &self.any,
            Versions::Http1 => &self.http1,
        }
    }

    pub fn trusts_the_same(&self, other: &Tls) -> bool {
        self.authorities.roots == other.authorities.roots
    }
}

/// Whether ALPN settled on HTTP/2.
pub(super) fn agreed_on_http2(protocol: Option<&[u8]>) -> bool {
    protocol == Some(HTTP_2)
}

fn read_certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, AuthoritiesError> {
    let read = |e| AuthoritiesError::Read(file.to_owned(), e);
    let certificates: Vec<_> = CertificateDer::pem_file_iter(file)
        .map_err(read)?
        .collect::<Result<_, _>>()
        .map_err(read)?;
    if certificates.is_empty() {
        return Err(AuthoritiesError::Empty(file.to_owned()));
    }
    Ok(certificates)
}

/// The program's clock, as rustls asks for it.
#[derive(Debug)]
struct WallTime(Clock);

impl TimeProvider for WallTime {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().seconds()).ok()?;
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(
            seconds,
        )))
    }
}
