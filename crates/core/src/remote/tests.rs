//! Both sides in one process.

use super::{Dispatch, RemoteWorker};
use crate::queue::{Cancelled, Kind, Limits, Scheduler, Target, Task, TaskKind, ENTRY_BYTES};
use crate::ring::doorbell::Consumer;
use crate::testing::{Watchdog, WATCHDOG};

/// A caller and workers that have started.
struct Pool {
    caller: Dispatch,
    workers: Vec<RemoteWorker>,
}

impl Pool {
    fn new(workers: u32, concurrency: u32, tasks: u32) -> Self {
        let caller = Dispatch::new(Limits { concurrency, tasks }).unwrap();
        let mut pool = Self {
            caller,
            workers: Vec::new(),
        };
        for _ in 0..workers {
            pool.add(concurrency);
        }
        assert_eq!(pool.reports().len(), workers as usize);
        pool
    }

    fn add(&mut self, concurrency: u32) {
        let number = self.caller.add_worker().unwrap();
        assert_eq!(number as usize, self.workers.len());
        let worker = RemoteWorker::adopt(self.caller.inherit(number, b"startup!")).unwrap();
        assert_eq!(worker.startup(WATCHDOG).as_deref(), Some(&b"startup!"[..]));
        worker.set_concurrency(concurrency);
        worker.tell(Kind::Ready, 0, &[]);
        self.workers.push(worker);
    }

    fn push(&self, slot: u32, priority: f64) {
        self.push_to(slot, Target::Any, priority);
    }

    fn push_to(&self, slot: u32, target: Target, priority: f64) {
        let mut task = Task::new(TaskKind::Call, slot, &slot.to_le_bytes());
        task.keep = true;
        assert!(self.caller.push(task, target, priority));
    }

    /// Kind, slot and worker of all reports.
    fn reports(&self) -> Vec<(u32, u32, u32)> {
        let mut target = vec![0; 4096];
        let mut seen = Vec::new();
        loop {
            let bytes = self.caller.take(&mut target, &mut Vec::new()).unwrap();
            let mut at = 0;
            while at < bytes {
                let word = |i: usize| {
                    let from = at + i * 4;
                    u32::from_le_bytes(target[from..from + 4].try_into().unwrap())
                };
                seen.push((word(1), word(2), word(3)));
                assert!(word(0) as usize >= ENTRY_BYTES);
                at += word(0) as usize;
            }
            if bytes == 0 {
                return seen;
            }
        }
    }

    fn pull(&self, worker: usize) -> Option<u32> {
        self.workers[worker].pull().map(|task| task.slot)
    }

    fn finish(&self, worker: usize, slot: u32) {
        assert!(self.workers[worker].complete(Kind::Result, slot, &[1]));
        let expected = (Kind::Result as u32, slot, worker as u32);
        assert!(self.reports().contains(&expected));
    }
}

#[test]
fn tasks_go_to_the_least_loaded_and_come_back() {
    let pool = Pool::new(2, 1, 0);
    for slot in 0..4 {
        pool.push(slot, 0.0);
    }
    assert_eq!((pool.pull(0), pool.pull(1)), (Some(0), Some(1)));
    // One more task has been pushed ahead to each, and cannot be begun yet.
    assert_eq!((pool.pull(0), pool.pull(1)), (None, None));
    assert_eq!(pool.caller.waiting(), 0);
    assert_eq!(pool.caller.begun(0), [0]);
    assert!(pool.caller.running_for(0).is_some() && pool.caller.running_for(2).is_none());
    pool.finish(1, 1);
    assert_eq!(pool.pull(1), Some(3));
    pool.finish(0, 0);
    assert_eq!(pool.pull(0), Some(2));
}

#[test]
fn an_idle_worker_gets_what_another_has_not_begun() {
    let pool = Pool::new(2, 1, 0);
    for slot in 0..4 {
        pool.push(slot, 0.0);
    }
    assert_eq!((pool.pull(0), pool.pull(1)), (Some(0), Some(1)));
    pool.finish(1, 1);
    assert_eq!(pool.pull(1), Some(3));
    pool.finish(1, 3);
    assert_eq!(pool.pull(1), Some(2));
    pool.finish(0, 0);
    assert_eq!(pool.pull(0), None);
}

