//! An event-loop bell, which any process can ring that knows the loop's thread.
//!
//! It is a datagram socket in the abstract namespace, named after the thread. So a killed process leaves no
//! file behind, no descriptor has to be passed around, and the loop polls it like any other socket. Datagrams
//! carry no information; the receiver checks what has changed. So it does not matter who rings, and a full
//! queue is equivalent to another ring. Processes in different network namespaces cannot ring each other.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use rustix::io::Errno;
use rustix::net::{bind, recv, sendto, socket_with, AddressFamily, RecvFlags, SendFlags, SocketAddrUnix};
use rustix::net::{SocketFlags, SocketType};

use crate::liveness::{pid_namespace, OwnerId};

/// The receiving end. Rings are ignored once it is dropped.
#[derive(Debug)]
pub struct Bell(OwnedFd);

impl Bell {
    /// Creates the bell of a thread.
    ///
    /// # Errors
    /// EADDRINUSE when it already has one, EMFILE or ENFILE without free descriptors.
    pub fn of(owner: OwnerId) -> io::Result<Self> {
        let socket = datagram_socket()?;
        bind(&socket, &address(owner)?)?;
        Ok(Self(socket))
    }

    /// Resets the bell. Returns whether it had rung.
    pub fn clear(&self) -> bool {
        let mut was_rung = false;
        let mut nothing = [0u8; 1];
        while recv(&self.0, &mut nothing[..], RecvFlags::DONTWAIT).is_ok() {
            was_rung = true;
        }
        was_rung
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Rings the bell of a thread. Has no effect when it has none.
pub fn ring(owner: OwnerId) {
    static RINGER: OnceLock<Option<OwnedFd>> = OnceLock::new();
    let ringer = RINGER.get_or_init(|| datagram_socket().ok());
    let (Some(ringer), Ok(address)) = (ringer, address(owner)) else {
        return;
    };
    let _sent = sendto(ringer, b"!", SendFlags::DONTWAIT | SendFlags::NOSIGNAL, &address);
}

fn datagram_socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)
}

fn address(owner: OwnerId) -> Result<SocketAddrUnix, Errno> {
    static NAMESPACE: OnceLock<u64> = OnceLock::new();
    let namespace = NAMESPACE.get_or_init(pid_namespace);
    SocketAddrUnix::new_abstract_name(format!("manycore/{namespace:x}/{:x}", owner.word()).as_bytes())
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn a_bell_is_heard_until_it_is_cleared() {
        std::thread::spawn(|| {
            let me = OwnerId::current();
            ring(me);
            let bell = Bell::of(me).unwrap();
            assert!(!bell.clear());
            for _ in 0..5000 {
                ring(me);
            }
            assert!(bell.clear());
            assert!(!bell.clear());
            assert!(Bell::of(me).is_err());
            drop(bell);
            ring(me);
            assert!(!Bell::of(me).unwrap().clear());
        })
        .join()
        .unwrap();
    }
}
