//! TLS as the listeners speak it: versions, protocols, resumption, and certificates that can be swapped.

mod backlog;
mod scratch;
mod session;
pub(super) mod stream;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, Ticketer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls_pki_types::UnixTime;
use tokio::io::{AsyncRead, AsyncWrite};

use self::stream::TlsStream;
use super::Certificates;
use crate::clock::Clock;

/// HTTP/2 by its ALPN name (RFC 9113 §3.1).
const H2: &[u8] = b"h2";
/// HTTP/1.1 by its ALPN name (RFC 7301 §6).
const HTTP_1_1: &[u8] = b"http/1.1";

/// What https listeners need. Clones share certificates.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    current: Arc<Current>,
}

/// A connection whose handshake is done.
pub(super) struct Accepted<T> {
    pub(super) stream: TlsStream<T>,
    /// The name that the client asked for (SNI), in lower case.
    pub(super) server_name: Option<Arc<str>>,
}

/// The oldest version of TLS that is still spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OldestTls {
    #[default]
    Tls12,
    Tls13,
}

#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be set up")]
pub struct TlsError(#[source] rustls::Error);

impl Tls {
    /// TLS with `certificates`, believing `clock` about the age of session tickets.
    pub fn new(
        certificates: Certificates,
        oldest: OldestTls,
        clock: Clock,
    ) -> Result<Self, TlsError> {
        let current = Arc::new(Current(ArcSwap::from_pointee(certificates)));
        let versions: &[_] = match oldest {
            OldestTls::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            OldestTls::Tls13 => &[&rustls::version::TLS13],
        };
        let time = Arc::new(WallTime(clock));
        let mut config = ServerConfig::builder_with_details(provider(), time)
            .with_protocol_versions(versions)
            .map_err(TlsError)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Asked::of(&current)));
        config.alpn_protocols = vec![H2.to_vec(), HTTP_1_1.to_vec()];
        // Sessions are resumed by tickets alone: nothing to hold for each client, and the keys change
        // every six hours. A ticket is bound to the name it was issued for.
        config.ticketer = Ticketer::new().map_err(TlsError)?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self {
            config: Arc::new(config),
            current,
        })
    }

    /// Does the handshake with the client at the other end of `socket`.
    pub(super) async fn accept<T>(&self, socket: T) -> io::Result<Accepted<T>>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let asked = Arc::new(Asked::of(&self.current));
        let mut config = ServerConfig::clone(&self.config);
        config.cert_resolver = Arc::<Asked>::clone(&asked);
        let stream = TlsStream::accept(socket, Arc::new(config)).await?;
        Ok(Accepted {
            stream,
            server_name: asked.name.get().cloned(),
        })
    }

    /// Handshakes from now on use `certificates`; connections that are open go on.
    pub fn replace(&self, certificates: Certificates) {
        self.current.0.store(Arc::new(certificates));
    }

    /// Whether a certificate names `host` (lower case, without a port).
    pub fn covers(&self, host: &str) -> bool {
        self.current.0.load().naming(host).is_some()
    }

    /// Whether a client that asked for `server_name` was shown the certificate that is right for `host`
    /// too; when not, a request for `host` on its connection is misdirected (RFC 9110 §15.5.20).
    pub fn same_certificate(&self, server_name: Option<&str>, host: &str) -> bool {
        let current = self.current.0.load();
        Arc::ptr_eq(current.choose(server_name), current.choose(Some(host)))
    }
}

/// aws-lc-rs, given explicitly everywhere: nothing depends on a process-wide default.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

#[derive(Debug)]
struct Current(ArcSwap<Certificates>);

/// Chooses the certificate of one handshake, and notes the name that it is chosen by: a session without
/// buffers does not tell it.
#[derive(Debug)]
struct Asked {
    current: Arc<Current>,
    name: OnceLock<Arc<str>>,
}

impl Asked {
    fn of(current: &Arc<Current>) -> Self {
        Self {
            current: Arc::clone(current),
            name: OnceLock::new(),
        }
    }
}

impl ResolvesServerCert for Asked {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // A client that is asked to say hello again asks for the same name: rustls sees to it.
        let name = hello.server_name().map(|name| {
            let lower = || Arc::from(name.to_ascii_lowercase());
            &**self.name.get_or_init(lower)
        });
        Some(Arc::clone(self.current.0.load().choose(name)))
    }
}

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
