//! Which workers sleep, and whether one must be woken for a task.
//!
//! Waking a thread costs the waker several microseconds, so it happens only when nobody would find the task
//! otherwise: no worker is looking for one, and one sleeps. A worker that stops looking because it found
//! something passes the search on if there is more, and so does whoever takes a worker away that may have been
//! woken for a task.
//!
//! ```text
//! any thread:  make the task visible · fence (F) · searching? nobody asleep? · else take one off the list, ring
//! a worker:    begin_search · looks · end_search ── found ──▶ takes a task · more waiting? then as "any thread"
//!                                               └─ nothing ─▶ onto the list, count + 1 · fence (W) · looks again
//! ```
//!
//! No wake-up is lost:
//! - *A worker goes to sleep meanwhile.* F and W are `SeqCst` fences, so one comes first. If F does, the worker's
//!   second look sees the task. If W does, the other thread sees a sleeper, and this worker no longer searching.
//! - *A worker was searching, and found another task.* Tasks that are taken are subtracted from the number of those
//!   that wait after `end_search`. If the new task was added before that, the worker finds a number above zero
//!   and passes the search on. If it was added after that, adding synchronises with subtracting (both are
//!   read-modify-writes of one word), so `searching` is seen without this worker.
//! - *The worker that was woken ends, or takes no more tasks.* Who makes it so passes the search on afterwards
//!   (`Queue::pass_on`).
//!
//! `crates/core/tests/loom_queue.rs` has all three played through in every order.

use crate::sync::{fence, AtomicU32, Mutex, MutexGuard, Ordering};

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Sleepers {
    searching: AtomicU32,
    count: AtomicU32,
    /// The latest last: its memory is the most likely to be at hand.
    asleep: Mutex<Vec<Sleeper>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Sleeper {
    worker: u32,
    /// Nothing in hand: tasks that must be alone may come.
    idle: bool,
}

impl Sleepers {
    /// Worker: looks for tasks by itself from now on.
    pub fn begin_search(&self) {
        self.searching.fetch_add(1, Ordering::SeqCst);
    }

    /// Worker: stops looking.
    pub fn end_search(&self) {
        self.searching.fetch_sub(1, Ordering::SeqCst);
    }

    /// Worker: goes to sleep, unless `has_work` says otherwise once everybody can see that it sleeps.
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

    /// Worker: awake, for whatever reason.
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

    /// Any thread, after making a task visible: the worker to ring, if one must be. It counts as awake.
    pub fn to_wake(&self, alone: bool) -> Option<u32> {
        // SeqCst: pairs with the fence in `transition_to_asleep`. Whichever comes second sees the other's store.
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
        // Nothing panics while it is held.
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
