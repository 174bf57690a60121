//! A robust lock for short critical sections on shared memory: it survives the death of its holder.
//!
//! ```text
//!          acquire: compare-and-swap                release: store
//!   0 free ---------------------------> owner word --------------> 0 free
//!                                         |   ^
//!     the owner is dead: compare-and-swap |   | returns OwnerDied
//!                                         v   |
//!                                        owner word of the successor
//! ```
//!
//! The word is the owner id of the holder (see `liveness`), so waiters can detect that it has died, and the
//! compare-and-swap lets exactly one of them take over. The dead holder may have left a half-finished change;
//! its successor is told so and must repair the data first. Invariant: whenever the word is 0, the protected
//! data is consistent.

use crate::sync::{AtomicU64, Ordering};

/// The environment the lock depends on.
pub trait Host {
    /// The calling thread's owner word, see `liveness::OwnerId`. Never 0.
    fn me(&self) -> u64;
    /// Whether the thread with this owner word is alive.
    fn is_alive(&self, owner: u64) -> bool;
    /// Backs off. `attempt` counts from 0 for as long as the owner stays the same.
    fn pause(&self, attempt: u32) -> Patience;
}

/// What to do after a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Check the lock again.
    Again,
    /// Find out whether the owner is alive, then check again.
    Doubt,
    /// Give up: the owner is alive but makes no progress.
    Over,
}

/// How the lock was acquired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Acquired {
    /// It was free: the protected data is consistent.
    Free,
    /// Its owner died holding it: the protected data may be half changed.
    OwnerDied,
}

/// The owner has held the lock for too long: it has been stopped, or the word is forged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a living thread holds the lock and does not go on")]
pub struct Stuck;

/// A lock over a word.
#[derive(Clone, Copy, Debug)]
pub struct OwnerLock<'a>(&'a AtomicU64);

impl<'a> OwnerLock<'a> {
    /// A lock over `word`.
    pub fn new(word: &'a AtomicU64) -> Self {
        Self(word)
    }

    /// Acquires the lock, waiting for it if necessary.
    ///
    /// # Errors
    /// `Stuck` when the host gives up.
    #[inline]
    pub fn acquire(self, host: &impl Host) -> Result<Acquired, Stuck> {
        // Acquire: pairs with the store in `release`.
        match self
            .0
            .compare_exchange(0, host.me(), Ordering::Acquire, Ordering::Relaxed)
        {
            Ok(_) => Ok(Acquired::Free),
            Err(owner) => self.acquire_contended(host, owner),
        }
    }

    #[cold]
    fn acquire_contended(self, host: &impl Host, mut owner: u64) -> Result<Acquired, Stuck> {
        let me = host.me();
        let mut attempt = 0;
        loop {
            let (expected, acquired) = if owner == 0 {
                (0, Acquired::Free)
            } else if owner == me {
                // This thread panicked inside the critical section earlier.
                return Ok(Acquired::OwnerDied);
            } else {
                match host.pause(attempt) {
                    Patience::Doubt if !host.is_alive(owner) => (owner, Acquired::OwnerDied),
                    Patience::Over => return Err(Stuck),
                    _ => (0, Acquired::Free),
                }
            };
            // Test and test-and-set: a compare-and-swap takes the cache line away from the holder, so it is
            // attempted only when it can succeed.
            let now = self.0.load(Ordering::Relaxed);
            if now != expected {
                attempt = if now == owner {
                    attempt.saturating_add(1)
                } else {
                    0
                };
                owner = now;
                continue;
            }
            // Acquire: pairs with the store in `release`. A dead owner's stores are visible because the
            // kernel has observed its death.
            match self
                .0
                .compare_exchange(expected, me, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => return Ok(acquired),
                Err(now) => {
                    attempt = if now == owner {
                        attempt.saturating_add(1)
                    } else {
                        0
                    };
                    owner = now;
                }
            }
        }
    }

    /// Releases the lock. The protected data must be consistent.
    #[inline]
    pub fn release(self) {
        // Release: pairs with the compare-and-swaps in `acquire`.
        self.0.store(0, Ordering::Release);
    }

    /// Whether the holder is dead. For readers that do not take the lock.
    pub fn is_orphaned(self, host: &impl Host) -> bool {
        let owner = self.0.load(Ordering::Relaxed);
        owner != 0 && owner != host.me() && !host.is_alive(owner)
    }
}

/// The real system.
#[cfg(not(loom))]
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

#[cfg(not(loom))]
mod system {
    use super::{Host, Patience, System};
    use crate::liveness::OwnerId;
    use std::time::Duration;

