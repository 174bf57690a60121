//! Adaptive spinning: whether an idle consumer should spin for a while before it sleeps.
//!
//! Sleeping costs a wake-up of about 40 us; spinning costs a processor. Spinning pays off when the next
//! record is likely to arrive within about the time a wake-up takes. So a moving average of the gap between
//! going idle and the next record is kept, and the consumer spins only while it is below the limit. An
//! occasional probe spins regardless, to notice that traffic has become dense. Without traffic nothing runs.
//!
//! The average can mislead: when both sides share a processor, the peer runs only once this side sleeps, and
//! then answers soon. So each unsuccessful spin is followed by a back-off, which grows exponentially with
//! consecutive misses.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

/// The trade-off between wake-up latency and processor time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Latency {
    /// Never spins: each message that finds the consumer asleep costs a wake-up.
    Frugal = 0,
    /// Spins while traffic is dense, for about as long as a wake-up takes.
    Balanced = 1,
    /// Spins after each message, for longer than a wake-up takes.
    Low = 2,
}

/// The default of all consumers without a setting of their own; [`UNSET`] until first read or set.
static OF_PROCESS: AtomicU32 = AtomicU32::new(UNSET);
const UNSET: u32 = u32::MAX;
/// The environment variable with the initial default: `frugal`, `balanced` or `low`. Any other value means
/// `balanced`.
const VARIABLE: &str = "MANYCORE_LATENCY";

impl Latency {
    /// The variant with this number, if there is one.
    pub fn from_level(level: u32) -> Option<Self> {
        [Self::Frugal, Self::Balanced, Self::Low]
            .into_iter()
            .find(|latency| *latency as u32 == level)
    }

    /// The process-wide default.
    pub fn of_process() -> Self {
        if let Some(chosen) = Self::from_level(OF_PROCESS.load(Ordering::Relaxed)) {
            return chosen;
        }
        let of_environment = std::env::var(VARIABLE).map_or(Self::Balanced, |name| Self::from_name(&name));
        let level = of_environment as u32;
        // Another thread may have set it meanwhile.
        let result = OF_PROCESS.compare_exchange(UNSET, level, Ordering::Relaxed, Ordering::Relaxed);
        result.map_or_else(
            |now| Self::from_level(now).unwrap_or(of_environment),
            |_| of_environment,
        )
    }

    fn from_name(name: &str) -> Self {
        match name {
            "frugal" => Self::Frugal,
            "low" => Self::Low,
            _ => Self::Balanced,
        }
    }

    /// Sets the process-wide default.
    pub fn set_for_process(self) {
        OF_PROCESS.store(self as u32, Ordering::Relaxed);
    }

    /// How long an idle consumer spins.
    pub fn limit(self) -> Duration {
        match self {
            Self::Frugal => Duration::ZERO,
            Self::Balanced => LIMIT,
            Self::Low => LOW_LIMIT,
        }
    }
}

/// Spin limit of [`Latency::Balanced`]: about the cost of a wake-up.
pub const LIMIT: Duration = Duration::from_micros(50);
/// Spin limit of [`Latency::Low`].
const LOW_LIMIT: Duration = Duration::from_micros(500);
/// Below this average gap, the consumer keeps polling between two records without returning.
const DENSE_GAP: Duration = Duration::from_micros(10);
/// Longer gaps are clamped to this, so that a quiet hour is forgotten after a few messages.
const LONGEST_GAP: Duration = Duration::from_millis(1);
/// Initially, one in this many idle phases probes although the average advises against it. Doubled after each
/// unsuccessful probe.
const PROBE_EVERY: u32 = 32;
/// Upper bound of that interval. With sleeps of 100 us, the cost of these probes is not measurable.
const PROBE_AT_LEAST_EVERY: u32 = 1024;

/// The back-off after a miss is at most two to the power of this many idle phases.
const LONGEST_SIT_OUT_LOG2: u32 = 5;

/// Number of consumers in this process that spin right now.
static SPINNING: AtomicUsize = AtomicUsize::new(0);

/// Traffic statistics of one consumer.
#[derive(Debug)]
pub struct Adaptive {
    average_gap: Duration,
    /// Idle phases since the last probe, and the current probe interval.
    idles: u32,
    probe_every: u32,
    /// Consecutive unsuccessful spins.
    misses: u32,
    /// Idle phases left of the back-off.
    sitting_out: u32,
}

impl Default for Adaptive {
    fn default() -> Self {
        Self {
            average_gap: LONGEST_GAP,
            idles: 0,
            probe_every: PROBE_EVERY,
            misses: 0,
            sitting_out: 0,
        }
    }
}

impl Adaptive {
    /// Reports the gap between going idle and the next record.
    pub fn observe(&mut self, gap: Duration) {
        self.average_gap = (self.average_gap * 3 + gap.min(LONGEST_GAP)) / 4;
    }

    /// Reports that a spin found a record after `gap`.
    pub fn hit(&mut self, gap: Duration) {
        self.misses = 0;
        self.probe_every = PROBE_EVERY;
        self.observe(gap);
    }

