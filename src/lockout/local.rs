//! Attempts counted in this process.

use std::time::Duration;

use super::counters::{Buckets, Counted};
use super::subject::{Counter, Stranger, Subject};
use crate::clock::Clock;
use crate::shared::{Bucket, Change, FullAt, Keyring, Table, nanos};

/// All counters in one bounded table. An attacker who invents names pushes out those counters
/// first that are nearest to meaning nothing. What is remembered for a month stands apart: it would
/// push out every counter.
#[derive(Debug)]
pub(super) struct LocalCounters {
    buckets: Buckets,
    clock: Clock,
    keyring: Keyring,
    counters: Table<FullAt>,
    known_networks: Table<FullAt>,
}

impl LocalCounters {
    pub(super) fn new(buckets: Buckets, keys: usize, clock: Clock) -> Self {
        Self {
            buckets,
            clock,
            keyring: Keyring::default(),
            counters: Table::with_room_for(keys),
            known_networks: Table::with_room_for(keys),
        }
    }

    /// # Errors
    /// The time until the next attempt; then nothing is counted.
    pub(super) fn reserve(&self, subject: Subject) -> Result<Counted, Duration> {
        match subject {
            Subject::Device(device) => self
                .take(device.counter(), self.buckets.device)
                .map(|()| Counted::KnownNetwork),
            Subject::Stranger(stranger) => self.reserve_stranger(stranger),
            Subject::Holder(stranger) => self.reserve_login(stranger),
            Subject::Code(login) => self
                .take(Counter::Code { login }, self.buckets.code)
                .map(|()| Counted::KnownNetwork),
        }
    }

    pub(super) fn succeeded(&self, subject: Subject, counted: Counted) {
        self.give_back(subject, counted);
        match subject {
            Subject::Device(device) => self.forget(device.counter()),
            Subject::Stranger(stranger) | Subject::Holder(stranger) => {
                self.forget(stranger.pair());
                self.remember(stranger.known_network());
            }
            Subject::Code(login) => self.forget(Counter::Code { login }),
        }
    }

    pub(super) fn give_back(&self, subject: Subject, counted: Counted) {
        let buckets = &self.buckets;
        match subject {
            Subject::Device(device) => self.put_back(device.counter(), buckets.device),
            Subject::Stranger(stranger) => {
                self.put_back(stranger.network(), buckets.network);
                self.give_back(Subject::Holder(stranger), counted);
            }
            Subject::Holder(stranger) => {
                self.put_back(stranger.pair(), buckets.pair);
                match counted {
                    Counted::Account => self.put_back(stranger.account(), buckets.account),
                    Counted::KnownNetwork => {}
                }
            }
            Subject::Code(login) => self.put_back(Counter::Code { login }, buckets.code),
        }
    }

    fn reserve_stranger(&self, stranger: Stranger) -> Result<Counted, Duration> {
        let network = self.buckets.network;
        self.take(stranger.network(), network)?;
        let reserved = self.reserve_login(stranger);
        reserved.inspect_err(|_| self.put_back(stranger.network(), network))
    }

    fn reserve_login(&self, stranger: Stranger) -> Result<Counted, Duration> {
        let buckets = &self.buckets;
        self.take(stranger.pair(), buckets.pair)?;
        if self.remembers(stranger.known_network()) {
            return Ok(Counted::KnownNetwork);
        }
        let taken = self.take(stranger.account(), buckets.account);
        taken.inspect_err(|_| self.put_back(stranger.pair(), buckets.pair))?;
        Ok(Counted::Account)
    }

    fn take(&self, counter: Counter, bucket: Bucket) -> Result<(), Duration> {
        let now = self.clock.steady();
        let take = |held| match bucket.take(held, now) {
            Ok(full) => (Change::Put(full), Ok(())),
            Err(wait) => (Change::Keep, Err(wait)),
        };
        self.counters.update(self.keyring.key(counter), take)
    }

    fn put_back(&self, counter: Counter, bucket: Bucket) {
        let now = self.clock.steady();
        let put_back = |held: Option<FullAt>| {
            let rest = held.and_then(|held| bucket.give_back(held, now));
            (rest.map_or(Change::Remove, Change::Put), ())
        };
        self.counters.update(self.keyring.key(counter), put_back);
    }

    fn forget(&self, counter: Counter) {
        let key = self.keyring.key(counter);
        self.counters.update(key, |_| (Change::Remove, ()));
    }

    fn remember(&self, counter: Counter) {
        let until = self
            .clock
            .steady()
            .saturating_add(self.buckets.remember_network);
        let until = FullAt(nanos(until));
        let key = self.keyring.key(counter);
        self.known_networks
            .update(key, |_| (Change::Put(until), ()));
    }

    fn remembers(&self, counter: Counter) -> bool {
        let now = nanos(self.clock.steady());
        let known = |held: Option<FullAt>| (Change::Keep, held.is_some_and(|at| at.0 > now));
        self.known_networks.update(self.keyring.key(counter), known)
    }
}
