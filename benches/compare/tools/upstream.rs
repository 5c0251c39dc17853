//! A backend that costs next to nothing: one thread, canned answers, HTTP/1.1.
//!
//! `GET /16k` has a body of 16 KiB, `GET /echo` the head that it got, anything else some 200 bytes of JSON.
//! `GET /count` tells how many of the others there were; it is asked directly, not through a proxy.

use std::cell::Cell;
use std::io;
use std::net::Ipv4Addr;
use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::Outcome;

/// Longest head that is read, in bytes.
const LONGEST: usize = 32 * 1024;
const QUEUE: u32 = 4096;

struct Answers {
    small: Vec<u8>,
    large: Vec<u8>,
    count: Cell<u64>,
}

pub async fn serve(port: u16) -> Outcome {
    let listener = listen(port)?;
    let answers = Rc::new(Answers {
        small: answer("application/json", &padded(200)),
        large: answer("application/json", &padded(16 * 1024)),
        count: Cell::new(0),
    });
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answers = Rc::clone(&answers);
        tokio::task::spawn_local(async move { converse(stream, &answers).await });
    }
}

fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
    socket.listen(QUEUE)
}

/// One request after the other: no client of ours pipelines.
async fn converse(mut stream: TcpStream, answers: &Answers) -> io::Result<()> {
    let mut head = Vec::with_capacity(4096);
    loop {
        head.clear();
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() > LONGEST || stream.read_buf(&mut head).await? == 0 {
                return Ok(());
            }
        }
        if head.starts_with(b"GET /count ") {
            let count = answers.count.get().to_string();
            stream
                .write_all(&answer("text/plain", count.as_bytes()))
                .await?;
            continue;
        }
        answers.count.set(answers.count.get() + 1);
        if head.starts_with(b"GET /16k ") {
            stream.write_all(&answers.large).await?;
        } else if head.starts_with(b"GET /echo ") {
            stream.write_all(&answer("text/plain", &head)).await?;
        } else {
            stream.write_all(&answers.small).await?;
        }
    }
}

fn answer(kind: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nCache-Control: no-store\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// JSON of this length.
fn padded(length: usize) -> Vec<u8> {
    let filler = "x".repeat(length.saturating_sub(r#"{"ok":""}"#.len()));
    format!(r#"{{"ok":"{filler}"}}"#).into_bytes()
}
