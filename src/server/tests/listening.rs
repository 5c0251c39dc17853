//! Who may connect, by which listener, and what it is answered.

use ipnet::IpNet;

use super::*;

const REQUEST: &[u8] = b"GET /hello HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n";

fn networks(text: &str) -> Vec<IpNet> {
    vec![text.parse().unwrap()]
}

fn behind_proxy(kind: ListenerKind) -> Listener {
    Listener {
        proxy_from: Some(networks("127.0.0.0/8")),
        ..listener(kind)
    }
}

#[tokio::test]
async fn a_proxy_header_names_the_client() {
    let from = networks("127.0.0.0/8");
    let listeners = vec![behind_proxy(ListenerKind::Balancer { from })];
    let server = TestServer::with(listeners, Bounds::default());
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    v2.extend([203, 0, 113, 9, 10, 0, 0, 1, 0x9c, 0x40, 1, 0xbb]);
    for (header, expected) in [
        (
            &b"PROXY TCP4 203.0.113.7 10.0.0.1 40000 443\r\n"[..],
            "peer: 203.0.113.7:40000",
        ),
        (&v2, "peer: 203.0.113.9:40000"),
        (b"PROXY UNKNOWN\r\n", "peer: 127.0.0.1:"),
    ] {
        let mut tcp = server.tcp().await;
        let answer = exchange(&mut tcp, &[header, REQUEST].concat()).await;
        assert!(answer.contains(expected), "{answer}");
        assert!(answer.contains("scheme: https"), "{answer}");
    }
}

#[tokio::test]
async fn a_proxy_header_comes_before_tls() {
    let server = TestServer::with(vec![behind_proxy(ListenerKind::Https)], Bounds::default());
    let mut tcp = server.tcp().await;
    tcp.write_all(b"PROXY TCP6 2001:db8::7 ::1 40000 443\r\n")
        .await
        .unwrap();
    let config = server.client(&[]);
    let mut stream = handshake(tcp, config, "localhost").await.unwrap();
    let answer = exchange(&mut stream, REQUEST).await;
    assert!(answer.contains("peer: [2001:db8::7]:40000"), "{answer}");
}

#[tokio::test]
async fn a_proxy_header_is_required_or_absent_and_never_guessed() {
    let from = networks("127.0.0.0/8");
    let plain = ListenerKind::Balancer { from };
    let with = TestServer::with(vec![behind_proxy(plain.clone())], Bounds::default());
    for wrong in [
        &b"PROXY TCP4 garbage\r\n"[..],
        b"\r\n\r\n\0\r\nQUIT\n\x99\x11\0\x00",
        b"",
    ] {
        let mut tcp = with.tcp().await;
        let answer = exchange(&mut tcp, &[wrong, REQUEST].concat()).await;
        assert!(!answer.contains("200"), "{answer}");
    }
    with.emptied().await;
    assert_eq!(with.counters.proxy_failures.value(), 3);

    let without = TestServer::with(vec![listener(plain)], Bounds::default());
    let mut tcp = without.tcp().await;
    let header = &b"PROXY TCP4 203.0.113.7 10.0.0.1 40000 443\r\n"[..];
    let answer = exchange(&mut tcp, &[header, REQUEST].concat()).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn only_listed_networks_use_a_balancers_listener() {
    for (mut plan, expected) in [
        (
            listener(ListenerKind::Balancer {
                from: networks("127.0.0.0/8"),
            }),
            true,
        ),
        (
            listener(ListenerKind::Balancer {
                from: networks("10.0.0.0/8"),
            }),
            false,
        ),
        (listener(ListenerKind::Redirect), false),
    ] {
        if matches!(plan.kind, ListenerKind::Redirect) {
            plan.proxy_from = Some(networks("10.0.0.0/8"));
        }
        let server = TestServer::with(vec![plan], Bounds::default());
        let answer = exchange(&mut server.tcp().await, REQUEST).await;
        assert_eq!(answer.starts_with("HTTP/1.1 200"), expected, "{answer}");
        let refused = server.counters.refused_network.value();
        assert_eq!(refused, u64::from(!expected));
    }
}

#[tokio::test]
async fn the_plain_listener_redirects_and_does_nothing_else() {
    let listeners = vec![
        listener(ListenerKind::Redirect),
        listener(ListenerKind::Https),
    ];
    let server = TestServer::with(listeners, Bounds::default());
    let port = server.addresses[1].port();
    let request = b"POST /a?b HTTP/1.1\r\nHost: localhost:80\r\nConnection: close\r\n\r\n";
    let answer = exchange(&mut server.tcp().await, request).await;
    assert!(answer.starts_with("HTTP/1.1 308"), "{answer}");
    let location = format!("location: https://localhost:{port}/a?b\r\n");
    assert!(answer.contains(&location), "{answer}");
    assert_eq!(server.gate.served.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn one_address_cannot_take_all_connections() {
    let server = TestServer::start(Bounds {
        connections_per_address: 2,
        ..Bounds::default()
    });
    let _held = [server.tls(&[]).await, server.tls(&[]).await];
    assert_eq!(read_to_end(&mut server.tcp().await).await, "");
    assert_eq!(server.counters.refused_address.value(), 1);
}

#[tokio::test]
async fn clients_behind_one_balancer_are_counted_each() {
    let from = networks("127.0.0.0/8");
    let server = TestServer::with(
        vec![behind_proxy(ListenerKind::Balancer { from })],
        Bounds {
            connections_per_address: 1,
            ..Bounds::default()
        },
    );
    let mut held = Vec::new();
    for (client, expected) in [("203.0.113.1", "hello"), ("203.0.113.2", "hello")] {
        let mut tcp = server.tcp().await;
        let header = format!("PROXY TCP4 {client} 10.0.0.1 1 2\r\n");
        let request = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";
        tcp.write_all(format!("{header}{request}").as_bytes())
            .await
            .unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(expected.as_bytes()) {
            assert!(within(tcp.read_buf(&mut answer)).await.unwrap() > 0);
        }
        held.push(tcp);
    }
    let mut third = server.tcp().await;
    let answer = exchange(&mut third, b"PROXY TCP4 203.0.113.1 10.0.0.1 1 2\r\n").await;
    assert_eq!(answer, "");
    assert_eq!(server.counters.refused_address.value(), 1);
}

#[tokio::test]
async fn all_connections_together_are_bounded() {
    let server = TestServer::start(Bounds {
        connections: 1,
        ..Bounds::default()
    });
    let _held = server.tls(&[]).await;
    assert_eq!(read_to_end(&mut server.tcp().await).await, "");
    assert_eq!(server.counters.refused_full.value(), 1);
}

#[tokio::test]
async fn connections_go_to_the_worker_with_the_fewest() {
    let server = TestServer::start(Bounds::default());
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(server.tls(&[]).await);
    }
    let loads = server.running.workers.mailboxes();
    assert!(loads.iter().all(|to| to.load.open() == 2));
}

fn settings_for(address: Address) -> Settings {
    Settings {
        listeners: vec![Listener {
            address,
            ..listener(ListenerKind::Redirect)
        }],
        tls: None,
        public_url: None,
        bounds: Bounds::default(),
        proxies: Vec::new(),
    }
}

#[tokio::test]
async fn a_port_in_use_is_said_in_one_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let bound = bind(
        settings_for(Address::Tcp(address)),
        &mut Inherited::default(),
    );
    let error = bound.err().unwrap().to_string();
    let expected = format!("cannot listen on {address}: the port is in use by another process");
    assert_eq!(error, expected);
}

#[tokio::test]
async fn https_without_a_certificate_is_refused() {
    let mut settings = settings_for(Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))));
    settings.listeners[0].kind = ListenerKind::Https;
    let error = bind(settings, &mut Inherited::default()).err().unwrap();
    assert!(error.to_string().contains("no certificate"), "{error}");
}

