//! Tracks which workers sleep, and decides whether to wake one for a task.
//!
//! Waking a thread costs the waker several microseconds, so it is done only when nobody would find the task
//! otherwise: no worker is searching, and one sleeps. A worker that stops searching because it found a task
//! passes the search on if there are more, and so does any thread that retires a worker which may have been
//! woken for a task.
//!
//! ```text
//! any thread:  make the task visible · fence (F) · nobody searching and somebody asleep? · pop a sleeper, ring it
//! worker:      begin_search · search · end_search ── found ──▶ take the task · more waiting? as "any thread"
//!                                                 └─ nothing ─▶ push to sleepers · fence (W) · search again
//! ```
//!
//! No wake-up is lost:
//! - *A worker goes to sleep concurrently.* F and W are `SeqCst` fences, so one of them comes first. If F
//!   does, the worker's second search sees the task. If W does, the other thread sees a sleeper, and sees
//!   that this worker is no longer searching.
//! - *A worker was searching and found another task.* It decrements the number of waiting tasks after
//!   `end_search`. If the new task was counted before that, the worker finds the number above zero and passes
//!   the search on. If it was counted after that, the increment synchronises with the decrement (both are
//!   read-modify-writes of one word), so the other thread sees `searching` without this worker. A worker that
//!   found a call in its line reads the number after `end_search` instead (`Queue::pass_on`). Both and the
//!   increment are `SeqCst`: if it reads the number without the new task, the increment and F come after its
//!   `end_search`.
//! - *The woken worker ends or stops taking tasks.* The thread that causes this passes the search on
//!   afterwards (`Queue::pass_on`).
//!
//! `crates/core/tests/loom_queue.rs` checks all three under every interleaving.

use crate::sync::{fence, AtomicU32, Mutex, MutexGuard, Ordering};

/// The set of sleeping workers; see the module documentation.
#[derive(Debug, Default)]
pub struct Sleepers {
    searching: AtomicU32,
    count: AtomicU32,
    /// A stack: the memory of the worker that fell asleep last is the most likely to be in cache.
    asleep: Mutex<Vec<Sleeper>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Sleeper {
    worker: u32,
    /// It has no task in hand, so it may take one that must run alone.
    idle: bool,
}

impl Sleepers {
    /// Worker: starts searching for tasks.
    pub fn begin_search(&self) {
        self.searching.fetch_add(1, Ordering::SeqCst);
    }

    /// Worker: stops searching.
    pub fn end_search(&self) {
        self.searching.fetch_sub(1, Ordering::SeqCst);
    }

    /// Worker: goes to sleep, unless `has_work` returns true once the worker is visible as a sleeper.
    pub fn transition_to_asleep(&self, worker: u32, idle: bool, has_work: impl FnOnce() -> bool) -> bool {
        {
            let mut asleep = self.lock();
            asleep.push(Sleeper { worker, idle });
            self.count.fetch_add(1, Ordering::SeqCst);
        }
        // SeqCst: pairs with the fence in `to_wake`.
        fence(Ordering::SeqCst);
        if has_work() {
            self.transition_to_awake(worker);
            return false;
        }
        true
    }

    /// Worker: is awake, for whatever reason.
    pub fn transition_to_awake(&self, worker: u32) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut asleep = self.lock();
        if let Some(at) = asleep.iter().position(|sleeper| sleeper.worker == worker) {
            asleep.remove(at);
            self.count.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Any thread, after making a task visible: the worker to ring, if any. It counts as awake from here on.
    pub fn to_wake(&self, alone: bool) -> Option<u32> {
        // SeqCst: pairs with the fence in `transition_to_asleep`. The later side sees the other's store.
        fence(Ordering::SeqCst);
        if self.count.load(Ordering::Relaxed) == 0 || self.searching.load(Ordering::Relaxed) != 0 {
            return None;
        }
        let mut asleep = self.lock();
        let at = asleep.iter().rposition(|sleeper| sleeper.idle || !alone)?;
        self.count.fetch_sub(1, Ordering::SeqCst);
        Some(asleep.remove(at).worker)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Sleeper>> {
        // Nothing panics while the lock is held.
        self.asleep
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_woken_while_somebody_looks() {
        let sleepers = Sleepers::default();
        assert_eq!(sleepers.to_wake(false), None);
        assert!(sleepers.transition_to_asleep(1, true, || false));
        assert!(sleepers.transition_to_asleep(2, true, || false));
        sleepers.begin_search();
        assert_eq!(sleepers.to_wake(false), None);
        sleepers.end_search();
        assert_eq!(sleepers.to_wake(false), Some(2));
        assert_eq!(sleepers.to_wake(false), Some(1));
        assert_eq!(sleepers.to_wake(false), None);
    }

    #[test]
    fn work_that_came_meanwhile_keeps_a_worker_awake() {
        let sleepers = Sleepers::default();
        assert!(!sleepers.transition_to_asleep(1, true, || true));
        assert_eq!(sleepers.to_wake(false), None);
    }

    #[test]
    fn who_has_something_in_hand_is_not_woken_for_a_task_that_must_be_alone() {
        let sleepers = Sleepers::default();
        assert!(sleepers.transition_to_asleep(1, false, || false));
        assert_eq!(sleepers.to_wake(true), None);
        assert!(sleepers.transition_to_asleep(2, true, || false));
        assert_eq!(sleepers.to_wake(true), Some(2));
        sleepers.transition_to_awake(1);
        assert_eq!(sleepers.to_wake(false), None);
    }
}
