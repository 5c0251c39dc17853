//! How late this node hears of what others revoke: measured, not promised.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds in milliseconds, as texts in seconds: two seconds are what is promised.
const BOUNDS: [(u64, &str); 8] = [
    (10, "0.01"),
    (50, "0.05"),
    (100, "0.1"),
    (250, "0.25"),
    (500, "0.5"),
    (1_000, "1"),
    (2_000, "2"),
    (5_000, "5"),
];

/// Counts by lag.
#[derive(Debug, Default)]
pub struct Lags {
    /// The last is what lies above every bound.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum_millis: AtomicU64,
}

/// What was measured since the start, as a histogram of Prometheus has it.
#[derive(Clone, Debug, PartialEq)]
pub struct LagFigures {
    /// Cumulative counts, with their upper bounds in seconds.
    pub buckets: Vec<(&'static str, u64)>,
    pub sum_seconds: f64,
    pub count: u64,
}

impl Lags {
    pub(super) fn record(&self, lag: Duration) {
        let millis = u64::try_from(lag.as_millis()).unwrap_or(u64::MAX);
        let place = BOUNDS.partition_point(|&(bound, _)| bound < millis);
        if let Some(bucket) = self.buckets.get(place) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_millis.fetch_add(millis, Ordering::Relaxed);
    }

    pub(super) fn figures(&self) -> LagFigures {
        let mut count = 0;
        let bounds = BOUNDS.iter().map(|&(_, text)| text).chain(["+Inf"]);
        let cumulative = self.buckets.iter().zip(bounds).map(|(bucket, bound)| {
            count += bucket.load(Ordering::Relaxed);
            (bound, count)
        });
        let buckets: Vec<_> = cumulative.collect();
        LagFigures {
            buckets,
            sum_seconds: Duration::from_millis(self.sum_millis.load(Ordering::Relaxed))
                .as_secs_f64(),
            count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lag_is_counted_at_and_above_its_bound() {
        let lags = Lags::default();
        for millis in [0, 10, 11, 2_000, 60_000] {
            lags.record(Duration::from_millis(millis));
        }
        let figures = lags.figures();
        let at = |bound: &str| figures.buckets.iter().find(|(b, _)| *b == bound).unwrap().1;
        assert_eq!((at("0.01"), at("0.05"), at("2"), at("5")), (2, 3, 4, 4));
        assert_eq!((at("+Inf"), figures.count), (5, 5));
        assert!((figures.sum_seconds - 62.021).abs() < 1e-9);
    }
}
