//! Futexes: waiting for a word in shared memory to change, between threads and between processes.
//!
//! The operations are the shared ones, because private futexes are keyed by virtual address and would not
//! match across processes. A waker that dies before the wake call wakes nobody, so waits on words written by
//! other processes should have a timeout.

use std::io;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use rustix::io::Errno;
use rustix::thread::futex::{self, Flags, Timespec};

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// Woken by a waker or a signal, or the word had changed already: check it again.
    Look,
    /// The timeout has elapsed.
    TimedOut,
}

/// Blocks the thread while `word` is `expected`, for at most `timeout` (`None`: no limit).
///
/// # Errors
/// EFAULT when the memory is unmapped; no other error is expected.
pub fn wait(word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> io::Result<Woken> {
    let timeout = timeout.map(|timeout| Timespec {
        tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    });
    match futex::wait(word, Flags::empty(), expected, timeout.as_ref()) {
        Ok(()) | Err(Errno::AGAIN | Errno::INTR) => Ok(Woken::Look),
        Err(Errno::TIMEDOUT) => Ok(Woken::TimedOut),
        Err(errno) => Err(errno.into()),
    }
}

/// Wakes up to `count` waiters on `word`. Returns how many were woken.
pub fn wake(word: &AtomicU32, count: u32) -> usize {
    // Fails only for an unmapped address, which a reference rules out.
    futex::wake(word, Flags::empty(), count.min(i32::MAX as u32)).unwrap_or(0)
}

/// Wakes all waiters on `word`.
pub fn wake_all(word: &AtomicU32) -> usize {
    wake(word, i32::MAX as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;
    use std::thread;

    const LIMIT: Option<Duration> = Some(Duration::from_secs(60));

    #[test]
    fn a_word_that_has_changed_is_not_waited_for() {
        assert_eq!(wait(&AtomicU32::new(1), 0, None).unwrap(), Woken::Look);
    }

    #[test]
    fn the_time_ends() {
        let word = AtomicU32::new(0);
        assert_eq!(
            wait(&word, 0, Some(Duration::from_millis(1))).unwrap(),
            Woken::TimedOut
        );
        assert_eq!(wait(&word, 0, Some(Duration::ZERO)).unwrap(), Woken::TimedOut);
    }

    #[test]
    fn a_waiter_is_woken() {
        let word = AtomicU32::new(0);
        thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                while word.load(Ordering::Acquire) == 0 {
                    assert_eq!(wait(&word, 0, LIMIT).unwrap(), Woken::Look);
                }
            });
            word.store(1, Ordering::Release);
            wake_all(&word);
            waiter.join().unwrap();
        });
        assert_eq!(wake(&word, 1), 0);
    }
}
