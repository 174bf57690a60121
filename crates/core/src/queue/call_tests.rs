//! Tests of direct calls to workers.

use super::worker::tests::queue;
use super::{Called, Kind, Queue, Task, TaskKind, Worker};
use crate::ring::doorbell::Consumer;
use crate::sys::clock::monotonic_ns;

fn called(queue: &Queue) -> Called {
    queue.call(&Task::new(TaskKind::Call, 9, b"argument"), &mut [0; 1000])
}

/// Offers a call to the worker, which pulls it. Returns what `then` and the call returned.
fn during_call<T>(queue: &Queue, worker: &Worker, then: impl FnOnce() -> T) -> (T, Called) {
    std::thread::scope(|scope| {
        Consumer::begin_search(worker);
        let caller = scope.spawn(|| called(queue));
        while !Consumer::is_pending(worker) {
            std::thread::yield_now();
        }
        assert!(Consumer::end_search(worker));
        let task = worker.pull();
        let described = task.as_ref().map(|task| (task.slot, task.record()));
        assert_eq!(described, Some((9, &b"argument"[..])));
        let result = then();
        (result, caller.join().unwrap_or(Called::Refused))
    })
}

/// The kinds of the reports that the caller has yet to take.
fn kinds(queue: &Queue) -> Vec<u8> {
    let mut target = [0; 1000];
    let len = queue.take(&mut target, &mut Vec::new()).unwrap_or(0);
    let mut kinds = Vec::new();
    let mut at = 0;
    while at < len {
        kinds.push(target[at + 4]);
        at += usize::from(target[at]);
    }
    kinds
}

#[test]
fn a_call_is_answered_without_the_queue_or_put_into_hands() {
    let (queue, [worker, _other]) = queue(1);
    assert_eq!(called(&queue), Called::Refused);
    let complete = || worker.complete(Kind::Result, 9, b"result", Vec::new());
    let mut answered = 0;
    for calls in 1..=10_000 {
        let (completed, called) = during_call(&queue, &worker, complete);
        assert!(completed);
        // In hand if this thread did not run for a while.
        if called == Called::Begun {
            assert_eq!(kinds(&queue), [Kind::Result as u8]);
        } else {
            assert_eq!(called, Called::Answered(40));
            answered += 1;
        }
        assert!(queue.begun(worker.number()).is_empty());
        assert_eq!(queue.loads()[0].completed, calls);
        let counts = queue.with_times(|wait, run| [wait.summary().count, run.summary().count]);
        assert_eq!(counts, [calls; 2]);
        if calls >= 100 && answered > 0 {
            break;
        }
    }
    assert!(answered > 0);
}

#[test]
fn a_call_that_takes_longer_is_in_hand() {
    let (queue, [worker, _other]) = queue(1);
    let number = worker.number();
    let is_in_hand = || {
        while queue.begun(number).is_empty() {
            std::thread::yield_now();
        }
    };
    let ((), called) = during_call(&queue, &worker, is_in_hand);
    assert_eq!(called, Called::Begun);
    assert!(queue.running_for(9).is_some());
    assert_eq!(queue.abort(9), Some(number));
    assert!(!queue.retire(number, false));
    assert!(worker.complete(Kind::Result, 9, b"result", Vec::new()));
    assert_eq!(kinds(&queue), [Kind::Result as u8]);
    assert_eq!(queue.loads()[0].completed, 1);
}

#[test]
fn the_run_time_of_a_demoted_call_begins_when_it_is_pulled() {
    let (queue, [worker, _other]) = queue(1);
    let number = worker.number();
    let pulled_late = std::thread::scope(|scope| {
        Consumer::begin_search(&worker);
        let caller = scope.spawn(|| called(&queue));
        // The caller stops waiting before this thread pulls.
        while queue.begun(number).is_empty() {
            std::thread::yield_now();
        }
        let until = monotonic_ns() + 2_000_000;
        while monotonic_ns() < until {
            std::thread::yield_now();
        }
        assert!(Consumer::end_search(&worker));
        assert_eq!(worker.pull().map(|task| task.slot), Some(9));
        assert!(worker.complete(Kind::Result, 9, &[], Vec::new()));
        caller.join().unwrap_or(Called::Refused)
    });
    assert_eq!(pulled_late, Called::Begun);
    assert_eq!(kinds(&queue), [Kind::Result as u8]);
    // In microseconds.
    assert!(queue.with_times(|wait, _| wait.summary().max) >= 1000);
}

#[test]
fn nobody_is_called_while_there_are_reports_to_take() {
    let (queue, [worker, other]) = queue(1);
    other.tell(Kind::Event, 1, &[], Vec::new());
    Consumer::begin_search(&worker);
    assert_eq!(called(&queue), Called::Refused);
    assert_eq!(kinds(&queue), [Kind::Event as u8]);
    assert!(!Consumer::end_search(&worker));
    let complete = || worker.complete(Kind::Result, 9, b"result", Vec::new());
    assert_ne!(during_call(&queue, &worker, complete).1, Called::Refused);
}

#[test]
fn a_call_that_is_not_answered_first_of_all_is_in_hand() {
    let (queue, [worker, _other]) = queue(1);
    let tell = || worker.tell(Kind::Event, 9, &[], Vec::new());
    assert_eq!(during_call(&queue, &worker, tell).1, Called::Begun);
    assert!(worker.complete(Kind::Result, 9, &[], Vec::new()));
    assert_eq!(kinds(&queue), [Kind::Event as u8, Kind::Result as u8]);
    let fail = || worker.complete(Kind::Error, 9, &[], Vec::new());
    assert_eq!(during_call(&queue, &worker, fail), (true, Called::Begun));
    assert_eq!(kinds(&queue), [Kind::Error as u8]);
    let pull = || worker.pull().is_none();
    assert_eq!(during_call(&queue, &worker, pull), (true, Called::Begun));
    let number = worker.number();
    drop(worker);
    assert_eq!(queue.abandon(number), [9]);
}

#[test]
fn a_worker_that_may_not_be_called_refuses() {
    let (queue, [first, second]) = queue(1);
    let accepts = |worker: &Worker| {
        let complete = || worker.complete(Kind::Result, 9, &[], Vec::new());
        let (completed, called) = during_call(&queue, worker, complete);
        kinds(&queue);
        completed && called != Called::Refused
    };
    first.tell(Kind::Event, 1, &[], Vec::new());
    Consumer::begin_search(&first);
    assert_eq!(kinds(&queue), [Kind::Event as u8]);
    assert_eq!(called(&queue), Called::Refused);
    assert!(!Consumer::end_search(&first));
    assert!(accepts(&first) && accepts(&second));
    Consumer::begin_search(&second);
    assert!(queue.retire(second.number(), false));
    assert_eq!(called(&queue), Called::Refused);
    assert!(!Consumer::end_search(&second));
}
