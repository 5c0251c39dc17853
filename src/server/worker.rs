//! A thread with its own runtime that serves the connections it is handed.

use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use ipnet::IpNet;
use tokio::runtime::{LocalOptions, LocalRuntime};
use tokio::sync::{mpsc, oneshot, watch};

use super::Serve;
use super::connection;
use super::counters::Counters;
use super::drain::{DrainControl, Stage};
use super::exchange::Closing;
use super::handshakes::Handshakes;
use super::lanes::Lanes;
use super::large_pages;
use super::listener::Plan;
use super::redirect::Redirect;
use super::settings::{Bounds, Settings};
use super::slots::{Load, Slot, Slots};

/// How many tasks run between two looks for events. What is ready at once is taken together through each step: reading,
/// sending on, reading the answer, answering. Tokio's own 61 would part the work of a hundred busy connections.
const TASKS_BETWEEN_EVENTS: u32 = 256;

/// What the acceptor and all workers read.
pub(super) struct Shared {
    pub(super) bounds: Bounds,
    pub(super) proxies: Vec<IpNet>,
    pub(super) redirect: Redirect,
    pub(super) slots: Arc<Slots>,
    pub(super) counters: Arc<Counters>,
}

/// A connection on its way to a worker.
pub(super) struct Arrival {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) plan: Arc<Plan>,
    pub(super) slot: Slot,
}

/// What a worker's connections share.
pub(super) struct Worker<S> {
    pub(super) lanes: Rc<Lanes<S>>,
    pub(super) shared: Arc<Shared>,
    pub(super) handshakes: Handshakes,
    /// Whether HTTP/1.1 connections end with their next answer.
    pub(super) closing: Cell<Closing>,
    /// The worker's own copy: its connections share no lock with another worker's.
    pub(super) stage: watch::Receiver<Stage>,
}

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the system gave no thread for a worker")]
    Thread(#[source] io::Error),
    #[error("a worker's runtime could not be set up")]
    Runtime(#[source] io::Error),
}

/// Asks every worker whether it still runs.
#[derive(Clone)]
pub struct Pulse(Arc<[Mailbox]>);

pub(super) struct Workers {
    pub(super) shared: Arc<Shared>,
    mailboxes: Arc<[Mailbox]>,
    threads: Vec<JoinHandle<()>>,
}

/// The way to one worker. What is under way in it is bounded by the connections' places.
#[derive(Clone)]
pub(super) struct Mailbox {
    sender: mpsc::UnboundedSender<Message>,
    pub(super) load: Arc<Load>,
}

enum Message {
    Arrival(Arrival),
    Pulse(oneshot::Sender<()>),
}

impl Shared {
    pub(super) fn new(settings: Settings, https_port: Option<u16>) -> Arc<Self> {
        let Settings {
            listeners: _,
            tls,
            public_url,
            bounds,
            proxies,
        } = settings;
        let slots = Slots::new(bounds.connections, bounds.connections_per_address);
        Arc::new(Self {
            redirect: Redirect::new(public_url, tls, https_port),
            slots,
            counters: Arc::default(),
            bounds,
            proxies,
        })
    }
}

impl Workers {
    pub(super) fn start<S: Serve>(
        count: NonZeroUsize,
        make: impl Fn(usize) -> S + Send + Sync + 'static,
        shared: &Arc<Shared>,
        drain: &DrainControl,
    ) -> Result<Self, StartError> {
        let make = Arc::new(make);
        let (mut mailboxes, mut threads) = (Vec::new(), Vec::new());
        for index in 0..count.get() {
            let (sender, receiver) = mpsc::unbounded_channel();
            let stage = drain.subscribe();
            let (make, shared) = (Arc::clone(&make), Arc::clone(shared));
            let (report, set_up) = std::sync::mpsc::channel();
            let thread = std::thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || {
                    large_pages::for_this_thread();
                    match runtime() {
                        Ok(runtime) => {
                            drop(report.send(Ok(())));
                            let serving = async { run(make(index), shared, receiver, stage).await };
                            runtime.block_on(serving);
                        }
                        Err(error) => drop(report.send(Err(error))),
                    }
                })
                .map_err(StartError::Thread)?;
            set_up
                .recv()
                .unwrap_or_else(|gone| Err(io::Error::other(gone)))
                .map_err(StartError::Runtime)?;
            threads.push(thread);
            mailboxes.push(Mailbox {
                sender,
                load: Arc::default(),
            });
        }
        Ok(Self {
            shared: Arc::clone(shared),
            mailboxes: mailboxes.into(),
            threads,
        })
    }

    pub(super) fn mailboxes(&self) -> Arc<[Mailbox]> {
        Arc::clone(&self.mailboxes)
    }

    pub(super) fn pulse(&self) -> Pulse {
        Pulse(self.mailboxes())
    }

    /// Connections that are open on all workers.
    pub(super) fn open(&self) -> usize {
        self.mailboxes.iter().map(|to| to.load.open()).sum()
    }

    /// Waits until no connection is open.
    pub(super) async fn emptied(&self) {
        for to in self.mailboxes.iter() {
            to.load.emptied().await;
        }
    }

    /// Waits for the threads, once they were told to cut.
    pub(super) async fn join(self) {
        let threads = self.threads;
        let join = move || threads.into_iter().for_each(|thread| drop(thread.join()));
        // An error here is a thread's panic, which has been reported where it happened.
        drop(tokio::task::spawn_blocking(join).await);
    }
}

