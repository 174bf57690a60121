//! A histogram in a segment, with the buckets of HdrHistogram (`scale`).
//!
//! ```text
//! parameter 0  smallest value distinguishable from 0    1  largest value    2  significant digits
//! word      0  smallest value except 0    1  largest value    2..  counts
//! ```
//!
//! Recording is one atomic addition to a count, plus updates of the extremes; any thread may record. A thread
//! that dies in between has recorded the value but may not have updated the extremes. The number of values is
//! the sum of the counts.

use std::sync::Arc;

use super::scale::{Scale, Summary, MAX_VALUE};
use crate::shm::header::Kind;
use crate::shm::object::{ObjectSegment, Plan};
use crate::shm::OpenError;
use crate::sync::{AtomicU64, Ordering};

/// The segment type of histograms.
pub const KIND: Kind = Kind {
    name: "histo",
    layout: 1,
};

const LEAST: usize = 0;
const GREATEST: usize = 1;
const COUNTS: usize = 2;

/// An open histogram. May be used from any thread.
#[derive(Clone, Debug)]
pub struct Histogram {
    segment: Arc<ObjectSegment>,
    scale: Scale,
}

impl Histogram {
    /// Opens or creates a histogram, using `open`.
    ///
    /// # Errors
    /// Those of `open`; `Corrupt`.
    pub fn open(
        scale: Scale,
        open: impl FnOnce(&Plan) -> Result<Arc<ObjectSegment>, OpenError>,
    ) -> Result<Self, OpenError> {
        let segment = open(&Plan {
            kind: KIND,
            body_bytes: (COUNTS + scale.counts) * 8,
            initialise: &|segment| {
                segment.set_parameters([scale.lowest, scale.highest, u64::from(scale.digits)]);
                if let Some(least) = segment.body().first() {
                    least.store(u64::MAX, Ordering::Relaxed);
                }
            },
        })?;
        let parameter = |index| segment.parameter(index);
        let digits = u32::try_from(parameter(2)).unwrap_or(0);
        let scale = Scale::new(parameter(0), parameter(1), digits);
        match scale.filter(|scale| COUNTS + scale.counts <= segment.body().len()) {
            Some(scale) => Ok(Self { segment, scale }),
            None => Err(OpenError::Corrupt("its parameters cannot be")),
        }
    }

    /// The underlying segment.
    pub fn segment(&self) -> &Arc<ObjectSegment> {
        &self.segment
    }

    /// The largest value that can be recorded.
    pub fn highest(&self) -> u64 {
        self.scale.highest
    }

    fn counts(&self) -> &[AtomicU64] {
        self.segment
            .body()
            .get(COUNTS..COUNTS + self.scale.counts)
            .unwrap_or(&[])
    }

    fn extreme(&self, index: usize) -> Option<&AtomicU64> {
        self.segment.body().get(index)
    }

    /// Records a value `times` times. Returns false when it is too large.
    #[inline]
    pub fn record(&self, value: u64, times: u64) -> bool {
        if value > self.scale.highest {
            return false;
        }
        let Some(count) = self.counts().get(self.scale.index(value)) else {
            return false;
        };
        count.fetch_add(times, Ordering::Relaxed);
        if let Some(greatest) = self.extreme(GREATEST) {
            if greatest.load(Ordering::Relaxed) < value {
                greatest.fetch_max(value, Ordering::Relaxed);
            }
        }
        if let Some(least) = self.extreme(LEAST).filter(|_| value > 0) {
            if least.load(Ordering::Relaxed) > value {
                least.fetch_min(value, Ordering::Relaxed);
            }
        }
        true
    }

    /// Records a value, corrected for coordinated omission: also records the values that were not measured
    /// because it took so long, one per `interval`.
    pub fn record_corrected(&self, value: u64, interval: u64) -> bool {
        if !self.record(value, 1) {
            return false;
        }
        if interval > 0 {
            let mut missing = value.saturating_sub(interval);
            while missing >= interval {
                self.record(missing, 1);
                missing -= interval;
            }
        }
        true
    }

