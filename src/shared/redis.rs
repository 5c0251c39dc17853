//! One connection to Redis, behind a circuit: when Redis is away nobody waits for it.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::secret::Secret;

/// Where Redis is and how long it may take.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// `redis://host:port/db`, or `rediss://` for TLS; without credentials.
    pub url: String,
    pub username: Option<String>,
    pub password: Option<Secret>,
    /// Stands before every key, so that several installations can share a Redis.
    pub prefix: String,
    /// How many gateways share the limits: each takes this share when Redis is away.
    pub nodes: NonZeroU32,
    /// Longest wait for one answer; then the circuit opens.
    pub response_timeout: Duration,
    /// Longest wait for a connection, which nobody but the background probe waits for.
    pub connect_timeout: Duration,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the Redis URL cannot be used: {0}")]
pub struct InvalidRedis(String);

/// The shared counters. Clones share one connection.
#[derive(Clone, Debug)]
pub struct Redis {}

/// Where counters live at this moment; for `/readyz` and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// No Redis is configured: counters are in process.
    Local,
    /// Redis answers.
    Shared,
    /// Redis does not: each node counts for itself, with its share of every budget.
    Away { since: Timestamp, why: String },
}

/// Redis did not do what it was asked: decide locally.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("redis is away")]
pub(crate) struct Away;

impl Redis {
    /// Starts connecting in the background, on `control`, and goes on for as long as a clone lives.
    ///
    /// # Errors
    /// When the URL or the credentials make no connection settings. That Redis does not answer is
    /// no error.
    pub fn start(
        _settings: RedisSettings,
        _clock: crate::clock::Clock,
        _control: &tokio::runtime::Handle,
    ) -> Result<Self, InvalidRedis> {
        Ok(Self {})
    }

    /// Waits until the first attempt to connect has ended, well or badly.
    pub async fn first_answer(&self) {}

    pub fn health(&self) -> Health {
        Health::Shared
    }
}
