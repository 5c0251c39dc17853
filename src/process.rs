//! From a configuration file to a running gateway: starts every part, reloads, stops.

mod figures;
mod managed;
mod parts;
mod signals;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::access::{AccessLogError, Recorder};
use crate::admin::{AdminSocket, Phase, SocketError, SocketSettings, serve_status};
use crate::authn::managed::ManagedError;
use crate::clock::Clock;
use crate::config::server::ServerSection;
use crate::config::{Config, LoadError};
use crate::pipeline::Gateway;
use crate::server::{self, BindError, Inherited, Running, StartError, TlsError, systemd};
use crate::shared::InvalidRedis;
use crate::store::OpenError;
use crate::telemetry::{Event, LogError, Metrics, ProgramLog};

pub use self::parts::push_news;

use self::parts::Parts;
use self::signals::{Order, Signals};

/// How long the end waits for the database to close.
const CLOSE: Duration = Duration::from_secs(5);

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error(transparent)]
    Config(#[from] LoadError),
    #[error("the runtime cannot be started")]
    Runtime(#[source] io::Error),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    AccessLog(#[from] AccessLogError),
    #[error(transparent)]
    Accounts(#[from] OpenError),
    #[error(transparent)]
    Managed(#[from] ManagedError),
    #[error(transparent)]
    Redis(#[from] InvalidRedis),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("the admin listener cannot listen on {address}")]
    Admin {
        address: SocketAddr,
        source: io::Error,
    },
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Where a gateway that serves can be reached: port 0 has become a port.
#[derive(Debug)]
pub struct Serving {
    pub listeners: Vec<SocketAddr>,
    pub admin: Option<SocketAddr>,
}

/// Runs the gateway that the file at `path` describes until it is told to stop (SIGTERM, SIGINT);
/// SIGHUP reads the file again. `serving` is called once, when requests are answered.
///
/// # Errors
///
/// Whatever keeps it from starting: then nothing was started.
pub fn run(path: &Path, serving: impl FnOnce(&Serving)) -> Result<(), ProcessError> {
    let inherited = Inherited::from_environment();
    let clock = Clock::system();
    let config = Config::load(path, &clock, &[])?;
    let metrics = Metrics::new(&clock);
    let log = ProgramLog::start(config.logs.program, &clock, &metrics)?;
    raise_file_limit();
    let control = control_runtime().map_err(ProcessError::Runtime)?;
    let process = Process {
        path: path.to_owned(),
        clock,
        metrics,
    };
    let outcome = control.block_on(process.serve(config, inherited, serving));
    // What still waits for the database or for Redis has had its time.
    control.shutdown_background();
    drop(log);
    outcome
}

/// Every connection is an open file, and a shell's soft limit of 1024 is for programs that use
/// select(2). Where it cannot be raised, accepting backs off at the limit.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit on open files stays as it is");
    }
}

/// For what waits: databases, Redis, probes, signals, accepting. Workers have runtimes of their own.
fn control_runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("control")
        .enable_all()
        .build()
}

struct Process {
    path: PathBuf,
    clock: Clock,
    metrics: Metrics,
}

impl Process {
    async fn serve(
        self,
        mut config: Config,
        mut inherited: Inherited,
        serving: impl FnOnce(&Serving),
    ) -> Result<(), ProcessError> {
        warn_of_development(&config);
        let mut signals = Signals::listen().map_err(ProcessError::Runtime)?;
        // Every port first: what cannot listen does not open a database either.
        let workers = config.server.workers;
        let tls = parts::tls(config.tls.take(), &self.clock)?;
        let bound = server::bind(parts::settings(&config.server, tls.clone()), &mut inherited)?;
        let status = bind_status(config.server.admin).await?;
        let socket = bind_socket(&config.server).await?;
        let listening = Serving {
            listeners: bound.addresses(),
            admin: status
                .as_ref()
                .and_then(|listener| listener.local_addr().ok()),
        };
        let parts = Parts::start(config, tls, (&self.clock, &self.metrics)).await?;
        figures::collect(&self.metrics, &parts, bound.counters());
        if let Some(listener) = status {
            let (health, metrics) = (parts.health.clone(), self.metrics.clone());
            tokio::spawn(serve_status(listener, health, metrics));
        }
        let accounts = parts.services.accounts.clone();
        let operators = socket.map(|socket| tokio::spawn(socket.serve(accounts)));
        let running = bound.start(workers, self.gateways(&parts))?;
        let watchdog = tokio::spawn(systemd::feed_watchdog(running.pulse()));
        parts.health.enter(Phase::Serving);
        systemd::ready("serving");
        tracing::info!(listeners = ?listening.listeners, "serving");
        serving(&listening);
        while signals.next().await == Order::Reload {
            self.reload(&parts).await;
        }
        self.stop(&parts, running).await;
        watchdog.abort();
        if let Some(operators) = operators {
            operators.abort();
            // Waited for, so that the socket's file goes before the process does.
            drop(operators.await);
        }
        Ok(())
    }

    /// Makes one gateway a worker, on the worker's own thread.
    fn gateways(&self, parts: &Parts) -> impl Fn(usize) -> Gateway + Send + Sync + use<> {
        let services = parts.services.clone();
        let current = parts.current.clone();
        let access = parts.access.clone();
        let (metrics, clock) = (self.metrics.clone(), self.clock.clone());
        move |_worker| {
            let recorder = Recorder::new(&access, &metrics, &clock);
            Gateway::new(services.clone(), current.clone(), recorder)
        }
    }

    /// Reads the file again and swaps the snapshot. A file with mistakes changes nothing.
    async fn reload(&self, parts: &Parts) {
        systemd::reloading();
        parts.access.reopen();
        let previous = parts.current.load_full();
        let loaded = Config::load(&self.path, &self.clock, &previous.upstreams);
        let adopted = match loaded {
            Ok(config) => {
                warn_of_development(&config);
                let waiting = config.at_start.changed_since(&parts.at_start);
                let adopted = parts.adopt(config).await.map_err(ProcessError::from);
                adopted.map(|()| waiting)
            }
            Err(error) => Err(error.into()),
        };
        let status = match adopted {
            Ok(waiting) if waiting.is_empty() => {
                self.metrics.count(Event::ReloadSucceeded);
                tracing::info!("the configuration was read again");
                "serving"
            }
            Ok(waiting) => {
                self.metrics.count(Event::ReloadSucceeded);
                tracing::warn!(
                    keys = waiting.join(", "),
                    "the configuration was read again; these keys have changed and wait for a restart"
                );
                "serving; some changes wait for a restart, see the log"
            }
            Err(error) => {
                self.metrics.count(Event::ReloadFailed);
                tracing::error!("the configuration was not changed: {error}");
                "serving; the last reload was refused, see the log"
            }
        };
        systemd::ready(status);
    }

    async fn stop(&self, parts: &Parts, running: Running) {
        // Whoever hears of it and asks is told the same.
        parts.health.enter(Phase::Draining);
        tracing::info!("draining");
        systemd::stopping();
        let drained = running.drain().await;
        // What was noted in memory is written; a database that hangs does not hold the end up.
        let closing = parts.services.accounts.close();
        if tokio::time::timeout(CLOSE, closing).await.is_err() {
            tracing::warn!("the database did not close in time");
        }
        tracing::info!(?drained, "stopped");
    }
}

fn warn_of_development(config: &Config) {
    if config.development {
        tracing::warn!(
            "DEVELOPMENT MODE: sample and missing secrets are accepted; never expose this"
        );
    }
}

async fn bind_status(address: Option<SocketAddr>) -> Result<Option<TcpListener>, ProcessError> {
    let Some(address) = address else {
        return Ok(None);
    };
    let bound = TcpListener::bind(address).await;
    bound
        .map(Some)
        .map_err(|source| ProcessError::Admin { address, source })
}

async fn bind_socket(server: &ServerSection) -> Result<Option<AdminSocket>, ProcessError> {
    let Some(path) = server.admin_socket.clone() else {
        return Ok(None);
    };
    let settings = SocketSettings {
        path,
        uids: server.admin_uids.clone(),
    };
    Ok(Some(AdminSocket::bind(settings).await?))
}
