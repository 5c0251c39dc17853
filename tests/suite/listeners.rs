//! The doors: TLS in its versions and names, the redirect, the balancer's door, PROXY headers, the operator's.

use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};

use super::harness::certs::{authority, provider};
use super::harness::{Client, Config, Gateway, Upstream, ports, tokens};

async fn app() -> (Upstream, Gateway) {
    let upstream = Upstream::echo().await;
    let gateway = Config::new().app(&upstream).start().await;
    (upstream, gateway)
}

#[tokio::test]
async fn tls_1_2_and_1_3_are_spoken_with_both_protocols() {
    let (_upstream, gateway) = app().await;
    for version in [&TLS12, &TLS13] {
        for protocol in [&b"h2"[..], b"http/1.1"] {
            let mut roots = rustls::RootCertStore::empty();
            let pem = authority().pem();
            use rustls_pki_types::pem::PemObject;
            roots
                .add(rustls_pki_types::CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
                .unwrap();
            let config = rustls::ClientConfig::builder_with_provider(provider())
                .with_protocol_versions(&[version])
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
            let client = gateway.https().tls(|tls| *tls = config);
            let stream = client.handshake(&[protocol]).await.unwrap();
            let connection = stream.get_ref().1;
            assert_eq!(connection.protocol_version(), Some(version.version));
            assert_eq!(connection.alpn_protocol(), Some(protocol));
        }
    }
}

#[tokio::test]
async fn http2_is_preferred_and_http1_is_what_a_client_without_alpn_gets() {
    let (_upstream, gateway) = app().await;
    let stream = gateway
        .https()
        .handshake(&[b"http/1.1", b"h2"])
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let io = gateway.https().open(&[]).await.unwrap();
    let mut raw = super::harness::raw::Raw::new(io);
    raw.write("GET /public/a HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(raw.answer().await.status, 200);
    assert!(
        gateway.https().handshake(&[b"spdy/3"]).await.is_err(),
        "no protocol in common"
    );
}

#[tokio::test]
async fn the_hybrid_key_exchange_is_taken_by_clients_that_know_it() {
    let (_upstream, gateway) = app().await;
    let stream = gateway.https().handshake(&[b"h2"]).await.unwrap();
    let group = stream.get_ref().1.negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name(), rustls::NamedGroup::X25519MLKEM768);
}

#[tokio::test]
async fn a_second_connection_resumes_the_session_of_the_first() {
    let (_upstream, gateway) = app().await;
    let mut kinds = Vec::new();
    let client = gateway.https();
    for _ in 0..2 {
        // The same settings hold the tickets; an exchange makes sure that they have arrived.
        let stream = client.handshake(&[]).await.unwrap();
        kinds.push(stream.get_ref().1.handshake_kind().unwrap());
        let mut raw = super::harness::raw::Raw::new(stream);
        raw.write("GET /public/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await;
        raw.read_to_close().await;
    }
    assert_ne!(kinds[0], HandshakeKind::Resumed);
    assert_eq!(kinds[1], HandshakeKind::Resumed);
}

#[tokio::test]
async fn each_name_gets_its_own_certificate() {
    let upstream = Upstream::echo().await;
    let folder = tempfile::tempdir().unwrap();
    authority()
        .leaf(&["a.example.test"])
        .write(folder.path(), "a");
    authority()
        .leaf(&["*.b.example.test"])
        .write(folder.path(), "b");
    let config = Config::new().app(&upstream).toml(
        "[tls]\ncertificates = [{ cert = \"site.pem\", key = \"site.key\" }, \
         { cert = \"a.pem\", key = \"a.key\" }, { cert = \"b.pem\", key = \"b.key\" }]",
    );
    let gateway = config.start_in(folder).await;
    for name in ["a.example.test", "x.b.example.test", "localhost"] {
        // The client believes a certificate only for the name that it asked for.
        gateway
            .https()
            .host(name)
            .get("/public/a")
            .send()
            .await
            .expect(200);
    }
    assert!(
        gateway
            .https()
            .host("x.y.b.example.test")
            .handshake(&[b"h2"])
            .await
            .is_err()
    );
}

#[tokio::test]
async fn the_plain_door_only_redirects() {
    let upstream = Upstream::echo().await;
    let http = ports::free();
    let config = Config::new()
        .app(&upstream)
        .toml(&format!("[server]\nhttp = [\"127.0.0.1:{http}\"]"));
    let gateway = config.start().await;
    let client = Client::http(http);
    for (method, status) in [("GET", [301, 308]), ("POST", [308, 307])] {
        let answer = client
            .call(method, "/public/a?b=c")
            .bearer(&tokens::token("u-1"))
            .send()
            .await;
        assert!(
            status.contains(&answer.status.as_u16()),
            "{method}: {}",
            answer.status
        );
        assert_eq!(
            answer.header("location"),
            Some(gateway.https().url("/public/a?b=c").as_str())
        );
    }
    let evil = client
        .get("/public/a")
        .replace("host", "evil.test")
        .send()
        .await;
    assert!(
        !evil
            .header("location")
            .unwrap_or_default()
            .contains("evil.test"),
        "{:?}",
        evil.headers
    );
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn the_balancers_door_is_open_to_listed_networks_only() {
    let upstream = Upstream::echo().await;
    let port = ports::free();
    let config = Config::new()
        .app(&upstream)
        .toml(&format!("[server]\ntrusted_proxies = [\"127.0.0.9/32\"]\nbalancer = [{{ address = \"127.0.0.1:{port}\", from = [\"127.0.0.9/32\"] }}]"));
    let _gateway = config.start().await;
    let inside = Client::http(port).from("127.0.0.9");
    let call = inside
        .get("/public/a")
        .header("x-forwarded-for", "203.0.113.7")
        .header("x-forwarded-proto", "https");
    call.send().await.expect(200);
    assert_eq!(
        upstream.last().header("x-forwarded-for").as_deref(),
        Some("203.0.113.7")
    );
    assert_eq!(
        upstream.last().header("x-forwarded-proto").as_deref(),
        Some("https")
    );
    inside.get("/private").send().await.expect(401);
    let outside = Client::http(port)
        .from("127.0.0.8")
        .get("/public/a")
        .try_send()
        .await;
    assert!(outside.map_or(true, |answer| answer.status == 403));
}

/// A listener behind a balancer that speaks the PROXY protocol.
async fn proxied() -> (Upstream, Gateway, u16) {
    let upstream = Upstream::echo().await;
    let port = ports::free();
    let config = Config::new().app(&upstream).toml(&format!(
        "[server]\nhttps = [{{ address = \"127.0.0.1:{port}\", proxy_from = [\"127.0.0.9/32\"] }}]"
    ));
    let gateway = config.start().await;
    (upstream, gateway, port)
}

fn version_2(command: u8, source: [u8; 4]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([0x20 | command, 0x11, 0, 12]);
    header.extend(source);
    header.extend([127, 0, 0, 1, 0x10, 0x92, 0x01, 0xbb]);
    header
}

#[tokio::test]
async fn a_proxy_header_of_a_trusted_peer_names_the_client() {
    let (upstream, _gateway, port) = proxied().await;
    let client = Client::https(port).from("127.0.0.9");
    for (preamble, expected) in [
        (
            b"PROXY TCP4 203.0.113.7 127.0.0.1 4242 443\r\n".to_vec(),
            "203.0.113.7",
        ),
        (
            b"PROXY TCP6 2001:db8::7 ::1 4242 443\r\n".to_vec(),
            "2001:db8::7",
        ),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.9"),
        (version_2(1, [203, 0, 113, 8]), "203.0.113.8"),
        (version_2(0, [203, 0, 113, 8]), "127.0.0.9"),
    ] {
        client
            .clone()
            .preamble(preamble)
            .get("/public/a")
            .send()
            .await
            .expect(200);
        assert_eq!(
            upstream.last().header("x-forwarded-for").as_deref(),
            Some(expected)
        );
    }
}

#[tokio::test]
async fn a_proxy_header_is_required_where_it_is_configured_and_refused_elsewhere() {
    let (upstream, gateway, port) = proxied().await;
    let header = b"PROXY TCP4 203.0.113.7 127.0.0.1 4242 443\r\n".to_vec();
    let refused = [
        Client::https(port).from("127.0.0.9"),
        Client::https(port)
            .from("127.0.0.8")
            .preamble(header.clone()),
        Client::https(port)
            .from("127.0.0.9")
            .preamble(b"PROXY TCP4 evil\r\n".to_vec()),
        Client::https(port)
            .from("127.0.0.9")
            .preamble([b'P'; 300].to_vec()),
        gateway.https().preamble(header),
    ];
    for client in refused {
        assert!(client.get("/public/a").try_send().await.is_err());
    }
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn the_operators_door_is_read_only_and_not_public() {
    let (upstream, gateway) = app().await;
    let admin = gateway.admin();
    admin.get("/healthz").send().await.expect(200);
    admin.get("/readyz").send().await.expect(200);
    let metrics = admin.get("/metrics").send().await.expect(200);
    assert!(
        metrics.text().contains("# TYPE portcullis_"),
        "{}",
        metrics.text()
    );
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        for path in ["/healthz", "/metrics", "/users", "/v1/users", "/reload"] {
            let status = admin.call(method, path).send().await.status.as_u16();
            assert!(matches!(status, 404 | 405), "{method} {path}: {status}");
        }
    }
    for path in ["/healthz", "/readyz", "/metrics"] {
        gateway.https().get(path).send().await.expect(401);
    }
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn metrics_count_requests_without_a_label_for_each_path() {
    let (_upstream, gateway) = app().await;
    for n in 0..50 {
        gateway
            .https()
            .get(&format!("/public/{n}"))
            .send()
            .await
            .expect(200);
    }
    let metrics = gateway
        .admin()
        .get("/metrics")
        .send()
        .await
        .expect(200)
        .text();
    assert!(!metrics.contains("/public/7"), "{metrics}");
    assert!(
        metrics
            .lines()
            .any(|line| line.contains("requests") && line.ends_with(" 50")),
        "{metrics}"
    );
    assert!(metrics.lines().count() < 1000);
}

#[tokio::test]
async fn a_name_that_the_certificate_does_not_cover_is_misdirected() {
    let upstream = Upstream::echo().await;
    let folder = tempfile::tempdir().unwrap();
    authority()
        .leaf(&["a.example.test"])
        .write(folder.path(), "a");
    let config = Config::new()
        .upstream("app", &upstream)
        .route("/**", "upstream = \"app\"\nauth = \"none\"\nhost = \"a.example.test\"")
        .route("/**", "upstream = \"app\"\nauth = \"none\"\nhost = \"localhost\"")
        .toml("[tls]\ncertificates = [{ cert = \"site.pem\", key = \"site.key\" }, { cert = \"a.pem\", key = \"a.key\" }]");
    let gateway = config.start_in(folder).await;
    gateway
        .https()
        .host("a.example.test")
        .get("/x")
        .send()
        .await
        .expect(200);
    gateway
        .https()
        .host("a.example.test")
        .get("/x")
        .replace("host", "localhost")
        .send()
        .await
        .expect(421);
    gateway
        .https()
        .get("/x")
        .replace("host", "a.example.test")
        .send()
        .await
        .expect(421);
    gateway
        .https()
        .get("/x")
        .replace("host", "unknown.test")
        .send()
        .await
        .expect(404);
}
