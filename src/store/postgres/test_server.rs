//! A real PostgreSQL server for tests: made in a folder of its own, run by a user without
//! privileges on a free port, and gone with its owner.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak, mpsc};
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpSocket;

/// The password of the role `portcullis`.
pub const PASSWORD: &str = "only for this test";
/// Who runs the server when we are root, which it refuses to be run by. The package makes it.
const UNPRIVILEGED: &str = "postgres";
/// Longer than a loaded machine needs to make or start a server.
const PATIENCE: Duration = Duration::from_secs(180);

/// A running server. Local connections over its socket need no password, others do.
pub struct TestServer {
    folder: TempDir,
    programs: PathBuf,
    port: u16,
    settings: Vec<String>,
    process: Mutex<Option<Child>>,
}

/// How a server is stopped.
#[derive(Clone, Copy, Debug)]
pub enum Stop {
    /// Transactions that run are undone (SIGINT).
    Fast,
    /// As a crash does: the next start recovers (SIGQUIT).
    Crash,
}

/// The server that the tests of this process share, while any of them uses it.
static SHARED: Mutex<Weak<TestServer>> = Mutex::new(Weak::new());
static DATABASES: AtomicUsize = AtomicUsize::new(0);
/// The suite's other servers have the ports below.
const PORTS: Range<u32> = 30_000..32_768;
static NEXT_PORT: AtomicUsize = AtomicUsize::new(0);

