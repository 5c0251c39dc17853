//! The thread that carries the workers' lines to a file or to standard output.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use crate::access::buffer::{Appended, Buffer};
use crate::access::json;
use crate::access::line::QueryLogging;
use crate::access::pen::{Pen, Unwritten};
use crate::clock::Clock;
use crate::telemetry::{Event, Metrics};

/// How long a line waits at most while its buffer is not full.
const INTERVAL: Duration = Duration::from_millis(200);

/// How long the end of the process waits for the last lines: a reader that has stalled does not
/// hold it.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Where access lines go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Destination {
    /// Standard output: under systemd, the journal.
    #[default]
    Stdout,
    /// Appended to; opened again by [`AccessLog::reopen`], so that it can be rotated by renaming.
    File(PathBuf),
    Off,
}

/// What the access log writes, and where to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessSettings {
    pub destination: Destination,
    pub query: QueryLogging,
}

/// Why the access log cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum AccessLogError {
    #[error("the access log `{path}` cannot be opened")]
    Open {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("the access log's thread cannot be started")]
    Thread(#[source] io::Error),
}

/// The access log of the process: buffers for the workers, one thread that empties them.
/// Dropping it writes what is waiting and ends the thread.
pub struct AccessLog {
    shared: Arc<Shared>,
    query: QueryLogging,
    writer: Option<Running>,
}

/// The writer thread, and what hangs up when it has ended.
struct Running {
    thread: Thread,
    /// Behind a lock only because a receiver cannot be shared.
    ended: Mutex<Receiver<()>>,
}

/// One worker's way into the access log.
pub(super) struct WorkerLog {
    buffer: Arc<Buffer>,
    writer: Option<Thread>,
    pub(super) query: QueryLogging,
}

struct Shared {
    buffers: Mutex<Vec<Arc<Buffer>>>,
    reopen: AtomicBool,
    stop: AtomicBool,
}

impl AccessLog {
    /// Opens the destination and starts the writer thread.
    ///
    /// # Errors
    /// The file cannot be opened for appending, or no thread can be had.
    pub fn start(
        settings: AccessSettings,
        clock: &Clock,
        metrics: &Metrics,
    ) -> Result<Self, AccessLogError> {
        let shared = Arc::new(Shared {
            buffers: Mutex::default(),
            reopen: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let Some(sink) = Sink::open(settings.destination)? else {
            return Ok(Self {
                shared,
                query: settings.query,
                writer: None,
            });
        };
        let mut writer = Writer {
            shared: shared.clone(),
            sink,
            clock: clock.clone(),
            metrics: metrics.clone(),
            spare: Vec::new(),
            pen: Pen::default(),
            untold: 0,
            failing: false,
        };
        let (running, ended) = channel();
        let spawned = thread::Builder::new()
            .name(String::from("access-log"))
            .spawn(move || writer.run(running))
            .map_err(AccessLogError::Thread)?;
        let writer = Running {
            thread: spawned.thread().clone(),
            ended: Mutex::new(ended),
        };
        Ok(Self {
            shared,
            query: settings.query,
            writer: Some(writer),
        })
    }

    /// Opens the file again at the next write: after it was renamed by logrotate.
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Release);
        self.wake();
    }

    pub(super) fn worker(&self) -> WorkerLog {
        let buffer = Arc::new(Buffer::default());
        if self.writer.is_some() {
            self.shared
                .buffers
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(buffer.clone());
        }
        WorkerLog {
            buffer,
            writer: self.writer.as_ref().map(|w| w.thread.clone()),
            query: self.query,
        }
    }

