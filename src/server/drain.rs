//! From the order to stop to the last connection: first politely, then within a bound.

use tokio::sync::watch;
use tokio::time::timeout;

use super::exchange::Closing;
use super::worker::Workers;

/// How far the server has come with stopping. Stages follow each other in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Serving,
    /// HTTP/2 is told to go away; HTTP/1.1 is told `Connection: close` with its next answer.
    Draining,
    /// Idle HTTP/1.1 connections are closed. Earlier, a request in flight to us would be lost.
    ClosingIdle,
    /// What is still open is dropped.
    Cutting,
}

impl Stage {
    pub(super) fn closing(self) -> Closing {
        match self {
            Stage::Serving => Closing::No,
            Stage::Draining | Stage::ClosingIdle | Stage::Cutting => Closing::AfterThis,
        }
    }
}

/// How a drain went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were still open when time was up, and were cut.
    pub cut: usize,
}

/// Leads all workers through the stages.
pub(super) struct DrainControl {
    stage: watch::Sender<Stage>,
}

impl DrainControl {
    pub(super) fn new() -> Self {
        Self {
            stage: watch::Sender::new(Stage::Serving),
        }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }

    /// Has the workers send away whom they answer from now on.
    pub(super) fn begin(&self) {
        self.stage.send_replace(Stage::Draining);
    }

    /// Drains `workers`, which have begun to, within the settings' bound and ends them.
    pub(super) async fn run(self, workers: Workers) -> Drained {
        let bounds = &workers.shared.bounds;
        let politely = async {
            if timeout(bounds.drain_grace, workers.emptied())
                .await
                .is_err()
            {
                self.stage.send_replace(Stage::ClosingIdle);
                workers.emptied().await;
            }
        };
        let in_time = timeout(bounds.drain_time, politely).await.is_ok();
        let cut = if in_time { 0 } else { workers.open() };
        self.stage.send_replace(Stage::Cutting);
        workers.join().await;
        Drained { cut }
    }
}
