//! What a request leaves in the log and in the numbers.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde_json::Value;

use super::*;
use crate::body::Body;
use crate::clock::Timestamp;
use crate::inbound::{Peer, RequestIds, Scheme};

#[derive(Debug, thiserror::Error)]
#[error("outer")]
struct Outer(#[source] Inner);

#[derive(Debug, thiserror::Error)]
#[error("inner")]
struct Inner;

struct Bench {
    log: AccessLog,
    metrics: Metrics,
    clock: Clock,
    recorder: Arc<Recorder>,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        Self::writing_to(path, folder)
    }

    fn writing_to(path: PathBuf, folder: tempfile::TempDir) -> Self {
        let clock = Clock::manual(Timestamp::from_seconds(1_000));
        let metrics = Metrics::new(&clock);
        let settings = AccessSettings {
            destination: Destination::File(path.clone()),
            query: QueryLogging::Omit,
        };
        let log = AccessLog::start(settings, &clock, &metrics).unwrap();
        let recorder = Recorder::new(&log, &metrics, &clock);
        Self {
            log,
            metrics,
            clock,
            recorder,
            path,
            _folder: folder,
        }
    }

    fn begin(&self, method: Method) -> AccessEntry {
        let peer = Peer {
            address: SocketAddr::from(([192, 0, 2, 7], 4711)),
            scheme: Scheme::Https,
            server_name: None,
        };
        let req = Request::builder()
            .method(method)
            .uri("/v1/graph/ws?token=s3cret-in-query")
            .header("host", "api.example.com")
            .header("authorization", "Bearer s3cret-in-header")
            .header("cookie", "session=s3cret-in-cookie")
            .header("user-agent", "curl/8\" \n".trim_end())
            .body(())
            .unwrap();
        AccessEntry::begin(&self.recorder, RequestIds::new().next(), &peer, &req)
    }

    /// Ends the log and gives its lines.
    fn lines(self) -> Vec<Value> {
        drop(self.log);
        read_lines(&self.path)
    }
}

fn read_lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    assert!(!text.contains("s3cret"), "{text}");
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn answer(body: &'static str) -> Response<Body> {
    Response::new(Body::from(Bytes::from_static(body.as_bytes())))
}

#[test]
fn one_request_is_one_line_without_its_credentials() {
    let bench = Bench::new();
    let entry = bench.begin(Method::GET);
    bench.clock.advance(std::time::Duration::from_millis(12));
    entry.answered(&mut answer("hello"));
    let metrics = bench.metrics.clone();
    let lines = bench.lines();
    assert_eq!(lines.len(), 1);
    let line = &lines[0];
    assert_eq!(line["time"], "1970-01-01T00:16:40.012Z");
    assert_eq!(line["client"], "192.0.2.7");
    assert_eq!(line["host"], "api.example.com");
    assert_eq!(line["path"], "/v1/graph/ws");
    assert_eq!(line["agent"], "curl/8\"");
    assert_eq!(line["status"], 200);
    assert_eq!(line["bytes"], 5);
    assert_eq!(line["duration_ms"], 12.0);
    assert_eq!(line.get("ended"), None);
    assert!(
        metrics
            .render()
            .contains("portcullis_requests_total{route=\"none\",class=\"2xx\"} 1\n")
    );
}

#[test]
fn an_answer_to_head_has_no_bytes() {
    let bench = Bench::new();
    bench.begin(Method::HEAD).answered(&mut answer("hello"));
    assert_eq!(bench.lines()[0]["bytes"], 0);
}

#[test]
fn a_client_that_hangs_up_is_accounted_for() {
    let bench = Bench::new();
    drop(bench.begin(Method::GET));
    let lines = bench.lines();
    assert_eq!(lines[0]["status"], 499);
    assert_eq!(lines[0]["ended"], "abandoned");
}

#[test]
fn a_refusal_names_its_word_and_its_causes() {
    let bench = Bench::new();
    let mut entry = bench.begin(Method::POST);
    entry.rejected("token_expired", &Outer(Inner));
    let mut res = answer("no");
    *res.status_mut() = StatusCode::UNAUTHORIZED;
    entry.answered(&mut res);
    let metrics = bench.metrics.clone();
    let lines = bench.lines();
    assert_eq!(lines[0]["rejection"], "token_expired");
    assert_eq!(lines[0]["cause"], "outer: inner");
    assert!(
        metrics
            .render()
            .contains("portcullis_rejections_total{reason=\"token_expired\"} 1\n")
    );
}

#[test]
fn a_renamed_file_is_left_alone_after_reopening() {
    let bench = Bench::new();
    let rotated = bench.path.with_extension("1");
    fs::rename(&bench.path, &rotated).unwrap();
    bench.log.reopen();
    bench.begin(Method::GET).answered(&mut answer("hello"));
    let path = bench.path.clone();
    let folder = bench._folder;
    drop(bench.log);
    assert_eq!(read_lines(&path).len() + read_lines(&rotated).len(), 1);
    assert!(path.exists());
    drop(folder);
}

#[test]
fn a_disk_that_is_full_costs_lines_and_is_counted() {
    let bench = Bench::writing_to("/dev/full".into(), tempfile::tempdir().unwrap());
    bench.begin(Method::GET).answered(&mut answer("hello"));
    drop(bench.log);
    assert!(
        bench
            .metrics
            .counted(crate::telemetry::Event::AccessLineDropped)
            >= 1
    );
}

#[test]
fn a_disk_that_was_full_holds_how_many_lines_were_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let bench = Bench::writing_to(path.clone(), folder);
    bench.begin(Method::GET).answered(&mut answer("hello"));
    let lost = || {
        bench
            .metrics
            .counted(crate::telemetry::Event::AccessLineDropped)
    };
    while lost() == 0 {
        std::thread::yield_now();
    }
    fs::remove_file(&path).unwrap();
    bench.log.reopen();
    drop(bench.log);
    let lines = read_lines(&path);
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["dropped_lines"], 1);
}

#[test]
fn a_reader_that_stalls_holds_no_request_and_is_told_what_it_missed() {
    use std::io::BufRead;
    use std::os::fd::AsRawFd;

    let (reader, writer) = std::io::pipe().unwrap();
    let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
    let bench = Bench::writing_to(path.into(), tempfile::tempdir().unwrap());
    drop(writer);
    // Nobody reads: the pipe takes 64 KiB, the buffer a mebibyte, and every request is answered.
    const REQUESTS: usize = 20_000;
    for _ in 0..REQUESTS {
        bench.begin(Method::GET).answered(&mut answer("hello"));
    }
    let told = std::thread::spawn(move || {
        let lines = std::io::BufReader::new(reader).lines();
        lines
            .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap())
            .fold(
                (0, 0),
                |(written, dropped), line| match line["dropped_lines"].as_u64() {
                    Some(more) => (written, dropped + more),
                    None => (written + 1, dropped),
                },
            )
    });
    drop(bench.log);
    let (written, dropped) = told.join().unwrap();
    assert!(dropped > 0);
    assert_eq!(written + dropped, REQUESTS as u64);
    assert_eq!(
        bench
            .metrics
            .counted(crate::telemetry::Event::AccessLineDropped),
        dropped
    );
}
