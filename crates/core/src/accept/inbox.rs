//! The worker's end of the hand-over: takes connections and returns unwanted ones.
//!
//! Connections arrive in two ways. Either the hub has accepted them and sends them in its message, or it
//! grants them; then the worker accepts that many from the listening socket, which the hub has sent before.
//!
//! Called on the worker's JavaScript thread. Messages not taken stay in the kernel's queue, from which the
//! hub reads them back when this worker stalls or dies. A listening socket is kept only as long as the
//! listener's connections are wanted.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{
    fence,
    Ordering::{Relaxed, Release, SeqCst},
};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::{accept_with, SocketFlags};

use super::message::{Kind, Message};
use super::room::Room;
use super::scoreboard::Scoreboard;
use crate::sys::clock::monotonic_ns;
use crate::sys::scm::{self, Received, MAX_FDS};

/// The result of [`Inbox::take`].
#[derive(Debug)]
pub enum Delivery {
    /// Connections of a listener, at least one.
    Connections {
        /// The listener.
        listener: u32,
        /// Number of workers that have refused them so far.
        hops: u32,
        /// The connections.
        fds: Vec<OwnedFd>,
    },
    /// A ping: connections may be waiting on shared sockets.
    Ping,
    /// Nothing is queued.
    Empty,
    /// The next message has descriptors, and there are too few free ones. Try again later.
    NoRoom,
    /// The primary is gone.
    Closed,
}

/// The receiving end of one worker.
#[derive(Debug)]
pub struct Inbox {
    socket: OwnedFd,
    board: Arc<Scoreboard>,
    slot: u32,
    /// Listeners whose connections are wanted, with the socket if the hub grants them.
    wanted: HashMap<u32, Option<OwnedFd>>,
    taken: u64,
    room: Room,
}

impl Inbox {
    /// Takes ownership of the socket created by the hub for the worker in `slot`.
    pub fn new(socket: OwnedFd, board: Arc<Scoreboard>, slot: u32) -> Self {
        Self {
            socket,
            board,
            slot,
            wanted: HashMap::new(),
            taken: 0,
            room: Room::between(MAX_FDS as u32, 2 * MAX_FDS as u32),
        }
    }

    /// Takes the next message's connections, without blocking. Without room for any message, takes those without
    /// descriptors: pings, and grants, which it declines.
    pub fn take(&mut self) -> Delivery {
        loop {
            let has_room = self.room.is_left(monotonic_ns());
            if !has_room {
                if let Some(delivery) = self.next_without_room() {
                    return delivery;
                }
            }
            let mut fds = Vec::new();
            let message = match scm::receive(&self.socket, &mut fds) {
                Ok(Received::Message(bytes) | Received::Truncated(bytes)) => Message::decode(bytes),
                Ok(Received::Damaged) => None,
                Ok(Received::Empty) => return Delivery::Empty,
                Ok(Received::Closed) | Err(_) => return Delivery::Closed,
            };
            let Some(message) = message else { continue };
            let Message {
                kind,
                listener,
                hops,
                count,
            } = message;
            if kind == Kind::Grant {
                let fds = self.accept(listener, count, has_room);
                if !fds.is_empty() {
                    return Delivery::Connections { listener, hops, fds };
                }
                continue;
            }
            // The number sent, not the number received: the hub subtracts it from what it has sent.
            self.note_begun(count.max(1));
            self.note_taken(count.max(1));
            match kind {
                Kind::Ping => return Delivery::Ping,
                Kind::Connections if !fds.is_empty() => {
                    return Delivery::Connections { listener, hops, fds };
                }
                Kind::Socket => {
                    if let Some(socket) = self.wanted.get_mut(&listener) {
                        *socket = fds.pop();
                    }
                }
                _ => {}
            }
        }
    }

