//! Too many wrong passwords: counted per account, per network and per pair, never turned on the victim.

use std::time::Duration;

use crate::accounts::LoginName;
use crate::clock::Clock;
use crate::inbound::ClientNet;
use crate::limit::Allowance;
use crate::shared::{Health, Redis};

/// How many wrong passwords are borne. Each allowance is a burst that grows back at its rate;
/// what succeeds is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockoutSettings {
    /// For one login name from one network.
    pub pair: Allowance,
    /// For one login name from one of its known devices.
    pub device: Allowance,
    /// For one login name from everywhere that is neither a known device nor a known network.
    pub account: Allowance,
    /// For one network, whatever the login names.
    pub network: Allowance,
    /// How long a network stays known to an account after a login from it.
    pub remember_network: Duration,
    /// How many login names and networks are remembered in this process at a time, at least.
    pub keys: usize,
}

impl Default for LockoutSettings {
    fn default() -> Self {
        let one = Allowance::of(
            crate::limit::Rate::new(std::num::NonZeroU32::MIN, Duration::from_secs(60)).unwrap(),
        );
        Self {
            pair: one,
            device: one,
            account: one,
            network: one,
            remember_network: Duration::from_secs(60),
            keys: 1000,
        }
    }
}

/// Whether the device that tries logged in to this very account before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownDevice<'a> {
    No,
    /// The id that a verified device cookie or a live refresh token of this account names.
    Yes(&'a str),
}

/// The counters of wrong passwords. Clones share.
#[derive(Clone, Debug)]
pub struct Lockout {}

/// No more attempts for now. Says nothing of whether the account exists: unknown names count alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many wrong passwords")]
pub struct Locked {
    pub retry_after: Duration,
}

/// A reserved attempt, counted as failed until it succeeds. Dropping it leaves it counted.
#[must_use = "an attempt counts as failed unless it is told that it succeeded"]
#[derive(Debug)]
pub struct Attempt {}

impl Lockout {
    pub fn new(_settings: LockoutSettings, _clock: Clock, _redis: Option<Redis>) -> Self {
        Self {}
    }

    /// Takes over new settings at a reload. Counters whose allowance is unchanged stay.
    pub fn adopt(&self, _settings: LockoutSettings) {}

    /// Counts an attempt before its password is hashed, so that parallel guesses cannot slip
    /// through. A refused attempt counts nowhere.
    ///
    /// # Errors
    /// When the account, network, pair or device has none left.
    pub async fn reserve(
        &self,
        _login: &LoginName,
        _client: ClientNet,
        _device: KnownDevice<'_>,
    ) -> Result<Attempt, Locked> {
        Ok(Attempt {})
    }

    /// Where the counters live now; for `/readyz`.
    pub fn health(&self) -> Health {
        Health::Local
    }
}

impl Attempt {
    /// Gives the attempt back, clears the pair and remembers its network.
    pub async fn succeeded(self) {}

    /// Gives the attempt back and nothing more: it was never decided, since the hasher or the
    /// store is busy.
    pub async fn withdrawn(self) {}

    /// Leaves the attempt counted.
    pub fn failed(self) {}
}
