//! The hub's side of a worker: its queue and its health.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use rustix::io::Errno;

use super::super::message::{Kind, Message};
use super::super::policy::Standing;
use super::super::scoreboard::Scoreboard;
use super::listener::Connection;
use crate::sys::descriptors;
use crate::sys::scm::{self, Received, MAX_FDS};

/// Whether a worker takes what it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// It takes connections.
    Good,
    /// Its queue is full; back to `Good` once it has taken something.
    Full,
    /// It has taken nothing for the stall limit, and its queue was taken back.
    Stalled,
}

#[derive(Debug)]
pub(super) struct Worker {
    pub slot: u32,
    pub health: Health,
    pub pidfd: Option<OwnedFd>,
    /// Whether its queue is in the list to be checked.
    pub is_watched: bool,
    socket: OwnedFd,
    /// A duplicate of the worker's own end: keeps the queue alive when the worker dies, and reads it back.
    theirs: OwnedFd,
    /// What was sent and not taken, oldest first, as of `settled`; and the total, in connections and messages
    /// without any.
    log: VecDeque<Logged>,
    queued: u64,
    /// The worker's `taken` counter when the log was last updated.
    settled: u64,
    /// Whether it has taken anything since it was last observed.
    has_moved: bool,
    /// Since when something is queued and nothing was taken.
    waiting_since_ns: u64,
}

/// A part of the worker's queue.
#[derive(Clone, Copy, Debug)]
struct Logged {
    content: Content,
    count: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Connections,
    /// Of this listener.
    Grants(u32),
    /// A message about something else, or a grant that was withdrawn.
    Other,
}

/// What was read back from a worker's queue.
#[derive(Debug, Default)]
pub(super) struct TakenBack {
    /// Connections and their listeners, oldest first.
    pub connections: Vec<(u32, Connection)>,
    /// Listeners whose sockets had not reached it.
    pub sockets: Vec<u32>,
}

