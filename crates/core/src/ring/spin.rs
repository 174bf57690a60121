//! Whether an idle consumer should look on for a while before it sleeps.
//!
//! Sleeping costs a wake-up of some 40 us on the way back; looking costs a processor. Looking pays when the
//! next record is likely to come within about the time that a wake-up takes. So the gap between going idle
//! and the next record is averaged, and the consumer looks on only while that average is below the limit.
//! Every so often it looks on regardless, to notice that traffic became dense. Without traffic nothing runs.
//!
//! The average can mislead: where both sides share a processor, the other one runs only once this one sleeps,
//! and then answers soon. So looking on in vain is paid for by sitting out, the longer the more often.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

/// What a consumer is ready to pay for being fast.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Latency {
    /// It never looks on: each message that finds it asleep takes a wake-up.
    Frugal = 0,
    /// It looks on while traffic is dense, up to about the cost of a wake-up.
    Balanced = 1,
    /// It looks on after each message, longer than that.
    Low = 2,
}

/// Of all consumers that have no setting of their own; [`UNSET`] until somebody asks.
static OF_PROCESS: AtomicU32 = AtomicU32::new(UNSET);
const UNSET: u32 = u32::MAX;
/// Names what holds until a program chooses: `low`, `balanced` (also for anything else) or `frugal`.
const VARIABLE: &str = "MANYCORE_LATENCY";

impl Latency {
    /// By its number. `None` for any other.
    pub fn from_level(level: u32) -> Option<Self> {
        [Self::Frugal, Self::Balanced, Self::Low]
            .into_iter()
            .find(|latency| *latency as u32 == level)
    }

    /// What holds where nothing else is chosen.
    pub fn of_process() -> Self {
        if let Some(chosen) = Self::from_level(OF_PROCESS.load(Ordering::Relaxed)) {
            return chosen;
        }
        let of_environment = std::env::var(VARIABLE).map_or(Self::Balanced, |name| Self::from_name(&name));
        let level = of_environment as u32;
        // Unless somebody has chosen meanwhile.
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

    /// Chooses for the process.
    pub fn set_for_process(self) {
        OF_PROCESS.store(self as u32, Ordering::Relaxed);
    }

    /// How long an idle consumer looks on.
    pub fn limit(self) -> Duration {
        match self {
            Self::Frugal => Duration::ZERO,
            Self::Balanced => LIMIT,
            Self::Low => LOW_LIMIT,
        }
    }
}

/// How long an idle consumer looks on: about the cost of being woken.
pub const LIMIT: Duration = Duration::from_micros(50);
/// How long it looks on after each message when latency is to be low.
pub const LOW_LIMIT: Duration = Duration::from_micros(500);
/// Where records come nearer than that, the consumer looks on between two of them without leaving off.
const DENSE_GAP: Duration = Duration::from_micros(10);
/// A gap longer than this counts as this: one quiet hour is forgotten after a few messages.
const LONGEST_GAP: Duration = Duration::from_millis(1);
/// One idle in this many looks on although the average says no, at first; twice as many after each that was in vain.
const PROBE_EVERY: u32 = 32;
/// The rarest that gets. A processor that sleeps for 100 us at a time loses nothing that can be measured by it.
const PROBE_AT_LEAST_EVERY: u32 = 1024;

/// At most two to the power of this many idles are sat out.
const LONGEST_SIT_OUT_LOG2: u32 = 5;

/// Consumers of this process that look on right now.
static SPINNING: AtomicUsize = AtomicUsize::new(0);

/// What one consumer knows about the traffic.
#[derive(Debug)]
pub struct Adaptive {
    average_gap: Duration,
    /// Idles since the last look regardless of the average, and after how many there is one.
    idles: u32,
    probe_every: u32,
    /// Times in a row that looking on found nothing.
    misses: u32,
    /// Idles to sit out for it.
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
    /// The gap between going idle and the next record was `gap`.
    pub fn observe(&mut self, gap: Duration) {
        self.average_gap = (self.average_gap * 3 + gap.min(LONGEST_GAP)) / 4;
    }

    /// Looking on found a record after `gap`.
    pub fn hit(&mut self, gap: Duration) {
        self.misses = 0;
        self.probe_every = PROBE_EVERY;
        self.observe(gap);
    }

    /// Looking on found nothing.
    pub fn miss(&mut self) {
        if self.average_gap >= LIMIT {
            self.probe_every = (self.probe_every * 2).min(PROBE_AT_LEAST_EVERY);
        }
        self.misses = (self.misses + 1).min(LONGEST_SIT_OUT_LOG2);
        self.sitting_out = 1 << self.misses;
    }

    /// Called on going idle: whether to look on.
    pub fn should_spin(&mut self, latency: Latency) -> bool {
        match latency {
            Latency::Frugal => false,
            Latency::Balanced => self.is_worth_it(),
            Latency::Low => true,
        }
    }

    /// Whether the next record is likely to be there before anything else can be done.
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

/// Leave to look on; given back when dropped.
#[derive(Debug)]
pub struct Permit(());

impl Permit {
    /// `None` when as many consumers as there are processors look on already, or when there is only one
    /// processor, which the producer needs.
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
    fn looking_on_in_vain_becomes_rare() {
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