    /// Reports that a spin found nothing.
    pub fn miss(&mut self) {
        if self.average_gap >= LIMIT {
            self.probe_every = (self.probe_every * 2).min(PROBE_AT_LEAST_EVERY);
        }
        self.misses = (self.misses + 1).min(LONGEST_SIT_OUT_LOG2);
        self.sitting_out = 1 << self.misses;
    }

    /// Called on going idle: whether to spin.
    pub fn should_spin(&mut self, latency: Latency) -> bool {
        match latency {
            Latency::Frugal => false,
            Latency::Balanced => self.is_worth_it(),
            Latency::Low => true,
        }
    }

    /// Whether the next record is likely to arrive before the consumer could do anything else.
    pub fn is_dense(&self, latency: Latency) -> bool {
        latency != Latency::Frugal
            && self.sitting_out == 0
            && self.average_gap < DENSE_GAP
            && spinner_limit() > 0
    }

    fn is_worth_it(&mut self) -> bool {
        self.idles = self.idles.saturating_add(1);
        if self.sitting_out > 0 {
            self.sitting_out -= 1;
            return false;
        }
        if self.average_gap < LIMIT {
            return true;
        }
        let is_probe = self.idles >= self.probe_every;
        if is_probe {
            self.idles = 0;
        }
        is_probe
    }
}

/// Permission to spin, released on drop.
#[derive(Debug)]
pub struct Permit(());

impl Permit {
    /// `None` when as many consumers spin as there are processors, or when the only processor is needed by
    /// the producer.
    pub fn acquire() -> Option<Self> {
        let limit = spinner_limit();
        if SPINNING.fetch_add(1, Ordering::Relaxed) >= limit {
            SPINNING.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Self(()))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        SPINNING.fetch_sub(1, Ordering::Relaxed);
    }
}

fn spinner_limit() -> usize {
    static LIMIT: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *LIMIT.get_or_init(
        || match std::thread::available_parallelism().map(NonZeroUsize::get) {
            Ok(1) | Err(_) => 0,
            Ok(processors) => processors,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dense_traffic_turns_it_on_and_sparse_traffic_off() {
        let mut spin = Adaptive::default();
        assert!(!spin.should_spin(Latency::Balanced));
        for _ in 0..20 {
            spin.observe(Duration::from_micros(5));
        }
        assert!(spin.should_spin(Latency::Balanced));
        for _ in 0..3 {
            spin.observe(Duration::from_secs(3600));
        }
        assert!(!spin.should_spin(Latency::Balanced));
        for _ in 0..20 {
            spin.observe(Duration::from_micros(5));
        }
        assert!(spin.should_spin(Latency::Balanced));
    }

    #[test]
    fn sparse_traffic_is_probed_now_and_then() {
        let mut spin = Adaptive::default();
        let spins = (0..PROBE_EVERY * 4)
            .filter(|_| spin.should_spin(Latency::Balanced))
            .count();
        assert_eq!(spins, 4);
    }

    #[test]
    fn probes_in_vain_become_rare_until_one_is_not() {
        let mut spin = Adaptive::default();
        let mut probes = 0;
        for _ in 0..PROBE_AT_LEAST_EVERY * 20 {
            spin.observe(Duration::from_micros(100));
            if spin.should_spin(Latency::Balanced) {
                probes += 1;
                spin.miss();
            }
        }
        assert!((20..30).contains(&probes), "{probes}");
        spin.hit(Duration::from_micros(5));
        let idles = (0..).find(|_| spin.should_spin(Latency::Balanced));
        assert!(idles.is_some_and(|idles| idles <= PROBE_EVERY));
    }

    #[test]
    fn spinning_in_vain_becomes_rare() {
        let mut spin = Adaptive::default();
        let mut spins = 0;
        for _ in 0..10_000 {
            spin.observe(Duration::from_micros(5));
            if spin.should_spin(Latency::Balanced) {
                spins += 1;
                spin.miss();
            }
        }
        assert!((100..400).contains(&spins), "{spins}");
        spin.hit(Duration::from_micros(5));
        for _ in 0..=1 << LONGEST_SIT_OUT_LOG2 {
            spin.should_spin(Latency::Balanced);
        }
        assert!((0..100).all(|_| spin.should_spin(Latency::Balanced)));
    }

    #[test]
    fn the_setting_overrules_what_traffic_is_like() {
        let mut spin = Adaptive::default();
        assert!(spin.should_spin(Latency::Low));
        for _ in 0..20 {
            spin.observe(Duration::from_micros(5));
        }
        assert!(!spin.should_spin(Latency::Frugal));
        assert_eq!(Latency::of_process(), Latency::Balanced);
        assert_eq!(Latency::from_level(2), Some(Latency::Low));
        assert_eq!(Latency::from_name("frugal"), Latency::Frugal);
        assert_eq!(Latency::from_level(3), None);
    }

    #[test]
    fn permits_run_out_and_come_back() {
        let mut held = Vec::new();
        while let Some(permit) = Permit::acquire() {
            held.push(permit);
            assert!(held.len() <= 4096);
        }
        assert!(Permit::acquire().is_none());
        if held.pop().is_some() {
            assert!(Permit::acquire().is_some());
        }
    }
}
