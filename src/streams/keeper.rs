//! Where the streams of one worker are handed to their watch.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::rounds::{Entry, Rounds};
use super::{Admitted, Streams, Tether};
use crate::accounts::Accounts;
use crate::authn::Tenure;
use crate::clock::Clock;

/// What a watch asks.
#[derive(Clone)]
pub struct Watch<J> {
    pub streams: Streams,
    pub accounts: Accounts,
    pub clock: Clock,
    /// Where sessions are looked up.
    pub control: Handle,
    /// Judges what was let in by the configuration that is in force now: its tenure in it, or
    /// `None` when it would not be let in.
    pub judge: J,
}

/// Hands the streams of one worker to their watch. Clones share it.
#[derive(Clone)]
pub struct Keeper(Arc<Desk>);

struct Desk {
    arrivals: mpsc::UnboundedSender<Entry>,
    streams: Streams,
}

impl Keeper {
    /// Starts the watch of one worker, on the worker: it ends with the last of its streams after
    /// the keeper is dropped.
    pub fn start<J>(watch: Watch<J>) -> Self
    where
        J: Fn(&Admitted, Tenure) -> Option<Tenure> + 'static,
    {
        let (arrivals, arriving) = mpsc::unbounded_channel();
        let streams = watch.streams.clone();
        tokio::task::spawn_local(Rounds::new(watch).go(arriving));
        Self(Arc::new(Desk { arrivals, streams }))
    }

    /// What ties a stream to the session that admitted it.
    pub fn tether(&self, admitted: Admitted) -> Tether {
        Tether::new(admitted, self.clone())
    }

    pub(super) fn streams(&self) -> &Streams {
        &self.0.streams
    }

    pub(super) fn watch(&self, entry: Entry) {
        // Nobody takes it when the worker is going, and the stream with it.
        drop(self.0.arrivals.send(entry));
    }
}
