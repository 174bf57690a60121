//! The environment of lock tables on a real system: its clock, threads, futexes and bells.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use super::Environment;
use crate::liveness::OwnerId;
use crate::sys::clock::monotonic_ns;
use crate::sys::{bell, futex};

/// The system during one operation on one or more tables; caches whether each owner is alive.
#[derive(Debug, Default)]
pub struct Host(RefCell<HashMap<OwnerId, bool>>);

impl Environment for Host {
    fn is_alive(&self, owner: OwnerId) -> bool {
        let mut known = self.0.borrow_mut();
        // The dead stay dead, and a live owner is checked only once per operation.
        *known.entry(owner).or_insert_with(|| owner.is_alive())
    }

    fn now_ns(&self) -> u64 {
        monotonic_ns()
    }

    fn relax(&self, looks: u32) {
        match looks {
            0..100 => std::hint::spin_loop(),
            100..120 => std::thread::yield_now(),
            _ => {
                // An owner may have died since it was last checked.
                self.0.borrow_mut().clear();
                std::thread::sleep(Duration::from_micros(50));
            }
        }
    }

    fn sleep(&self, word: &AtomicU32, expected: u32, limit: Duration) {
        // Fails only for invalid memory; the caller then sees no change.
        let _woken = futex::wait(word, expected, Some(limit));
        self.0.borrow_mut().clear();
    }

    fn wake(&self, word: &AtomicU32) {
        futex::wake_all(word);
    }

    fn ring(&self, owner: OwnerId) {
        bell::ring(owner);
    }
}
