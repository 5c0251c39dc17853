//! The program's own log on standard error: written by a thread, so that a stalled terminal or
//! journal never holds a worker.

use std::fmt;
use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::thread;
use std::time::Duration;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::clock::Clock;
use crate::telemetry::{Event, Metrics};

/// Events that may wait for a stalled writer before they are dropped and counted.
const MOST_WAITING: usize = 4096;

/// Longest message of a panic that is written, in characters: it may hold what was being worked on.
const LONGEST_PANIC: usize = 200;

/// How long the end of the process waits for the last lines: a reader that has stalled does not
/// hold it.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How much of the program's own doings is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogSettings {
    pub level: LogLevel,
    pub format: LogFormat,
}

/// The least urgent message that is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// How a message looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    #[default]
    Json,
    Text,
}

/// Why the log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("the log's thread cannot be started")]
    Thread(#[source] io::Error),
    #[error("a log has been set up already")]
    Twice(#[source] TryInitError),
}

/// The log of the process while it lives; dropping it waits for what was logged to be written.
pub struct ProgramLog {
    lines: SyncSender<Line>,
    /// Hangs up when the writer has ended.
    ended: Receiver<()>,
}

enum Line {
    Text(Vec<u8>),
    Last,
}

impl ProgramLog {
    /// Sends what the program logs to standard error.
    ///
    /// # Errors
    /// A log was set up before, or no thread can be had.
    pub fn start(
        settings: LogSettings,
        clock: &Clock,
        metrics: &Metrics,
    ) -> Result<Self, LogError> {
        let (lines, waiting) = sync_channel(MOST_WAITING);
        let (running, ended) = channel::<()>();
        thread::Builder::new()
            .name(String::from("log"))
            .spawn(move || {
                write_lines(&waiting);
                drop(running);
            })
            .map_err(LogError::Thread)?;
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(Sender {
                lines: lines.clone(),
                metrics: metrics.clone(),
            })
            .with_timer(WallTime(clock.clone()));
        let registry = tracing_subscriber::registry().with(targets(settings.level));
        let installed = match settings.format {
            LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
            LogFormat::Text => registry.with(layer.with_ansi(false)).try_init(),
        };
        installed.map_err(LogError::Twice)?;
        let metrics = metrics.clone();
        panic::set_hook(Box::new(move |panic| tell(panic, &metrics)));
        Ok(Self { lines, ended })
    }
}

impl Drop for ProgramLog {
    fn drop(&mut self) {
        if !thread::panicking() {
            // What happens from here on is told by the system's own hook.
            drop(panic::take_hook());
        }
        // The subscriber lives as long as the process and holds a sender: the end is said. With a
        // full channel the writer has stalled, and nothing is left to log to.
        if self.lines.try_send(Line::Last).is_ok() {
            let _ended = self.ended.recv_timeout(LAST_WORDS);
        }
    }
}

/// A panic as one line of the log, in its format: what is read by a machine has nothing else in it.
fn tell(panic: &PanicHookInfo<'_>, metrics: &Metrics) {
    metrics.count(Event::Panicked);
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let message: String = text
        .unwrap_or_default()
        .chars()
        .take(LONGEST_PANIC)
        .collect();
    let thread = thread::current();
    tracing::error!(
        panic = message,
        location = panic.location().map(tracing::field::display),
        thread = thread.name(),
        "panicked"
    );
}

/// Libraries are heard from `warn` on only: below that they print headers, and with them tokens.
fn targets(level: LogLevel) -> Targets {
    let ours = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    Targets::new()
        .with_default(ours.min(LevelFilter::WARN))
        .with_target("portcullis", ours)
        // What happened to accounts is told whatever the level.
        .with_target("audit", LevelFilter::INFO)
}

fn write_lines(waiting: &Receiver<Line>) {
    let mut err = io::stderr();
    while let Ok(Line::Text(line)) = waiting.recv() {
        // Standard error is the last resort: nowhere is left to say that it is gone.
        drop(err.write_all(&line));
    }
}

#[derive(Clone)]
struct Sender {
    lines: SyncSender<Line>,
    metrics: Metrics,
}

impl Write for Sender {
    /// Called once an event, with the whole line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.lines.try_send(Line::Text(line.to_vec())) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.metrics.count(Event::LogLineDropped);
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Sender {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

struct WallTime(Clock);

impl FormatTime for WallTime {
    fn format_time(&self, out: &mut Writer<'_>) -> fmt::Result {
        out.write_str(&self.0.now().rfc3339())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes the place of standard error.
    #[derive(Clone, Default)]
    struct Written(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panic_is_one_line_of_json_and_counted() {
        let written = Written::default();
        let writer = written.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .json()
            .flatten_event(true);
        let subscriber = tracing_subscriber::registry()
            .with(targets(LogLevel::Error))
            .with(layer);
        let metrics = Metrics::new(&Clock::system());
        let counting = metrics.clone();
        tracing::subscriber::with_default(subscriber, || {
            let system = panic::take_hook();
            panic::set_hook(Box::new(move |panic| tell(panic, &counting)));
            let caught = panic::catch_unwind(|| panic!("no {}:\n{}", "way", "x".repeat(999)));
            panic::set_hook(system);
            assert!(caught.is_err());
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["level"], "ERROR");
        let message = line["panic"].as_str().unwrap();
        assert!(message.starts_with("no way:\nxxx") && message.len() == LONGEST_PANIC);
        let place = line["location"].as_str().unwrap();
        assert!(place.starts_with("src/telemetry/log.rs:"), "{place}");
        assert!(metrics.render().contains("portcullis_panics_total 1\n"));
    }

    #[test]
    fn libraries_never_print_what_they_carry() {
        use tracing::Level;
        for level in [LogLevel::Info, LogLevel::Debug, LogLevel::Trace] {
            let targets = targets(level);
            for library in ["hyper", "h2::codec", "sqlx::query", "rustls"] {
                assert!(!targets.would_enable(library, &Level::INFO), "{library}");
                assert!(targets.would_enable(library, &Level::WARN), "{library}");
            }
        }
        assert!(targets(LogLevel::Trace).would_enable("portcullis::server", &Level::TRACE));
        assert!(!targets(LogLevel::Error).would_enable("hyper", &Level::WARN));
        assert!(targets(LogLevel::Error).would_enable("audit", &Level::INFO));
    }
}
