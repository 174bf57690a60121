//! The number of connections waiting to be accepted on a listening TCP socket.
//!
//! May be called from any thread.

use std::ffi::{c_int, c_void};
use std::io;
use std::mem::size_of_val;
use std::os::fd::{AsFd, AsRawFd};

const IPPROTO_TCP: c_int = 6;
const TCP_INFO: c_int = 11;

/// The kernel's `tcp_info` starts with eight bytes, followed by 32-bit words. For a listening socket, the
/// word that otherwise counts unacknowledged packets is the length of its accept queue.
const WORDS: usize = 7;
const UNACKED: usize = 6;

extern "C" {
    fn getsockopt(socket: c_int, level: c_int, name: c_int, value: *mut c_void, length: *mut u32) -> c_int;
}

/// Number of connections in the backlog of a listening TCP socket.
///
/// # Errors
/// Those of `getsockopt` when it is not a TCP socket; `Unsupported` when the kernel does not provide the
/// number.
pub fn waiting(socket: impl AsFd) -> io::Result<u32> {
    let mut info = [0u32; WORDS];
    let mut length = size_of_val(&info) as u32;
    let fd = socket.as_fd().as_raw_fd();
    let value = info.as_mut_ptr().cast::<c_void>();
    // SAFETY: the kernel writes at most `length` bytes to `info`, which is that long, and to `length`.
    let status = unsafe { getsockopt(fd, IPPROTO_TCP, TCP_INFO, value, &mut length) };
    if status != 0 {
        return Err(io::Error::last_os_error());
    }
    if (length as usize) < size_of_val(&info) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    Ok(info[UNACKED])
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn counts_what_is_connected_and_not_accepted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(waiting(&listener).unwrap(), 0);
        let address = listener.local_addr().unwrap();
        let _clients: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
        assert_eq!(waiting(&listener).unwrap(), 3);
        let _accepted = listener.accept().unwrap();
        assert_eq!(waiting(&listener).unwrap(), 2);
    }

    #[test]
    fn tells_nothing_of_other_sockets() {
        let path = std::env::temp_dir().join(format!("manycore-backlog-{}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(waiting(&listener).is_err());
    }
}
