//! What happens to connections when the server is told to stop.

use super::*;

/// A drain that gives idle connections no time.
fn hasty() -> Bounds {
    Bounds {
        drain_grace: Duration::from_millis(50),
        ..Bounds::default()
    }
}

/// Drains, and returns as soon as every worker knows of it.
async fn begin_to_drain(server: TestServer) -> tokio::task::JoinHandle<Drained> {
    let (address, pulse) = (server.addresses[0], server.running.pulse());
    let draining = tokio::spawn(server.running.drain());
    // The listener is closed after the workers were told, and they answer one thing after the other.
    within(async { while TcpStream::connect(address).await.is_ok() {} }).await;
    assert!(pulse.beats(PATIENCE).await);
    draining
}

#[tokio::test]
async fn idle_connections_are_closed_and_nothing_is_cut() {
    let server = TestServer::start(hasty());
    let mut one = server.http1().await;
    one.send_request(get("/hello")).await.unwrap();
    let mut two = server.http2().await;
    two.send_request(get_h2("/hello")).await.unwrap();
    let drained = within(server.running.drain()).await;
    assert_eq!(drained, Drained { cut: 0 });
}

#[tokio::test]
async fn requests_under_way_are_answered_and_their_connections_closed() {
    let server = TestServer::start(hasty());
    let (mut one, mut two) = (server.http1().await, server.http2().await);
    let held = tokio::spawn(async move {
        let one = one.send_request(get("/hold"));
        let two = two.send_request(get_h2("/hold"));
        let (one, two) = tokio::join!(one, two);
        (one.unwrap(), two.unwrap())
    });
    server.begun(2).await;
    let gate = server.gate.clone();
    let draining = begin_to_drain(server).await;
    gate.open.send_replace(true);
    let (one, two) = within(held).await.unwrap();
    assert_eq!(one.headers()["connection"], "close");
    assert_eq!(one.into_body().collect().await.unwrap().to_bytes(), "held");
    assert_eq!(two.into_body().collect().await.unwrap().to_bytes(), "held");
    assert_eq!(within(draining).await.unwrap(), Drained { cut: 0 });
}

#[tokio::test]
async fn a_request_that_comes_in_the_grace_is_answered() {
    let server = TestServer::start(Bounds {
        drain_grace: PATIENCE,
        drain_time: PATIENCE,
        ..Bounds::default()
    });
    let mut one = server.http1().await;
    one.send_request(get("/hello"))
        .await
        .unwrap()
        .into_body()
        .collect()
        .await
        .unwrap();
    let draining = begin_to_drain(server).await;
    one.ready().await.unwrap();
    let late = one.send_request(get("/hello")).await.unwrap();
    assert_eq!(late.headers()["connection"], "close");
    drop(late);
    assert_eq!(within(draining).await.unwrap(), Drained { cut: 0 });
}

#[tokio::test]
async fn what_does_not_end_is_cut_at_the_bound() {
    let server = TestServer::start(Bounds {
        drain_time: Duration::from_millis(150),
        ..hasty()
    });
    let mut one = server.http1().await;
    let held = tokio::spawn(async move { one.send_request(get("/hold")).await });
    server.begun(1).await;
    let drained = within(server.running.drain()).await;
    assert_eq!(drained, Drained { cut: 1 });
    assert!(within(held).await.unwrap().is_err());
}
