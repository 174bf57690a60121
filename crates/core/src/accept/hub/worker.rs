//! The hub's side of one worker: its queue, its health.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering::Acquire;

use rustix::io::Errno;

use super::super::message::{Kind, Message};
use super::super::scoreboard::Scoreboard;
use super::listener::Connection;
use crate::sys::scm::{self, Received, MAX_FDS};

/// How a worker takes what it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// It takes connections.
    Good,
    /// Its queue is full; good again once it has taken something.
    Full,
    /// It has taken nothing for the stall limit, and its queue was taken back.
    Stalled,
}

#[derive(Debug)]
pub(super) struct Worker {
    pub slot: u32,
    pub health: Health,
    pub pidfd: Option<OwnedFd>,
    socket: OwnedFd,
    /// A copy of the worker's own end: keeps the queue alive when the worker dies, and reads it back.
    theirs: OwnedFd,
    /// Connections and pings sent and not taken back.
    sent: u64,
    /// `taken` as last seen, and since when it has not changed while something waited.
    last_taken: u64,
    waiting_since_ns: u64,
}

/// What became of a send.
pub(super) enum Sent {
    /// All of it is in the queue.
    All,
    /// The queue is full; these were not sent.
    Full(Vec<Connection>),
}

impl Worker {
    pub fn new(slot: u32) -> rustix::io::Result<Self> {
        let (socket, theirs) = scm::packet_pair()?;
        Ok(Self {
            slot,
            health: Health::Good,
            pidfd: None,
            socket,
            theirs,
            sent: 0,
            last_taken: 0,
            waiting_since_ns: 0,
        })
    }

    pub fn control(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub fn receiving_end(&self) -> BorrowedFd<'_> {
        self.theirs.as_fd()
    }

    /// Sent and not taken. The worker's counter is its own to write, so the difference is kept in bounds.
    pub fn outstanding(&self, board: &Scoreboard) -> u64 {
        // Acquire: pairs with Release in `Inbox::take`.
        self.sent
            .saturating_sub(board.worker(self.slot).taken.load(Acquire))
    }

    /// Sends connections that were refused by equally many workers.
    pub fn send(
        &mut self,
        board: &Scoreboard,
        now_ns: u64,
        listener: u32,
        mut connections: Vec<Connection>,
    ) -> Sent {
        while !connections.is_empty() {
            let count = connections.len().min(MAX_FDS);
            let hops = connections[0].hops;
            let fds: Vec<BorrowedFd<'_>> = connections[..count].iter().map(|c| c.fd.as_fd()).collect();
            let message = Message {
                kind: Kind::Connections,
                listener,
                hops,
                count: count as u32,
            };
            if self.send_message(board, now_ns, message, &fds).is_err() {
                // Whatever the reason (EAGAIN, ETOOMANYREFS, ENOBUFS), others may still have room.
                self.health = Health::Full;
                return Sent::Full(connections);
            }
            connections.drain(..count);
        }
        Sent::All
    }

    fn send_message(
        &mut self,
        board: &Scoreboard,
        now_ns: u64,
        message: Message,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(), Errno> {
        if self.outstanding(board) == 0 {
            self.waiting_since_ns = now_ns;
        }
        scm::send(&self.socket, &message.encode(), fds)?;
        self.sent += u64::from(message.count.max(1));
        Ok(())
    }

    /// Asks for a sign of life. Without room in the queue there is something to take already.
    pub fn ping(&mut self, board: &Scoreboard, now_ns: u64) {
        let ping = Message {
            kind: Kind::Ping,
            listener: 0,
            hops: 0,
            count: 0,
        };
        let _sent = self.send_message(board, now_ns, ping, &[]);
    }

    /// Takes back what waits in the queue, as (listener, connection), oldest first. `None` when this process
    /// has no descriptors left to take it into.
    pub fn take_back(&mut self) -> Option<Vec<(u32, Connection)>> {
        let mut taken = Vec::new();
        loop {
            if !scm::has_room_for(MAX_FDS, &self.theirs) {
                return (!taken.is_empty()).then_some(taken);
            }
            let mut fds = Vec::new();
            let message = match scm::receive(&self.theirs, &mut fds) {
                Ok(Received::Message(bytes) | Received::Truncated(bytes)) => Message::decode(bytes),
                _ => return Some(taken),
            };
            let Some(message) = message else { continue };
            self.sent = self.sent.saturating_sub(u64::from(message.count.max(1)));
            if let Message {
                kind: Kind::Connections,
                listener,
                hops,
                ..
            } = message
            {
                taken.extend(fds.into_iter().map(|fd| {
                    (
                        listener,
                        Connection {
                            fd,
                            client: None,
                            hops,
                            refused_by: 0,
                        },
                    )
                }));
            }
        }
    }

    /// Looks at the counter. Returns for how long something has waited without any being taken.
    pub fn observe(&mut self, board: &Scoreboard, now_ns: u64) -> Observation {
        let taken = board.worker(self.slot).taken.load(Acquire);
        let moved = taken != self.last_taken;
        if moved {
            self.last_taken = taken;
            self.waiting_since_ns = now_ns;
        }
        let waiting_ns = self.waiting_ns(board, now_ns);
        Observation { moved, waiting_ns }
    }

    /// For how long something has waited without any being taken; 0 when nothing waits.
    pub fn waiting_ns(&self, board: &Scoreboard, now_ns: u64) -> u64 {
        let taken = board.worker(self.slot).taken.load(Acquire);
        let moved = taken != self.last_taken;
        if moved || self.outstanding(board) == 0 {
            0
        } else {
            now_ns.saturating_sub(self.waiting_since_ns)
        }
    }

    /// The next message from the worker, with what it gives back.
    pub fn receive(&self, fds: &mut Vec<OwnedFd>) -> Option<Message> {
        loop {
            match scm::receive(&self.socket, fds) {
                Ok(Received::Message(bytes) | Received::Truncated(bytes)) => match Message::decode(bytes) {
                    Some(message) => return Some(message),
                    None => fds.clear(),
                },
                Ok(Received::Damaged) => fds.clear(),
                Ok(Received::Empty | Received::Closed) | Err(_) => return None,
            }
        }
    }
}

/// What a look at a worker's counter showed.
pub(super) struct Observation {
    /// It has taken something since the last look.
    pub moved: bool,
    /// For how long something waits; 0 when nothing does.
    pub waiting_ns: u64,
}
