//! One worker's unused connections to all servers of all upstreams, and their way in and out.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use tokio::runtime::Handle;

use super::connect::{Connection, STREAMS, connect};
use super::error::ConnectError;
use super::server::{Counts, Server, ServerId};
use super::tls::Versions;
use super::upload::RequestBody;

/// How often unused connections are looked through; they are kept for a multiple of this.
const SWEEP: Duration = Duration::from_millis(500);

/// How long a connection may take to be ready again after its answer was read.
const SETTLE: Duration = Duration::from_secs(1);

/// One worker's unused connections to all upstreams. Clones share them; workers do not: the lock
/// is never waited for, it only lets an answer's body be `Send`.
#[derive(Clone, Default)]
pub struct Pools(Arc<Shared>);

#[derive(Default)]
struct Shared {
    idle: Mutex<Idle>,
    /// Where the choice among equal servers begins.
    turn: AtomicUsize,
}

#[derive(Default)]
struct Idle {
    servers: HashMap<ServerId, Connections>,
    /// Counts sweeps: the age of a connection.
    tick: u64,
    sweeping: bool,
}

#[derive(Default)]
struct Connections {
    http1: Vec<Parked>,
    http2: Vec<Multiplexed>,
    /// Held by the one who opens an HTTP/2 connection, so that a burst opens one.
    opening: Arc<tokio::sync::Mutex<()>>,
    speaks_http2: bool,
}

struct Parked {
    sender: http1::SendRequest<RequestBody>,
    since: u64,
    keep: Duration,
}

/// An HTTP/2 connection; it stays here while it is used.
struct Multiplexed {
    sender: http2::SendRequest<RequestBody>,
    streams: Arc<()>,
    since: u64,
    keep: Duration,
}

/// How connections are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Keeping {
    pub connect: Duration,
    pub keep: Duration,
    pub connections: usize,
}

/// Which connections will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    Any,
    /// One that was not used before: it cannot have gone stale.
    Fresh,
}

/// A connection for one request.
pub(super) enum Lease {
    Http1 {
        sender: http1::SendRequest<RequestBody>,
        reused: bool,
    },
    Http2 {
        sender: http2::SendRequest<RequestBody>,
        reused: bool,
        /// Counts as one stream while it lives.
        _stream: Arc<()>,
    },
}

impl Pools {
    pub fn new() -> Self {
        Self::default()
    }

