//! Buckets that empty by one a time and grow back at a rate: in this process, and in Redis by script.

use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use aws_lc_rs::digest;
use redis::Script;

use super::memory::Expiring;
use super::redis::{Away, Redis};

static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("take.lua")));
static GIVE_BACK: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("give_back.lua")));

/// How fast a bucket grows back, and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bucket {
    /// The time in which it grows by one.
    pub interval: Duration,
    pub burst: u32,
}

/// When a bucket will be full, in nanoseconds of [`crate::clock::Clock::steady`]: all that is
/// remembered of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FullAt(pub u64);

/// What a bucket in Redis gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// At most what was wanted; zero when the bucket is empty.
    pub taken: u32,
    pub left: u32,
    /// Until there is one, when there was none.
    pub wait: Duration,
}

/// 128 bits of a SHA-256: names somebody in Redis without saying who it is, in bounded length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Digest(u128);

impl Bucket {
    /// Takes one.
    ///
    /// # Errors
    /// The time until there is one.
    pub(crate) fn take(self, held: Option<FullAt>, now: Duration) -> Result<FullAt, Duration> {
        let now = nanos(now);
        let interval = nanos(self.interval);
        let depth = interval.saturating_mul(u64::from(self.burst));
        let full = held.map_or(now, |at| at.0.max(now));
        let next = full.saturating_add(interval);
        match next.saturating_sub(now).checked_sub(depth) {
            None | Some(0) => Ok(FullAt(next)),
            Some(wait) => Err(Duration::from_nanos(wait)),
        }
    }

    /// Gives one back; `None` is a full bucket.
    pub(crate) fn give_back(self, held: FullAt, now: Duration) -> Option<FullAt> {
        let full = held.0.saturating_sub(nanos(self.interval));
        (full > nanos(now)).then_some(FullAt(full))
    }

    /// The interval in whole microseconds, as the scripts count it.
    pub(crate) fn micros(self) -> u64 {
        u64::try_from(self.interval.as_micros())
            .unwrap_or(u64::MAX)
            .max(1)
    }
}

impl Expiring for FullAt {
    fn until(&self) -> u64 {
        self.0
    }
}

impl Redis {
    /// Takes up to `want` from the bucket at `key`.
    pub(crate) async fn take(&self, key: &str, bucket: Bucket, want: u32) -> Result<Taken, Away> {
        let mut call = TAKE.key(key);
        call.arg(bucket.micros()).arg(bucket.burst).arg(want);
        let (taken, left, wait) = self.invoke::<(u32, u32, u64)>(&call).await?;
        Ok(Taken {
            taken,
            left,
            wait: Duration::from_micros(wait),
        })
    }

    /// Gives one back to the bucket at `key`.
    pub(crate) async fn give_back(&self, key: &str, bucket: Bucket) -> Result<(), Away> {
        let mut call = GIVE_BACK.key(key);
        call.arg(bucket.micros());
        self.invoke::<u32>(&call).await.map(|_| ())
    }
}

impl Digest {
    /// The digest of a list: no two lists of parts run together to the same bytes.
    pub(crate) fn of(parts: &[&[u8]]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in parts {
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part);
        }
        let mut first = [0; 16];
        for (to, from) in first.iter_mut().zip(context.finish().as_ref()) {
            *to = *from;
        }
        Self(u128::from_be_bytes(first))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Nanoseconds, which last for 584 years.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::test_redis::TestRedis;

    const SLOW: Bucket = Bucket {
        interval: Duration::from_secs(3_600),
        burst: 3,
    };

    #[test]
    fn a_bucket_gives_its_burst_then_one_an_interval() {
        let mut held = None;
        for _ in 0..3 {
            held = Some(SLOW.take(held, Duration::ZERO).unwrap());
        }
        assert_eq!(SLOW.take(held, Duration::ZERO), Err(SLOW.interval));
        let later = Duration::from_secs(1_800);
        assert_eq!(SLOW.take(held, later), Err(Duration::from_secs(1_800)));
        assert!(SLOW.take(held, SLOW.interval).is_ok());
    }

    #[test]
    fn what_is_given_back_can_be_taken_again_and_never_more() {
        let one = SLOW.take(None, Duration::ZERO).unwrap();
        let two = SLOW.take(Some(one), Duration::ZERO).unwrap();
        assert_eq!(SLOW.give_back(two, Duration::ZERO), Some(one));
        assert_eq!(SLOW.give_back(one, Duration::ZERO), None);
    }

    #[test]
    fn digests_tell_lists_apart_that_read_the_same() {
        assert_ne!(Digest::of(&[b"ab", b"c"]), Digest::of(&[b"a", b"bc"]));
        assert_eq!(Digest::of(&[]).to_string().len(), 32);
    }

    #[tokio::test]
    async fn a_bucket_in_redis_gives_what_one_in_this_process_gives() {
        let server = TestRedis::start().await;
        let redis = server.connect().await;
        for left in [2, 1, 0] {
            let taken = redis.take("b", SLOW, 1).await.unwrap();
            assert_eq!((taken.taken, taken.left), (1, left));
        }
        let refused = redis.take("b", SLOW, 1).await.unwrap();
        assert_eq!(refused.taken, 0);
        assert!(refused.wait <= SLOW.interval && refused.wait > SLOW.interval / 2);
        redis.give_back("b", SLOW).await.unwrap();
        assert_eq!(redis.take("b", SLOW, 9).await.unwrap().taken, 1);
        assert_eq!(redis.take("other", SLOW, 9).await.unwrap().taken, 3);
    }
}