impl Mailbox {
    /// Hands a connection over; a worker that has ended drops it.
    pub(super) fn send(&self, arrival: Arrival) {
        drop(self.sender.send(Message::Arrival(arrival)));
    }
}

impl Pulse {
    /// Whether every worker answered within `patience`: none is stuck.
    pub async fn beats(&self, patience: Duration) -> bool {
        let answers: Vec<_> = self.0.iter().map(ask).collect();
        let all = async {
            for answer in answers {
                if answer.await.is_err() {
                    return false;
                }
            }
            true
        };
        tokio::time::timeout(patience, all).await.unwrap_or(false)
    }
}

fn ask(to: &Mailbox) -> oneshot::Receiver<()> {
    let (sender, answer) = oneshot::channel();
    // A worker that has ended drops the question, and so the answer fails.
    drop(to.sender.send(Message::Pulse(sender)));
    answer
}

/// The runtime of this thread. It has one queue for all tasks, where a `LocalSet` would have its own beside that of the
/// connections to backends, and look for events each time that one wakes the other.
fn runtime() -> io::Result<LocalRuntime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .event_interval(TASKS_BETWEEN_EVENTS)
        .build_local(LocalOptions::default())
}

/// Serves what comes into the mailbox until it is told to cut, or left alone.
async fn run<S: Serve>(
    service: S,
    shared: Arc<Shared>,
    mut mailbox: mpsc::UnboundedReceiver<Message>,
    mut stage: watch::Receiver<Stage>,
) {
    let own_stage = watch::Sender::new(*stage.borrow());
    let worker = Rc::new(Worker {
        lanes: Lanes::new(service),
        handshakes: Handshakes::new(shared.bounds.handshakes),
        shared,
        closing: Cell::new(Closing::No),
        stage: own_stage.subscribe(),
    });
    loop {
        tokio::select! {
            biased;
            changed = stage.changed() => {
                let now = *stage.borrow_and_update();
                if changed.is_err() || now == Stage::Cutting {
                    return;
                }
                worker.closing.set(now.closing());
                own_stage.send_replace(now);
            }
            Some(message) = mailbox.recv() => match message {
                Message::Arrival(arrival) => {
                    tokio::task::spawn_local(connection::serve(arrival, Rc::clone(&worker)));
                }
                Message::Pulse(answer) => drop(answer.send(())),
            },
        }
    }
}
