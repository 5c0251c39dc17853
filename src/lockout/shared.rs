//! Attempts counted in Redis, by scripts: all or nothing, whichever node they come through.

use std::sync::LazyLock;
use std::time::Duration;

use redis::Script;

use super::counters::{Buckets, Counted};
use super::subject::{Counter, Stranger, Subject};
use crate::shared::{Away, Bucket, Redis};

static RESERVE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("reserve.lua")));
static SETTLE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("settle.lua")));

/// The counters in Redis.
#[derive(Debug)]
pub(super) struct SharedCounters {
    buckets: Buckets,
    redis: Redis,
}

impl SharedCounters {
    pub(super) fn new(buckets: Buckets, redis: Redis) -> Self {
        Self { buckets, redis }
    }

    /// # Errors
    /// Outer: Redis is away. Inner: the time until the next attempt; then nothing is counted.
    pub(super) async fn reserve(
        &self,
        subject: Subject,
    ) -> Result<Result<Counted, Duration>, Away> {
        match subject {
            Subject::Device(device) => {
                self.reserve_one(device.counter(), self.buckets.device)
                    .await
            }
            Subject::Stranger(stranger) => self.reserve_stranger(stranger).await,
            Subject::Holder(stranger) => self.reserve_login(stranger).await,
            Subject::Code(login) => {
                self.reserve_one(Counter::Code { login }, self.buckets.code)
                    .await
            }
        }
    }

    pub(super) async fn succeeded(&self, subject: Subject, counted: Counted) -> Result<(), Away> {
        self.give_back(subject, counted).await?;
        let mut call = SETTLE.prepare_invoke();
        match subject {
            Subject::Device(device) => call.key(self.place(device.counter())),
            Subject::Code(login) => call.key(self.place(Counter::Code { login })),
            Subject::Stranger(stranger) | Subject::Holder(stranger) => call
                .key(self.place(stranger.pair()))
                .key(self.place(stranger.known_network()))
                .arg(millis(self.buckets.remember_network)),
        };
        self.redis.invoke::<u32>(&call).await.map(|_| ())
    }

    pub(super) async fn give_back(&self, subject: Subject, counted: Counted) -> Result<(), Away> {
        let buckets = &self.buckets;
        let stranger = match subject {
            Subject::Device(device) => {
                return self.put_back(device.counter(), buckets.device).await;
            }
            Subject::Stranger(stranger) => {
                self.put_back(stranger.network(), buckets.network).await?;
                stranger
            }
            Subject::Holder(stranger) => stranger,
            Subject::Code(login) => {
                return self.put_back(Counter::Code { login }, buckets.code).await;
            }
        };
        self.put_back(stranger.pair(), buckets.pair).await?;
        match counted {
            Counted::Account => self.put_back(stranger.account(), buckets.account).await,
            Counted::KnownNetwork => Ok(()),
        }
    }

    /// Of what has one counter only.
    async fn reserve_one(
        &self,
        counter: Counter,
        bucket: Bucket,
    ) -> Result<Result<Counted, Duration>, Away> {
        let place = self.place(counter);
        let taken = self.redis.take(&place, bucket, 1).await?;
        Ok(match taken.taken {
            0 => Err(taken.wait),
            1.. => Ok(Counted::KnownNetwork),
        })
    }

    /// The network stands apart from the account's keys: on a cluster they live on two nodes.
    async fn reserve_stranger(
        &self,
        stranger: Stranger,
    ) -> Result<Result<Counted, Duration>, Away> {
        let (network, bucket) = (self.place(stranger.network()), self.buckets.network);
        let taken = self.redis.take(&network, bucket, 1).await?;
        if taken.taken == 0 {
            return Ok(Err(taken.wait));
        }
        let reserved = self.reserve_login(stranger).await?;
        if reserved.is_err() {
            self.redis.give_back(&network, bucket).await?;
        }
        Ok(reserved)
    }

    async fn reserve_login(&self, stranger: Stranger) -> Result<Result<Counted, Duration>, Away> {
        let buckets = &self.buckets;
        let mut call = RESERVE.prepare_invoke();
        call.key(self.place(stranger.pair()))
            .key(self.place(stranger.account()))
            .key(self.place(stranger.known_network()))
            .arg(buckets.pair.micros())
            .arg(buckets.pair.burst)
            .arg(buckets.account.micros())
            .arg(buckets.account.burst);
        let (wait, account) = self.redis.invoke::<(u64, u32)>(&call).await?;
        if wait > 0 {
            return Ok(Err(Duration::from_micros(wait)));
        }
        Ok(Ok(match account {
            0 => Counted::KnownNetwork,
            1.. => Counted::Account,
        }))
    }

    async fn put_back(&self, counter: Counter, bucket: Bucket) -> Result<(), Away> {
        self.redis.give_back(&self.place(counter), bucket).await
    }

    fn place(&self, counter: Counter) -> String {
        counter.place(self.redis.prefix())
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}
