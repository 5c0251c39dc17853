//! Full TLS handshakes, each with one request, as many as a number of clients can make.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::Outcome;
use super::client::Client;

/// Prints how many there were, and how many failed, as JSON.
pub async fn run(client: Client, within: Duration, clients: usize) -> Outcome {
    let client = Rc::new(client.speaking(b"http/1.1"));
    let until = Instant::now() + within;
    let (done, failed) = (Rc::new(Cell::new(0_u64)), Rc::new(Cell::new(0_u64)));
    let mut working = JoinSet::new();
    for _ in 0..clients {
        let (client, done, failed) = (Rc::clone(&client), Rc::clone(&done), Rc::clone(&failed));
        working.spawn_local(async move {
            while Instant::now() < until {
                let counter = if once(&client).await.is_ok() {
                    &done
                } else {
                    &failed
                };
                counter.set(counter.get() + 1);
            }
        });
    }
    while working.join_next().await.is_some() {}
    println!(
        r#"{{"requests":{},"sock_errors":{}}}"#,
        done.get(),
        failed.get()
    );
    Ok(())
}

async fn once(client: &Client) -> Outcome {
    let mut stream = client.connect().await?;
    client.ask(&mut stream, "Connection: close\r\n").await
}
