//! Changing the epoll registration of a listening socket owned by libuv.

use std::os::fd::{BorrowedFd, RawFd};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{poll, PollFd, PollFlags, Timespec};

/// libuv's registration of a listening socket in its epoll set, which can be removed and restored.
///
/// libuv owns the descriptors and must keep both open while this is used. A failed change (the socket was
/// closed or not registered) is harmless and ignored: the kernel removes a closed socket by itself.
#[derive(Debug)]
pub struct Registration {
    epoll: RawFd,
    socket: RawFd,
}

impl Registration {
    /// The registration of `socket` in `epoll`.
    pub fn new(epoll: RawFd, socket: RawFd) -> Self {
        Self { epoll, socket }
    }

    /// Registers the socket with `EPOLLEXCLUSIVE`, so that a connection wakes only one worker, and with the
    /// number by which libuv looks up its watchers.
    pub fn arm(&self) {
        let Some((epoll, socket)) = self.borrow() else {
            return;
        };
        let data = EventData::new_u64(u64::from(self.socket.unsigned_abs()));
        let _registered = epoll::add(epoll, socket, data, EventFlags::IN | EventFlags::EXCLUSIVE);
    }

    /// Removes the registration.
    pub fn disarm(&self) {
        let Some((epoll, socket)) = self.borrow() else {
            return;
        };
        let _deleted = epoll::delete(epoll, socket);
    }

    /// Whether connections wait to be accepted.
    pub fn has_waiting(&self) -> bool {
        let Some((_, socket)) = self.borrow() else {
            return false;
        };
        let mut polled = [PollFd::from_borrowed_fd(socket, PollFlags::IN)];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        matches!(poll(&mut polled, Some(&now)), Ok(1..))
    }

    fn borrow(&self) -> Option<(BorrowedFd<'_>, BorrowedFd<'_>)> {
        if self.epoll < 0 || self.socket < 0 {
            return None;
        }
        // SAFETY: not -1, and libuv keeps it open, see the type's contract.
        let epoll = unsafe { BorrowedFd::borrow_raw(self.epoll) };
        // SAFETY: as above.
        let socket = unsafe { BorrowedFd::borrow_raw(self.socket) };
        Some((epoll, socket))
    }
}
