//! Detects whether the peer shares the processor of the thread that spins for its records.
//!
//! If it does, spinning without yielding only keeps the peer from answering. It is detected by yielding: if
//! the thread is scheduled again after about the time an answer takes, and the answer is there, the peer has
//! run meanwhile. After a much longer time, some other thread has run, which would have got the processor in
//! any case.
//!
//! Called by the spinning thread.

use std::cell::Cell;
use std::ops::Range;
use std::time::Duration;

/// Duration of a yield during which the peer runs and answers.
const ANSWERED_WITHIN: Range<Duration> = Duration::from_nanos(800)..Duration::from_micros(100);
/// Consecutive spins on a shared processor after which the thread sleeps once: the scheduler moves a woken
/// thread to an idle processor, if there is one, but leaves a yielding thread where it is.
const SHARES_BEFORE_SLEEP: u32 = 64;

/// What a spinning thread knows about the placement of its peer.
#[derive(Debug, Default)]
pub struct Vicinity {
    is_shared: Cell<bool>,
    shares: Cell<u32>,
}

impl Vicinity {
    /// Whether the peer shares this processor.
    pub fn is_shared(&self) -> bool {
        self.is_shared.get()
    }

    /// Reports a yield that took `took`; `is_answered` says whether there is a record now.
    pub(super) fn gave_way(&self, took: Duration, is_answered: bool) {
        self.is_shared.set(is_answered && ANSWERED_WITHIN.contains(&took));
    }

    /// Called before spinning: whether to sleep instead.
    pub(super) fn should_sleep(&self) -> bool {
        if !self.is_shared.get() {
            self.shares.set(0);
            return false;
        }
        let shares = (self.shares.get() + 1) % SHARES_BEFORE_SLEEP;
        self.shares.set(shares);
        shares == 0
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_answer_after_giving_way_tells_that_the_processor_is_shared() {
        let vicinity = Vicinity::default();
        assert!(!vicinity.is_shared());
        vicinity.gave_way(Duration::from_micros(2), true);
        assert!(vicinity.is_shared());
        // Nobody else wanted the processor; there was no answer; another thread ran for long.
        for (took_ns, is_answered) in [(200, true), (2000, false), (3_000_000, true)] {
            vicinity.gave_way(Duration::from_micros(2), true);
            vicinity.gave_way(Duration::from_nanos(took_ns), is_answered);
            assert!(!vicinity.is_shared());
        }
    }

    #[test]
    fn a_shared_processor_is_slept_on_now_and_then() {
        let vicinity = Vicinity::default();
        assert!((0..1000).all(|_| !vicinity.should_sleep()));
        vicinity.gave_way(Duration::from_micros(2), true);
        let sleeps = (0..SHARES_BEFORE_SLEEP * 10).filter(|_| vicinity.should_sleep());
        assert_eq!(sleeps.count(), 10);
    }
}
