//! Clients that behave badly: nothing is expected for them, only that it costs nobody else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::backend::{ANYBODY, ENTITLED, TAG};
use super::dice::Dice;
use super::world::World;
use crate::suite::harness::Client;

/// Longer than the gateway bears any of it: `handshake_timeout` and `header_timeout` are 10 s.
const BORNE: Duration = Duration::from_secs(20);

/// Does one rude thing after the other.
pub async fn misbehave(world: Arc<World>, mut dice: Dice) {
    while world.goes_on() {
        let node = dice.below(3);
        let from = format!("127.8.{}.{}", dice.below(250), dice.below(250) + 1);
        let client = world.nodes[node].https.clone().from(&from);
        let (what, rudeness) = match dice.below(7) {
            0 => ("resets", timeout(BORNE, reset(client)).await.is_ok()),
            1 => (
                "half-closes",
                timeout(BORNE, half_close(client)).await.is_ok(),
            ),
            2 => (
                "slow heads",
                timeout(BORNE, send_slowly(client)).await.is_ok(),
            ),
            3 => (
                "unread answers",
                timeout(BORNE, leave(client)).await.is_ok(),
            ),
            4 => (
                "garbage",
                timeout(BORNE, send_garbage(client)).await.is_ok(),
            ),
            5 => (
                "broken uploads",
                timeout(BORNE, break_off(client)).await.is_ok(),
            ),
            _ => ("bursts", timeout(BORNE, burst(&client)).await.is_ok()),
        };
        if !rudeness {
            world.findings.count("rude clients that gave up");
        }
        world.findings.count(what);
        pause(Duration::from_millis(100)).await;
    }
}

async fn pause(length: Duration) {
    tokio::time::sleep_until((Instant::now() + length).into()).await;
}

fn head(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nhost: localhost\r\n{TAG}: rude\r\n{ENTITLED}: {ANYBODY}\r\n{more}\r\n"
    )
}

/// Resets the connection in the middle of a request, or of its answer.
async fn reset(client: Client) {
    let Ok(mut stream) = client.handshake(&[b"http/1.1"]).await else {
        return;
    };
    let _ = stream.write_all(head("/public/x", "").as_bytes()).await;
    let _ = stream.flush().await;
    // Closed with nothing sent after it: the kernel answers what comes with RST.
    let _ = stream.get_ref().0.set_zero_linger();
}

/// Says that nothing more will come, and waits for the answer or the end.
async fn half_close(client: Client) {
    let Ok(mut stream) = client.handshake(&[b"http/1.1"]).await else {
        return;
    };
    let _ = stream.write_all(head("/public/x", "").as_bytes()).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
}

/// An octet now and then, until the gateway has had enough.
async fn send_slowly(client: Client) {
    let Ok(stream) = client.handshake(&[b"http/1.1"]).await else {
        return;
    };
    let (mut reader, mut writer) = tokio::io::split(stream);
    let slow = async {
        for octet in head("/public/x", "").repeat(10).bytes() {
            if writer.write_all(&[octet]).await.is_err() || writer.flush().await.is_err() {
                return;
            }
            pause(Duration::from_millis(300)).await;
        }
    };
    let mut answer = Vec::new();
    tokio::select! {
        () = slow => {}
        _ = reader.read_to_end(&mut answer) => {}
    }
}

/// Asks for much, reads none of it, and goes away.
async fn leave(client: Client) {
    let Ok(mut stream) = client.handshake(&[b"http/1.1"]).await else {
        return;
    };
    for _ in 0..20 {
        let request = head("/public/x", "").replace("rude", "t00000000c");
        if stream.write_all(request.as_bytes()).await.is_err() {
            return;
        }
    }
    let _ = stream.flush().await;
    pause(Duration::from_secs(2)).await;
}

/// What is no TLS, or no HTTP within it.
async fn send_garbage(client: Client) {
    let garbage: Vec<u8> = (0..4000_u32).map(|n| (n * 7 % 251) as u8).collect();
    if let Ok(mut stream) = client.tcp().await {
        let _ = stream.write_all(&garbage).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
    }
    for alpn in [&b"http/1.1"[..], b"h2"] {
        if let Ok(mut stream) = client.handshake(&[alpn]).await {
            let _ = stream.write_all(&garbage).await;
            let _ = stream.flush().await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
        }
    }
}

/// Announces a body and goes away in the middle of it.
async fn break_off(client: Client) {
    let Ok(mut stream) = client.handshake(&[b"http/1.1"]).await else {
        return;
    };
    let request = head("/public/x", "content-length: 100000\r\n").replace("GET", "POST");
    let _ = stream.write_all(request.as_bytes()).await;
    let _ = stream.write_all(&[b'x'; 3000]).await;
    let _ = stream.flush().await;
    pause(Duration::from_millis(500)).await;
}

/// Many connections at once, most of which only stand there.
async fn burst(client: &Client) {
    let mut all = JoinSet::new();
    for number in 0..100 {
        let client = client.clone();
        all.spawn(async move {
            if number % 4 == 0 {
                let _stream = client.tcp().await;
                pause(Duration::from_secs(1)).await;
            } else if let Ok(mut stream) = client.handshake(&[b"http/1.1"]).await {
                let _ = stream.write_all(head("/public/x", "").as_bytes()).await;
                let _ = stream.flush().await;
                let mut answer = [0; 1024];
                let _ = stream.read(&mut answer).await;
            }
        });
    }
    all.join_all().await;
}
