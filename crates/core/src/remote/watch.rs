//! Ends this process when its pool is gone, even if its event loop is blocked.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::thread;
use std::time::Duration;

use rustix::event::{poll, PollFd, PollFlags};
use rustix::process::{getpid, kill_process, Signal};

/// Kills this process once `grace` has elapsed after the other end of `socket` was closed, be it by its owner
/// or by its owner's death.
///
/// # Errors
/// EMFILE without free descriptors, EAGAIN when no thread can be started.
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
                    // Interrupted, or briefly out of memory.
                    _ => thread::sleep(Duration::from_millis(10)),
                }
            }
            thread::sleep(grace);
            let _sent = kill_process(getpid(), Signal::KILL);
        })?;
    Ok(())
}
