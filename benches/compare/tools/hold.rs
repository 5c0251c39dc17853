//! Opens connections, asks once on each, and keeps them until standard input ends.

use std::io;
use std::str::FromStr;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::Outcome;
use super::client::Client;

#[derive(Clone, Copy)]
pub enum Protocol {
    Http1,
    Http2,
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "h1" => Ok(Self::Http1),
            "h2" => Ok(Self::Http2),
            other => Err(format!("not a protocol: {other}")),
        }
    }
}

/// Prints `held` when all are open.
pub async fn run(client: Client, protocol: Protocol, count: usize) -> Outcome {
    match protocol {
        Protocol::Http1 => {
            let client = client.speaking(b"http/1.1");
            let mut held = Vec::with_capacity(count);
            for _ in 0..count {
                let mut stream = client.connect().await?;
                client.ask(&mut stream, "").await?;
                held.push(stream);
            }
            wait().await
        }
        Protocol::Http2 => {
            let client = client.speaking(b"h2");
            let mut held = Vec::with_capacity(count);
            for _ in 0..count {
                held.push(ask_http2(&client).await?);
            }
            wait().await
        }
    }
}

async fn ask_http2(
    client: &Client,
) -> Result<hyper::client::conn::http2::SendRequest<Empty<Bytes>>, Box<dyn std::error::Error>> {
    let stream = TokioIo::new(client.connect().await?);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await?;
    tokio::task::spawn_local(connection);
    let mut request = http::Request::get("https://127.0.0.1/small");
    if let Some(value) = &client.value {
        request = request.header(http::header::AUTHORIZATION, value);
    }
    let answer = sender.send_request(request.body(Empty::new())?).await?;
    let status = answer.status();
    answer.into_body().collect().await?;
    match status {
        http::StatusCode::OK => Ok(sender),
        other => Err(format!("answered with {other}").into()),
    }
}

async fn wait() -> Outcome {
    println!("held");
    // Apart, so that connections go on answering meanwhile.
    tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink())).await??;
    Ok(())
}
