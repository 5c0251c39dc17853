//! Protocols, versions, certificates, resumption.

use rustls::HandshakeKind;
use rustls::NamedGroup;
use rustls::version::{TLS12, TLS13};

use super::*;

#[tokio::test]
async fn http2_and_http1_are_chosen_by_alpn() {
    let server = TestServer::start(Bounds::default());
    let one = server.http1().await.send_request(get("/hello")).await;
    let two = server.http2().await.send_request(get_h2("/hello")).await;
    for (response, version) in [(one, http::Version::HTTP_11), (two, http::Version::HTTP_2)] {
        let response = response.unwrap();
        assert_eq!(response.version(), version);
        assert_eq!(response.headers()["server-name"], "localhost");
        assert_eq!(response.headers()["scheme"], "https");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "hello");
    }
}

#[tokio::test]
async fn a_client_without_alpn_speaks_http1() {
    let server = TestServer::start(Bounds::default());
    let mut stream = server.tls(&[]).await;
    let request = b"GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = exchange(&mut stream, request).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test]
async fn both_versions_of_tls_are_spoken_unless_one_is_ruled_out() {
    for (oldest, version, expected) in [
        (OldestTls::Tls12, &TLS12, true),
        (OldestTls::Tls12, &TLS13, true),
        (OldestTls::Tls13, &TLS12, false),
        (OldestTls::Tls13, &TLS13, true),
    ] {
        let listeners = vec![listener(ListenerKind::Https)];
        let server = TestServer::with_tls(listeners, Bounds::default(), oldest);
        let config = ClientConfig::builder_with_provider(crate::server::tls::provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(server.trust())
            .with_no_client_auth();
        let stream = handshake(server.tcp().await, config, "localhost").await;
        assert_eq!(stream.is_ok(), expected, "{oldest:?} {version:?}");
    }
}

#[tokio::test]
async fn the_hybrid_key_exchange_is_agreed_on() {
    let server = TestServer::start(Bounds::default());
    let stream = server.tls(&[]).await;
    let group = stream.get_ref().1.negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name(), NamedGroup::X25519MLKEM768);
}

#[tokio::test]
async fn a_returning_client_resumes_its_session() {
    let server = TestServer::start(Bounds::default());
    for version in [&TLS12, &TLS13] {
        let config = ClientConfig::builder_with_provider(crate::server::tls::provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(server.trust())
            .with_no_client_auth();
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let tcp = server.tcp().await;
            let mut stream = handshake(tcp, config.clone(), "localhost").await.unwrap();
            // Tickets of TLS 1.3 come after the handshake.
            let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
            exchange(&mut stream, request).await;
            let kind = stream.get_ref().1.handshake_kind().unwrap();
            // The first flight of TLS 1.3 may need a retry for the hybrid's share.
            let full = kind != HandshakeKind::Resumed;
            assert_eq!(full, expected != HandshakeKind::Resumed, "{version:?}");
        }
    }
}

#[tokio::test]
async fn certificates_are_chosen_by_name_and_can_be_replaced() {
    let server = TestServer::start(Bounds::default());
    let issue = |name: &str| {
        let issued = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let at = |end: &str| server.folder.path().join(format!("{name}.{end}"));
        std::fs::write(at("pem"), issued.cert.pem()).unwrap();
        std::fs::write(at("key"), issued.signing_key.serialize_pem()).unwrap();
        let files = CertificateFiles {
            chain: at("pem"),
            key: at("key"),
        };
        (files, issued.cert.der().clone())
    };
    let ((a_files, a), (b_files, b)) = (issue("a.test"), issue("b.test"));
    server
        .tls
        .replace(Certificates::load(&[a_files, b_files]).unwrap());
    for (name, expected) in [("a.test", &a), ("b.test", &b), ("B.TEST", &b)] {
        let mut roots = RootCertStore::empty();
        roots.add(expected.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(crate::server::tls::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = handshake(server.tcp().await, config, name).await.unwrap();
        let shown = stream.get_ref().1.peer_certificates().unwrap();
        assert_eq!(&shown[0], expected, "{name}");
    }
    assert!(server.tls.covers("b.test") && !server.tls.covers("localhost"));
    assert!(server.tls.same_certificate(Some("a.test"), "a.test"));
    assert!(!server.tls.same_certificate(Some("a.test"), "b.test"));
}

#[tokio::test]
async fn a_client_that_does_not_speak_tls_is_closed() {
    let server = TestServer::start(Bounds::default());
    let mut tcp = server.tcp().await;
    let answer = exchange(&mut tcp, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(!answer.contains("HTTP"), "{answer}");
    server.emptied().await;
    assert_eq!(server.counters.handshake_failures.value(), 1);
}
