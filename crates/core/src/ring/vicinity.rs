//! Where the other side runs: on a processor of its own, or on that of the thread which looks on for its records.
//!
//! With the latter, looking without giving way only keeps it from answering. It is told by giving way: when the thread
//! gets its turn again after as long as an answer takes, with the answer there, the other side has had its turn
//! meanwhile. After much longer, it was somebody else's, who would have taken the processor in any case.
//!
//! Who may call: the thread that looks on.

use std::cell::Cell;
use std::ops::Range;
use std::time::Duration;

/// How long giving way takes when the other side gets the processor and answers.
const ANSWERED_WITHIN: Range<Duration> = Duration::from_nanos(800)..Duration::from_micros(100);
/// So many times in a row the processor is shared before the thread sleeps for a change: who is woken is put on a
/// processor that is idle, if there is one; who gives way stays where it is.
const SHARES_BEFORE_SLEEP: u32 = 64;

/// What a thread that looks on knows of the other side's place.
#[derive(Debug, Default)]
pub struct Vicinity {
    is_shared: Cell<bool>,
    shares: Cell<u32>,
}

impl Vicinity {
    /// Whether the other side needs this very processor.
    pub fn is_shared(&self) -> bool {
        self.is_shared.get()
    }

    /// The thread gave way, and has its turn again after so long; whether there is a record now.
    pub(super) fn gave_way(&self, took: Duration, is_answered: bool) {
        self.is_shared.set(is_answered && ANSWERED_WITHIN.contains(&took));
    }

    /// Called before looking on: whether to sleep instead.
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
        // Nobody else wanted it; there was no answer; or it was somebody else's for long.
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