/// The result of a send.
pub(super) enum Sent {
    /// Everything is in the queue.
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
            is_watched: false,
            socket,
            theirs,
            log: VecDeque::new(),
            queued: 0,
            settled: 0,
            has_moved: false,
            waiting_since_ns: 0,
        })
    }

    /// The worker's standing when those in `health` may be chosen.
    pub fn standing(&self, health: Health) -> Standing {
        match self.health {
            own if own == health => Standing::Takes,
            Health::Full => Standing::Behind,
            Health::Good | Health::Stalled => Standing::Out,
        }
    }

    pub fn control(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub fn receiving_end(&self) -> BorrowedFd<'_> {
        self.theirs.as_fd()
    }

    /// How much of the log the worker has taken when its counter is at `taken`. The counter is written by the
    /// worker; an implausible value counts as no progress.
    fn progress(&self, taken: u64) -> u64 {
        let progress = taken.wrapping_sub(self.settled);
        if progress <= self.queued {
            progress
        } else {
            0
        }
    }

    fn taken(&self, board: &Scoreboard) -> u64 {
        // Acquire: pairs with the Release in `Inbox::note_taken`.
        board.worker(self.slot).taken.load(Acquire)
    }

    /// What was sent and not taken.
    pub fn outstanding(&self, board: &Scoreboard) -> u64 {
        self.queued - self.progress(self.taken(board))
    }

    /// Connections sent or granted to it that it has not taken, without other messages.
    pub fn unclaimed(&self, board: &Scoreboard) -> u64 {
        let mut taken = self.progress(self.taken(board));
        let left = self.log.iter().map(|logged| {
            let count = u64::from(logged.count);
            let part = count.min(taken);
            taken -= part;
            match logged.content {
                Content::Connections | Content::Grants(_) => count - part,
                Content::Other => 0,
            }
        });
        left.sum()
    }

    /// Sends connections, as many per message as have the same hop count.
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
                // Whatever the reason (EAGAIN, ETOOMANYREFS, ENOBUFS), other workers may have room.
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
        let count = message.count.max(1);
        self.queued += u64::from(count);
        let content = match message.kind {
            Kind::Connections => Content::Connections,
            Kind::Grant => Content::Grants(message.listener),
            _ => Content::Other,
        };
        self.log.push_back(Logged { content, count });
        Ok(())
    }

    /// Sends a listening socket, from which the worker accepts what it is granted. Returns false when the
    /// queue is full.
    pub fn send_socket(
        &mut self,
        board: &Scoreboard,
        now_ns: u64,
        listener: u32,
        socket: BorrowedFd<'_>,
    ) -> bool {
        let message = Message {
            kind: Kind::Socket,
            listener,
            hops: 0,
            count: 0,
        };
        self.send_or_full(board, now_ns, message, &[socket])
    }

    /// Grants connections of a listener, at most [`MAX_FDS`]. Returns false when the queue is full.
    pub fn grant(&mut self, board: &Scoreboard, now_ns: u64, listener: u32, count: u32) -> bool {
        let message = Message {
            kind: Kind::Grant,
            listener,
            hops: 0,
            count,
        };
        self.send_or_full(board, now_ns, message, &[])
    }

    fn send_or_full(
        &mut self,
        board: &Scoreboard,
        now_ns: u64,
        message: Message,
        fds: &[BorrowedFd<'_>],
    ) -> bool {
        let is_sent = self.send_message(board, now_ns, message, fds).is_ok();
        if !is_sent {
            self.health = Health::Full;
        }
        is_sent
    }

    /// Removes from the log what the worker has taken, and calls `used` with listener and number for each
    /// grant among it.
    pub fn settle(&mut self, board: &Scoreboard, mut used: impl FnMut(u32, u32)) {
        let taken = self.taken(board);
        let progress = self.progress(taken);
        self.settled = taken;
        self.has_moved |= progress > 0;
        self.queued -= progress;
        let mut left = progress;
        while let Some(oldest) = self.log.front_mut().filter(|_| left > 0) {
            let part = oldest.count.min(u32::try_from(left).unwrap_or(u32::MAX));
            oldest.count -= part;
            left -= u64::from(part);
            if let Content::Grants(listener) = oldest.content {
                used(listener, part);
            }
            if oldest.count == 0 {
                self.log.pop_front();
            }
        }
    }

    /// Whether it has taken nothing, nor begun to, since the log was last updated.
    pub fn is_settled(&self, board: &Scoreboard) -> bool {
        board.worker(self.slot).begun.load(Relaxed) == self.settled
    }

    /// Whether it has unused grants of a listener.
    pub fn is_granted(&self, listener: u32) -> bool {
        self.log
            .iter()
            .any(|logged| logged.content == Content::Grants(listener))
    }

    /// Withdraws all grants in the log, as (listener, count).
    pub fn withdraw(&mut self) -> Vec<(u32, u32)> {
        let mut withdrawn = Vec::new();
        for logged in &mut self.log {
            if let Content::Grants(listener) = logged.content {
                withdrawn.push((listener, logged.count));
                logged.content = Content::Other;
            }
        }
        withdrawn
    }

    /// Asks for a sign of life. If the queue is full, it has something to take already.
    pub fn ping(&mut self, board: &Scoreboard, now_ns: u64) {
        let ping = Message {
            kind: Kind::Ping,
            listener: 0,
            hops: 0,
            count: 0,
        };
        let _sent = self.send_message(board, now_ns, ping, &[]);
    }

    /// Whether this process has enough free descriptors to take back a message.
    pub fn has_room_to_take_back(&self) -> bool {
        descriptors::are_left(MAX_FDS)
    }

    /// Reads back the queue as far as there are free descriptors. Grants must be withdrawn before, see
    /// [`Worker::withdraw`].
    pub fn take_back(&mut self) -> TakenBack {
        let mut back = TakenBack::default();
        while self.has_room_to_take_back() {
            let mut fds = Vec::new();
            let message = match scm::receive(&self.theirs, &mut fds) {
                Ok(Received::Message(bytes) | Received::Truncated(bytes)) => Message::decode(bytes),
                _ => break,
            };
            let Some(message) = message else { continue };
            let Message {
                kind, listener, hops, ..
            } = message;
            self.strike_newest(message.count.max(1));
            match kind {
                Kind::Connections => back.connections.extend(fds.into_iter().map(|fd| {
                    (
                        listener,
                        Connection {
                            fd,
                            client: None,
                            hops,
                            refused_by: 0,
                        },
                    )
                })),
                Kind::Socket => back.sockets.push(listener),
                _ => {}
            }
        }
        back
    }

    /// Messages read back are the newest in the log.
    fn strike_newest(&mut self, count: u32) {
        let mut left = count;
        while let Some(newest) = self.log.back_mut().filter(|_| left > 0) {
            let part = newest.count.min(left);
            newest.count -= part;
            left -= part;
            self.queued -= u64::from(part);
            if newest.count == 0 {
                self.log.pop_back();
            }
        }
    }

    /// Observes the worker's progress, as of the last update of the log.
    pub fn observe(&mut self, now_ns: u64) -> Observation {
        let moved = std::mem::take(&mut self.has_moved);
        if moved {
            self.waiting_since_ns = now_ns;
        }
        Observation {
            moved,
            is_waiting: self.queued > 0,
            waiting_ns: now_ns.saturating_sub(self.waiting_since_ns),
        }
    }

    /// How long something has been queued without any being taken; 0 when nothing is queued.
    pub fn waiting_ns(&self, board: &Scoreboard, now_ns: u64) -> u64 {
        if self.has_moved || self.progress(self.taken(board)) > 0 || self.queued == 0 {
            0
        } else {
            now_ns.saturating_sub(self.waiting_since_ns)
        }
    }

    /// The next message from the worker; connections it returns are appended to `fds`.
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

/// A worker's progress.
pub(super) struct Observation {
    /// Whether it has taken something since the last observation.
    pub moved: bool,
    /// Whether something is queued.
    pub is_waiting: bool,
    /// How long nothing of it has been taken.
    pub waiting_ns: u64,
}