    /// Removes all values. Values recorded concurrently may or may not be kept.
    pub fn reset(&self) {
        for count in self.counts() {
            count.store(0, Ordering::Relaxed);
        }
        for (index, value) in [(LEAST, u64::MAX), (GREATEST, 0)] {
            if let Some(word) = self.extreme(index) {
                word.store(value, Ordering::Relaxed);
            }
        }
    }

    /// Adds the counts of another histogram. Returns false when their scales differ.
    pub fn add(&self, other: &Self) -> bool {
        if self.scale != other.scale {
            return false;
        }
        for (count, theirs) in self.counts().iter().zip(other.counts()) {
            let theirs = theirs.load(Ordering::Relaxed);
            if theirs > 0 {
                count.fetch_add(theirs, Ordering::Relaxed);
            }
        }
        if let Some((greatest, theirs)) = self.extreme(GREATEST).zip(other.extreme(GREATEST)) {
            greatest.fetch_max(theirs.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        if let Some((least, theirs)) = self.extreme(LEAST).zip(other.extreme(LEAST)) {
            least.fetch_min(theirs.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        true
    }

    /// Index and count of each non-empty bucket.
    fn recorded(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        let counts = self.counts().iter().map(|count| count.load(Ordering::Relaxed));
        counts.enumerate().filter(|(_, count)| *count > 0)
    }

    /// Summary statistics of all values.
    pub fn summary(&self) -> Summary {
        let recorded: Vec<_> = self.recorded().collect();
        let count = recorded
            .iter()
            .fold(0u64, |sum, (_, count)| sum.saturating_add(*count));
        if count == 0 {
            return Summary::default();
        }
        let middles = recorded.iter().map(|(index, count)| {
            let middle = self.scale.middle(self.scale.lowest_of(*index)) as f64;
            (middle, *count as f64)
        });
        let mean = middles.clone().map(|(middle, count)| middle * count).sum::<f64>() / count as f64;
        let squares = middles
            .map(|(middle, count)| (middle - mean).powi(2) * count)
            .sum::<f64>();
        let of_word = |index| self.extreme(index).map_or(0, |word| word.load(Ordering::Relaxed));
        let least = of_word(LEAST).min(MAX_VALUE);
        let has_zero = recorded.first().is_some_and(|(index, _)| *index == 0);
        Summary {
            count,
            min: if has_zero { 0 } else { least },
            max: of_word(GREATEST).min(MAX_VALUE),
            mean,
            standard_deviation: (squares / count as f64).sqrt(),
        }
    }

    /// The value that `percent` percent of all values do not exceed.
    pub fn percentile(&self, percent: f64) -> u64 {
        let recorded: Vec<_> = self.recorded().collect();
        self.scale.percentile(recorded.into_iter(), percent)
    }

    /// Lowest value, highest value and count of each non-empty bucket, in ascending order.
    pub fn buckets(&self) -> Vec<(u64, u64, u64)> {
        let bucket = |(index, count)| {
            let lowest = self.scale.lowest_of(index);
            (lowest, self.scale.highest_equivalent(lowest), count)
        };
        self.recorded().map(bucket).collect()
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::testing::assert_documented;

    #[test]
    fn the_layout_is_as_documented() {
        let places = [
            ("smallest value except 0", LEAST),
            ("largest value", GREATEST),
            ("counts", COUNTS),
        ];
        assert_documented(include_str!("shared.rs"), &places);
    }

    fn histogram(highest: u64, digits: u32) -> Histogram {
        Histogram::open(Scale::new(1, highest, digits).unwrap(), |plan| {
            ObjectSegment::anonymous(plan)
        })
        .unwrap()
    }

    #[test]
    fn what_is_recorded_is_told() {
        let histogram = histogram(1_000_000, 3);
        for value in 0..=1000 {
            assert!(histogram.record(value, 1));
        }
        assert!(!histogram.record(1_000_001, 1));
        let summary = histogram.summary();
        assert_eq!((summary.count, summary.min, summary.max), (1001, 0, 1000));
        assert_eq!(histogram.percentile(0.0), 0);
        assert_eq!(histogram.percentile(50.0), 500);
        assert_eq!(histogram.percentile(100.0), 1000);
        histogram.reset();
        assert_eq!(histogram.summary(), Summary::default());
        assert_eq!(histogram.percentile(50.0), 0);
    }
}