#[test]
fn a_higher_priority_overtakes_what_lies_ahead() {
    let pool = Pool::new(1, 1, 0);
    for (slot, priority) in [(0, 0.0), (1, 0.0), (2, -1.0), (3, 5.0), (4, 0.0), (5, 5.0)] {
        pool.push(slot, priority);
    }
    let mut order = Vec::new();
    while let Some(slot) = pool.pull(0) {
        order.push(slot);
        pool.finish(0, slot);
    }
    assert_eq!(order, [3, 5, 0, 1, 4, 2]);
}

#[test]
fn begun_tasks_are_lost_with_a_worker_and_the_rest_goes_to_others() {
    let pool = Pool::new(2, 2, 0);
    for slot in 0..8 {
        pool.push(slot, 0.0);
    }
    pool.push_to(8, Target::Worker(0), 0.0);
    let begun = [pool.pull(0).unwrap(), pool.pull(0).unwrap()];
    // Its last report was published; another task finished without one.
    assert!(pool.workers[0].complete(Kind::Result, begun[0], &[1]));
    assert_eq!(pool.reports().len(), 1);
    assert_eq!(pool.caller.abandon(0), [begun[1]]);
    assert!(pool.caller.retry(begun[1]) && !pool.caller.retry(begun[1]));
    let mut seen = Vec::new();
    while let Some(slot) = pool.pull(1) {
        seen.push(slot);
        pool.finish(1, slot);
    }
    seen.sort_unstable();
    let expected: Vec<u32> = (0..9).filter(|slot| *slot != begun[0]).collect();
    assert_eq!(seen, expected);
}

#[test]
fn a_task_is_cancelled_wherever_it_waits() {
    let pool = Pool::new(1, 1, 0);
    for slot in 0..4 {
        pool.push(slot, 0.0);
    }
    assert_eq!(pool.pull(0), Some(0));
    assert_eq!(pool.caller.cancel(0), Cancelled::Running(0));
    // One was pushed ahead, one is queued.
    assert_eq!(pool.caller.cancel(1), Cancelled::Queued);
    assert_eq!(pool.caller.cancel(3), Cancelled::Queued);
    assert_eq!(pool.caller.cancel(1), Cancelled::Over);
    assert_eq!(pool.caller.abort(0), Some(0));
    assert!(pool.workers[0].is_aborted(0));
    assert_eq!(
        pool.workers[0].pull().map(|task| task.kind),
        Some(TaskKind::Abort)
    );
    pool.finish(0, 0);
    assert_eq!(pool.pull(0), Some(2));
    pool.finish(0, 2);
    assert_eq!(pool.pull(0), None);
    assert_eq!(pool.caller.abort(2), None);
}

#[test]
fn a_task_that_wants_no_company_has_none() {
    let pool = Pool::new(1, 3, 0);
    pool.push(0, 0.0);
    pool.push_to(1, Target::Alone, 0.0);
    pool.push(2, 0.0);
    assert_eq!((pool.pull(0), pool.pull(0)), (Some(0), None));
    pool.finish(0, 0);
    assert_eq!((pool.pull(0), pool.pull(0)), (Some(1), None));
    pool.finish(0, 1);
    assert_eq!((pool.pull(0), pool.pull(0)), (Some(2), None));
}

#[test]
fn a_worker_retires_after_its_tasks() {
    let pool = Pool::new(1, 1, 2);
    for slot in 0..4 {
        pool.push(slot, 0.0);
    }
    let retired = (Kind::Retired as u32, 0, 0);
    assert_eq!(pool.pull(0), Some(0));
    pool.finish(0, 0);
    assert_eq!(pool.pull(0), Some(1));
    assert!(pool.workers[0].complete(Kind::Result, 1, &[]));
    assert_eq!(pool.reports(), [(Kind::Result as u32, 1, 0), retired]);
    assert_eq!((pool.pull(0), pool.caller.waiting()), (None, 2));
    // On its own initiative, with one task pushed ahead.
    let pool = Pool::new(1, 1, 0);
    pool.push(0, 0.0);
    pool.push(1, 0.0);
    assert_eq!(pool.pull(0), Some(0));
    assert!(!pool.caller.retire(0, false));
    pool.workers[0].retire();
    assert_eq!(pool.reports(), []);
    assert_eq!(pool.caller.waiting(), 1);
    pool.finish(0, 0);
    assert_eq!(pool.pull(0), None);
}