    fn wake(&self) {
        if let Some(writer) = &self.writer {
            writer.thread.unpark();
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.wake();
        let Some(writer) = &self.writer else { return };
        let ended = writer.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.recv_timeout(LAST_WORDS) == Err(RecvTimeoutError::Timeout) {
            tracing::error!("the access log's last lines could not be written");
        }
    }
}

impl WorkerLog {
    /// Hands over one line, which `write` ends with a newline. Never waits for the writer.
    pub(super) fn append(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let Some(writer) = &self.writer else { return };
        match self.buffer.append(write) {
            Appended::Ripe => writer.unpark(),
            // A dropped line is counted by the buffer and said by the writer.
            Appended::Waiting | Appended::Dropped => {}
        }
    }
}

struct Writer {
    shared: Arc<Shared>,
    sink: Sink,
    clock: Clock,
    metrics: Metrics,
    spare: Vec<u8>,
    pen: Pen,
    /// Lost lines that the log does not tell of yet.
    untold: u64,
    /// The last write failed: said once, until one succeeds.
    failing: bool,
}

impl Writer {
    /// `_running` hangs up when this returns.
    fn run(&mut self, _running: Sender<()>) {
        loop {
            let last = self.shared.stop.load(Ordering::Acquire);
            if self.shared.reopen.swap(false, Ordering::AcqRel) {
                self.reopen();
            }
            self.write_all();
            if last {
                return;
            }
            thread::park_timeout(INTERVAL);
        }
    }

    fn write_all(&mut self) {
        let buffers = self
            .shared
            .buffers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut dropped = 0;
        for buffer in buffers {
            let mut bytes = std::mem::take(&mut self.spare);
            dropped += buffer.take(&mut bytes);
            dropped += self.write(&bytes);
            bytes.clear();
            self.spare = bytes;
        }
        if dropped > 0 {
            self.metrics.count_many(Event::AccessLineDropped, dropped);
            self.untold += dropped;
        }
        if self.untold > 0 {
            self.tell();
        }
    }

    /// Says in the log how many lines it lacks, as soon as it can be written.
    fn tell(&mut self) {
        let mut line = b"{\"time\":".to_vec();
        json::string(&mut line, self.clock.now().rfc3339().as_bytes(), 64);
        line.extend_from_slice(format!(",\"dropped_lines\":{}}}\n", self.untold).as_bytes());
        if self.write(&line) == 0 {
            self.untold = 0;
        }
    }

    /// Writes whole lines; gives how many were lost.
    fn write(&mut self, bytes: &[u8]) -> u64 {
        if bytes.is_empty() {
            return 0;
        }
        match self.sink.write(&mut self.pen, bytes) {
            Ok(()) => {
                if std::mem::take(&mut self.failing) {
                    tracing::info!("the access log can be written again");
                }
                0
            }
            Err(Unwritten { lines, error }) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(%error, "the access log cannot be written");
                }
                lines
            }
        }
    }

    /// Keeps the open file when the new one cannot be opened: its lines are better than none.
    fn reopen(&mut self) {
        let Sink::File { path, file } = &mut self.sink else {
            return;
        };
        match append_to(path) {
            Ok(opened) => {
                *file = opened;
                if file.metadata().is_ok_and(|new| new.len() == 0) {
                    self.pen.begin_anew();
                }
            }
            Err(error) => {
                tracing::error!(%error, path = %path.display(), "the access log cannot be opened again");
            }
        }
    }
}

enum Sink {
    Stdout(io::Stdout),
    File { path: PathBuf, file: File },
}

impl Sink {
    fn open(destination: Destination) -> Result<Option<Self>, AccessLogError> {
        match destination {
            Destination::Off => Ok(None),
            Destination::Stdout => Ok(Some(Sink::Stdout(io::stdout()))),
            Destination::File(path) => match append_to(&path) {
                Ok(file) => Ok(Some(Sink::File { path, file })),
                Err(source) => Err(AccessLogError::Open {
                    path: path.display().to_string(),
                    source,
                }),
            },
        }
    }

    fn write(&mut self, pen: &mut Pen, bytes: &[u8]) -> Result<(), Unwritten> {
        match self {
            Sink::Stdout(out) => pen.write(&mut out.lock(), bytes),
            Sink::File { file, .. } => pen.write(file, bytes),
        }
    }
}

fn append_to(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
}
