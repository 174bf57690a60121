//! Whether another process is still there, asked without waiting and without an event loop.
//!
//! Who may call: any thread.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::process::{pidfd_open, Pid, PidfdFlags};
use rustix::time::Timespec;

/// A process that was running when this was made. Its number may be used again without being taken for it.
#[derive(Debug)]
pub struct Process(OwnedFd);

impl Process {
    /// A process by its number.
    ///
    /// # Errors
    /// `InvalidInput` for what is no such number, ESRCH when there is no such process, EMFILE and ENFILE without
    /// descriptors left, ENOSYS before Linux 5.3.
    pub fn open(pid: i32) -> io::Result<Self> {
        // `from_raw` panics at negative numbers.
        let pid = (pid > 0).then(|| Pid::from_raw(pid)).flatten();
        let pid = pid.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self(pidfd_open(pid, PidfdFlags::empty())?))
    }

    /// Whether it has ended, though perhaps nobody has waited for it yet.
    pub fn has_ended(&self) -> bool {
        poll_now(&PollFd::new(&self.0, PollFlags::IN)).intersects(PollFlags::IN)
    }
}

/// Whether the other end of a stream socket is closed by all who had it. What came before may still wait here.
pub fn is_hung_up(socket: BorrowedFd<'_>) -> bool {
    let gone = PollFlags::HUP | PollFlags::RDHUP;
    poll_now(&PollFd::from_borrowed_fd(socket, gone)).intersects(gone)
}

/// Whether a socket has something to read, or to accept.
pub fn is_readable(socket: BorrowedFd<'_>) -> bool {
    poll_now(&PollFd::from_borrowed_fd(socket, PollFlags::IN)).intersects(PollFlags::IN)
}

/// What holds of a descriptor now; nothing when that cannot be found out.
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
