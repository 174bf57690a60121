//! Ends this process when the pool it works for is gone, even while its event loop is blocked.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::thread;
use std::time::Duration;

use rustix::event::{poll, PollFd, PollFlags};
use rustix::process::{getpid, kill_process, Signal};

/// Kills this process so long after the other end of a socket has been closed, by its owner or by its owner's death.
///
/// # Errors
/// EMFILE without descriptors left, EAGAIN without threads left.
pub fn kill_after_hangup(socket: BorrowedFd<'_>, grace: Duration) -> io::Result<()> {
    let socket = socket.as_fd().try_clone_to_owned()?;
    thread::Builder::new()
        .name("manycore-watch".into())
        .stack_size(64 * 1024)
        .spawn(move || {
            loop {
                let mut fds = [PollFd::new(&socket, PollFlags::empty())];
                match poll(&mut fds, None) {
                    Ok(_) if fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR) => break,
                    // Interrupted, or short of memory for a moment.
                    _ => thread::sleep(Duration::from_millis(10)),
                }
            }
            thread::sleep(grace);
            let _sent = kill_process(getpid(), Signal::KILL);
        })?;
    Ok(())
}
