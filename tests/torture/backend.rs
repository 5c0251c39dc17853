//! The servers behind the gateway: they judge each request that reaches them, and fail on command.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::findings::Findings;
use crate::suite::harness::body::{self, SendBody};
use crate::suite::harness::ports;
use crate::suite::harness::raw::Raw;

/// The header by which a client says which request this is; the answer must be made for it.
pub const TAG: &str = "x-tag";

/// The header by which a client says for whom the request may arrive: an account's id, or one of
/// the words below. It is the client's own knowledge of what its credential is worth.
pub const ENTITLED: &str = "x-entitled";

/// For nobody: the credential is none, forged, or that of a session that has ended.
pub const NOBODY: &str = "nobody";

/// For everybody, and then without a name: the route is public.
pub const ANYBODY: &str = "anybody";

/// Where nobody needs a credential.
const PUBLIC: [&str; 3] = ["/public/", "/limited/", "/extra/"];

/// How a backend treats its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Well,
    /// Nothing listens, and all connections are gone.
    Dead,
    /// Takes requests and answers none.
    Hung,
    /// Answers what is no HTTP, or stops being.
    Garbage,
    /// Begins good answers and breaks them off.
    Cut,
}

/// A backend on a port that stays its own.
pub struct Backend {
    port: u16,
    mood: watch::Sender<Mood>,
    task: tokio::task::JoinHandle<()>,
}

impl Backend {
    pub fn start(findings: &Arc<Findings>) -> Self {
        let port = ports::free();
        let (mood, watched) = watch::channel(Mood::Well);
        let task = tokio::spawn(run(port, watched, Arc::clone(findings)));
        Self { port, mood, task }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn set(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a request with this tag is answered, and what it carries when it has a body.
pub fn content(tag: &str) -> Bytes {
    let number: usize = tag.bytes().map(usize::from).sum();
    // Some fit into one segment, some into no buffer.
    let repeats = [1, 40, 900, 6000][number % 4];
    Bytes::from(format!("{tag}\n").repeat(repeats))
}

/// Serves in one mood after the other; each begins with new connections.
async fn run(port: u16, mut mood: watch::Receiver<Mood>, findings: Arc<Findings>) {
    loop {
        let now = *mood.borrow_and_update();
        if now == Mood::Dead {
            let _ = mood.changed().await;
            continue;
        }
        // Whoever else looks for a free port has this one for a moment.
        let listener = loop {
            match TcpListener::bind(("127.0.0.1", port)).await {
                Ok(listener) => break listener,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        let mut serving = JoinSet::new();
        loop {
            tokio::select! {
                _ = mood.changed() => break,
                Ok((stream, _)) = listener.accept() => {
                    serving.spawn(serve(stream, now, Arc::clone(&findings)));
                }
                Some(_) = serving.join_next() => {}
            }
        }
    }
}

async fn serve(stream: TcpStream, mood: Mood, findings: Arc<Findings>) {
    if mood == Mood::Garbage {
        return answer_garbage(stream, &findings).await;
    }
    let service = service_fn(move |request| {
        let findings = Arc::clone(&findings);
        async move { Ok::<_, Infallible>(answer(request, mood, &findings).await) }
    });
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let _ = connection.await;
}

async fn answer(request: Request<Incoming>, mood: Mood, findings: &Findings) -> Response<SendBody> {
    let (head, sent) = request.into_parts();
    judge(head.uri.path(), &head.headers, findings);
    let tag = tag_of(&head.headers);
    if head.uri.path().ends_with("/events") {
        return events(tag);
    }
    let has_body = head.method == "POST";
    if let Ok(sent) = sent.collect().await
        && has_body
        && sent.to_bytes() != content(&tag)
    {
        findings.wrong(format!("{tag}: a body arrived that was not sent"));
    }
    let answer = Response::builder().header(TAG, &tag);
    let content = content(&tag);
    match mood {
        Mood::Hung => std::future::pending().await,
        Mood::Cut => {
            let (pieces, body) = body::pieces();
            let answer = answer.header("content-length", content.len());
            tokio::spawn(async move {
                pieces.send(content.slice(..content.len() / 2)).await;
                pieces.break_off().await;
            });
            answer.body(body).unwrap()
        }
        Mood::Well | Mood::Dead | Mood::Garbage => answer.body(body::full(content)).unwrap(),
    }
}

/// An event stream that ends only when the gateway ends it.
fn events(tag: String) -> Response<SendBody> {
    let (pieces, body) = body::pieces();
    tokio::spawn(async move {
        let mut beat = tokio::time::interval(Duration::from_millis(100));
        while pieces.send(format!("data: {tag}\n\n")).await {
            beat.tick().await;
        }
    });
    let answer = Response::builder().header("content-type", "text/event-stream");
    answer.body(body).unwrap()
}

async fn answer_garbage(stream: TcpStream, findings: &Findings) {
    let mut raw = Raw::new(stream);
    let Some(head) = raw.read_head().await else {
        return;
    };
    let mut lines = head.lines();
    let path = lines.next().and_then(|line| line.split(' ').nth(1));
    let headers: HeaderMap = lines
        .filter_map(|line| {
            let (name, value) = line.split_once(": ")?;
            let name: HeaderName = name.parse().ok()?;
            Some((name, HeaderValue::from_str(value).ok()?))
        })
        .collect();
    judge(path.unwrap_or_default(), &headers, findings);
    let garbage: [&[u8]; 5] = [
        b"\x00\x01\x02\xff\xfe no HTTP at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
        b"HTTP/1.1 20",
    ];
    let number: usize = tag_of(&headers).bytes().map(usize::from).sum();
    let _ = raw.try_write(garbage[number % garbage.len()]).await;
}

/// Whether this request may be here, and says of its caller what is true.
fn judge(path: &str, headers: &HeaderMap, findings: &Findings) {
    let all = |wanted: &str| -> Vec<String> {
        let plain = |name: &HeaderName| name.as_str().replace('_', "-");
        let of_that_name = headers.iter().filter(|(name, _)| plain(name) == wanted);
        let values = of_that_name.map(|(_, value)| String::from_utf8_lossy(value.as_bytes()));
        values.map(std::borrow::Cow::into_owned).collect()
    };
    findings.arrived();
    let told = all("x-user-id");
    let entitled = all(ENTITLED).pop().unwrap_or_default();
    let is_public = PUBLIC.iter().any(|prefix| path.starts_with(prefix));
    let expected: &[&str] = match is_public {
        true => &[],
        false => &[entitled.as_str()],
    };
    if told != expected || (!is_public && [NOBODY, ANYBODY, ""].contains(&entitled.as_str())) {
        let tag = tag_of(headers);
        findings.wrong(format!(
            "{tag}: {path} arrived for {told:?}, entitled is {entitled:?}"
        ));
    }
    for name in [
        "x-user-email",
        "x-user-roles",
        "authorization",
        "x-auth-user",
    ] {
        for value in all(name) {
            if value.contains("forged") || is_public || name == "authorization" {
                findings.wrong(format!("{path}: {name}: {value} arrived"));
            }
        }
    }
}

fn tag_of(headers: &HeaderMap) -> String {
    let tag = headers.get(TAG).and_then(|tag| tag.to_str().ok());
    tag.unwrap_or("untagged").to_owned()
}
