//! A doorbell provided by the kernel: a pollable counter, shared between threads and processes.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags};
use rustix::time::Timespec;

/// A non-blocking eventfd. Closed on drop.
#[derive(Debug)]
pub struct EventFd(OwnedFd);

impl EventFd {
    /// Creates an eventfd, not signalled.
    ///
    /// # Errors
    /// EMFILE or ENFILE without free descriptors.
    pub fn new() -> io::Result<Self> {
        Ok(Self(rustix::event::eventfd(
            0,
            EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK,
        )?))
    }

    /// Wraps a descriptor received from another process.
    pub fn from_owned(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Makes the descriptor readable. Any thread.
    pub fn signal(&self) {
        // EAGAIN means that the counter is full and the descriptor thus readable already; EBADF is
        // impossible.
        let _written = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    /// Blocks until the descriptor is readable or `limit` has elapsed. Returns early when interrupted by a
    /// signal.
    pub fn wait(&self, limit: Duration) {
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        let timeout = Timespec {
            tv_sec: limit.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        };
        // EINTR is a valid reason to return; no other error is possible with one valid descriptor.
        let _ready = rustix::event::poll(&mut fds, Some(&timeout));
    }

    /// Resets the counter. Returns whether it was signalled.
    pub fn clear(&self) -> bool {
        let mut count = [0u8; 8];
        matches!(rustix::io::read(&self.0, &mut count), Ok(8))
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for EventFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_add_up_and_clear_at_once() {
        let bell = EventFd::new().unwrap();
        assert!(!bell.clear());
        bell.signal();
        bell.signal();
        assert!(bell.clear());
        assert!(!bell.clear());
    }

    #[test]
    fn a_full_counter_stays_signalled() {
        let bell = EventFd::new().unwrap();
        rustix::io::write(&bell, &(u64::MAX - 1).to_ne_bytes()).unwrap();
        bell.signal();
        assert!(bell.clear());
    }
}
