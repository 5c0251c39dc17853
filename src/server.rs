//! Listeners, connections and workers: from a socket to a request and back.

mod accept;
mod activation;
mod certificates;
mod connection;
mod counters;
mod deadlines;
pub mod dev_cert;
mod drain;
mod exchange;
mod executor;
mod handshakes;
mod io;
mod lanes;
mod large_pages;
mod linger;
mod listener;
mod proxy;
mod public_url;
mod redirect;
mod settings;
mod slots;
pub mod systemd;
mod tls;
mod worker;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;

pub use activation::Inherited;
pub use certificates::{CertificateError, CertificateFiles, Certificates};
pub use counters::Counters;
pub use drain::Drained;
pub use lanes::Desk;
pub use listener::{Address, BindError, Listener, ListenerKind};
pub use public_url::{PublicUrl, PublicUrlError};
pub use settings::{Bounds, Settings};
pub use tls::{OldestTls, Tls, TlsError};
pub use worker::{Pulse, StartError};

/// What answers the requests of one worker's connections. Lives on the worker's thread.
pub trait Serve: 'static {
    /// Answers what is laid on `desk`, one request after another, for ever; many desks are served side by
    /// side. A panic in here costs one connection (one stream in HTTP/2).
    fn serve(&self, desk: &Desk) -> impl Future<Output = ()>;
}

/// Every port is bound; nothing is accepted yet.
#[must_use = "a bound server accepts nothing until it is started"]
pub struct Bound {
    listeners: Vec<listener::BoundListener>,
    shared: Arc<worker::Shared>,
}

/// Workers are running and connections are accepted.
#[must_use = "a running server stops at once when it is dropped; drain it"]
pub struct Running {
    workers: worker::Workers,
    accepting: accept::Accepting,
    drain: drain::DrainControl,
}

/// Binds every port of `settings`, or none: the first that cannot be had is the error. Listeners that the
/// service manager opened are taken out of `inherited` by their names. Call it inside a tokio runtime.
pub fn bind(settings: Settings, inherited: &mut Inherited) -> Result<Bound, BindError> {
    let plans = &settings.listeners;
    let bind = |plan: &Listener| listener::bind(plan, settings.tls.as_ref(), inherited);
    let listeners = plans.iter().map(bind).collect::<Result<Vec<_>, _>>()?;
    let listeners: Vec<_> = listeners.into_iter().flatten().collect();
    let https_port = listeners
        .iter()
        .find_map(listener::BoundListener::https_port);
    let shared = worker::Shared::new(settings, https_port);
    Ok(Bound { listeners, shared })
}

impl Bound {
    /// Where each listener really listens, in the order of the settings: port 0 has become a port.
    pub fn addresses(&self) -> Vec<std::net::SocketAddr> {
        self.listeners.iter().map(|l| l.address()).collect()
    }

    /// Numbers for metrics; they go on counting while the server runs.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.shared.counters)
    }

    /// Starts `workers` threads, each answering with its own `make(index)`, and accepts.
    pub fn start<S: Serve>(
        self,
        workers: NonZeroUsize,
        make: impl Fn(usize) -> S + Send + Sync + 'static,
    ) -> Result<Running, StartError> {
        let drain = drain::DrainControl::new();
        let workers = worker::Workers::start(workers, make, &self.shared, &drain)?;
        let accepting = accept::Accepting::start(self.listeners, &workers, &self.shared);
        Ok(Running {
            workers,
            accepting,
            drain,
        })
    }

    /// Starts, serves until `shutdown` resolves, then drains.
    pub async fn run<S: Serve>(
        self,
        workers: NonZeroUsize,
        make: impl Fn(usize) -> S + Send + Sync + 'static,
        shutdown: impl Future<Output = ()>,
    ) -> Result<Drained, StartError> {
        let running = self.start(workers, make)?;
        shutdown.await;
        Ok(running.drain().await)
    }
}

impl Running {
    /// Asks the workers whether they are alive, for the service manager's watchdog.
    pub fn pulse(&self) -> Pulse {
        self.workers.pulse()
    }

    /// Stops accepting, lets what is under way end within the settings' bound, then ends the workers.
    pub async fn drain(self) -> Drained {
        let Running {
            workers,
            accepting,
            drain,
        } = self;
        // Before the ports close: who is refused a connection finds the others on their way out.
        drain.begin();
        accepting.stop().await;
        drain.run(workers).await
    }
}
