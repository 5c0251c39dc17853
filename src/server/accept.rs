//! Takes connections off the listeners and hands each to the worker with the fewest.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::listener::{BoundListener, Plan, listed};
use super::worker::{Arrival, Mailbox, Shared, Workers};
use crate::inbound::ClientIp;

/// The first pause after the system gave no socket; doubled while it goes on.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// One task for each listener.
pub(super) struct Accepting {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

struct Acceptor {
    mailboxes: Arc<[Mailbox]>,
    shared: Arc<Shared>,
}

impl Accepting {
    pub(super) fn start(
        listeners: Vec<BoundListener>,
        workers: &Workers,
        shared: &Arc<Shared>,
    ) -> Self {
        let stop = watch::Sender::new(false);
        let mut tasks = JoinSet::new();
        for listener in listeners {
            let acceptor = Acceptor {
                mailboxes: workers.mailboxes(),
                shared: Arc::clone(shared),
            };
            tasks.spawn(acceptor.run(listener, stop.subscribe()));
        }
        Self { tasks, stop }
    }

    /// Closes the listeners, after what the system has accepted for us already.
    pub(super) async fn stop(self) {
        let Accepting { tasks, stop } = self;
        stop.send_replace(true);
        tasks.join_all().await;
    }
}

impl Acceptor {
    async fn run(self, listener: BoundListener, mut stop: watch::Receiver<bool>) {
        let BoundListener { socket, plan } = listener;
        let mut pause = SHORTEST_PAUSE;
        loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                // A sender that is gone means the same: stop.
                _ = stop.wait_for(|stop| *stop) => break,
            };
            match accepted {
                Ok((stream, peer)) => {
                    pause = SHORTEST_PAUSE;
                    self.admit(stream, peer, &plan);
                }
                Err(error) if is_the_clients(&error) => {}
                Err(error) => {
                    self.shared.counters.accept_failures.add_one();
                    tracing::warn!(%error, "no connection could be accepted");
                    tokio::time::sleep(pause).await;
                    pause = LONGEST_PAUSE.min(pause * 2);
                }
            }
        }
        while let Some(Ok((stream, peer))) = accept_waiting(&socket).await {
            self.admit(stream, peer, &plan);
        }
    }

    /// Hands the connection to a worker, or closes it at once when its listener or a bound says so.
    fn admit(&self, stream: TcpStream, peer: SocketAddr, plan: &Arc<Plan>) {
        let counters = &self.shared.counters;
        counters.accepted.add_one();
        if !plan.admits(peer.ip()) {
            return counters.refused_network.add_one();
        }
        let Some(worker) = self.mailboxes.iter().min_by_key(|to| to.load.open()) else {
            return;
        };
        let Some(mut slot) = self.shared.slots.take(&worker.load) else {
            return counters.refused_full.add_one();
        };
        let stands_for_one = plan.peer_is_client() && !listed(&self.shared.proxies, peer.ip());
        if stands_for_one && slot.claim(ClientIp::new(peer.ip())).is_err() {
            return counters.refused_address.add_one();
        }
        // Answers are written whole: waiting for more to put into a packet only delays them.
        let ready = stream.set_nodelay(true).and_then(|()| stream.into_std());
        // An error means that the client is gone already.
        if let Ok(stream) = ready {
            worker.send(Arrival {
                stream,
                peer,
                plan: Arc::clone(plan),
                slot,
            });
        }
    }
}

/// Errors of the connection that was to be accepted, not of the system (accept(2)).
fn is_the_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::TimedOut
    )
}

/// The next connection that the system holds for us, without waiting for one.
async fn accept_waiting(
    socket: &tokio::net::TcpListener,
) -> Option<io::Result<(TcpStream, SocketAddr)>> {
    std::future::poll_fn(|cx| match socket.poll_accept(cx) {
        std::task::Poll::Ready(accepted) => std::task::Poll::Ready(Some(accepted)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}
