//! A real redis-server on a free port, for tests: started in a folder of its own, stopped by its id.

use std::num::NonZeroU32;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::runtime::Handle;

use super::{Health, Redis, RedisSettings};
use crate::clock::{Clock, Timestamp};
use crate::test_ports;

/// A running server; stopped when dropped.
pub(crate) struct TestRedis {
    process: Child,
    port: u16,
    folder: TempDir,
}

impl TestRedis {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = test_ports::free();
        let server = Self {
            process: launch(&folder, port),
            port,
            folder,
        };
        server.connect().await;
        server
    }

    /// A connection that has been seen to answer.
    pub(crate) async fn connect(&self) -> Redis {
        let redis = self.dial(settings(self.port));
        becomes_shared(&redis).await;
        redis
    }

    pub(crate) fn dial(&self, settings: RedisSettings) -> Redis {
        let clock = Clock::manual(Timestamp::from_seconds(0));
        Redis::start(settings, clock, &Handle::current()).expect("good settings")
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Kills it, as a crash does.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("a running redis-server");
        self.process.wait().expect("its end");
    }

    /// Starts it again on the same port.
    pub(crate) fn restart(&mut self) {
        self.process = launch(&self.folder, self.port);
    }

    /// Stops it from running without closing anything: it accepts and never answers.
    pub(crate) fn hang(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn wake(&self) {
        self.signal("-CONT");
    }

    /// Runs one command by redis-cli.
    pub(crate) fn command(&self, words: &[&str]) -> String {
        let port = self.port.to_string();
        let mut command = Command::new("redis-cli");
        let output = command.args(["-p", &port]).args(words).output();
        let output = output.expect("redis-cli, of Debian's package redis-tools");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn signal(&self, signal: &str) {
        let id = self.process.id().to_string();
        let status = Command::new("kill").args([signal, &id]).status();
        assert!(status.expect("kill").success());
    }
}

impl Drop for TestRedis {
    fn drop(&mut self) {
        // It may have been killed by the test already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Far longer than a recovery takes on a loaded machine: a test that fails must end.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn becomes_shared(redis: &Redis) {
    let shared = redis.health_becomes(|health| *health == Health::Shared);
    let waited = tokio::time::timeout(PATIENCE, shared).await;
    waited.unwrap_or_else(|_| panic!("redis is {:?}", redis.health()));
}

pub(crate) async fn becomes_away(redis: &Redis) {
    let away = redis.health_becomes(|health| matches!(health, Health::Away { .. }));
    let waited = tokio::time::timeout(PATIENCE, away).await;
    waited.unwrap_or_else(|_| panic!("redis is {:?}", redis.health()));
}

/// Settings for a server on this port, with time-outs that any machine keeps.
pub(crate) fn settings(port: u16) -> RedisSettings {
    RedisSettings {
        url: format!("redis://127.0.0.1:{port}"),
        username: None,
        password: None,
        prefix: String::from("test"),
        nodes: NonZeroU32::MIN,
        response_timeout: Duration::from_secs(20),
        connect_timeout: Duration::from_secs(20),
    }
}

fn launch(folder: &TempDir, port: u16) -> Child {
    let mut command = Command::new("redis-server");
    command
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no"])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command.spawn().unwrap_or_else(|error| {
        panic!("these tests need redis-server (apt-get install redis-server): {error}")
    })
}
