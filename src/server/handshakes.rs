//! TLS handshakes under way on one worker: bounded in all, and for each client network, so that one
//! which dawdles over its handshakes holds up nobody else's.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::inbound::ClientNet;

/// A network gets this part of the places.
const SHARES: usize = 8;

/// A worker's places for handshakes.
pub(super) struct Handshakes {
    all: Semaphore,
    share: usize,
    networks: RefCell<HashMap<ClientNet, Rc<Semaphore>>>,
}

impl Handshakes {
    pub(super) fn new(most: usize) -> Self {
        Self {
            all: Semaphore::new(most),
            share: most.div_ceil(SHARES),
            networks: RefCell::default(),
        }
    }

    /// Does `handshake` when there is a place for it: first among those of its network, then among
    /// all. `None`: a peer that stands for many networks.
    pub(super) async fn in_turn<T>(
        &self,
        network: Option<ClientNet>,
        handshake: impl Future<Output = T>,
    ) -> T {
        let Some(network) = network else {
            let _place = place(&self.all).await;
            return handshake.await;
        };
        let turn = Turn::of(self, network);
        let _own = place(&turn.places).await;
        let _place = place(&self.all).await;
        handshake.await
    }
}

/// The semaphores are never closed, so a place always comes.
async fn place(places: &Semaphore) -> Option<SemaphorePermit<'_>> {
    places.acquire().await.ok()
}

/// A handshake of a network, waiting or under way. The last one takes the network's entry away.
struct Turn<'a> {
    of: &'a Handshakes,
    network: ClientNet,
    places: Rc<Semaphore>,
}

impl<'a> Turn<'a> {
    fn of(of: &'a Handshakes, network: ClientNet) -> Self {
        let mut networks = of.networks.borrow_mut();
        let places = networks
            .entry(network)
            .or_insert_with(|| Rc::new(Semaphore::new(of.share)));
        Self {
            of,
            network,
            places: Rc::clone(places),
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // The entry's own, and ours.
        if Rc::strong_count(&self.places) == 2 {
            self.of.networks.borrow_mut().remove(&self.network);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::pin;

    use super::*;
    use crate::inbound::ClientIp;

    fn network(text: &str) -> Option<ClientNet> {
        Some(ClientIp::new(text.parse().unwrap()).network())
    }

    #[tokio::test]
    async fn a_network_that_dawdles_waits_for_itself_alone() {
        let handshakes = Handshakes::new(16);
        {
            let stuck = || Box::pin(handshakes.in_turn(network("192.0.2.1"), pending::<()>()));
            let mut dawdling: Vec<_> = (0..100).map(|_| stuck()).collect();
            for handshake in &mut dawdling {
                assert!(polled_once(handshake.as_mut()).await.is_none());
            }
            let mut own = pin!(handshakes.in_turn(network("192.0.2.1"), async { 1 }));
            assert_eq!(polled_once(own.as_mut()).await, None);
            let mut other = pin!(handshakes.in_turn(network("192.0.2.2"), async { 2 }));
            assert_eq!(polled_once(other.as_mut()).await, Some(2));
            dawdling.truncate(1);
            assert_eq!(polled_once(own.as_mut()).await, Some(1));
        }
        assert!(handshakes.networks.borrow().is_empty());
    }

    /// What `future` gives when it is polled once.
    async fn polled_once<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
        std::future::poll_fn(|cx| {
            std::task::Poll::Ready(match std::pin::Pin::new(&mut future).poll(cx) {
                std::task::Poll::Ready(done) => Some(done),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }
}