    /// Critical sections take less than a microsecond, unless the holder is preempted in one.
    const SPINS: u32 = 100;
    const YIELDS: u32 = 20;
    /// After this many short sleeps, sleeps are longer.
    const NAPS: u32 = 100;
    /// In attempts; about six seconds.
    const PATIENCE: u32 = 6000;
    const DOUBT_EVERY: u32 = 16;

    impl Host for System {
        #[inline]
        fn me(&self) -> u64 {
            OwnerId::current().word()
        }

        fn is_alive(&self, owner: u64) -> bool {
            OwnerId::from_word(owner).is_some_and(OwnerId::is_alive)
        }

        fn pause(&self, attempt: u32) -> Patience {
            if attempt < SPINS {
                std::hint::spin_loop();
                return Patience::Again;
            }
            if attempt < SPINS + YIELDS {
                std::thread::yield_now();
                return Patience::Again;
            }
            if attempt >= PATIENCE {
                return Patience::Over;
            }
            let nap = if attempt < SPINS + YIELDS + NAPS { 50 } else { 1000 };
            std::thread::sleep(Duration::from_micros(nap));
            match attempt % DOUBT_EVERY {
                0 => Patience::Doubt,
                _ => Patience::Again,
            }
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::thread;

    /// The thread numbered `me`; threads above 100 are dead.
    struct Numbered {
        me: u64,
        pauses: Cell<u32>,
    }

    impl Host for Numbered {
        fn me(&self) -> u64 {
            self.me
        }
        fn is_alive(&self, owner: u64) -> bool {
            owner <= 100
        }
        fn pause(&self, attempt: u32) -> Patience {
            self.pauses.set(self.pauses.get() + 1);
            match attempt {
                0..3 => Patience::Again,
                3..9 => Patience::Doubt,
                _ => Patience::Over,
            }
        }
    }

    fn host(me: u64) -> Numbered {
        Numbered {
            me,
            pauses: Cell::new(0),
        }
    }

    #[test]
    fn it_passes_from_one_to_the_next() {
        let word = AtomicU64::new(0);
        let lock = OwnerLock::new(&word);
        assert_eq!(lock.acquire(&host(1)), Ok(Acquired::Free));
        assert_eq!(lock.acquire(&host(2)), Err(Stuck));
        assert!(!lock.is_orphaned(&host(2)));
        lock.release();
        assert_eq!(lock.acquire(&host(2)), Ok(Acquired::Free));
    }

    #[test]
    fn the_heir_of_a_dead_owner_is_told() {
        let word = AtomicU64::new(101);
        let lock = OwnerLock::new(&word);
        let heir = host(1);
        assert!(lock.is_orphaned(&heir));
        assert_eq!(lock.acquire(&heir), Ok(Acquired::OwnerDied));
        assert_eq!(heir.pauses.get(), 4);
        lock.release();
        assert_eq!(lock.acquire(&heir), Ok(Acquired::Free));
    }

    #[test]
    fn a_thread_that_gave_up_in_the_middle_puts_it_in_order_itself() {
        let word = AtomicU64::new(0);
        let lock = OwnerLock::new(&word);
        assert_eq!(lock.acquire(&host(1)), Ok(Acquired::Free));
        assert_eq!(lock.acquire(&host(1)), Ok(Acquired::OwnerDied));
    }

    #[test]
    fn one_at_a_time() {
        let word = AtomicU64::new(0);
        let counter = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        assert_eq!(OwnerLock::new(&word).acquire(&System), Ok(Acquired::Free));
                        counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
                        OwnerLock::new(&word).release();
                    }
                });
            }
        });
        assert_eq!(counter.load(Ordering::Relaxed), 40_000);
    }

    #[test]
    fn a_dead_thread_is_found_out() {
        let word = AtomicU64::new(0);
        let dying = thread::scope(|scope| scope.spawn(|| OwnerLock::new(&word).acquire(&System)).join());
        assert_eq!(dying.unwrap(), Ok(Acquired::Free));
        assert_eq!(OwnerLock::new(&word).acquire(&System), Ok(Acquired::OwnerDied));
    }
}

#[cfg(test)]
pub mod survivor {
    //! A host for tests of recovery after a crash.

    use super::{Host, Patience};

    /// A thread that is the only one alive.
    #[derive(Clone, Copy)]
    pub struct Survivor(pub u64);

    impl Host for Survivor {
        fn me(&self) -> u64 {
            self.0
        }
        fn is_alive(&self, owner: u64) -> bool {
            owner == self.0
        }
        fn pause(&self, attempt: u32) -> Patience {
            if attempt > 3 {
                Patience::Over
            } else {
                Patience::Doubt
            }
        }
    }
}
