//! How many connections are open: in all, from each client network, on each worker.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::inbound::{ClientIp, ClientNet};

/// Locks that connections of different networks rarely share. Taken twice a connection, never in a
/// request.
const SHARDS: usize = 16;

/// The places for connections of the whole server.
#[derive(Debug)]
pub(super) struct Slots {
    open: AtomicUsize,
    most: usize,
    most_per_network: u32,
    networks: [Mutex<HashMap<ClientNet, u32>>; SHARDS],
    hasher: RandomState,
}

/// One worker's share of the open connections.
#[derive(Debug, Default)]
pub(super) struct Load {
    open: AtomicUsize,
    emptied: Notify,
}

/// One open connection's place; given back when dropped, also by an upgraded connection.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    load: Arc<Load>,
    network: Option<ClientNet>,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many connections from this address")]
pub(super) struct NetworkFull;

impl Slots {
    pub(super) fn new(most: usize, most_per_network: u32) -> Arc<Self> {
        Arc::new(Self {
            open: AtomicUsize::new(0),
            most,
            most_per_network,
            networks: Default::default(),
            hasher: RandomState::new(),
        })
    }

    /// A place on the worker with `load`, or `None` when all are taken.
    pub(super) fn take(self: &Arc<Self>, load: &Arc<Load>) -> Option<Slot> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.most {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        load.open.fetch_add(1, Ordering::Relaxed);
        Some(Slot {
            slots: Arc::clone(self),
            load: Arc::clone(load),
            network: None,
        })
    }

    fn shard(&self, network: ClientNet) -> MutexGuard<'_, HashMap<ClientNet, u32>> {
        let hash = self.hasher.hash_one(network);
        let at = usize::try_from(hash % SHARDS as u64).unwrap_or(0);
        let [first, ..] = &self.networks;
        let shard = self.networks.get(at).unwrap_or(first);
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Counts this connection against its client's network.
    pub(super) fn claim(&mut self, client: ClientIp) -> Result<(), NetworkFull> {
        let network = client.network();
        let mut shard = self.slots.shard(network);
        let open = shard.entry(network).or_insert(0);
        if *open >= self.slots.most_per_network {
            return Err(NetworkFull);
        }
        *open += 1;
        drop(shard);
        self.network = Some(network);
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(network) = self.network
            && let Entry::Occupied(mut entry) = self.slots.shard(network).entry(network)
        {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
        self.slots.open.fetch_sub(1, Ordering::Relaxed);
        if self.load.open.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.load.emptied.notify_one();
        }
    }
}

impl Load {
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Waits until no connection is open on this worker.
    pub(super) async fn emptied(&self) {
        while self.open() > 0 {
            self.emptied.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> ClientIp {
        ClientIp::new(text.parse().unwrap())
    }

    #[test]
    fn one_network_cannot_take_all_places() {
        let (slots, load) = (Slots::new(10, 2), Arc::new(Load::default()));
        let mut held = Vec::new();
        for address in ["2001:db8::1", "2001:db8::2"] {
            let mut slot = slots.take(&load).unwrap();
            slot.claim(client(address)).unwrap();
            held.push(slot);
        }
        let mut third = slots.take(&load).unwrap();
        assert_eq!(third.claim(client("2001:db8::3")), Err(NetworkFull));
        assert_eq!(third.claim(client("2001:db8:1::3")), Ok(()));
        held.pop();
        let mut fourth = slots.take(&load).unwrap();
        assert_eq!(fourth.claim(client("2001:db8::4")), Ok(()));
    }

    #[test]
    fn places_are_given_back() {
        let (slots, load) = (Slots::new(1, 1), Arc::new(Load::default()));
        let slot = slots.take(&load).unwrap();
        assert!(slots.take(&load).is_none());
        drop(slot);
        assert_eq!(load.open(), 0);
        assert!(slots.take(&load).is_some());
    }
}