    /// The result without room, unless the next message has no descriptors and may be taken.
    ///
    /// If the hub takes that message back in the meantime, another one is taken. After taking back the whole queue,
    /// the hub first sends a ping. So only in a worker whose listeners have different policies, and only while the
    /// hub takes back its queue, can the other one have descriptors.
    fn next_without_room(&self) -> Option<Delivery> {
        match scm::peek(&self.socket) {
            Ok(Received::Message(bytes) | Received::Truncated(bytes)) => {
                let kind = Message::decode(bytes).map(|message| message.kind);
                let has_none = matches!(kind, Some(Kind::Ping | Kind::Grant));
                (!has_none).then_some(Delivery::NoRoom)
            }
            Ok(Received::Damaged) => Some(Delivery::NoRoom),
            Ok(Received::Empty) => Some(Delivery::Empty),
            Ok(Received::Closed) | Err(_) => Some(Delivery::Closed),
        }
    }

    /// Accepts granted connections. Declines those for which there are no descriptors, and all of them without
    /// room or if the connections are no longer wanted. If the backlog is empty, another worker has accepted them,
    /// because this one seemed to be stalled.
    fn accept(&mut self, listener: u32, count: u32, has_room: bool) -> Vec<OwnedFd> {
        let mut fds = Vec::with_capacity((count as usize).min(MAX_FDS));
        self.note_begun(count);
        // If the hub reads the backlog after some of these accepts, it also sees that they have begun.
        fence(SeqCst);
        let mut declined = 0;
        for left in (1..=count.min(MAX_FDS as u32)).rev() {
            let accepted = match self.wanted.get(&listener) {
                Some(Some(_)) if !has_room => Err(Errno::MFILE),
                Some(Some(socket)) => accept_with(socket, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC),
                _ => Err(Errno::BADF),
            };
            match accepted {
                Ok(fd) => fds.push(fd),
                Err(Errno::AGAIN) => break,
                Err(Errno::BADF | Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                    declined = left;
                    break;
                }
                // This connection failed before it was accepted; it counts.
                Err(_) => {}
            }
        }
        self.note_taken(count);
        if declined > 0 {
            let message = Message {
                kind: Kind::Declined,
                listener,
                hops: 0,
                count: declined,
            };
            // If this cannot be sent: the hub checks again once all its grants have been used.
            let _told = self.send(message, &[]);
        }
        fds
    }

    fn note_begun(&self, count: u32) {
        let begun = self.taken.wrapping_add(count.into());
        self.board.worker(self.slot).begun.store(begun, Relaxed);
    }

    pub(super) fn note_taken(&mut self, count: u32) {
        self.taken = self.taken.wrapping_add(count.into());
        // Release: pairs with the Acquire load in the hub, which then sees the effects of this thread.
        self.board.worker(self.slot).taken.store(self.taken, Release);
    }

    /// Requests the connections of a listener.
    ///
    /// # Errors
    /// Those of `sendmsg`: the primary is gone or its queue is full.
    pub fn ready(&mut self, listener: u32) -> io::Result<()> {
        self.wanted.entry(listener).or_default();
        self.send(
            Message {
                kind: Kind::Ready,
                listener,
                hops: 0,
                count: 0,
            },
            &[],
        )
    }

    /// Requests no more connections of a listener. Those in transit still arrive and should be refused.
    ///
    /// # Errors
    /// Those of [`Inbox::ready`].
    pub fn stop(&mut self, listener: u32) -> io::Result<()> {
        self.wanted.remove(&listener);
        self.send(
            Message {
                kind: Kind::Stop,
                listener,
                hops: 0,
                count: 0,
            },
            &[],
        )
    }

    /// Returns a connection, so that another worker gets it.
    ///
    /// # Errors
    /// Those of [`Inbox::ready`]; the connection is closed then.
    pub fn refuse(&self, listener: u32, hops: u32, connection: OwnedFd) -> io::Result<()> {
        self.send(
            Message {
                kind: Kind::Refused,
                listener,
                hops,
                count: 1,
            },
            &[connection.as_fd()],
        )
    }

    fn send(&self, message: Message, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        Ok(scm::send(&self.socket, &message.encode(), fds)?)
    }
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
