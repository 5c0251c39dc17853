//! Where a request came from: what upstreams are told, and what nobody may make the gateway believe.

use super::harness::{Client, Config, Gateway, Upstream};

async fn app() -> (Upstream, Gateway) {
    let upstream = Upstream::echo().await;
    let gateway = Config::new().app(&upstream).start().await;
    (upstream, gateway)
}

#[tokio::test]
async fn forwarding_headers_of_an_untrusted_client_are_rebuilt() {
    let (upstream, gateway) = app().await;
    let mut call = gateway
        .https()
        .get("/public/a")
        .header("x-forwarded-for", "1.2.3.4");
    let evil = [
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-forwarded-uri",
        "x-forwarded-method",
        "x-forwarded-user",
        "x-forwarded-anything",
        "forwarded",
        "x-real-ip",
        "true-client-ip",
        "x-http-method-override",
        "x-original-url",
        "x-rewrite-url",
        "x-envoy-original-path",
    ];
    for name in evil {
        call = call.header(name, "evil");
    }
    call.send().await.expect(200);
    let received = upstream.last();
    assert_eq!(
        received.header("x-forwarded-for").as_deref(),
        Some("127.0.0.1")
    );
    assert_eq!(
        received.header("x-forwarded-proto").as_deref(),
        Some("https")
    );
    assert_eq!(
        received.header("x-forwarded-host"),
        Some(gateway.https().authority())
    );
    for name in evil {
        for value in received.values(name) {
            assert!(!value.contains("evil"), "{name}: {value}");
        }
    }
}

#[tokio::test]
async fn a_trusted_proxys_client_is_believed_and_an_untrusted_ones_is_not() {
    let upstream = Upstream::echo().await;
    let config = Config::new()
        .app(&upstream)
        .toml("[server]\ntrusted_proxies = [\"127.0.0.9/32\"]");
    let gateway = config.start().await;
    for (from, forwarded, expected) in [
        ("127.0.0.9", "203.0.113.7", "203.0.113.7"),
        ("127.0.0.9", "6.6.6.6, 203.0.113.7", "203.0.113.7"),
        ("127.0.0.9", "203.0.113.7, 127.0.0.9", "203.0.113.7"),
        ("127.0.0.8", "203.0.113.7", "127.0.0.8"),
    ] {
        let client = gateway.https().from(from);
        client
            .get("/public/a")
            .header("x-forwarded-for", forwarded)
            .send()
            .await
            .expect(200);
        assert_eq!(
            upstream.last().header("x-forwarded-for").as_deref(),
            Some(expected),
            "{from} {forwarded}"
        );
    }
}

#[tokio::test]
async fn an_unparsable_forwarded_for_hides_nobody() {
    let upstream = Upstream::echo().await;
    let config = Config::new()
        .app(&upstream)
        .toml("[server]\ntrusted_proxies = [\"127.0.0.0/8\"]");
    let gateway = config.start().await;
    for value in ["a", "", "1.2.3.4.5", "unknown", "::ffff:", "evil, , "] {
        gateway
            .https()
            .get("/hello")
            .header("x-forwarded-for", value)
            .send()
            .await
            .expect(401);
    }
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn no_user_agent_and_no_health_path_opens_a_protected_route() {
    let (upstream, gateway) = app().await;
    for path in [
        "/ping",
        "/healthz",
        "/health",
        "/metrics",
        "/robots.txt",
        "/readyz",
    ] {
        for agent in ["GoogleHC/1.0", "kube-probe/1.30", "ELB-HealthChecker/2.0"] {
            gateway
                .https()
                .get(path)
                .header("user-agent", agent)
                .send()
                .await
                .expect(401);
        }
    }
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn a_forwarded_proto_chooses_nothing() {
    let (upstream, gateway) = app().await;
    for proto in ["http", "https", "evil_protocol://", "wss"] {
        let client = gateway.https();
        client
            .get("/hello")
            .header("x-forwarded-proto", proto)
            .send()
            .await
            .expect(401);
        client
            .get("/public/a")
            .header("x-forwarded-proto", proto)
            .send()
            .await
            .expect(200);
        assert_eq!(
            upstream.last().header("x-forwarded-proto").as_deref(),
            Some("https")
        );
    }
}

#[tokio::test]
async fn only_the_network_of_a_client_is_what_its_socket_says() {
    let (upstream, gateway) = app().await;
    let client: Client = gateway.https().from("127.0.0.77");
    client
        .get("/public/a")
        .header("x-real-ip", "10.0.0.1")
        .send()
        .await
        .expect(200);
    assert_eq!(
        upstream.last().header("x-forwarded-for").as_deref(),
        Some("127.0.0.77")
    );
}