impl TestServer {
    /// The shared server: not to be stopped.
    pub fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap();
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let server = Arc::new(Self::start(&[]));
        *shared = Arc::downgrade(&server);
        server
    }

    /// A server of one test's own, with lines of `postgresql.conf`.
    pub fn start(settings: &[&str]) -> Self {
        Self::begin(settings, None)
    }

    /// A server of one test's own that speaks TLS with this certificate and key, both in PEM.
    #[allow(dead_code)] // The suite, which has this file too, needs it.
    pub fn with_tls(certificate: &str, key: &str) -> Self {
        Self::begin(&["ssl=on"], Some((certificate, key)))
    }

    fn begin(settings: &[&str], tls: Option<(&str, &str)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["data", "run"] {
            let path = folder.path().join(name);
            std::fs::create_dir(&path).unwrap();
            give_away(&path);
        }
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let server = Self {
            programs: programs(),
            port: free_port(),
            settings: settings.iter().map(|&line| line.to_owned()).collect(),
            process: Mutex::new(None),
            folder,
        };
        server.initialise();
        if let Some((certificate, key)) = tls {
            for (name, text) in [("server.crt", certificate), ("server.key", key)] {
                let file = server.data().join(name);
                std::fs::write(&file, text).unwrap();
                std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
                give_away(&file);
            }
        }
        server.resume();
        server.sql(
            "postgres",
            &format!("CREATE ROLE portcullis LOGIN PASSWORD '{PASSWORD}'"),
        );
        server
    }

    fn initialise(&self) {
        let mut initdb = self.unprivileged("initdb");
        initdb
            .args([
                "--username=postgres",
                "--auth-local=trust",
                "--auth-host=scram-sha-256",
            ])
            .args([
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
                "--no-instructions",
                "-D",
            ])
            .arg(self.data());
        let done = initdb.output().unwrap();
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
    }

    /// Starts it, with the data and on the port that it had before.
    pub fn resume(&self) {
        let mut command = self.unprivileged("postgres");
        command.arg("-D").arg(self.data());
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-k"]);
        command.arg(self.folder.path().join("run"));
        let few = [
            "max_connections=400",
            "shared_buffers=32MB",
            "log_min_messages=warning",
        ];
        for line in few
            .into_iter()
            .chain(self.settings.iter().map(String::as_str))
        {
            command.args(["-c", line]);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let (say, ready) = mpsc::channel();
        // The server is sent a signal when the thread that started it ends: this one lasts as long
        // as its output.
        std::thread::spawn(move || {
            let mut child = command.spawn().unwrap();
            let errors = child.stderr.take().unwrap();
            let mut child = Some(child);
            let mut seen = String::new();
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                seen = seen + &line + "\n";
                if line.contains("ready to accept connections") {
                    if let Some(child) = child.take() {
                        let _ = say.send(Ok(child));
                    }
                    seen.clear();
                }
            }
            let _ = say.send(Err(seen));
        });
        let child = ready
            .recv_timeout(PATIENCE)
            .expect("PostgreSQL starts in time");
        *self.process.lock().unwrap() = Some(child.unwrap_or_else(|said| panic!("{said}")));
    }

    /// Stops it and waits until it is gone.
    pub fn stop(&self, how: Stop) -> ExitStatus {
        let mut child = self
            .process
            .lock()
            .unwrap()
            .take()
            .expect("a running server");
        signal(
            child.id(),
            match how {
                Stop::Fast => "INT",
                Stop::Crash => "QUIT",
            },
        );
        child.wait().unwrap()
    }

    /// Stops it as a hung machine does, with all its processes: connections stay open and nothing
    /// answers.
    #[allow(dead_code)] // Only the torture needs it.
    pub fn freeze(&self) {
        // The first one before the others are looked for: then there are no more of them.
        let process = self.process.lock().unwrap();
        let first = process.as_ref().expect("a running server").id();
        signal(first, "STOP");
        children(first).for_each(|child| signal(child, "STOP"));
    }

    #[allow(dead_code)] // Only the torture needs it.
    pub fn thaw(&self) {
        let process = self.process.lock().unwrap();
        let first = process.as_ref().expect("a running server").id();
        children(first).for_each(|child| signal(child, "CONT"));
        signal(first, "CONT");
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Makes a database that belongs to the role `portcullis`, and answers its name.
    pub fn database(&self) -> String {
        let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        self.sql(
            "postgres",
            &format!("CREATE DATABASE {name} OWNER portcullis"),
        );
        name
    }

    /// The address of a database, by way of a port.
    pub fn address(&self, database: &str) -> String {
        format!("postgres://portcullis@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs statements as the superuser; answers what they print, a line a row.
    pub fn sql(&self, database: &str, statements: &str) -> String {
        let done = self
            .psql(database)
            .args(["-c", statements])
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{statements}: {errors}");
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }

    /// psql as the superuser, its statements still to be given.
    pub fn psql(&self, database: &str) -> Command {
        let mut command = Command::new(self.programs.join("psql"));
        command
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-U",
                "postgres",
            ])
            .args(["-p", &self.port.to_string(), "-d", database, "-h"])
            .arg(self.folder.path().join("run"));
        command
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A program of the server's, run by somebody without privileges and not beyond our end.
    fn unprivileged(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.arg("--pdeathsig=QUIT");
        if is_root() {
            let user = format!("--reuid={UNPRIVILEGED}");
            command
                .args([user, format!("--regid={UNPRIVILEGED}")])
                .arg("--clear-groups");
        }
        command
            .arg(self.programs.join(program))
            .current_dir("/")
            .env("LC_ALL", "C.UTF-8");
        command
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if let Some(mut child) = self.process.lock().unwrap().take() {
            signal(child.id(), "QUIT");
            // A frozen one takes no notice before it goes on.
            signal(child.id(), "CONT");
            children(child.id()).for_each(|child| signal(child, "CONT"));
            let _ = child.wait();
        }
    }
}

fn signal(process: u32, name: &str) {
    let kill = format!("kill -{name} {process}");
    let mut command = Command::new("sh");
    // Of a process that has ended meanwhile there is nothing to say.
    command.args(["-c", &kill]).stderr(Stdio::null());
    let _ = command.status();
}

/// The processes that this one has started and that still run.
fn children(process: u32) -> impl Iterator<Item = u32> {
    let list = format!("/proc/{process}/task/{process}/children");
    let list = std::fs::read_to_string(list).unwrap_or_default();
    let ids: Vec<_> = list
        .split_whitespace()
        .filter_map(|id| id.parse().ok())
        .collect();
    ids.into_iter()
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A port that nothing listens on, below those that outgoing connections take (32768 and up), so
/// that it stays free while a server is stopped.
fn free_port() -> u16 {
    let start = std::process::id() * 97;
    (0..PORTS.end - PORTS.start)
        .map(|step| {
            let next = u32::try_from(NEXT_PORT.fetch_add(1, Ordering::Relaxed)).unwrap();
            PORTS.start + (start + next + step) % (PORTS.end - PORTS.start)
        })
        .filter_map(|port| u16::try_from(port).ok())
        .find(|port| can_be_had(*port))
        .expect("a free port")
}

/// Whether nothing listens there: without a listener, of which a program that is being started would
/// have a copy for a moment.
fn can_be_had(port: u16) -> bool {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    socket.bind(address).is_ok()
}

/// Makes a folder or file the unprivileged user's.
fn give_away(path: &Path) {
    if is_root() {
        let owner = Command::new("chown")
            .arg(UNPRIVILEGED)
            .arg(path)
            .status()
            .unwrap();
        assert!(
            owner.success(),
            "these tests need PostgreSQL (apt-get install postgresql)"
        );
    }
}

/// The folder of the newest server that is installed: Debian keeps it out of the path.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    versions
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|programs| programs.join("initdb").exists())
        .max()
        .expect("these tests need PostgreSQL (apt-get install postgresql)")
}
