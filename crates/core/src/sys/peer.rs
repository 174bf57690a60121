//! Whether another process is still there, checked without blocking and without an event loop.
//!
//! May be called from any thread.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::process::{pidfd_open, Pid, PidfdFlags};
use rustix::time::Timespec;

/// A process that was running when this was created; not confused with a later one that has the same process
/// id.
#[derive(Debug)]
pub struct Process(OwnedFd);

impl Process {
    /// Opens a process by its id.
    ///
    /// # Errors
    /// `InvalidInput` for an invalid id, ESRCH when there is no such process, EMFILE or ENFILE without free
    /// descriptors, ENOSYS before Linux 5.3.
    pub fn open(pid: i32) -> io::Result<Self> {
        // `from_raw` panics on negative numbers.
        let pid = (pid > 0).then(|| Pid::from_raw(pid)).flatten();
        let pid = pid.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self(pidfd_open(pid, PidfdFlags::empty())?))
    }

    /// Whether it has ended, even if it has not been reaped yet.
    pub fn has_ended(&self) -> bool {
        poll_now(&PollFd::new(&self.0, PollFlags::IN)).intersects(PollFlags::IN)
    }
}

/// Whether all holders of a stream socket's other end have closed it. Data sent before may still be readable.
pub fn is_hung_up(socket: BorrowedFd<'_>) -> bool {
    let gone = PollFlags::HUP | PollFlags::RDHUP;
    poll_now(&PollFd::from_borrowed_fd(socket, gone)).intersects(gone)
}

/// Whether a socket has data to read or connections to accept.
pub fn is_readable(socket: BorrowedFd<'_>) -> bool {
    poll_now(&PollFd::from_borrowed_fd(socket, PollFlags::IN)).intersects(PollFlags::IN)
}

/// The events of a descriptor; none when poll fails.
fn poll_now(fd: &PollFd<'_>) -> PollFlags {
    let mut fds = [fd.clone()];
    let no_time = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    match rustix::event::poll(&mut fds, Some(&no_time)) {
        Ok(1) => fds[0].revents(),
        _ => PollFlags::empty(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_has_ended_before_it_is_waited_for() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let process = Process::open(child.id().cast_signed()).unwrap();
        assert!(!process.has_ended());
        child.kill().unwrap();
        while !process.has_ended() {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(process.has_ended());
    }

    #[test]
    fn numbers_that_no_process_has_are_refused() {
        for pid in [0, -1, i32::MIN, i32::MAX] {
            assert!(Process::open(pid).is_err());
        }
    }

    #[test]
    fn a_socket_hangs_up_with_its_last_peer() {
        let (here, there) = UnixStream::pair().unwrap();
        let copy = there.try_clone().unwrap();
        assert!(!is_hung_up(here.as_fd()));
        drop(there);
        assert!(!is_hung_up(here.as_fd()));
        drop(copy);
        assert!(is_hung_up(here.as_fd()));
    }
}