#[tokio::test]
async fn listeners_that_were_passed_in_are_taken_by_name() {
    let passed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = passed.local_addr().unwrap();
    let mut inherited = Inherited::from(vec![(String::from("plain"), passed)]);
    let named = |name: &str| settings_for(Address::Inherited(name.to_owned()));
    let error = bind(named("web"), &mut inherited).err().unwrap();
    assert!(error.to_string().contains("`web`"), "{error}");
    let bound = bind(named("plain"), &mut inherited).unwrap();
    assert_eq!(bound.addresses(), [address]);
    assert_eq!(inherited.names().count(), 0);
}

#[tokio::test]
async fn the_system_asks_silent_clients_whether_they_are_still_there() {
    let passed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut inherited = Inherited::from(vec![(String::from("plain"), passed)]);
    let own = SocketAddr::from(([127, 0, 0, 1], 0));
    for from in [Address::Tcp(own), Address::Inherited(String::from("plain"))] {
        let bound = bind(settings_for(from), &mut inherited).unwrap();
        let server = bound.addresses()[0];
        let client = std::net::TcpStream::connect(server).unwrap();
        let client = client.local_addr().unwrap();
        let within = keepalive_of(server.port(), client.port()).unwrap();
        assert!(within <= Duration::from_secs(60), "{within:?}");
    }
}

/// When the system will ask the client on the one port from the other, if it will.
fn keepalive_of(server: u16, client: u16) -> Option<Duration> {
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let ports = [format!(":{server:04X}"), format!(":{client:04X}")];
    let mut rows = sockets.lines().map(|row| row.split_whitespace().collect());
    let row: Vec<&str> =
        rows.find(|row: &Vec<&str>| row[1].ends_with(&ports[0]) && row[2].ends_with(&ports[1]))?;
    // 2 is the timer for this; hundredths of a second are left.
    let left = row[5].strip_prefix("02:")?;
    let left = u64::from_str_radix(left, 16).unwrap();
    Some(Duration::from_millis(left * 10))
}

#[tokio::test]
async fn workers_answer_the_watchdog() {
    let server = TestServer::start(Bounds::default());
    assert!(server.running.pulse().beats(PATIENCE).await);
}
