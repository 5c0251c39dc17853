//! Servers behind TLS, believed by the operator's authority alone.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use super::super::{ConnectError, UpstreamError};
use super::*;

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A server with a certificate for `localhost` that speaks `speaks` and says its version.
    async fn backend(&self, speaks: Speaks) -> Backend {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![String::from("localhost")]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = match speaks {
            Speaks::Http1 => vec![b"http/1.1".to_vec()],
            Speaks::Http2 => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        };
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Backend::accept(move |stream| {
            let acceptor = acceptor.clone();
            async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let service = service_fn(|request: http::Request<Incoming>| async move {
                    let seen = format!("{:?} {}", request.version(), request.uri());
                    Ok::<_, Infallible>(whole(seen))
                });
                let io = TokioIo::new(stream);
                if http2 {
                    let builder = http2::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(io, service).await;
                } else {
                    let _ = http1::Builder::new().serve_connection(io, service).await;
                }
            }
        })
        .await
    }
}

fn bench(backend: &Backend, ca: PathBuf) -> Bench {
    let mut settings = settings(&[format!("https://localhost:{}", backend.port)]);
    settings.ca = Some(ca);
    // The certificates are of today: the clock must be too.
    let clock = Clock::system();
    Bench {
        upstream: Arc::new(Upstream::new(settings, clock.clone(), None).unwrap()),
        pools: Pools::new(),
        clock,
    }
}

#[tokio::test]
async fn the_version_is_what_alpn_agrees_on() {
    let authority = Authority::new();
    for (speaks, expected) in [
        (Speaks::Http1, String::from("HTTP/1.1 /a")),
        (
            Speaks::Http2,
            String::from("HTTP/2.0 https://localhost:PORT/a"),
        ),
    ] {
        let backend = authority.backend(speaks).await;
        let bench = bench(&backend, authority.file());
        let expected = expected.replace("PORT", &backend.port.to_string());
        for _ in 0..3 {
            assert_eq!(bench.fetch(get("/a")).await.1, expected);
        }
        assert_eq!(backend.connections(), 1);
    }
}

#[tokio::test]
async fn a_server_of_another_authority_is_not_believed() {
    let backend = Authority::new().backend(Speaks::Http1).await;
    let bench = bench(&backend, Authority::new().file());
    let error = bench.send(get("/")).await.err().unwrap();
    assert!(
        matches!(error, UpstreamError::Connect(_, ConnectError::Tls(_))),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_reload_with_another_authority_forgets_the_connections() {
    let authority = Authority::new();
    let backend = authority.backend(Speaks::Http1).await;
    let mut bench = bench(&backend, authority.file());
    bench.fetch(get("/")).await;
    let mut changed = bench.upstream.settings.clone();
    let same = Upstream::new(changed.clone(), bench.clock.clone(), Some(&bench.upstream));
    assert_eq!(same.unwrap().servers().next().unwrap().connects, 1);

    let other = Authority::new();
    changed.ca = Some(other.file());
    let reloaded = Upstream::new(changed, bench.clock.clone(), Some(&bench.upstream));
    bench.upstream = Arc::new(reloaded.unwrap());
    assert!(bench.send(get("/")).await.is_err());
}
