//! Where an attempt is counted: in Redis while it answers, else in this process.

use std::time::Duration;

use super::LockoutSettings;
use super::local::LocalCounters;
use super::shared::SharedCounters;
use super::subject::Subject;
use crate::clock::Clock;
use crate::limit::Allowance;
use crate::shared::{Away, Bucket, Redis};

/// The allowances, as buckets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Buckets {
    pub pair: Bucket,
    pub device: Bucket,
    pub account: Bucket,
    pub network: Bucket,
    pub code: Bucket,
    pub remember_network: Duration,
}

/// Whether an attempt was counted for the account, or its network was known to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    Account,
    KnownNetwork,
}

/// Where an attempt was counted, and so where it is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Local(Counted),
    Shared(Counted),
}

/// All counters under one setting of their allowances.
#[derive(Debug)]
pub(super) struct Counters {
    settings: LockoutSettings,
    shared: Option<SharedCounters>,
    /// Every attempt when there is no Redis; this node's share while it is away.
    local: LocalCounters,
}

impl Counters {
    pub(super) fn new(settings: LockoutSettings, clock: Clock, redis: Option<Redis>) -> Self {
        let nodes = redis.as_ref().map(Redis::nodes);
        let whole = Buckets::of(settings, |allowance| allowance);
        let part = nodes.map_or(whole, |n| Buckets::of(settings, |a| a.share(n)));
        Self {
            settings,
            shared: redis.map(|redis| SharedCounters::new(whole, redis)),
            local: LocalCounters::new(part, settings.keys, clock),
        }
    }

    pub(super) fn settings(&self) -> LockoutSettings {
        self.settings
    }

    /// # Errors
    /// The time until the next attempt.
    pub(super) async fn reserve(&self, subject: Subject) -> Result<Place, Duration> {
        if let Some(shared) = &self.shared
            && let Ok(verdict) = shared.reserve(subject).await
        {
            return verdict.map(Place::Shared);
        }
        self.local.reserve(subject).map(Place::Local)
    }

    pub(super) async fn succeeded(&self, subject: Subject, place: Place) {
        match (place, &self.shared) {
            (Place::Local(counted), _) => self.local.succeeded(subject, counted),
            // What Redis cannot take back now stays counted: the stricter of two wrongs.
            (Place::Shared(counted), Some(shared)) => {
                let _: Result<(), Away> = shared.succeeded(subject, counted).await;
            }
            (Place::Shared(_), None) => {}
        }
    }

    pub(super) async fn give_back(&self, subject: Subject, place: Place) {
        match (place, &self.shared) {
            (Place::Local(counted), _) => self.local.give_back(subject, counted),
            (Place::Shared(counted), Some(shared)) => {
                let _: Result<(), Away> = shared.give_back(subject, counted).await;
            }
            (Place::Shared(_), None) => {}
        }
    }
}

impl Buckets {
    fn of(settings: LockoutSettings, part: impl Fn(Allowance) -> Allowance) -> Self {
        let bucket = |allowance| {
            let allowance: Allowance = part(allowance);
            Bucket {
                interval: allowance.rate.interval(),
                burst: allowance.burst.get(),
            }
        };
        Self {
            pair: bucket(settings.pair),
            device: bucket(settings.device),
            account: bucket(settings.account),
            network: bucket(settings.network),
            code: bucket(settings.code),
            remember_network: settings.remember_network,
        }
    }
}
