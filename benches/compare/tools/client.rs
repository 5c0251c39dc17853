//! A TLS client that does the same cryptography with every target and never resumes a session.

use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Outcome;

/// Calls one target.
pub struct Client {
    port: u16,
    connector: TlsConnector,
    /// Of the Authorization field.
    pub value: Option<String>,
}

impl Client {
    /// `roots` is the certificate that the target shows.
    pub fn new(
        port: u16,
        roots: &Path,
        value: Option<&str>,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let provider = CryptoProvider {
            cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
            kx_groups: vec![aws_lc_rs::kx_group::X25519],
            ..aws_lc_rs::default_provider()
        };
        let mut trusted = RootCertStore::empty();
        trusted.add(CertificateDer::from_pem_file(roots)?)?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(trusted)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(Self {
            port,
            connector: TlsConnector::from(Arc::new(config)),
            value: value.map(str::to_owned),
        })
    }

    /// The same, which speaks this protocol.
    pub fn speaking(self, protocol: &[u8]) -> Self {
        let mut config = ClientConfig::clone(self.connector.config());
        config.alpn_protocols = vec![protocol.to_vec()];
        Self {
            connector: TlsConnector::from(Arc::new(config)),
            ..self
        }
    }

    pub async fn connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::from(std::net::IpAddr::from([127, 0, 0, 1]));
        self.connector.connect(name, stream).await
    }

    /// One request of HTTP/1.1, with `fields` (whole lines) beside the usual ones; reads its answer.
    pub async fn ask(&self, stream: &mut TlsStream<TcpStream>, fields: &str) -> Outcome {
        let authorization = self.value.as_ref();
        let authorization = authorization.map(|value| format!("Authorization: {value}\r\n"));
        let head = format!(
            "GET /small HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{}{fields}\r\n",
            self.port,
            authorization.unwrap_or_default()
        );
        stream.write_all(head.as_bytes()).await?;
        let mut answer = Vec::with_capacity(1024);
        while !is_whole(&answer) {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err("the answer broke off".into());
            }
        }
        match answer.starts_with(b"HTTP/1.1 200 ") {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&answer).into()),
        }
    }
}

/// Whether head and body of the small answer are there: the body ends with the only `}`.
fn is_whole(answer: &[u8]) -> bool {
    answer.ends_with(b"}") || answer.ends_with(b"}\r\n0\r\n\r\n")
}
