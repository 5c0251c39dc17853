//! A real redis-server on a free port, its data in a folder that goes with it.

use std::process::Command;
use std::sync::Mutex;

use redis::AsyncConnectionConfig;
use tempfile::TempDir;

use super::process::Process;
use super::{ports, within};

/// A Redis of one test's own.
pub struct Redis {
    port: u16,
    folder: TempDir,
    process: Mutex<Option<Process>>,
}

impl Redis {
    pub async fn start() -> Self {
        let redis = Self {
            port: ports::free(),
            folder: tempfile::tempdir().unwrap(),
            process: Mutex::new(None),
        };
        redis.restart().await;
        redis
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Starts it, empty, on the port that it had before.
    pub async fn restart(&self) {
        let process = Process::start(
            Command::new("redis-server")
                .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
                .arg("--port")
                .arg(self.port.to_string())
                .arg("--dir")
                .arg(self.folder.path()),
        );
        process.output().line("Ready to accept connections").await;
        *self.process.lock().unwrap() = Some(process);
    }

    pub async fn kill(&self) {
        let process = self
            .process
            .lock()
            .unwrap()
            .take()
            .expect("a running redis-server");
        process.kill().await;
    }

    /// Stops it as a hung machine does: connections stay open and nothing answers.
    pub fn freeze(&self) {
        self.process
            .lock()
            .unwrap()
            .as_ref()
            .expect("a running redis-server")
            .signal("STOP");
    }

    pub fn thaw(&self) {
        self.process
            .lock()
            .unwrap()
            .as_ref()
            .expect("a running redis-server")
            .signal("CONT");
    }

    /// Runs one command and returns what it answers as text.
    pub async fn command(&self, words: &[&str]) -> redis::Value {
        let client = redis::Client::open(self.url()).unwrap();
        // The library's own time-outs are half a second and one.
        let patient = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let connecting = client.get_multiplexed_async_connection_with_config(&patient);
        let mut connection = within("redis is connected to", connecting).await.unwrap();
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        let answer = command.query_async(&mut connection);
        within("redis answers", answer).await.unwrap()
    }
}
