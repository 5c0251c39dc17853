//! The stream against rustls's own client: every width of wire, and clients that break the protocol.

mod faults;
mod pieces;

use std::io;
use std::sync::Arc;

use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream as ClientStream;

use super::scratch::PIECE;
use super::stream::TlsStream;
use super::*;
use crate::server::dev_cert::DevCertificate;

/// A gateway's TLS, and what a client needs to believe it.
struct Both {
    tls: Tls,
    roots: RootCertStore,
}

type Server = TlsStream<DuplexStream>;
type Client = ClientStream<DuplexStream>;

impl Both {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let made = DevCertificate::make(folder.path(), &clock).unwrap();
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(made.ca).unwrap();
        roots.add(certificate).unwrap();
        let certificates = Certificates::load(&[made.files]).unwrap();
        let tls = Tls::new(certificates, OldestTls::Tls12, clock).unwrap();
        Self { tls, roots }
    }

    fn client_config(&self, version: &'static SupportedProtocolVersion) -> ClientConfig {
        ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth()
    }

    /// Both ends of a connection over a wire that holds `width` bytes, enough for all of a handshake.
    async fn connect(&self, config: ClientConfig, width: usize) -> (Server, Client) {
        let keep_server = async |server| server;
        self.join(config, width, keep_server, async |client| client)
            .await
    }

    /// What the two ends do over a wire that holds `width` bytes.
    async fn join<A, B>(
        &self,
        config: ClientConfig,
        width: usize,
        server: impl AsyncFnOnce(Server) -> A,
        client: impl AsyncFnOnce(Client) -> B,
    ) -> (A, B) {
        let (near, far) = duplex(width);
        let connecting = TlsConnector::from(Arc::new(config)).connect(name(), far);
        let serving = async { server(self.tls.accept(near).await.unwrap().stream).await };
        tokio::join!(serving, async { client(connecting.await.unwrap()).await })
    }
}

fn name() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

fn noise(length: usize) -> Vec<u8> {
    let bytes = (0_u32..).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]);
    bytes.take(length).collect()
}

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

#[tokio::test]
async fn everything_arrives_whatever_the_wire_holds() {
    let both = Both::new();
    for version in VERSIONS {
        for (width, length) in [
            (1, 5_000),
            (100, 200_000),
            (16_500, 500_000),
            (1 << 20, 1 << 20),
        ] {
            let config = both.client_config(version);
            let said = noise(length);
            let (server_heard, client_heard) = both
                .join(
                    config,
                    width,
                    async |server| exchange(server, &said).await,
                    async |client| exchange(client, &said).await,
                )
                .await;
            assert!(server_heard == said, "{version:?} {width}");
            assert!(client_heard == said, "{version:?} {width}");
        }
    }
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), said: &[u8]) -> io::Result<()> {
    stream.write_all(said).await?;
    stream.flush().await
}

/// Says `said` and then that it was all, while it hears the same of the other end.
async fn exchange(stream: impl AsyncRead + AsyncWrite, said: &[u8]) -> Vec<u8> {
    let (mut read, mut write) = tokio::io::split(stream);
    let mut heard = Vec::new();
    let saying = async {
        write.write_all(said).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let (_, read) = tokio::join!(saying, read.read_to_end(&mut heard));
    read.unwrap();
    heard
}

#[tokio::test]
async fn many_records_are_read_in_any_portions() {
    let both = Both::new();
    for version in VERSIONS {
        let config = both.client_config(version);
        let (mut server, mut client) = both.connect(config, 1 << 20).await;
        for piece in noise(3_000).chunks(17) {
            client.write_all(piece).await.unwrap();
        }
        client.flush().await.unwrap();
        let mut heard = Vec::new();
        for portion in (1..80).cycle() {
            let mut bytes = vec![0; portion];
            let count = server.read(&mut bytes).await.unwrap();
            assert!(count > 0);
            heard.extend_from_slice(&bytes[..count]);
            if heard.len() == 3_000 {
                break;
            }
        }
        assert!(heard == noise(3_000));
    }
}

#[tokio::test]
async fn parts_are_written_as_one() {
    let both = Both::new();
    let (mut server, mut client) = both.connect(both.client_config(&TLS13), 1 << 20).await;
    let said = noise(PIECE + 1_000);
    let (head, body) = said.split_at(300);
    let parts = [io::IoSlice::new(head), io::IoSlice::new(body)];
    assert_eq!(server.write_vectored(&parts).await.unwrap(), PIECE);
    let mut heard = vec![0; PIECE];
    client.read_exact(&mut heard).await.unwrap();
    assert!(heard == said[..PIECE]);
}

#[tokio::test]
async fn what_a_client_says_with_its_last_word_of_the_handshake_is_heard() {
    let both = Both::new();
    for version in VERSIONS {
        let (near, mut far) = duplex(1 << 20);
        let mut client = faults::client(&both, version);
        let talk = async {
            while client.is_handshaking() {
                faults::send(&mut client, &mut far).await;
                if client.is_handshaking() {
                    faults::hear(&mut client, &mut far).await;
                }
            }
            let mut last = faults::said(&mut client, b"");
            last.extend(faults::said(&mut client, b"at once"));
            far.write_all(&last).await.unwrap();
        };
        let (server, ()) = tokio::join!(both.tls.accept(near), talk);
        let mut heard = [0; 7];
        let mut stream = server.unwrap().stream;
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"at once", "{version:?}");
    }
}

