//! The gateway as a process: started, told when it is ready, signalled, killed.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{Command, ExitStatus, Output};
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::UnixDatagram;

use super::process::Process;
use super::{Client, Config, PATIENCE};

/// A running gateway with a folder of its own. A test that fails prints its log.
pub struct Gateway {
    pub config: Config,
    folder: TempDir,
    process: Process,
    notices: UnixDatagram,
    _show: ShowLog,
}

/// The command under test, with nothing of the environment but a path.
pub fn portcullis() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

impl Config {
    /// Starts a gateway with this configuration and waits until it is ready.
    pub async fn start(self) -> Gateway {
        self.start_in(tempfile::tempdir().unwrap()).await
    }

    /// The same with the state that an earlier gateway left.
    pub async fn start_in(self, folder: TempDir) -> Gateway {
        Gateway::start(self, folder, |_| {}).await
    }

    pub async fn start_with(self, change: impl FnOnce(&mut Command)) -> Gateway {
        Gateway::start(self, tempfile::tempdir().unwrap(), change).await
    }

    /// Runs `portcullis check` on it.
    pub fn check(&self) -> Output {
        let folder = tempfile::tempdir().unwrap();
        self.write(folder.path());
        self.command_in(folder.path(), "check").output().unwrap()
    }

    /// Runs `portcullis run`, which is expected to refuse, and returns how it ended.
    pub async fn refused(&self) -> (ExitStatus, String) {
        let folder = tempfile::tempdir().unwrap();
        self.write(folder.path());
        let process = Process::start(&mut self.command_in(folder.path(), "run"));
        let status = process.exited().await;
        (status, process.output().text())
    }

    pub fn command_in(&self, folder: &Path, verb: &str) -> Command {
        let mut command = portcullis();
        command
            .arg(verb)
            .arg("--config")
            .arg("portcullis.toml")
            .current_dir(folder);
        command
    }
}

impl Gateway {
    async fn start(config: Config, folder: TempDir, change: impl FnOnce(&mut Command)) -> Self {
        config.write(folder.path());
        let socket = folder.path().join("notify");
        let _ = std::fs::remove_file(&socket);
        let notices = UnixDatagram::bind(&socket).unwrap();
        let mut command = config.command_in(folder.path(), "run");
        command.env("NOTIFY_SOCKET", &socket);
        change(&mut command);
        let process = Process::start(&mut command);
        let _show = ShowLog(process.output().clone());
        let gateway = Self {
            config,
            folder,
            process,
            notices,
            _show,
        };
        gateway.notice("STATUS=serving\nREADY=1").await;
        gateway
    }

    /// Waits for a message to the service manager that contains `part`.
    pub async fn notice(&self, part: &str) -> String {
        let wait = async {
            let mut message = [0; 4096];
            loop {
                let length = self.notices.recv(&mut message).await.unwrap();
                let text = String::from_utf8_lossy(&message[..length]).into_owned();
                if text.contains(part) {
                    return text;
                }
            }
        };
        let mut wait = pin!(tokio::time::timeout(PATIENCE, wait));
        let status = tokio::select! {
            text = &mut wait => {
                let never = |_| panic!("the gateway never said {part}:\n{}", self.log());
                return text.unwrap_or_else(never);
            }
            status = self.process.exited() => status,
        };
        // What it said before it ended is in the socket, where it may not have been looked for yet.
        let said = tokio::time::timeout(Duration::from_secs(1), wait).await;
        match said {
            Ok(Ok(text)) => text,
            Ok(Err(_)) | Err(_) => panic!(
                "the gateway ended ({status}) before it said {part}:\n{}\n{}",
                self.log(),
                self.config
            ),
        }
    }

    pub fn https(&self) -> Client {
        Client::https(self.config.https)
    }

    pub fn h2(&self) -> Client {
        self.https().h2()
    }

    pub fn admin(&self) -> Client {
        Client::http(self.config.admin)
    }

    pub fn process(&self) -> &Process {
        &self.process
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Everything that it has written so far.
    pub fn log(&self) -> String {
        self.process.output().text()
    }

    /// Waits until the metrics have these lines: what is counted at the end of a stream is counted a
    /// moment after its client has seen that end.
    pub async fn comes_to_count(&self, lines: &[&str]) {
        let mut metrics = String::new();
        let counted = async {
            loop {
                metrics = self.admin().get("/metrics").send().await.text();
                let has = |line: &&str| metrics.lines().any(|said| said == *line);
                if lines.iter().all(has) {
                    return;
                }
            }
        };
        if tokio::time::timeout(PATIENCE, counted).await.is_err() {
            panic!("{lines:?} are not all in\n{metrics}");
        }
    }

    /// Puts another configuration in place and has it read. Ports must not change.
    pub async fn reload(&mut self, config: Config) {
        config.write(self.folder.path());
        self.config = config;
        self.process.signal("HUP");
        self.notice("RELOADING=1").await;
        self.notice("READY=1").await;
    }

    /// Runs another command of the program on the same configuration and state.
    pub fn command(&self, words: &[&str]) -> Output {
        let mut command = portcullis();
        command
            .args(words)
            .arg("--config")
            .arg("portcullis.toml")
            .current_dir(self.folder());
        command.output().unwrap()
    }

    /// Stops it as systemd does, and waits until it has ended.
    pub async fn stop(self) -> Stopped {
        self.process.signal("TERM");
        self.ended().await
    }

    /// Ends it as a power cut does.
    pub async fn kill(self) -> Stopped {
        self.process.kill().await;
        self.ended().await
    }

    /// Waits until it ends by itself.
    pub async fn ended(self) -> Stopped {
        let status = self.process.exited().await;
        let log = self.log();
        let Self { config, folder, .. } = self;
        Stopped {
            config,
            folder,
            status,
            log,
        }
    }
}

/// What a gateway leaves behind.
pub struct Stopped {
    pub config: Config,
    pub folder: TempDir,
    pub status: ExitStatus,
    pub log: String,
}

impl Stopped {
    /// Starts it again with the state and the ports that it had.
    pub async fn start(self) -> Gateway {
        self.config.start_in(self.folder).await
    }
}

/// Prints what a gateway wrote when the test that owns it fails.
struct ShowLog(super::process::Output);

impl Drop for ShowLog {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("--- the gateway wrote:\n{}\n---", self.0.text());
        }
    }
}
