//! A small backend that answers with what reached it: the demo's stand-in for a real one.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Map, Value, json};

/// After a failed accept.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Starts the backend on a free port of the loopback address, on a thread of its own that lives as
/// long as the process; answers where it listens.
///
/// # Errors
/// No port, runtime or thread can be had.
pub fn start() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    thread::Builder::new()
        .name(String::from("echo"))
        .spawn(move || runtime.block_on(serve(listener)))?;
    Ok(address)
}

async fn serve(listener: TcpListener) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the echo backend cannot listen");
            return;
        }
    };
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(BACK_OFF).await;
            continue;
        };
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service_fn(answer));
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the echo backend broke off");
            }
        });
    }
}

async fn answer(req: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, mut body) = req.into_parts();
    // The rest of the body is read, or the connection could not be used again.
    while let Some(Ok(_)) = body.frame().await {}
    let told = json!({
        "method": head.method.as_str(),
        "target": head.uri.to_string(),
        "headers": headers(&head.headers),
    });
    let mut res = Response::new(Full::new(Bytes::from(format!("{told:#}\n"))));
    res.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    Ok(res)
}

/// Each name with its value, or with the list of its values when it came more than once.
fn headers(map: &HeaderMap) -> Map<String, Value> {
    let text = |value: &HeaderValue| Value::from(String::from_utf8_lossy(value.as_bytes()));
    map.keys()
        .map(|name| {
            let mut values: Vec<Value> = map.get_all(name).iter().map(text).collect();
            let value = match (values.pop(), values.is_empty()) {
                (Some(only), true) => only,
                (Some(last), false) => {
                    values.push(last);
                    Value::from(values)
                }
                (None, _) => Value::Null,
            };
            (String::from(name.as_str()), value)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn the_backend_tells_what_reached_it() {
        let mut stream = TcpStream::connect(start().unwrap()).unwrap();
        stream
            .write_all(
                b"POST /a?b=1 HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nX-A: 2\r\n\
                  Content-Length: 2\r\nConnection: close\r\n\r\nhi",
            )
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        let told: Value = serde_json::from_str(body).unwrap();
        assert_eq!(told["method"], "POST");
        assert_eq!(told["target"], "/a?b=1");
        assert_eq!(told["headers"]["host"], "x");
        assert_eq!(told["headers"]["x-a"], json!(["1", "2"]));
    }
}
