//! A loom model of the ownership of a task pushed ahead to a worker's process: the caller may revoke it,
//! cancel it or reuse its cell; the worker may claim it, finish it, or die at any point. Under every
//! interleaving and every reordering that the memory model allows.
#![cfg(loom)]
// These are tests and their helpers.
#![allow(clippy::unwrap_used)]

use loom::sync::Arc;
use loom::thread;

use manycore_core::remote::Cell;
use manycore_core::sync::{AtomicU32, Ordering};

mod models;
use models::{count, expect_many, explore};

/// A cell, and what is sent through the pipes: the task to the worker, its report back.
#[derive(Default)]
struct Link {
    cell: Cell,
    /// Number of frames that the worker may read.
    published: AtomicU32,
    /// Number of reports that the caller may read.
    reported: AtomicU32,
    /// How often a task ran, and its last argument: plain data, like what a task reads and writes.
    runs: AtomicU32,
    argument: AtomicU32,
}

/// When each task is claimed, which lets the caller tell them apart.
const FIRST_NS: u64 = 100;
const SECOND_NS: u64 = 200;

impl Link {
    /// Caller: the argument is part of the frame.
    fn offer(&self, argument: u32) {
        self.cell.transition_to_offered();
        self.argument.store(argument, Ordering::Relaxed);
        // Release: as when the pipe publishes.
        self.published.fetch_add(1, Ordering::Release);
    }

    /// Worker: waits for the frame with this number.
    fn claim(&self, frame: u32, now_ns: u64) -> Option<u32> {
        while self.published.load(Ordering::Acquire) < frame {
            thread::yield_now();
        }
        self.cell
            .transition_to_claimed(now_ns)
            .then(|| self.argument.load(Ordering::Relaxed))
    }

    /// Worker: runs what it claimed and reports.
    fn run(&self) {
        self.runs.fetch_add(1, Ordering::Relaxed);
        self.cell.transition_to_done();
        self.reported.fetch_add(1, Ordering::Release);
    }

    /// Caller: whether a report has arrived.
    fn has_reported(&self) -> bool {
        self.reported.load(Ordering::Acquire) > 0
    }
}

#[test]
fn a_task_is_run_or_taken_back_and_its_cell_serves_the_next() {
    explore(None, || {
        let link = Arc::new(Link::default());
        link.offer(7);
        let theirs = Arc::clone(&link);
        let worker = thread::spawn(move || {
            let first = theirs.claim(1, FIRST_NS);
            if first.is_some() {
                theirs.run();
            }
            // The caller reuses the cell only now.
            let second = theirs.claim(2, SECOND_NS);
            (first, second)
        });
        let is_back = link.cell.transition_to_revoked();
        if is_back {
            // Not before the worker has skipped it, or it would take the next task for this one.
            while !link.cell.is_free() {
                thread::yield_now();
            }
        } else {
            while !link.has_reported() {
                thread::yield_now();
            }
            assert_eq!(link.cell.running_since(), None);
            link.cell.transition_to_free();
        }
        link.offer(8);
        let (first, second) = worker.join().unwrap();
        assert_eq!(first, (!is_back).then_some(7));
        assert_eq!(second, Some(8));
        assert_eq!(link.runs.load(Ordering::Relaxed), u32::from(!is_back));
        assert_eq!(link.cell.running_since(), Some(SECOND_NS));
    });
}

#[test]
fn who_asks_for_an_abort_reaches_a_task_that_runs_or_is_told_that_none_does() {
    explore(None, || {
        let link = Arc::new(Link::default());
        link.offer(7);
        let theirs = Arc::clone(&link);
        let worker = thread::spawn(move || {
            let claimed = theirs.claim(1, FIRST_NS).is_some();
            let seen = claimed && theirs.cell.is_aborted();
            if claimed {
                theirs.run();
            }
            (claimed, seen)
        });
        // A thread that sees it running sees since when.
        let since = link.cell.running_since();
        assert!(since.is_none() || since == Some(FIRST_NS));
        let asked = link.cell.transition_to_aborted();
        let is_back = !asked && link.cell.transition_to_revoked();
        let (claimed, seen) = worker.join().unwrap();
        // Exactly one of the two has it, and a revoked task is not asked to abort.
        assert!(claimed != is_back);
        assert!(!asked || claimed);
        assert!(!seen || asked);
        assert!(!(since.is_some() && is_back));
        // A late request does not affect a completed task. (After one in time, loom may order the exchange
        // after the store that the memory model puts after it.)
        if !asked {
            assert!(!link.cell.transition_to_aborted());
            assert_eq!(link.cell.running_since(), None);
        }
    });
}

/// Number of steps at which a worker may die.
const STEPS: u32 = 4;

#[test]
fn what_a_dead_worker_had_begun_is_known_exactly() {
    let executions = (0..STEPS).map(|steps| {
        count(None, move || {
            let link = Arc::new(Link::default());
            link.offer(7);
            let theirs = Arc::clone(&link);
            let worker = thread::spawn(move || {
                if steps == 0 {
                    return;
                }
                let has_it = theirs.claim(1, FIRST_NS).is_some();
                if !has_it || steps == 1 {
                    return;
                }
                theirs.runs.fetch_add(1, Ordering::Relaxed);
                if steps == 2 {
                    return;
                }
                theirs.cell.transition_to_done();
            });
            // While the worker is alive, the caller revokes the task for another one.
            let is_back = link.cell.transition_to_revoked();
            worker.join().unwrap();
            // Once it is dead, tasks that it has not claimed go to others; the rest are lost.
            let is_kept = is_back || link.cell.transition_to_revoked();
            let has_run = link.runs.load(Ordering::Relaxed) > 0;
            assert!(!(is_kept && has_run), "it would run twice");
            let is_begun = link.cell.running_since().is_some();
            assert!(!(is_kept && is_begun));
            match steps {
                0 => assert!(is_kept),
                // Claimed and not finished.
                1 | 2 => assert_eq!(is_begun, !is_back),
                // Finished but never reported: the caller's own state says that it was begun.
                _ => assert!(!is_begun && is_kept == is_back),
            }
        })
    });
    expect_many(executions.sum());
}
