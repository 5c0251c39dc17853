//! The only place that asks what time it is: wall time that never runs backwards, and a steady count.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Wall time as milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// `seconds` as a JWT's NumericDate counts them (RFC 7519 §2).
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    pub const fn millis(self) -> i64 {
        self.0
    }

    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The time from `earlier` to this, zero when `earlier` is later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// RFC 3339 in UTC, always with six digits after the seconds: texts of equal length sort by time.
    pub fn rfc3339(self) -> String {
        let micros = i128::from(self.0.rem_euclid(1000)) * 1000;
        let whole = OffsetDateTime::from_unix_timestamp(self.seconds());
        let text = whole.ok().and_then(|at| at.format(&Rfc3339).ok());
        let text = text.unwrap_or_else(|| String::from("1970-01-01T00:00:00Z"));
        format!("{}.{micros:06}Z", text.trim_end_matches('Z'))
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Timestamp;

    fn add(self, by: Duration) -> Timestamp {
        Timestamp(
            self.0
                .saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)),
        )
    }
}

impl std::ops::Sub<Duration> for Timestamp {
    type Output = Timestamp;

    fn sub(self, by: Duration) -> Timestamp {
        Timestamp(
            self.0
                .saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)),
        )
    }
}

/// So far may the system's clock lie behind the latest time that was read before it counts as set
/// back: threads read it side by side.
const STEP: i64 = 1000;
/// The system's clock is not behind.
const LEVEL: i64 = i64::MIN;

/// Where the program reads the time. Clones share one source.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Source>);

#[derive(Debug)]
struct Source {
    reading: Reading,
    /// The latest wall time that was handed out.
    latest: AtomicI64,
    /// While the system's clock is set back: twice the wall time less the steady time of the moment
    /// at which that was seen. Half of this and the steady time together is the time since then at
    /// half its pace.
    slow: AtomicI64,
}

#[derive(Debug)]
enum Reading {
    /// The system's clocks.
    System {
        /// On the monotonic clock.
        start: Duration,
    },
    /// Clocks that stand still until a test turns them.
    Manual { wall: AtomicI64, steady: AtomicU64 },
}

impl Clock {
    pub fn system() -> Self {
        Self::reading(Reading::System { start: monotonic() })
    }

    pub fn manual(wall: Timestamp) -> Self {
        Self::reading(Reading::Manual {
            wall: AtomicI64::new(wall.millis()),
            steady: AtomicU64::new(0),
        })
    }

    fn reading(reading: Reading) -> Self {
        Self(Arc::new(Source {
            reading,
            latest: AtomicI64::new(0),
            slow: AtomicI64::new(LEVEL),
        }))
    }

    /// Wall time. What has expired once stays expired: when the system's clock is set back, this goes
    /// on from the latest time it gave, at half its pace until the system's clock has caught up.
    /// It does not stand still, or nothing would expire meanwhile.
    pub fn now(&self) -> Timestamp {
        let source = &*self.0;
        let read = source.reading.wall();
        // Written once a millisecond rather than at every look: all workers read this.
        let known = source.latest.load(Ordering::Relaxed);
        let latest = match read > known {
            true => source.latest.fetch_max(read, Ordering::Relaxed).max(read),
            false => known,
        };
        if latest.saturating_sub(read) > STEP {
            return Timestamp(source.slowly(latest));
        }
        if source.slow.load(Ordering::Relaxed) != LEVEL {
            source.slow.store(LEVEL, Ordering::Relaxed);
        }
        Timestamp(latest)
    }

    /// What the system's clock says now, also when it was set back. For nothing that may expire.
    pub fn wall(&self) -> Timestamp {
        Timestamp(self.0.reading.wall())
    }

    /// Time since the clock was made, by the monotonic clock: for intervals and limits.
    pub fn steady(&self) -> Duration {
        self.0.reading.steady()
    }

    /// Turns a manual clock forward; the system's clock is left alone.
    pub fn advance(&self, by: Duration) {
        if let Reading::Manual { wall, steady } = &self.0.reading {
            let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
            wall.fetch_add(i64::try_from(millis).unwrap_or(i64::MAX), Ordering::Relaxed);
            steady.fetch_add(millis, Ordering::Relaxed);
        }
    }

    /// Has a manual clock jump, as a system's clock that is set; the system's clock is left alone.
    pub fn jump(&self, to: Timestamp) {
        if let Reading::Manual { wall, .. } = &self.0.reading {
            wall.store(to.millis(), Ordering::Relaxed);
        }
    }
}

