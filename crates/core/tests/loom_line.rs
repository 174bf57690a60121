//! A loom model of direct calls to a worker: the worker opens and closes its line, answers or demotes; the caller
//! offers, waits for a while and demotes. Under every interleaving and every reordering that the memory model
//! allows, each offered call runs once and its result arrives on exactly one way.
#![cfg(loom)]
// These are tests and their helpers.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::sync::Mutex as Seen;

use loom::sync::Arc;
use loom::thread;

use manycore_core::queue::{Call, Decision, Line, LINE_BYTES};
use manycore_core::sync::{AtomicU32, Mutex, Ordering};

mod models;
use models::explore;

/// A line, and the way of ordinary tasks.
#[derive(Default)]
struct Station {
    line: Line,
    /// Slots of demoted calls, and their results.
    hands: Mutex<Vec<u32>>,
    outbox: Mutex<Vec<u8>>,
    runs: AtomicU32,
    /// Slot of the last call that was put into hands.
    placed: AtomicU32,
}

impl Station {
    fn demote(&self, slot: u32) {
        let mut hands = self.hands.lock().unwrap();
        if self.line.demote() {
            self.placed.store(slot, Ordering::Relaxed);
            hands.push(slot);
        }
    }

    /// Worker: spins for one look, and processes what was offered. Returns the slot.
    fn serve(&self, demotes: bool) -> Option<u32> {
        if !self.hands.lock().unwrap().is_empty() {
            return None;
        }
        self.line.open();
        if !self.line.close() {
            return None;
        }
        let mut record = [0; LINE_BYTES];
        let (Call { slot, .. }, len) = self.line.read_call(&mut record);
        assert_eq!((len, u32::from(record[0])), (1, slot));
        self.runs.fetch_add(1, Ordering::Relaxed);
        let result = [record[0] + 100];
        if demotes {
            self.demote(slot);
            self.line.leave();
        } else if self.line.answer(&result, 0, 0) {
            return Some(slot);
        }
        let taken = self.hands.lock().unwrap().pop();
        assert_eq!(taken, Some(slot));
        self.outbox.lock().unwrap().push(result[0]);
        Some(slot)
    }

    /// Caller: makes a call. Returns its result, or `None` if the line was not open.
    fn call(&self, slot: u32) -> Option<u8> {
        let call = Call {
            slot,
            handler: 0,
            definitions: 0,
            created_ns: 0,
        };
        if !self.line.offer(call, &[slot as u8]) {
            return None;
        }
        if self.line.decision().is_none() {
            self.demote(slot);
        }
        if let Decision::Answered { len, .. } = self.line.decision().unwrap() {
            let mut record = [0; LINE_BYTES];
            assert_eq!((len, self.line.read(&mut record)), (1, 1));
            return Some(record[0]);
        }
        // As the caller does before it goes on.
        drop(self.hands.lock().unwrap());
        assert_eq!(self.placed.load(Ordering::Relaxed), slot);
        loop {
            if let Some(result) = self.outbox.lock().unwrap().pop() {
                return Some(result);
            }
            thread::yield_now();
        }
    }
}

fn calls(demotes: [bool; 2]) {
    // How often the caller's two calls were refused, over all executions.
    let seen = std::sync::Arc::new(Seen::new(HashSet::new()));
    let refused = std::sync::Arc::clone(&seen);
    explore(Some(3), move || {
        let station = Arc::new(Station::default());
        let worker = {
            let station = Arc::clone(&station);
            thread::spawn(move || {
                demotes
                    .into_iter()
                    .filter_map(|demotes| station.serve(demotes))
                    .count()
            })
        };
        let mut offered = 0;
        for slot in [1, 2] {
            if let Some(result) = station.call(slot) {
                assert_eq!(u32::from(result), slot + 100);
                offered += 1;
            }
        }
        assert_eq!(worker.join().unwrap(), offered);
        assert_eq!(station.runs.load(Ordering::Relaxed) as usize, offered);
        assert!(station.outbox.lock().unwrap().is_empty());
        refused.lock().unwrap().insert(2 - offered);
    });
    assert_eq!(seen.lock().unwrap().len(), 3);
}

#[test]
fn answered_calls_return_their_own_results() {
    calls([false, false]);
}

#[test]
fn a_call_demoted_by_the_worker_is_an_ordinary_task() {
    calls([true, false]);
    calls([false, true]);
}
