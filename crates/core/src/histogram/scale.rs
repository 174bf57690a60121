//! The mapping of values to buckets, and statistics derived from the buckets.

/// Largest value: the largest safe integer in JavaScript.
pub const MAX_VALUE: u64 = (1 << 53) - 1;

/// Summary statistics of the recorded values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// Number of values.
    pub count: u64,
    /// Smallest value; 0 without values or if any value is in the bucket of 0.
    pub min: u64,
    /// Largest value.
    pub max: u64,
    /// Mean, computed from the midpoints of the buckets.
    pub mean: f64,
    /// Standard deviation, computed likewise.
    pub standard_deviation: f64,
}

/// A mapping of values to buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Smallest value distinguishable from 0.
    pub lowest: u64,
    /// Largest value.
    pub highest: u64,
    /// Number of significant digits.
    pub digits: u32,
    /// Number of buckets.
    pub counts: usize,
    unit: u32,
    half_magnitude: u32,
}

impl Scale {
    /// Creates a mapping. `None` for invalid parameters: there must be 1 to 5 digits, and the highest value
    /// must be at least twice the lowest.
    pub const fn new(lowest: u64, highest: u64, digits: u32) -> Option<Self> {
        if lowest == 0 || highest > MAX_VALUE || highest / 2 < lowest || digits < 1 || digits > 5 {
            return None;
        }
        let resolved: u64 = 2 * 10u64.pow(digits);
        let half_magnitude = resolved.next_power_of_two().ilog2() - 1;
        let unit = lowest.ilog2();
        if unit + half_magnitude + 1 > 61 {
            return None;
        }
        let mut untracked = 1u64 << (half_magnitude + 1 + unit);
        let mut buckets = 1;
        while untracked <= highest {
            untracked <<= 1;
            buckets += 1;
        }
        Some(Self {
            lowest,
            highest,
            digits,
            counts: (buckets + 1) << half_magnitude,
            unit,
            half_magnitude,
        })
    }

    fn half(self) -> u64 {
        1 << self.half_magnitude
    }

    fn bucket(self, value: u64) -> u32 {
        let mask = (2 * self.half() - 1) << self.unit;
        64 - (value | mask).leading_zeros() - self.unit - (self.half_magnitude + 1)
    }

    /// The bucket of a value.
    #[inline]
    pub fn index(self, value: u64) -> usize {
        let bucket = self.bucket(value);
        let sub = value >> (bucket + self.unit);
        (((u64::from(bucket) + 1) << self.half_magnitude) + sub - self.half()) as usize
    }

    /// The lowest value in a bucket.
    pub fn lowest_of(self, index: usize) -> u64 {
        let index = index as u64;
        let row = index >> self.half_magnitude;
        let sub = (index & (self.half() - 1)) + self.half();
        match row.checked_sub(1) {
            None => (sub - self.half()) << self.unit,
            Some(bucket) => sub << (bucket as u32 + self.unit),
        }
    }

    /// Number of values in the bucket of `value`.
    fn width(self, value: u64) -> u64 {
        1 << (self.unit + self.bucket(value))
    }

    fn lowest_equivalent(self, value: u64) -> u64 {
        let shift = self.unit + self.bucket(value);
        value >> shift << shift
    }

    /// The highest value in the bucket of `value`.
    pub fn highest_equivalent(self, value: u64) -> u64 {
        self.lowest_equivalent(value) + self.width(value) - 1
    }

    /// The midpoint of the bucket of `value`.
    pub fn middle(self, value: u64) -> u64 {
        self.lowest_equivalent(value) + (self.width(value) >> 1)
    }

    /// The value that `percent` percent of all values do not exceed; 0 without values. `recorded` yields
    /// index and count of all non-empty buckets in order.
    pub fn percentile(self, recorded: impl Iterator<Item = (usize, u64)> + Clone, percent: f64) -> u64 {
        let percent = percent.clamp(0.0, 100.0);
        let total = recorded
            .clone()
            .fold(0u64, |sum, (_, count)| sum.saturating_add(count));
        let exact = percent / 100.0 * total as f64;
        // Slightly reduced, so that a rounding error does not require one value too many.
        let wanted = (exact - (exact * f64::EPSILON)).ceil().max(1.0) as u64;
        let mut passed = 0u64;
        for (index, count) in recorded {
            passed = passed.saturating_add(count);
            if passed >= wanted {
                let value = self.lowest_of(index);
                return if percent == 0.0 {
                    value
                } else {
                    self.highest_equivalent(value)
                };
            }
        }
        0
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn each_value_keeps_its_digits() {
        for digits in 1..=5 {
            let scale = Scale::new(1, MAX_VALUE, digits).unwrap();
            let mut value = 1u64;
            while value < MAX_VALUE / 3 {
                let index = scale.index(value);
                assert!(index < scale.counts);
                assert_eq!(scale.lowest_of(index), scale.lowest_equivalent(value));
                assert!(scale.lowest_equivalent(value) <= value && value <= scale.highest_equivalent(value));
                assert!(scale.width(value) as f64 <= value as f64 / 10f64.powi(digits as i32) + 1.0);
                value = value * 3 + 1;
            }
        }
    }

    #[test]
    fn scales_that_make_no_sense_are_refused() {
        for (lowest, highest, digits) in [
            (0, 10, 3),
            (1, 1, 3),
            (10, 19, 3),
            (1, 10, 0),
            (1, 10, 6),
            (1, u64::MAX, 3),
        ] {
            assert_eq!(Scale::new(lowest, highest, digits), None);
        }
    }
}
