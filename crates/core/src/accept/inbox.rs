//! The worker's end of the hand-over: takes connections, gives unwanted ones back.
//!
//! Who may call: the worker's JavaScript thread. Connections that were not taken stay in the kernel's queue,
//! from which the hub takes them back when this worker stalls or dies.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering::Release;
use std::sync::Arc;

use rustix::process::{getrlimit, Resource};

use super::message::{Kind, Message};
use super::scoreboard::Scoreboard;
use crate::sys::scm::{self, Received, MAX_FDS};

/// Below the descriptor limit by less than this, room is checked before each message.
const NEAR_LIMIT: u64 = 512;

/// What [`Inbox::take`] found.
#[derive(Debug)]
pub enum Delivery {
    /// Connections of a listener, at least one.
    Connections {
        /// The listener they were made to.
        listener: u32,
        /// How many workers have refused them so far.
        hops: u32,
        /// The connections.
        fds: Vec<OwnedFd>,
    },
    /// A ping: sockets that are shared may have connections waiting.
    Ping,
    /// Nothing is waiting.
    Empty,
    /// Something may be waiting, but the descriptor table is full. Try again later.
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
    highest_fd: u64,
    fd_limit: u64,
}

impl Inbox {
    /// Takes over the socket made by the hub for the worker in `slot`.
    pub fn new(socket: OwnedFd, board: Arc<Scoreboard>, slot: u32) -> Self {
        let highest_fd = socket.as_raw_fd().unsigned_abs().into();
        let fd_limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Self {
            socket,
            board,
            slot,
            highest_fd,
            fd_limit,
        }
    }

    /// The next message's connections, without blocking.
    pub fn take(&mut self) -> Delivery {
        loop {
            if self.is_near_limit() && !scm::has_room_for(MAX_FDS, &self.socket) {
                return Delivery::NoRoom;
            }
            let mut fds = Vec::new();
            let message = match scm::receive(&self.socket, &mut fds) {
                Ok(Received::Message(bytes) | Received::Truncated(bytes)) => Message::decode(bytes),
                Ok(Received::Damaged) => None,
                Ok(Received::Empty) => return Delivery::Empty,
                Ok(Received::Closed) | Err(_) => return Delivery::Closed,
            };
            self.highest_fd = fds
                .iter()
                .map(|fd| fd.as_raw_fd().unsigned_abs().into())
                .max()
                .unwrap_or(0);
            let Some(message) = message else { continue };
            // What was sent, not what arrived: the hub subtracts this from what it has sent.
            let taken = u64::from(message.count.max(1));
            // Release: the hub that sees the count also sees what this thread did before.
            self.board.worker(self.slot).taken.fetch_add(taken, Release);
            if message.kind == Kind::Ping {
                return Delivery::Ping;
            }
            if let Message {
                kind: Kind::Connections,
                listener,
                hops,
                ..
            } = message
            {
                if !fds.is_empty() {
                    return Delivery::Connections { listener, hops, fds };
                }
            }
        }
    }

    /// Asks for the connections of a listener.
    ///
    /// # Errors
    /// Those of `sendmsg`; the primary is gone or its queue is full.
    pub fn ready(&self, listener: u32) -> io::Result<()> {
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

    /// Wants no more connections of a listener. Those on their way arrive and are to be refused.
    ///
    /// # Errors
    /// As [`Inbox::ready`].
    pub fn stop(&self, listener: u32) -> io::Result<()> {
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

    /// Gives a connection back, for another worker to have.
    ///
    /// # Errors
    /// As [`Inbox::ready`]; the connection is closed then.
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

    /// New descriptors get the lowest free number, so a high one means that few are left.
    fn is_near_limit(&self) -> bool {
        self.highest_fd.saturating_add(NEAR_LIMIT) > self.fd_limit
    }
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
