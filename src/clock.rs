//! The only place that asks what time it is: wall time that never runs backwards, and a steady count.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

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

/// Where the program reads the time. Clones share one source.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Source>);

#[derive(Debug)]
enum Source {
    /// The system's clock; `latest` is the latest wall time that was handed out.
    System { start: Instant, latest: AtomicI64 },
    /// A clock that stands still until a test turns it.
    Manual { wall: AtomicI64, steady: AtomicU64 },
}

impl Clock {
    pub fn system() -> Self {
        Self(Arc::new(Source::System {
            start: Instant::now(),
            latest: AtomicI64::new(0),
        }))
    }

    pub fn manual(wall: Timestamp) -> Self {
        Self(Arc::new(Source::Manual {
            wall: AtomicI64::new(wall.millis()),
            steady: AtomicU64::new(0),
        }))
    }

    /// Wall time. When the system's clock is set back this holds at the latest time it gave:
    /// what has expired once stays expired.
    pub fn now(&self) -> Timestamp {
        match &*self.0 {
            Source::System { latest, .. } => {
                let read = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
                // Written once a millisecond rather than at every look: all workers read this.
                let known = latest.load(Ordering::Relaxed);
                if read <= known {
                    return Timestamp(known);
                }
                Timestamp(latest.fetch_max(read, Ordering::Relaxed).max(read))
            }
            Source::Manual { wall, .. } => Timestamp(wall.load(Ordering::Relaxed)),
        }
    }

    /// Time since the clock was made, by the monotonic clock: for intervals and limits.
    pub fn steady(&self) -> Duration {
        match &*self.0 {
            Source::System { start, .. } => start.elapsed(),
            Source::Manual { steady, .. } => Duration::from_millis(steady.load(Ordering::Relaxed)),
        }
    }

    /// Turns a manual clock forward; the system's clock is left alone.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual { wall, steady } = &*self.0 {
            let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
            wall.fetch_add(i64::try_from(millis).unwrap_or(i64::MAX), Ordering::Relaxed);
            steady.fetch_add(millis, Ordering::Relaxed);
        }
    }
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