#[tokio::test]
async fn a_handshake_in_the_smallest_records_is_put_together() {
    let both = Both::new();
    for version in VERSIONS {
        for width in [1, 50, 1 << 16] {
            let mut config = both.client_config(version);
            config.max_fragment_size = Some(32);
            let (server_heard, client_heard) = both
                .join(
                    config,
                    width,
                    async |server| exchange(server, &[7; 100]).await,
                    async |client| exchange(client, &[7; 100]).await,
                )
                .await;
            assert_eq!((server_heard, client_heard), (vec![7; 100], vec![7; 100]));
        }
    }
}

#[tokio::test]
async fn the_name_asked_for_is_told_in_lower_case() {
    let both = Both::new();
    let (near, far) = duplex(1 << 16);
    let connector = TlsConnector::from(Arc::new(both.client_config(&TLS13)));
    let name = ServerName::try_from("LocalHost").unwrap();
    let (server, client) = tokio::join!(both.tls.accept(near), connector.connect(name, far));
    client.unwrap();
    assert_eq!(server.unwrap().server_name.as_deref(), Some("localhost"));
}

#[tokio::test]
async fn a_session_that_is_resumed_tells_the_name_too() {
    let both = Both::new();
    for version in VERSIONS {
        let config = both.client_config(version);
        for resumed in [false, true] {
            let (near, far) = duplex(1 << 16);
            let connector = TlsConnector::from(Arc::new(config.clone()));
            let (server, client) =
                tokio::join!(both.tls.accept(near), connector.connect(name(), far));
            let (server, mut client) = (server.unwrap(), client.unwrap());
            let kind = client.get_ref().1.handshake_kind();
            assert_eq!(
                kind == Some(rustls::HandshakeKind::Resumed),
                resumed,
                "{version:?}"
            );
            assert_eq!(server.server_name.as_deref(), Some("localhost"));
            // The tickets are read with what comes first.
            let mut stream = server.stream;
            stream.write_all(b"x").await.unwrap();
            client.read_u8().await.unwrap();
        }
    }
}

#[tokio::test]
async fn either_side_may_end_while_the_other_goes_on() {
    let both = Both::new();
    let (mut server, mut client) = both.connect(both.client_config(&TLS13), 1 << 16).await;
    client.write_all(b"the last").await.unwrap();
    client.shutdown().await.unwrap();
    let mut heard = Vec::new();
    server.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"the last");
    assert_eq!(server.read(&mut [0; 10]).await.unwrap(), 0);
    server.write_all(b"an answer").await.unwrap();
    server.shutdown().await.unwrap();
    server.shutdown().await.unwrap();
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"an answer");
    let error = server.write_all(b"more").await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_owed_one_piece_at_most() {
    let both = Both::new();
    let (mut server, mut client) = both.connect(both.client_config(&TLS13), 1_000).await;
    let said = noise(1 << 20);
    let mut taken = 0;
    while let Some(count) = now_or_never(server.write(&said[taken..])).await {
        taken += count.unwrap();
    }
    assert_eq!(taken, PIECE);
    let hearing = async {
        let mut heard = vec![0; 1 << 20];
        client.read_exact(&mut heard).await.map(|_| heard)
    };
    let (wrote, heard) = tokio::join!(say(&mut server, &said[taken..]), hearing);
    wrote.unwrap();
    assert!(heard.unwrap() == said);
}

/// What `future` gives when it is polled once.
async fn now_or_never<F: Future>(future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| {
        std::task::Poll::Ready(match future.as_mut().poll(cx) {
            std::task::Poll::Ready(done) => Some(done),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test]
async fn an_idle_connection_holds_no_buffer() {
    let both = Both::new();
    let (mut server, mut client) = both.connect(both.client_config(&TLS13), 1_000).await;
    assert_eq!(server.held(), 0);
    let said = noise(100_000);
    let (_, read) = tokio::join!(say(&mut client, &said), async {
        let mut heard = vec![0; said.len()];
        server.read_exact(&mut heard).await
    });
    read.unwrap();
    let (_, read) = tokio::join!(say(&mut server, &said), async {
        let mut heard = vec![0; said.len()];
        client.read_exact(&mut heard).await
    });
    read.unwrap();
    assert_eq!(server.held(), 0);
}
