//! The state of a worker that is shared between the worker and the caller.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crossbeam::deque::{Injector, Steal, Stealer};

use super::completions::Outbox;
use super::line::Line;
use super::slots::Slots;
use super::task::Task;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::sys::eventfd::EventFd;

/// The limits of a worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Maximum number of tasks in hand at once, at least 1.
    pub concurrency: u32,
    /// Total number of tasks after which it retires; 0 for no limit.
    pub tasks: u32,
}

/// A task that a worker has begun.
#[derive(Debug)]
pub struct InHand {
    /// The caller's number for it.
    pub slot: u32,
    /// When it was pushed, as returned by [`crate::sys::clock::monotonic_ns`].
    pub created_ns: u64,
    /// When it was begun.
    pub started_ns: u64,
    /// A copy for a retry.
    pub kept: Option<Task>,
}

/// What a worker has in hand.
#[derive(Debug, Default)]
pub struct Hands {
    /// Tasks begun.
    pub tasks: Vec<InHand>,
    /// Whether its only task must run alone.
    pub alone: bool,
    /// Whether it takes no more tasks.
    pub retired: bool,
    /// Number of tasks taken so far.
    pub taken: u32,
}

/// The shared state of one worker.
pub struct Station {
    /// Its number, reused only after the worker is gone.
    pub number: u32,
    /// The worker's limits.
    pub limits: Limits,
    /// The bell of the worker's event loop.
    pub bell: EventFd,
    /// Time of the last ring.
    pub signalled_at: AtomicU64,
    /// 1 while the worker waits for the bell.
    pub asleep: AtomicU32,
    /// Notices about tasks in hand; pulled before tasks and regardless of limits.
    pub notices: Lot,
    /// Tasks for this worker only.
    pub pinned: Lot,
    /// The handle by which others steal its tasks, once it has started.
    pub stealer: OnceLock<Stealer<Task>>,
    /// Calls of a caller that blocks.
    pub line: Line,
    /// Its reports.
    pub outbox: Outbox,
    /// Number of tasks in hand.
    pub in_hand: AtomicU32,
    /// Number of tasks completed.
    pub completed: AtomicU64,
    /// Total run time of completed tasks in microseconds.
    pub busy_us: AtomicU64,
    hands: Mutex<Hands>,
}

impl Station {
    /// The station of a worker that has not started yet.
    pub fn new(number: u32, limits: Limits, bell: EventFd) -> Self {
        Self {
            number,
            limits,
            bell,
            signalled_at: AtomicU64::new(0),
            asleep: AtomicU32::new(0),
            notices: Lot::default(),
            pinned: Lot::default(),
            stealer: OnceLock::new(),
            line: Line::default(),
            outbox: Outbox::default(),
            in_hand: AtomicU32::new(0),
            completed: AtomicU64::new(0),
            busy_us: AtomicU64::new(0),
            hands: Mutex::default(),
        }
    }

    /// What the worker has in hand.
    pub fn hands(&self) -> MutexGuard<'_, Hands> {
        // Only an allocation can fail while the lock is held, which aborts the process.
        self.hands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Worker or caller: puts a call of the line into the worker's hands, unless it has been decided before.
    pub fn demote(&self, slots: &Slots, slot: u32, created_ns: u64, started_ns: u64) {
        // The worker finds the task once it can lock its hands.
        let mut hands = self.hands();
        if !self.line.demote() {
            // The caller that demoted does not know when the worker begins.
            if let Some(task) = hands.tasks.iter_mut().find(|task| task.slot == slot) {
                task.started_ns = task.started_ns.max(started_ns);
            }
            return;
        }
        slots.transition_to_queued(slot);
        slots.transition_to_taken(slot, self.number);
        hands.tasks.push(InHand {
            slot,
            created_ns,
            started_ns,
            kept: None,
        });
        self.in_hand.store(hands.tasks.len() as u32, Ordering::Release);
    }
}

impl Hands {
    /// Whether one more task may be taken.
    pub fn have_room(&self, limits: Limits) -> bool {
        !self.retired && !self.alone && self.tasks.len() < limits.concurrency as usize
    }
}

/// A queue with a counter, so that checking for emptiness does not touch the queue itself.
#[derive(Default)]
pub struct Lot {
    tasks: Injector<Task>,
    count: AtomicU32,
}

impl Lot {
    /// Appends a task. Any thread.
    pub fn push(&self, task: Task) {
        // Counted first, so that a task is never missed; at worst `pop` finds the queue still empty.
        self.count.fetch_add(1, Ordering::SeqCst);
        self.tasks.push(task);
    }

    /// Removes the first task. Any thread.
    pub fn pop(&self) -> Option<Task> {
        if self.is_empty() {
            return None;
        }
        let task = settle(|| self.tasks.steal())?;
        self.count.fetch_sub(1, Ordering::SeqCst);
        Some(task)
    }

    /// Whether the queue is empty. Any thread.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of tasks. Any thread.
    pub fn len(&self) -> u32 {
        self.count.load(Ordering::SeqCst)
    }
}

/// Repeats a steal attempt until it does not lose a race.
pub fn settle<T>(mut attempt: impl FnMut() -> Steal<T>) -> Option<T> {
    loop {
        match attempt() {
            Steal::Success(value) => return Some(value),
            Steal::Empty => return None,
            Steal::Retry => std::hint::spin_loop(),
        }
    }
}