    /// A number that goes round, for a fair choice among equals.
    pub(super) fn turn(&self) -> usize {
        self.0.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// An unused connection to `server`, or a new one.
    pub(super) async fn lease(
        &self,
        server: &Server,
        age: Age,
        versions: Versions,
        keeping: &Keeping,
    ) -> Result<Lease, ConnectError> {
        if let Some(lease) = self.take_of(age, server, versions) {
            return Ok(lease);
        }
        let open = async {
            let Some(opening) = self.opening(server, versions) else {
                return self.open(server, versions, keeping).await;
            };
            let _alone = opening.lock().await;
            // Another request may have opened the connection meanwhile.
            match self.take_of(age, server, versions) {
                Some(lease) => Ok(lease),
                None => self.open(server, versions, keeping).await,
            }
        };
        // Boxed: a request that finds a connection does not carry the room to open one.
        Box::pin(tokio::time::timeout(keeping.connect, open))
            .await
            .unwrap_or(Err(ConnectError::TimedOut))
    }

    /// Takes back a connection whose answer was read to its end.
    pub(super) fn give_back(&self, id: ServerId, lease: Lease, keeping: Keeping) {
        let Lease::Http1 { mut sender, .. } = lease else {
            return;
        };
        if sender.is_closed() {
            return;
        }
        if sender.is_ready() {
            self.park(id, sender, &keeping);
            return;
        }
        // The connection's task has yet to see the end of the request's body.
        let Ok(worker) = Handle::try_current() else {
            return;
        };
        let pools = self.clone();
        worker.spawn(async move {
            if let Ok(Ok(())) = tokio::time::timeout(SETTLE, sender.ready()).await {
                pools.park(id, sender, &keeping);
            }
        });
    }

    async fn open(
        &self,
        server: &Server,
        versions: Versions,
        keeping: &Keeping,
    ) -> Result<Lease, ConnectError> {
        Counts::add(&server.counts.connects);
        let connection = connect(server, versions, keeping.connect).await?;
        Ok(self.enter(server, connection, keeping))
    }

    fn take_of(&self, age: Age, server: &Server, versions: Versions) -> Option<Lease> {
        match age {
            Age::Any => {}
            Age::Fresh => return None,
        }
        let lease = self.lock().take(server.id, versions)?;
        Counts::add(&server.counts.reuses);
        Some(lease)
    }

    /// The lock under which an HTTP/2 connection to `server` is opened; `None` when its
    /// connections are not shared.
    fn opening(&self, server: &Server, versions: Versions) -> Option<Arc<tokio::sync::Mutex<()>>> {
        if versions == Versions::Http1 || !server.may_speak_http2() {
            return None;
        }
        let mut idle = self.lock();
        let connections = idle.servers.entry(server.id).or_default();
        (connections.speaks_http2 || server.speaks_only_http2())
            .then(|| connections.opening.clone())
    }

    /// Makes a new connection a lease; one of HTTP/2 is shared from now on.
    fn enter(&self, server: &Server, connection: Connection, keeping: &Keeping) -> Lease {
        match connection {
            Connection::Http1(sender) => Lease::Http1 {
                sender,
                reused: false,
            },
            Connection::Http2(sender) => {
                let stream = Arc::new(());
                let mut idle = self.lock();
                let since = idle.tick;
                let connections = idle.servers.entry(server.id).or_default();
                connections.speaks_http2 = true;
                connections.http2.push(Multiplexed {
                    sender: sender.clone(),
                    streams: stream.clone(),
                    since,
                    keep: keeping.keep,
                });
                self.sweep(&mut idle);
                Lease::Http2 {
                    sender,
                    reused: false,
                    _stream: stream,
                }
            }
        }
    }

    fn park(&self, id: ServerId, sender: http1::SendRequest<RequestBody>, keeping: &Keeping) {
        let mut idle = self.lock();
        let since = idle.tick;
        let connections = match idle.servers.entry(id) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Connections::default()),
        };
        if connections.http1.len() < keeping.connections {
            connections.http1.push(Parked {
                sender,
                since,
                keep: keeping.keep,
            });
            self.sweep(&mut idle);
        }
    }

    /// Sees to it that unused connections are closed in time.
    fn sweep(&self, idle: &mut Idle) {
        if idle.sweeping {
            return;
        }
        let Ok(worker) = Handle::try_current() else {
            return;
        };
        idle.sweeping = true;
        let pools = Arc::downgrade(&self.0);
        worker.spawn(sweep_while_used(pools));
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idle {
    fn take(&mut self, id: ServerId, versions: Versions) -> Option<Lease> {
        let connections = self.servers.get_mut(&id)?;
        while let Some(parked) = connections.http1.pop() {
            if parked.sender.is_ready() {
                return Some(Lease::Http1 {
                    sender: parked.sender,
                    reused: true,
                });
            }
        }
        if versions == Versions::Http1 {
            return None;
        }
        connections.http2.retain(|c| !c.sender.is_closed());
        let open = connections
            .http2
            .iter_mut()
            .find(|c| Arc::strong_count(&c.streams) <= STREAMS)?;
        open.since = self.tick;
        Some(Lease::Http2 {
            sender: open.sender.clone(),
            reused: true,
            _stream: open.streams.clone(),
        })
    }

    /// Closes what was unused for too long; whether anything is left.
    fn close_old(&mut self) -> bool {
        self.tick = self.tick.wrapping_add(1);
        let tick = self.tick;
        let young = |since: u64, keep: Duration| {
            let age = u32::try_from(tick.wrapping_sub(since)).unwrap_or(u32::MAX);
            SWEEP.saturating_mul(age) < keep
        };
        for connections in self.servers.values_mut() {
            connections
                .http1
                .retain(|c| young(c.since, c.keep) && !c.sender.is_closed());
            for connection in &mut connections.http2 {
                if Arc::strong_count(&connection.streams) > 1 {
                    connection.since = tick;
                }
            }
            connections
                .http2
                .retain(|c| young(c.since, c.keep) && !c.sender.is_closed());
        }
        self.servers
            .values()
            .any(|c| !c.http1.is_empty() || !c.http2.is_empty())
    }
}

impl Lease {
    pub fn reused(&self) -> bool {
        match self {
            Lease::Http1 { reused, .. } | Lease::Http2 { reused, .. } => *reused,
        }
    }
}

async fn sweep_while_used(pools: Weak<Shared>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(pools) = pools.upgrade().map(Pools) else {
            return;
        };
        let mut idle = pools.lock();
        if !idle.close_old() {
            // Servers that left the configuration leave here too.
            idle.servers.retain(|_, c| c.speaks_http2);
            idle.sweeping = false;
            return;
        }
    }
}
