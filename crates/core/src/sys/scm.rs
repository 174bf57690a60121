//! Passing descriptors over a Unix `SOCK_SEQPACKET` pair (`SCM_RIGHTS`).
//!
//! A message is a fixed-size payload plus at most [`MAX_FDS`] descriptors. The kernel delivers both or
//! neither, with one exception: a receiver without room in its descriptor table loses descriptors
//! (`MSG_CTRUNC`), so receivers must check for room first.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::cmsg_space;
use rustix::io::{self, Errno};
use rustix::net::{
    recv, recvmsg, sendmsg, socketpair, AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags,
    ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

/// Maximum number of descriptors per message. The kernel's own limit is 253; a smaller one bounds what is
/// queued for a blocked receiver.
pub const MAX_FDS: usize = 32;

/// Size of each message's payload in bytes.
pub const PAYLOAD_BYTES: usize = 16;

/// Creates a connected pair of non-blocking, close-on-exec packet sockets.
///
/// # Errors
/// `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`.
pub fn packet_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
}

/// Sends `payload` and `fds`, without blocking and without `SIGPIPE`. The caller keeps its descriptors.
///
/// # Errors
/// `EAGAIN` when the queue is full, `ETOOMANYREFS` or `ENOBUFS` when the kernel refuses more descriptors in
/// flight, `EPIPE` when the other end is closed.
pub fn send(socket: impl AsFd, payload: &[u8; PAYLOAD_BYTES], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::<u8>::uninit(); cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if fds.len() > MAX_FDS {
        return Err(Errno::INVAL);
    }
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::INVAL);
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    sendmsg(socket, &[IoSlice::new(payload)], &mut control, flags).map(drop)
}

/// The result of a receive. Descriptors are appended to the caller's list.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// A complete message.
    Message([u8; PAYLOAD_BYTES]),
    /// A message of which some descriptors did not fit into this process and are lost.
    Truncated([u8; PAYLOAD_BYTES]),
    /// A malformed message.
    Damaged,
    /// Nothing is queued.
    Empty,
    /// All other ends are closed.
    Closed,
}

/// Takes the next message without blocking. Its descriptors are close-on-exec and appended to `fds`.
///
/// # Errors
/// Those of `recvmsg` other than `EAGAIN` and `EINTR`.
pub fn receive(socket: impl AsFd, fds: &mut Vec<OwnedFd>) -> io::Result<Received> {
    let mut payload = [0u8; PAYLOAD_BYTES];
    let mut space = [MaybeUninit::<u8>::uninit(); cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let message = match recvmsg(socket, &mut [IoSliceMut::new(&mut payload)], &mut control, flags) {
        Ok(message) => message,
        Err(Errno::AGAIN | Errno::INTR) => return Ok(Received::Empty),
        Err(Errno::CONNRESET) => return Ok(Received::Closed),
        Err(error) => return Err(error),
    };
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = part {
            fds.extend(received);
        }
    }
    if message.bytes == 0 {
        return Ok(Received::Closed);
    }
    if message.bytes != PAYLOAD_BYTES || message.flags.contains(ReturnFlags::TRUNC) {
        return Ok(Received::Damaged);
    }
    let truncated = message.flags.contains(ReturnFlags::CTRUNC);
    Ok(if truncated {
        Received::Truncated(payload)
    } else {
        Received::Message(payload)
    })
}

/// The result of a [`receive`] without taking the message, nor its descriptors.
///
/// # Errors
/// Those of [`receive`].
pub fn peek(socket: impl AsFd) -> io::Result<Received> {
    let mut payload = [0u8; PAYLOAD_BYTES];
    let flags = RecvFlags::PEEK | RecvFlags::TRUNC | RecvFlags::DONTWAIT;
    match recv(socket, &mut payload, flags) {
        Ok((_, 0)) | Err(Errno::CONNRESET) => Ok(Received::Closed),
        Ok((_, PAYLOAD_BYTES)) => Ok(Received::Message(payload)),
        Ok(_) => Ok(Received::Damaged),
        Err(Errno::AGAIN | Errno::INTR) => Ok(Received::Empty),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn carries_payload_and_descriptors_in_order() {
        let (a, b) = packet_pair().unwrap();
        let (mut near, far) = UnixStream::pair().unwrap();
        let payload = *b"0123456789abcdef";
        send(&a, &payload, &[far.as_fd()]).unwrap();
        drop(far);

        assert_eq!(peek(&b).unwrap(), Received::Message(payload));
        let mut fds = Vec::new();
        assert_eq!(receive(&b, &mut fds).unwrap(), Received::Message(payload));
        assert_eq!(fds.len(), 1);
        let mut received = UnixStream::from(fds.remove(0));
        near.write_all(b"x").unwrap();
        let mut byte = [0];
        received.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
    }

    #[test]
    fn tells_empty_closed_and_damaged_apart() {
        let (a, b) = packet_pair().unwrap();
        let mut fds = Vec::new();
        assert_eq!(peek(&b).unwrap(), Received::Empty);
        assert_eq!(receive(&b, &mut fds).unwrap(), Received::Empty);
        for wrong in [&b"short"[..], &[0; PAYLOAD_BYTES + 1]] {
            rustix::net::send(&a, wrong, SendFlags::empty()).unwrap();
            assert_eq!(peek(&b).unwrap(), Received::Damaged);
            assert_eq!(receive(&b, &mut fds).unwrap(), Received::Damaged);
        }
        rustix::net::send(&a, b"short", SendFlags::empty()).unwrap();
        assert_eq!(receive(&b, &mut fds).unwrap(), Received::Damaged);
        drop(a);
        assert_eq!(peek(&b).unwrap(), Received::Closed);
        assert_eq!(receive(&b, &mut fds).unwrap(), Received::Closed);
        assert!(fds.is_empty());
    }

    #[test]
    fn refuses_more_descriptors_than_a_message_holds() {
        let (a, _b) = packet_pair().unwrap();
        let many = vec![a.as_fd(); MAX_FDS + 1];
        assert_eq!(send(&a, &[0; PAYLOAD_BYTES], &many), Err(Errno::INVAL));
    }
}
