//! A doorbell of the kernel: a counter that a thread can poll for, shared between threads and processes.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::event::EventfdFlags;

/// A non-blocking eventfd. Closed when dropped.
#[derive(Debug)]
pub struct EventFd(OwnedFd);

impl EventFd {
    /// A new one, not signalled.
    ///
    /// # Errors
    /// EMFILE and ENFILE without descriptors left.
    pub fn new() -> io::Result<Self> {
        Ok(Self(rustix::event::eventfd(
            0,
            EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK,
        )?))
    }

    /// Takes over a descriptor received from another process.
    pub fn from_owned(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Makes the descriptor readable. Any thread.
    pub fn signal(&self) {
        // EAGAIN means that the counter is full and so signalled already; EBADF cannot be.
        let _written = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    /// Makes it not readable again. True when it was.
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
