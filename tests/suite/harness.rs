//! What the tests drive the gateway with: processes, certificates, clients and upstream servers.

pub mod body;
pub mod browser;
pub mod certs;
pub mod chaos;
pub mod client;
pub mod config;
pub mod gateway;
pub mod ports;
/// The server of the unit tests.
#[path = "../../src/store/postgres/test_server.rs"]
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod raw;
pub mod received;
pub mod redis;
pub mod tokens;
pub mod upstream;
pub mod visitor;
pub mod websocket;

pub use client::{Answer, Client};
pub use config::Config;
pub use gateway::Gateway;
pub use upstream::Upstream;

/// The bound of every wait: far above what a loaded machine needs, so that only a hang meets it.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);

/// Waits for `work`, and fails the test with `what` when it hangs.
pub async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(done) => done,
        Err(_) => panic!("nothing happened within {PATIENCE:?}: {what}"),
    }
}
