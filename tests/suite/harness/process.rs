//! A child process whose output is read line by line, and which dies with its owner.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::within;

/// A running child. Dropping it kills it.
pub struct Process {
    child: Arc<Mutex<Child>>,
    id: u32,
    output: Output,
    exit: watch::Receiver<Option<ExitStatus>>,
}

/// The lines that a process has written so far, on both streams.
#[derive(Clone)]
pub struct Output {
    lines: Arc<Mutex<Vec<String>>>,
    count: watch::Receiver<usize>,
}

impl Process {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let id = child.id();
        let (count, counted) = watch::channel(0);
        let count = Arc::new(count);
        let lines = Arc::new(Mutex::new(Vec::new()));
        let readers = [
            read(child.stdout.take().unwrap(), &lines, &count),
            read(child.stderr.take().unwrap(), &lines, &count),
        ];
        let child = Arc::new(Mutex::new(child));
        let (exited, exit) = watch::channel(None);
        let waited = Arc::clone(&child);
        std::thread::spawn(move || {
            // The streams end when the process does: only then is `wait` called, and never blocks
            // a `kill` that needs the lock for long.
            for reader in readers {
                let _ = reader.join();
            }
            let status = waited.lock().unwrap().wait().unwrap();
            exited.send_replace(Some(status));
        });
        let output = Output {
            lines,
            count: counted,
        };
        Self {
            child,
            id,
            output,
            exit,
        }
    }

    pub fn id(&self) -> u32 {
        self.id
    }

    pub fn output(&self) -> &Output {
        &self.output
    }

    /// Sends `HUP`, `TERM`, `STOP` … to this process and no other.
    pub fn signal(&self, name: &str) {
        let script = format!("kill -{name} {}", self.id);
        let done = Command::new("sh").args(["-c", &script]).status().unwrap();
        assert!(done.success(), "{script}");
    }

    /// Ends it as `kill -9` does, and waits until it is gone.
    pub async fn kill(&self) {
        self.child.lock().unwrap().kill().unwrap();
        self.exited().await;
    }

    pub async fn exited(&self) -> ExitStatus {
        let mut exit = self.exit.clone();
        let status = within("the process ends", exit.wait_for(Option::is_some)).await;
        status
            .expect("the waiting thread outlives the process")
            .expect("it was waited for")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = self
            .child
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Output {
    pub fn text(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    /// Waits for a line that contains `part`, written before or from now on.
    pub async fn line(&self, part: &str) -> String {
        self.line_where(part, |line| line.contains(part)).await
    }

    /// Waits for a line that satisfies `wanted`; `what` says which when it never comes.
    pub async fn line_where(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let mut count = self.count.clone();
        let mut seen = 0;
        let search = async {
            loop {
                let now = *count.borrow_and_update();
                let found = self.lines.lock().unwrap()[seen..now]
                    .iter()
                    .find(|l| wanted(l))
                    .cloned();
                if found.is_some() {
                    return found;
                }
                seen = now;
                if count.changed().await.is_err() {
                    return None;
                }
            }
        };
        match tokio::time::timeout(super::PATIENCE, search).await {
            Ok(Some(line)) => line,
            Ok(None) => panic!("it ended without the line `{what}`:\n{}", self.text()),
            Err(_) => panic!("no line `{what}` came:\n{}", self.text()),
        }
    }
}

fn read(
    stream: impl Read + Send + 'static,
    lines: &Arc<Mutex<Vec<String>>>,
    count: &Arc<watch::Sender<usize>>,
) -> std::thread::JoinHandle<()> {
    let (lines, count) = (Arc::clone(lines), Arc::clone(count));
    std::thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while stream.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            let mut lines = lines.lock().unwrap();
            lines.push(text);
            count.send_replace(lines.len());
        }
    })
}
