//! A bell for each event loop of the machine, rung by whoever knows the loop's thread.
//!
//! It is a datagram socket in the abstract namespace, named after the thread: no file that a killed process
//! could leave behind, no descriptor that would have to be passed on first, and the loop polls it as any other.
//! A datagram says nothing: whoever is rung looks what has changed. So it does not matter who else rings, and
//! a full queue is as good as another ring. Processes in different network namespaces do not hear each other.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use rustix::io::Errno;
use rustix::net::{bind, recv, sendto, socket_with, AddressFamily, RecvFlags, SendFlags, SocketAddrUnix};
use rustix::net::{SocketFlags, SocketType};

use crate::liveness::{pid_namespace, OwnerId};

/// The receiving end. Silent once dropped.
#[derive(Debug)]
pub struct Bell(OwnedFd);

impl Bell {
    /// The bell of a thread.
    ///
    /// # Errors
    /// EADDRINUSE when it has one already, EMFILE and ENFILE without descriptors left.
    pub fn of(owner: OwnerId) -> io::Result<Self> {
        let socket = datagram_socket()?;
        bind(&socket, &address(owner)?)?;
        Ok(Self(socket))
    }

    /// Stops its being readable. True when it was rung.
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

/// Rings the bell of a thread. Nothing happens when it has none.
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
