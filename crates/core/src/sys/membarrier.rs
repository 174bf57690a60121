//! A memory barrier in all threads of this process, issued by one of them, so that the others need none of their own
//! (`membarrier(2)`, private expedited).
//!
//! May be called from any thread.

/// Starts registering the process for [`in_all_threads`]; later calls do nothing. Registration runs in a thread of its
/// own, because it blocks for some 15 ms if the process has several threads.
pub fn prepare() {
    platform::prepare();
}

/// Whether the process is registered. Stays false on architectures other than x64 and where a sandbox forbids the
/// system call; once true, it stays true.
pub fn is_available() -> bool {
    platform::is_available()
}

/// Executes a full memory barrier in every running thread of this process; threads that are not running pass one when
/// they are scheduled. Takes some hundred nanoseconds. Does nothing unless [`is_available`].
pub fn in_all_threads() {
    platform::in_all_threads();
}

#[cfg(all(target_arch = "x86_64", target_os = "linux", not(any(loom, miri))))]
mod platform {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    use rustix::thread::{membarrier, MembarrierCommand};

    pub static STATE: AtomicU32 = AtomicU32::new(UNPREPARED);
    const UNPREPARED: u32 = 0;
    pub const PREPARING: u32 = 1;
    const AVAILABLE: u32 = 2;
    const REFUSED: u32 = 3;

    pub fn prepare() {
        let (was, begun) = (UNPREPARED, PREPARING);
        if STATE.load(Ordering::Relaxed) != was
            || STATE
                .compare_exchange(was, begun, Ordering::Relaxed, Ordering::Relaxed)
                .is_err()
        {
            return;
        }
        let thread = thread::Builder::new().name("manycore-barrier".to_owned());
        let started = thread.spawn(|| {
            let is_registered = membarrier(MembarrierCommand::RegisterPrivateExpedited).is_ok()
                && membarrier(MembarrierCommand::PrivateExpedited).is_ok();
            STATE.store(if is_registered { AVAILABLE } else { REFUSED }, Ordering::Release);
        });
        if started.is_err() {
            STATE.store(REFUSED, Ordering::Relaxed);
        }
    }

    pub fn is_available() -> bool {
        // Acquire: pairs with the store of the thread that has registered the process.
        STATE.load(Ordering::Acquire) == AVAILABLE
    }

    pub fn in_all_threads() {
        // Does not fail in a process that is registered.
        let _passed = membarrier(MembarrierCommand::PrivateExpedited);
    }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux", not(any(loom, miri)))))]
mod platform {
    pub fn prepare() {}

    pub fn is_available() -> bool {
        false
    }

    pub fn in_all_threads() {}
}

#[cfg(all(test, target_arch = "x86_64", target_os = "linux", not(any(loom, miri))))]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::testing::Watchdog;

    #[test]
    fn of_two_that_store_and_then_look_one_sees_the_other() {
        prepare();
        let watchdog = Watchdog::start();
        while platform::STATE.load(Ordering::Acquire) == platform::PREPARING {
            watchdog.check("the registration");
            std::thread::yield_now();
        }
        // Unless a sandbox forbids it.
        if !is_available() {
            return;
        }
        const ROUNDS: u32 = 20_000;
        let (mine, theirs, seen, begun) = <(AtomicU32, AtomicU32, AtomicU32, AtomicU32)>::default();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 1..=ROUNDS {
                    while begun.load(Ordering::Acquire) != round {
                        watchdog.check("the round");
                    }
                    // No barrier here.
                    theirs.store(round, Ordering::Release);
                    let saw = mine.load(Ordering::Relaxed) == round;
                    seen.store(round * 2 + u32::from(saw), Ordering::Release);
                }
            });
            for round in 1..=ROUNDS {
                begun.store(round, Ordering::Release);
                mine.store(round, Ordering::Relaxed);
                in_all_threads();
                let i_saw = theirs.load(Ordering::Acquire) == round;
                while seen.load(Ordering::Acquire) / 2 != round {
                    watchdog.check("the other thread");
                }
                let they_saw = seen.load(Ordering::Relaxed) % 2 == 1;
                assert!(i_saw || they_saw, "round {round}");
            }
        });
    }
}
