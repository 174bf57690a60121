//! A single-threaded histogram of durations, with three significant digits.

use super::scale::{Scale, Summary};

/// Larger values are clamped to this: 36 minutes in microseconds.
const LARGEST: u64 = (1 << 31) - 1;
const SCALE: Scale = match Scale::new(1, LARGEST, 3) {
    Some(scale) => scale,
    None => panic!(),
};

/// The percentiles reported with a [`Summary`].
pub const PERCENTILES: [f64; 15] = [
    0.001, 0.01, 0.1, 1.0, 2.5, 10.0, 25.0, 50.0, 75.0, 90.0, 97.5, 99.0, 99.9, 99.99, 99.999,
];

/// A histogram of durations.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// Grown on demand, up to the bucket of the largest value.
    counts: Vec<u64>,
    count: u64,
    sum: f64,
    sum_of_squares: f64,
    min: u64,
    max: u64,
}

impl Histogram {
    /// Records a value, clamped to the valid range from 1 on.
    pub fn record(&mut self, value: u64) {
        let value = value.clamp(1, LARGEST);
        let bucket = SCALE.index(value);
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.min = if self.count == 0 {
            value
        } else {
            self.min.min(value)
        };
        self.max = self.max.max(value);
        self.count += 1;
        self.sum += value as f64;
        self.sum_of_squares += (value as f64) * (value as f64);
    }

    /// Removes all values.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Everything but percentiles.
    pub fn summary(&self) -> Summary {
        let count = self.count.max(1) as f64;
        let mean = self.sum / count;
        Summary {
            count: self.count,
            mean,
            standard_deviation: (self.sum_of_squares / count - mean * mean).max(0.0).sqrt(),
            min: self.min,
            max: self.max,
        }
    }

    /// The value that `percent` percent of all values do not exceed; 0 without values.
    pub fn percentile(&self, percent: f64) -> u64 {
        let recorded = self.counts.iter().copied().enumerate();
        SCALE.percentile(recorded, percent).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_and_moments_of_a_known_set() {
        let mut histogram = Histogram::default();
        for value in 1..=1000 {
            histogram.record(value);
        }
        assert_eq!(histogram.percentile(50.0), 500);
        assert_eq!(histogram.percentile(99.0), 990);
        assert_eq!(histogram.percentile(0.001), 1);
        let summary = histogram.summary();
        assert_eq!((summary.min, summary.max, summary.count), (1, 1000, 1000));
        assert!((summary.mean - 500.5).abs() < 1e-9);
        assert!((summary.standard_deviation - 288.675).abs() < 0.01);
        histogram.reset();
        assert_eq!((histogram.summary().mean, histogram.percentile(50.0)), (0.0, 0));
    }

    #[test]
    fn what_is_out_of_range_counts_as_the_nearest() {
        let mut histogram = Histogram::default();
        histogram.record(0);
        histogram.record(u64::MAX);
        assert_eq!((histogram.summary().min, histogram.summary().max), (1, LARGEST));
    }
}
