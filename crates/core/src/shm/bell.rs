//! A futex-based event counter in shared memory, on which threads of any process can wait.
//!
//! ```text
//! word 0   number of rings; its lower half is the futex
//!      1   number of waiters; too high after a waiter was killed, at the cost of one system call per ring
//! ```
//!
//! A waiter reads the count, checks its condition, and then waits for the count to change, so that a ring in
//! between is not missed. A thread may die between changing the condition and ringing, so waits should have a
//! timeout.

use std::io;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use crate::sync::{AtomicU64, Ordering};
use crate::sys::futex::{self, Woken};

/// A view of a bell's words.
#[derive(Clone, Copy, Debug)]
pub struct Bell<'a>(Option<(&'a AtomicU64, &'a AtomicU64)>);

impl<'a> Bell<'a> {
    /// Size of a bell in words.
    pub const WORDS: usize = 2;

    /// The bell at `index`. If it is out of bounds, ringing does nothing and waits time out at once.
    pub fn new(words: &'a [AtomicU64], index: usize) -> Self {
        Self(words.get(index).zip(words.get(index + 1)))
    }

    /// The current count, to be passed to [`Bell::wait`].
    pub fn count(self) -> u32 {
        self.0.map_or(0, |(count, _)| count.load(Ordering::SeqCst) as u32)
    }

    /// Wakes all waiters. Stores made before are visible to every thread that sees the new count.
    pub fn ring(self) {
        let Some((count, waiters)) = self.0 else { return };
        // SeqCst on both: pairs with `wait`. Either this thread sees the waiter, or the waiter sees the new
        // count.
        count.fetch_add(1, Ordering::SeqCst);
        if waiters.load(Ordering::SeqCst) > 0 {
            futex::wake_all(lower_half(count));
        }
    }

    /// Blocks the thread until the count differs from `seen`, for at most `timeout`.
    ///
    /// # Errors
    /// Those of [`futex::wait`].
    pub fn wait(self, seen: u32, timeout: Option<Duration>) -> io::Result<Woken> {
        let Some((count, waiters)) = self.0 else {
            return Ok(Woken::TimedOut);
        };
        waiters.fetch_add(1, Ordering::SeqCst);
        let woken = futex::wait(lower_half(count), seen, timeout);
        waiters.fetch_sub(1, Ordering::SeqCst);
        woken
    }
}

fn lower_half(word: &AtomicU64) -> &AtomicU32 {
    let halves = std::ptr::from_ref(word).cast::<AtomicU32>();
    let lower = if cfg!(target_endian = "little") {
        halves
    } else {
        halves.wrapping_add(1)
    };
    // SAFETY: the half lies within the word, is aligned and lives as long; it is only ever accessed
    // atomically, with the word's size here and with 32 bits by the kernel.
    unsafe { &*lower }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_ring_between_looking_and_waiting_is_not_missed() {
        let words: Vec<_> = (0..2).map(|_| AtomicU64::new(0)).collect();
        let bell = Bell::new(&words, 0);
        let seen = bell.count();
        bell.ring();
        assert_eq!(bell.wait(seen, None).unwrap(), Woken::Look);
        let quiet = bell.wait(bell.count(), Some(Duration::from_millis(1)));
        assert_eq!(quiet.unwrap(), Woken::TimedOut);
    }

    #[test]
    fn all_who_wait_are_woken() {
        let words: Vec<_> = (0..2).map(|_| AtomicU64::new(0)).collect();
        let bell = Bell::new(&words, 0);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while bell.count() == 0 {
                        bell.wait(0, Some(Duration::from_secs(60))).unwrap();
                    }
                });
            }
            bell.ring();
        });
        assert_eq!(words[1].load(Ordering::SeqCst), 0);
    }

    #[test]
    fn without_memory_it_is_silent() {
        let bell = Bell::new(&[], 0);
        bell.ring();
        assert_eq!(bell.wait(bell.count(), None).unwrap(), Woken::TimedOut);
    }
}