#[test]
fn what_a_worker_makes_up_means_nothing() {
    let pool = Pool::new(2, 1, 0);
    pool.push(0, 0.0);
    assert_eq!(pool.pull(0), Some(0));
    pool.workers[1].tell(Kind::Result, 0, &[]);
    pool.workers[1].tell(Kind::Event, 0, &[]);
    pool.workers[1].tell(Kind::Dropped, 0, &[]);
    pool.workers[1].tell(Kind::Result, u32::MAX, &[]);
    assert_eq!(pool.reports(), []);
    pool.workers[0].tell(Kind::Event, 0, &[]);
    pool.finish(0, 0);
}

#[test]
fn a_worker_that_goes_on_making_things_up_holds_nobody_up() {
    let pool = Pool::new(1, 1, 0);
    let take = || pool.caller.take(&mut [0; 4096], &mut Vec::new());
    for _ in 0..1500 {
        pool.workers[0].tell(Kind::Event, 7, &[]);
    }
    pool.workers[0].tell(Kind::Fault, 0, &[]);
    assert_eq!(take(), Ok(0));
    assert!(pool.caller.is_pending());
    assert_eq!(pool.reports(), [(Kind::Fault as u32, 0, 0)]);
    assert!(!pool.caller.is_pending());
}

#[test]
fn a_worker_that_scribbles_is_cut_off() {
    let pool = Pool::new(2, 1, 0);
    pool.push(0, 0.0);
    pool.push(1, 0.0);
    assert_eq!((pool.pull(0), pool.pull(1)), (Some(0), Some(1)));
    pool.workers[0].scribble();
    assert!(pool.caller.is_pending());
    assert_eq!(pool.reports(), [(Kind::Corrupt as u32, 0, 0)]);
    assert!(!pool.caller.is_pending() && pool.caller.transition_to_asleep());
    pool.finish(1, 1);
}

#[test]
fn large_records_pass_both_ways() {
    let pool = Pool::new(1, 1, 0);
    let bytes: Vec<u8> = (0..5_000_000u32).map(|i| i as u8).collect();
    assert!(pool
        .caller
        .push(Task::new(TaskKind::Call, 0, &bytes), Target::Any, 0.0));
    let watchdog = Watchdog::start();
    let task = loop {
        watchdog.check("the task");
        if let Some(task) = pool.workers[0].pull() {
            break task;
        }
        pool.caller.on_bell();
    };
    assert_eq!(&task.record()[..bytes.len()], bytes);
    assert!(pool.workers[0].complete(Kind::Result, 0, &bytes));
    let mut target = vec![0; 64];
    let size = loop {
        watchdog.check("the result");
        match pool.caller.take(&mut target, &mut Vec::new()) {
            Err(size) => break size,
            Ok(bytes) => assert_eq!(bytes, 0),
        }
        pool.workers[0].clear_bell();
    };
    target.resize(size, 0);
    assert_eq!(pool.caller.take(&mut target, &mut Vec::new()), Ok(size));
    assert_eq!(&target[ENTRY_BYTES..ENTRY_BYTES + bytes.len()], bytes);
}

#[test]
fn nobody_sleeps_on_something() {
    let pool = Pool::new(1, 1, 0);
    assert!(pool.caller.transition_to_asleep());
    assert!(pool.workers[0].transition_to_asleep());
    pool.push(0, 0.0);
    assert!(!pool.workers[0].transition_to_asleep());
    assert_eq!(pool.pull(0), Some(0));
    pool.push(1, 0.0);
    assert_eq!(pool.pull(0), None);
    assert!(pool.workers[0].transition_to_asleep());
    assert!(pool.workers[0].complete(Kind::Result, 0, &[]));
    assert!(!pool.workers[0].transition_to_asleep());
    assert!(pool.caller.wait(WATCHDOG));
    assert!(!pool.caller.transition_to_asleep());
}
