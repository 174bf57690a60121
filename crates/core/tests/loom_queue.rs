//! Loom models of waking workers and of the state of tasks, under every interleaving with up to two preemptions and every
//! reordering that the memory model allows: no task waits while a worker sleeps that could take it, and a task is run
//! or cancelled. A lost wake-up leaves a worker asleep for good, which loom reports as a deadlock.
#![cfg(loom)]

use loom::sync::{Arc, Notify};
use loom::thread;

use manycore_core::queue::{Place, Sleepers, Slots};
use manycore_core::sync::{AtomicU32, Ordering};

mod models;
use models::explore;

const WORKERS: usize = 2;

/// The environment of `Sleepers` in the queue: a number of tasks, and a bell for each worker.
struct Queue {
    sleepers: Sleepers,
    waiting: AtomicU32,
    bells: [Notify; WORKERS],
}

impl Queue {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            sleepers: Sleepers::default(),
            waiting: AtomicU32::new(0),
            bells: [Notify::new(), Notify::new()],
        })
    }

    fn push(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.wake_one();
    }

    fn wake_one(&self) {
        if let Some(worker) = self.sleepers.to_wake(false) {
            self.bells[worker as usize].notify();
        }
    }

    fn pass_on(&self) {
        if self.is_pending() {
            self.wake_one();
        }
    }

    fn is_pending(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    fn take(&self) -> bool {
        let less = |waiting: u32| waiting.checked_sub(1);
        self.waiting
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
            .is_ok()
    }

    /// Worker: searches or sleeps until there is a task or it is woken.
    fn spin_or_sleep(&self, worker: u32, spins: bool) {
        if spins {
            self.sleepers.begin_search();
            let found = self.is_pending();
            self.sleepers.end_search();
            if found {
                return;
            }
        }
        if self
            .sleepers
            .transition_to_asleep(worker, true, || self.is_pending())
        {
            self.bells[worker as usize].wait();
            self.sleepers.transition_to_awake(worker);
        }
    }

    /// Worker: takes one task, which then occupies it for good.
    fn take_one(&self, worker: u32, spins: bool) {
        while !self.take() {
            self.spin_or_sleep(worker, spins);
        }
        self.pass_on();
    }
}

/// Two tasks, each of which occupies its worker: both workers must get one.
fn two_tasks(spins: [bool; WORKERS]) {
    explore(Some(2), move || {
        let queue = Queue::new();
        let workers: Vec<_> = (0..WORKERS as u32)
            .map(|worker| {
                let queue = Arc::clone(&queue);
                thread::spawn(move || queue.take_one(worker, spins[worker as usize]))
            })
            .collect();
        queue.push();
        queue.push();
        for worker in workers {
            worker.join().unwrap();
        }
        assert!(!queue.is_pending());
    });
}

#[test]
fn workers_that_sleep_at_once_are_woken_for_each_task() {
    two_tasks([false, false]);
}

#[test]
fn a_worker_that_spins_and_finds_one_task_passes_the_other_on() {
    two_tasks([true, false]);
}

#[test]
fn two_that_spin_find_both() {
    two_tasks([true, true]);
}

#[test]
fn a_task_whose_worker_ends_on_its_way_reaches_the_other() {
    explore(Some(2), || {
        let queue = Queue::new();
        let leaving = Arc::clone(&queue);
        let leaver = thread::spawn(move || {
            // Woken or not, it takes no task.
            if leaving.sleepers.transition_to_asleep(0, true, || false) {
                leaving.sleepers.transition_to_awake(0);
            }
            leaving.pass_on();
        });
        let staying = Arc::clone(&queue);
        let stayer = thread::spawn(move || staying.take_one(1, false));
        queue.push();
        leaver.join().unwrap();
        stayer.join().unwrap();
    });
}

#[test]
fn a_task_is_taken_or_cancelled_and_aborted_only_in_hand() {
    const WORKER: u32 = 7;
    explore(None, || {
        let slots = Arc::new(Slots::default());
        assert!(slots.transition_to_queued(0));
        let theirs = Arc::clone(&slots);
        let worker = thread::spawn(move || {
            let is_taken = theirs.transition_to_taken(0, WORKER);
            let place = theirs.place(0);
            if is_taken {
                assert!(matches!(place, Place::Taken { worker: WORKER, .. }));
                theirs.transition_to_free(0);
            } else {
                assert_eq!(place, Place::Nowhere);
            }
            is_taken
        });
        let is_cancelled = slots.cancel(0);
        let aborted = slots.abort(0);
        assert_ne!(worker.join().unwrap(), is_cancelled);
        assert!(aborted.is_none() || (!is_cancelled && aborted == Some(WORKER)));
        // Otherwise, loom may order the exchange after the store that the memory model puts after it.
        if aborted.is_none() {
            assert_eq!(slots.place(0), Place::Nowhere);
        }
        assert!(!slots.cancel(0));
    });
}