impl Source {
    /// The time while the system's clock lies behind `latest`.
    fn slowly(&self, latest: i64) -> i64 {
        let steady = self.reading.steady().as_millis();
        let steady = i64::try_from(steady).unwrap_or(i64::MAX);
        let begins = latest.saturating_mul(2).saturating_sub(steady);
        let begun = self
            .slow
            .compare_exchange(LEVEL, begins, Ordering::Relaxed, Ordering::Relaxed);
        let begun = begun.map_or_else(|earlier| earlier, |_| begins);
        let now = begun.saturating_add(steady).div_euclid(2);
        self.latest.fetch_max(now, Ordering::Relaxed).max(now)
    }
}

impl Reading {
    fn wall(&self) -> i64 {
        match self {
            Reading::System { .. } => {
                let read = clock_gettime(ClockId::Realtime);
                read.tv_sec * 1000 + read.tv_nsec / 1_000_000
            }
            Reading::Manual { wall, .. } => wall.load(Ordering::Relaxed),
        }
    }

    fn steady(&self) -> Duration {
        match self {
            Reading::System { start } => monotonic().saturating_sub(*start),
            Reading::Manual { steady, .. } => Duration::from_millis(steady.load(Ordering::Relaxed)),
        }
    }
}

/// The kernel's own numbers: the time is read several times a request, and the standard library's
/// types check and convert at each reading what needs neither.
fn monotonic() -> Duration {
    let read = clock_gettime(ClockId::Monotonic);
    let nanos = u32::try_from(read.tv_nsec).unwrap_or_default();
    Duration::new(read.tv_sec.unsigned_abs(), nanos)
}

/// Where the timers of this thread's runtime stand: for deadlines that a timer will meet, and so
/// turned with the timers by `tokio::time::pause`.
pub fn timer_now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_turns_wall_and_steady_time_together() {
        let clock = Clock::manual(Timestamp::from_seconds(1_000));
        clock.advance(Duration::from_secs(5));
        assert_eq!(clock.now(), Timestamp::from_seconds(1_005));
        assert_eq!(clock.steady(), Duration::from_secs(5));
    }

    #[test]
    fn a_clock_that_is_set_back_goes_on_slowly_until_it_is_right_again() {
        let clock = Clock::manual(Timestamp::from_seconds(10_000));
        let now = || clock.now().seconds();
        assert_eq!(now(), 10_000);
        clock.jump(Timestamp::from_seconds(9_000));
        assert_eq!(now(), 10_000, "what has expired stays expired");
        clock.advance(Duration::from_secs(500));
        assert_eq!(now(), 10_250, "and what has not does");
        assert_eq!(clock.steady(), Duration::from_secs(500));
        clock.advance(Duration::from_secs(1_500));
        assert_eq!(now(), 11_000);
        clock.advance(Duration::from_secs(10));
        assert_eq!(now(), 11_010, "it has caught up");
        // Back again, and forward before that was over.
        clock.jump(Timestamp::from_seconds(11_000));
        clock.advance(Duration::from_secs(4));
        assert_eq!(now(), 11_010);
        clock.jump(Timestamp::from_seconds(20_000));
        assert_eq!(now(), 20_000);
        clock.jump(Timestamp::from_seconds(1_000));
        clock.advance(Duration::from_secs(10));
        assert_eq!(now(), 20_000, "seen only now");
        clock.advance(Duration::from_secs(10));
        assert_eq!(now(), 20_005);
    }

    #[test]
    fn a_small_step_back_is_waited_for() {
        let clock = Clock::manual(Timestamp::from_millis(5_000));
        clock.now();
        clock.jump(Timestamp::from_millis(4_200));
        clock.advance(Duration::from_millis(300));
        assert_eq!(clock.now(), Timestamp::from_millis(5_000));
        clock.advance(Duration::from_millis(600));
        assert_eq!(clock.now(), Timestamp::from_millis(5_100));
    }

    #[test]
    fn timestamps_print_as_rfc3339_in_utc() {
        assert_eq!(
            Timestamp::from_seconds(0).rfc3339(),
            "1970-01-01T00:00:00.000000Z"
        );
        assert_eq!(
            Timestamp::from_millis(1_500).rfc3339(),
            "1970-01-01T00:00:01.500000Z"
        );
    }
}
