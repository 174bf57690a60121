//! The state of each task, indexed by its number. Workers and the caller resolve races over a task with a
//! compare-and-swap on its word.
//!
//! ```text
//! FREE ──push──▶ QUEUED ──pull──▶ TAKEN by worker n ──▶ (completed or abandoned) FREE
//!                  └──cancel──▶ CANCELLED ──pull finds it──▶ FREE
//! ```
//!
//! A number is reused only after the queue has released it, so a word never refers to two tasks (no ABA).

use std::sync::OnceLock;

use crate::sync::{AtomicU32, Ordering};

/// Each word would cost loom time.
const SEGMENT: usize = if cfg!(loom) { 2 } else { 1 << 16 };
const SEGMENTS: usize = 1 << 10;

/// Maximum number of tasks in flight.
#[cfg(test)]
const CAPACITY: usize = SEGMENT * SEGMENTS;

const FREE: u32 = 0;
const QUEUED: u32 = 1;
const CANCELLED: u32 = 2;
/// Taken by worker n: this plus 2n, plus 1 once it is to be aborted.
const TAKEN: u32 = 4;
const ABORTED: u32 = 1;

/// The state of a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// There is no task with this number.
    Nowhere,
    /// The task is queued.
    Queued,
    /// The task was cancelled while queued and has not been removed yet.
    Cancelled,
    /// A worker has the task in hand.
    Taken {
        /// The worker's number.
        worker: u32,
        /// Whether the task is to be aborted.
        aborted: bool,
    },
}

/// The words of all tasks, in segments allocated on demand.
pub struct Slots {
    segments: Box<[OnceLock<Box<[AtomicU32]>>]>,
}

impl Default for Slots {
    fn default() -> Self {
        Self {
            segments: (0..SEGMENTS).map(|_| OnceLock::new()).collect(),
        }
    }
}

impl Slots {
    fn word(&self, slot: u32) -> Option<&AtomicU32> {
        let slot = slot as usize;
        let segment = self.segments.get(slot / SEGMENT)?;
        let words = segment.get_or_init(|| (0..SEGMENT).map(|_| AtomicU32::new(FREE)).collect());
        words.get(slot % SEGMENT)
    }

    /// Caller, before the task becomes visible; or whoever demotes a call, with the hands of its worker locked.
    /// Returns false when the number is out of range.
    pub fn transition_to_queued(&self, slot: u32) -> bool {
        // Relaxed: published together with the task by the queue's own synchronisation.
        self.word(slot).is_some_and(|word| {
            word.store(QUEUED, Ordering::Relaxed);
            true
        })
    }

    /// Worker that found the task in the queue, or whoever demotes a call. Returns false when it was cancelled; the
    /// slot is free then.
    pub fn transition_to_taken(&self, slot: u32, worker: u32) -> bool {
        let Some(word) = self.word(slot) else {
            return false;
        };
        let taken = TAKEN + 2 * worker;
        // AcqRel: pairs with the exchange in `cancel`; exactly one of the two succeeds.
        let won = word.compare_exchange(QUEUED, taken, Ordering::AcqRel, Ordering::Acquire);
        if won.is_err() {
            word.store(FREE, Ordering::Release);
        }
        won.is_ok()
    }

    /// Caller: cancels a queued task. Returns false when it is not queued.
    pub fn cancel(&self, slot: u32) -> bool {
        self.word(slot).is_some_and(|word| {
            word.compare_exchange(QUEUED, CANCELLED, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
        })
    }

    /// Caller: marks a task in hand as aborted. Returns its worker, or `None` when no worker has it.
    pub fn abort(&self, slot: u32) -> Option<u32> {
        let word = self.word(slot)?;
        let seen = word.load(Ordering::Acquire);
        let Place::Taken { worker, .. } = place(seen) else {
            return None;
        };
        word.compare_exchange(seen, seen | ABORTED, Ordering::AcqRel, Ordering::Acquire)
            .ok()
            .map(|_| worker)
    }

    /// Worker, when it has finished the task.
    pub fn transition_to_free(&self, slot: u32) {
        if let Some(word) = self.word(slot) {
            word.store(FREE, Ordering::Release);
        }
    }

    /// The state of a task. Any thread.
    pub fn place(&self, slot: u32) -> Place {
        self.word(slot)
            .map_or(Place::Nowhere, |word| place(word.load(Ordering::Acquire)))
    }
}

fn place(word: u32) -> Place {
    match word {
        FREE | 3 => Place::Nowhere,
        QUEUED => Place::Queued,
        CANCELLED => Place::Cancelled,
        taken => Place::Taken {
            worker: (taken - TAKEN) / 2,
            aborted: taken & ABORTED != 0,
        },
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_taken_or_cancelled_never_both() {
        let slots = Slots::default();
        assert!(slots.transition_to_queued(70_000));
        assert_eq!(slots.place(70_000), Place::Queued);
        assert!(slots.transition_to_taken(70_000, 3));
        assert!(!slots.cancel(70_000));
        assert_eq!(slots.abort(70_000), Some(3));
        assert_eq!(
            slots.place(70_000),
            Place::Taken {
                worker: 3,
                aborted: true
            }
        );
        slots.transition_to_free(70_000);
        assert_eq!(slots.abort(70_000), None);

        assert!(slots.transition_to_queued(5));
        assert!(slots.cancel(5));
        assert!(!slots.cancel(5));
        assert!(!slots.transition_to_taken(5, 0));
        assert_eq!(slots.place(5), Place::Nowhere);
    }

    #[test]
    fn numbers_beyond_the_capacity_are_refused() {
        let slots = Slots::default();
        assert!(!slots.transition_to_queued(CAPACITY as u32));
        assert_eq!(slots.place(u32::MAX), Place::Nowhere);
    }
}
