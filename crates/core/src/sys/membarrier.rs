//! A memory barrier in all threads of this process, at the expense of the caller: the others need none of their own.
//!
//! May be called from any thread.

/// Starts to prepare the process for [`in_all_threads`], the first time. In a thread of its own: with several threads in
/// the process, the kernel takes some 15 ms.
pub fn prepare() {
    platform::prepare();
}

/// Whether the process has been prepared. Never where it cannot be, as on other architectures than x64, or where a
/// sandbox forbids it; once true, always true.
pub fn is_available() -> bool {
    platform::is_available()
}

/// Returns once each thread of this process that runs has gone through a full memory barrier since the call; those that
/// do not run have when they do. Some hundred nanoseconds. Does nothing unless [`is_available`].
pub fn in_all_threads() {
    platform::in_all_threads();
}

#[cfg(all(target_arch = "x86_64", target_os = "linux", not(any(loom, miri))))]
mod platform {
    use std::ffi::{c_int, c_long};
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    const SYS_MEMBARRIER: c_long = 324;
    const PRIVATE_EXPEDITED: c_int = 1 << 3;
    const REGISTER_PRIVATE_EXPEDITED: c_int = 1 << 4;

    extern "C" {
        fn syscall(number: c_long, ...) -> c_long;
    }

    fn membarrier(command: c_int) -> bool {
        let (flags, cpu): (c_int, c_int) = (0, 0);
        // SAFETY: takes a command and two integers, and touches no memory of ours.
        unsafe { syscall(SYS_MEMBARRIER, command, flags, cpu) == 0 }
    }

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
            let is_registered = membarrier(REGISTER_PRIVATE_EXPEDITED) && membarrier(PRIVATE_EXPEDITED);
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
        membarrier(PRIVATE_EXPEDITED);
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

    #[test]
    fn of_two_that_store_and_then_look_one_sees_the_other() {
        prepare();
        while platform::STATE.load(Ordering::Acquire) == platform::PREPARING {
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
                        std::hint::spin_loop();
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
                    std::hint::spin_loop();
                }
                let they_saw = seen.load(Ordering::Relaxed) % 2 == 1;
                assert!(i_saw || they_saw, "round {round}");
            }
        });
    }
}
