//! Too many wrong passwords: counted per account, per network and per pair, never turned on the victim.
//!
//! An account has an e-mail address and may have a username. Wrong passwords are counted for the name
//! that was typed, and again for the account behind it, whichever name leads there. Only the first may
//! be seen: who is told that "ann" is locked after guessing at "ann@example.com" has learned that both
//! are names, and of one account. So an account whose allowance is used up under another name answers
//! as one whose password is wrong.

mod counters;
mod local;
mod shared;
mod subject;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::accounts::{AccountId, LoginName};
use crate::clock::Clock;
use crate::inbound::ClientNet;
use crate::limit::{Allowance, Rate};
use crate::shared::{Health, Redis};

use counters::{Counters, Place};
use subject::Subject;

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
    /// For the second factor of one account, from wherever: whoever shows one has the password, or a
    /// session.
    pub code: Allowance,
    /// How long a network stays known to an account after a login from it.
    pub remember_network: Duration,
    /// How many counters are kept in this process at a time, at least, and as many known networks.
    pub keys: usize,
}

/// Who somebody says to be.
#[derive(Clone, Copy, Debug)]
pub struct Claimed<'a> {
    /// As it was typed.
    pub login: &'a LoginName,
    /// Whose name that is. To be looked up for every name.
    pub account: Option<AccountId>,
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
pub struct Lockout(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Clock,
    redis: Option<Redis>,
    counters: ArcSwap<Counters>,
}

/// No more attempts for now. Says nothing of whether the account exists: unknown names count alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many wrong passwords")]
pub struct Locked {
    pub retry_after: Duration,
}

/// A reserved attempt, counted as failed until it succeeds. Dropping it leaves it counted.
#[must_use = "an attempt counts as failed unless it is told that it succeeded"]
pub struct Attempt {
    counters: Arc<Counters>,
    counted: Vec<(Subject, Place)>,
    exhausted: Option<Locked>,
}

impl Default for LockoutSettings {
    /// Five wrong passwords a pair in a quarter of an hour; twice that for a known device. Fifty an
    /// hour for an account from places that it does not know (NIST SP 800-63B-4 §3.2.2 asks for no
    /// more than a hundred in a row). A hundred in a quarter of an hour for a network, behind
    /// which there may be a whole office. Five codes an hour: three of a million are good at a time.
    fn default() -> Self {
        const QUARTER: Duration = Duration::from_secs(15 * 60);
        const HOUR: Duration = Duration::from_secs(60 * 60);
        Self {
            pair: Allowance::of(Rate::slow(5, QUARTER)),
            device: Allowance::of(Rate::slow(10, QUARTER)),
            account: Allowance::of(Rate::slow(50, HOUR)),
            network: Allowance::of(Rate::slow(100, QUARTER)),
            code: Allowance::of(Rate::slow(5, HOUR)),
            remember_network: Duration::from_secs(30 * 24 * 3600),
            keys: 100_000,
        }
    }
}

impl Lockout {
    /// Counters in this process, or in Redis when there is one.
    pub fn new(settings: LockoutSettings, clock: Clock, redis: Option<Redis>) -> Self {
        let counters = Counters::new(settings, clock.clone(), redis.clone());
        Self(Arc::new(Shared {
            clock,
            redis,
            counters: ArcSwap::from_pointee(counters),
        }))
    }

    /// Takes over new settings at a reload. Unchanged ones keep the counters of this process;
    /// changed ones start them afresh. Those in Redis stay.
    pub fn adopt(&self, settings: LockoutSettings) {
        if self.0.counters.load().settings() == settings {
            return;
        }
        let (clock, redis) = (self.0.clock.clone(), self.0.redis.clone());
        let counters = Counters::new(settings, clock, redis);
        self.0.counters.store(Arc::new(counters));
    }

    /// Counts an attempt before its password is hashed, so that parallel guesses cannot slip
    /// through. A refused attempt counts nowhere.
    ///
    /// A known device has an allowance of its own, and nobody else's failures touch it. Any other
    /// is counted for its network, for the pair of name and network, and for the name; then for the
    /// pair of account and network, and for the account. From a network from which somebody logged in
    /// before, the name and the account are not counted.
    ///
    /// With Redis this waits at most the response time-out for each of three scripts.
    ///
    /// # Errors
    /// When an allowance of the device, the network or the name is used up. The account's is used up
    /// in silence: see [`Attempt::exhausted`].
    pub async fn reserve(
        &self,
        claimed: Claimed<'_>,
        client: ClientNet,
        device: KnownDevice<'_>,
    ) -> Result<Attempt, Locked> {
        let counters = self.0.counters.load_full();
        let mut attempt = Attempt {
            counted: Vec::with_capacity(2),
            exhausted: None,
            counters,
        };
        let (open, hidden) = Subject::of(claimed, client, device);
        attempt.count(open).await?;
        if let Some(hidden) = hidden {
            attempt.exhausted = attempt.count(hidden).await.err();
        }
        Ok(attempt)
    }

    /// Counts a code of a second factor before it is looked at. Nobody comes so far without the
    /// password or a session: so there is one counter an account, and what is used up is told.
    ///
    /// # Errors
    /// When the account's allowance of codes is used up.
    pub async fn reserve_code(&self, account: AccountId) -> Result<Attempt, Locked> {
        let counters = self.0.counters.load_full();
        let mut attempt = Attempt {
            counted: Vec::with_capacity(1),
            exhausted: None,
            counters,
        };
        attempt.count(Subject::code(account)).await?;
        Ok(attempt)
    }

    /// Where the counters live now; for `/readyz`.
    pub fn health(&self) -> Health {
        self.0.redis.as_ref().map_or(Health::Local, Redis::health)
    }
}

impl Attempt {
    async fn count(&mut self, subject: Subject) -> Result<(), Locked> {
        let reserved = self.counters.reserve(subject).await;
        let place = reserved.map_err(|retry_after| Locked { retry_after })?;
        self.counted.push((subject, place));
        Ok(())
    }

    /// The account's allowance is used up, under whatever names: the password is not to be looked at.
    /// The answer is that of a wrong password, after the same work, since another one would tell
    /// that somebody has this name.
    pub fn exhausted(&self) -> Option<Locked> {
        self.exhausted
    }

    /// The password was right: gives the attempt back, forgets the failures of this device or
    /// pair, and remembers the network. Failures counted for the account and the network stay:
    /// otherwise whoever has one account could go on guessing at others.
    pub async fn succeeded(self) {
        for (subject, place) in self.counted {
            self.counters.succeeded(subject, place).await;
        }
    }

    /// The password was wrong, or nobody has this name: the attempt stays counted.
    pub fn failed(self) {}

    /// Nobody looked at the password (too busy, or the accounts were away): gives the attempt
    /// back, so that our own failures lock nobody out.
    pub async fn withdrawn(self) {
        for (subject, place) in self.counted {
            self.counters.give_back(subject, place).await;
        }
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
