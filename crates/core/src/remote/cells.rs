//! The states of tasks pushed ahead to a worker's process. One word decides who owns a task:
//!
//! ```text
//!           ┌── claim (worker) ──▶ CLAIMED ── abort (caller) ──▶ ABORTED ──┐
//! OFFERED ──┤                         └────────── finish (worker) ─────────┴──▶ DONE ──▶ FREE
//!           └── revoke (caller) ─▶ REVOKED ── pass (worker finds it) ──▶ FREE
//! ```
//!
//! The caller offers tasks. It reuses a cell once the worker has reported on the task or has skipped a
//! revoked one. The words are untrusted: the worker's process can write any of them at any time, which harms
//! that worker only.

use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// Maximum number of tasks at a worker.
pub const CELLS: usize = 4096;

const FREE: u32 = 0;
const OFFERED: u32 = 1;
const CLAIMED: u32 = 2;
const ABORTED: u32 = 3;
const REVOKED: u32 = 4;
const DONE: u32 = 5;

/// A cell; see the module documentation.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Cell {
    state: AtomicU32,
    reserved: u32,
    /// When the task was claimed, as returned by [`crate::sys::clock::monotonic_ns`].
    began_ns: AtomicU64,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Cell>() == 16);

impl Cell {
    /// Caller, before the frame with the task is published.
    pub fn transition_to_offered(&self) {
        self.state.store(OFFERED, Ordering::Relaxed);
    }

    /// Caller: revokes the task. Returns false when the worker has claimed it.
    pub fn transition_to_revoked(&self) -> bool {
        self.exchange(OFFERED, REVOKED)
    }

    /// Caller: asks the worker to abort the task. Returns false when the worker does not have it in hand.
    pub fn transition_to_aborted(&self) -> bool {
        self.exchange(CLAIMED, ABORTED) || self.is_aborted()
    }

    /// Caller: releases the cell for reuse.
    pub fn transition_to_free(&self) {
        self.state.store(FREE, Ordering::Relaxed);
    }

    /// Caller: whether the worker has skipped a revoked task.
    pub fn is_free(&self) -> bool {
        self.state.load(Ordering::Acquire) == FREE
    }

    /// When the worker claimed the task, if it has not finished it.
    pub fn running_since(&self) -> Option<u64> {
        // Acquire: pairs with the exchange in `transition_to_claimed`, so that the time is visible.
        matches!(self.state.load(Ordering::Acquire), CLAIMED | ABORTED)
            .then(|| self.began_ns.load(Ordering::Relaxed))
    }

    /// Worker: claims the task. Returns false when it was revoked; the cell belongs to the caller again then.
    pub fn transition_to_claimed(&self, now_ns: u64) -> bool {
        self.began_ns.store(now_ns, Ordering::Relaxed);
        let won = self.exchange(OFFERED, CLAIMED);
        if !won {
            self.state.store(FREE, Ordering::Release);
        }
        won
    }

    /// Worker: is about to report on the task.
    pub fn transition_to_done(&self) {
        self.state.store(DONE, Ordering::Release);
    }

    /// Whether the task is to be aborted.
    pub fn is_aborted(&self) -> bool {
        self.state.load(Ordering::Acquire) == ABORTED
    }

    fn exchange(&self, from: u32, to: u32) -> bool {
        // AcqRel: resolves the race between caller and worker; exactly one succeeds.
        self.state
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_claimed_or_taken_back_never_both() {
        let cell = Cell::default();
        cell.transition_to_offered();
        assert!(cell.running_since().is_none());
        assert!(cell.transition_to_claimed(7));
        assert!(!cell.transition_to_revoked());
        assert_eq!(cell.running_since(), Some(7));
        assert!(cell.transition_to_aborted() && cell.is_aborted());
        assert_eq!(cell.running_since(), Some(7));
        cell.transition_to_done();
        assert!(cell.running_since().is_none() && !cell.transition_to_aborted());

        cell.transition_to_offered();
        assert!(cell.transition_to_revoked());
        assert!(!cell.is_free());
        assert!(!cell.transition_to_claimed(8));
        assert!(cell.is_free());
    }

    #[test]
    fn of_two_that_race_one_wins() {
        for _ in 0..1000 {
            let cell = Cell::default();
            cell.transition_to_offered();
            let (claimed, revoked) = std::thread::scope(|scope| {
                let worker = scope.spawn(|| cell.transition_to_claimed(1));
                let revoked = cell.transition_to_revoked();
                (worker.join().unwrap(), revoked)
            });
            assert!(claimed != revoked);
        }
    }
}
