//! Up to when what has expired is cleared away for good: no clock that is ahead for a while decides it.

use std::time::Duration;

use crate::clock::{Clock, Timestamp};

/// The time by which to clear away. What is only compared with the time is good again when a clock that was
/// ahead is set right; what was cleared away is not: a session would be lost, and a token that was
/// revoked would be believed.
#[derive(Debug)]
pub(super) struct SweepTime {
    steady: Duration,
    wall: Timestamp,
}

impl SweepTime {
    pub fn begin(clock: &Clock) -> Self {
        Self {
            steady: clock.steady(),
            wall: clock.wall(),
        }
    }

    /// The system's time, as far as it has moved on no faster than the monotonic clock since this was last
    /// asked: a clock that is set ahead is believed at the second look.
    pub fn next(&mut self, clock: &Clock) -> Timestamp {
        let now = Self::begin(clock);
        let expected = self.wall + now.steady.saturating_sub(self.steady);
        let time = now.wall.min(expected);
        *self = now;
        time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_clock_that_is_ahead_is_believed_at_the_second_look() {
        let clock = Clock::manual(NOW);
        let mut time = SweepTime::begin(&clock);
        clock.advance(HOUR);
        assert_eq!(time.next(&clock), NOW + HOUR);
        clock.jump(NOW + 1000 * HOUR);
        clock.advance(HOUR);
        assert_eq!(time.next(&clock), NOW + 2 * HOUR);
        clock.advance(HOUR);
        assert_eq!(time.next(&clock), NOW + 1002 * HOUR);
    }

    #[test]
    fn a_clock_that_was_set_right_again_has_cleared_nothing_away() {
        let clock = Clock::manual(NOW + 1000 * HOUR);
        let mut time = SweepTime::begin(&clock);
        clock.jump(NOW);
        clock.advance(HOUR);
        assert_eq!(time.next(&clock), NOW + HOUR, "wrong at the start");
        clock.jump(NOW + 1000 * HOUR);
        // Our own time does not run back.
        assert_eq!(clock.now(), NOW + 1000 * HOUR);
        clock.jump(NOW + HOUR);
        clock.advance(HOUR);
        assert_eq!(time.next(&clock), NOW + 2 * HOUR);
    }
}
