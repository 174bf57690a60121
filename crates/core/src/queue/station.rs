//! What the caller and a worker share about that worker.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crossbeam::deque::{Injector, Steal, Stealer};

use super::completions::Outbox;
use super::task::Task;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::sys::eventfd::EventFd;

/// What a worker may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Tasks in hand at once, at least 1.
    pub concurrency: u32,
    /// Tasks in all, after which it retires; 0 for no limit.
    pub tasks: u32,
}

/// A task that a worker has begun.
#[derive(Debug)]
pub struct InHand {
    /// The caller's number for it.
    pub slot: u32,
    /// When it was pushed, [`crate::sys::clock::monotonic_ns`].
    pub created_ns: u64,
    /// When it was begun.
    pub started_ns: u64,
    /// For another try.
    pub kept: Option<Task>,
}

/// What a worker has in hand.
#[derive(Debug, Default)]
pub struct Hands {
    /// Tasks begun.
    pub tasks: Vec<InHand>,
    /// Whether the only one wants no company.
    pub alone: bool,
    /// Takes no more tasks.
    pub retired: bool,
    /// Tasks taken so far.
    pub taken: u32,
}

/// See the module's documentation.
pub struct Station {
    /// Its number, which another gets only once this worker is gone.
    pub number: u32,
    /// What the worker may do.
    pub limits: Limits,
    /// Rings the worker's event loop.
    pub bell: EventFd,
    /// When it was rung last.
    pub signalled_at: AtomicU64,
    /// 1 while the worker waits for the bell.
    pub asleep: AtomicU32,
    /// Messages about tasks in hand; taken before tasks and without regard to limits.
    pub notices: Lot,
    /// Tasks for this worker alone.
    pub pinned: Lot,
    /// Where others steal from, once the worker has started.
    pub stealer: OnceLock<Stealer<Task>>,
    /// What it reports, and whether the caller has been told that there is something.
    pub outbox: Outbox,
    /// See `outbox`.
    pub reported: AtomicU32,
    /// Tasks in hand.
    pub in_hand: AtomicU32,
    /// Tasks completed.
    pub completed: AtomicU64,
    /// Microseconds that completed tasks ran.
    pub busy_us: AtomicU64,
    hands: Mutex<Hands>,
}

impl Station {
    /// A worker that has yet to start.
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
            outbox: Outbox::default(),
            reported: AtomicU32::new(0),
            in_hand: AtomicU32::new(0),
            completed: AtomicU64::new(0),
            busy_us: AtomicU64::new(0),
            hands: Mutex::default(),
        }
    }

    /// What it has in hand.
    pub fn hands(&self) -> MutexGuard<'_, Hands> {
        // Only an allocation can fail while it is held, and then the process ends.
        self.hands.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hands {
    /// Whether one more task may be taken.
    pub fn have_room(&self, limits: Limits) -> bool {
        !self.retired && !self.alone && self.tasks.len() < limits.concurrency as usize
    }
}

/// A queue whose emptiness can be told without touching it.
#[derive(Default)]
pub struct Lot {
    tasks: Injector<Task>,
    count: AtomicU32,
}

impl Lot {
    /// Any thread.
    pub fn push(&self, task: Task) {
        // Counted first: what is there is never missed, at the price of looking once too often.
        self.count.fetch_add(1, Ordering::SeqCst);
        self.tasks.push(task);
    }

    /// Any thread.
    pub fn pop(&self) -> Option<Task> {
        if self.is_empty() {
            return None;
        }
        let task = settle(|| self.tasks.steal())?;
        self.count.fetch_sub(1, Ordering::SeqCst);
        Some(task)
    }

    /// Any thread.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Any thread.
    pub fn len(&self) -> u32 {
        self.count.load(Ordering::SeqCst)
    }
}

/// Repeats an attempt that another thread got in the way of.
pub fn settle<T>(mut attempt: impl FnMut() -> Steal<T>) -> Option<T> {
    loop {
        match attempt() {
            Steal::Success(value) => return Some(value),
            Steal::Empty => return None,
            Steal::Retry => std::hint::spin_loop(),
        }
    }
}
