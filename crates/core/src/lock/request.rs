//! The requests made to a lock table, and their results.

use super::guard::Stuck;
use super::layout::{code, flag, Mode, Slot};
use crate::liveness::OwnerId;
use crate::sync::Ordering;

/// How the requester learns that its request is granted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waiting {
    /// Not at all: the request fails unless it is granted at once.
    Never,
    /// It blocks its thread in [`Table::wait`](super::Table::wait).
    Blocking,
    /// Through its event loop's bell.
    Bell,
}

/// The parameters of a request.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The calling thread.
    pub me: OwnerId,
    /// Its process id.
    pub pid: u32,
    /// For locks.
    pub mode: Mode,
    /// For semaphores.
    pub permits: u32,
    /// For named locks.
    pub name: &'a [u8],
    /// How to wait when it cannot be granted at once.
    pub waiting: Waiting,
    /// Takes a named lock away from its holders.
    pub steal: bool,
    /// Ticket of the enclosing request, or 0.
    pub parent: u64,
}

/// Identifies one use of a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestId {
    /// Index of the slot.
    pub index: u32,
    /// Its state word without the code.
    pub serial: u32,
}

/// The details of a granted request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Granted {
    /// Fencing token; increases with every grant of the table.
    pub fence: u64,
    /// The previous holder died, so the protected data may be half changed.
    pub owner_died: bool,
    /// This request was the last to arrive at the barrier.
    pub is_last: bool,
}

/// A request that was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// Identifies the request in further calls.
    pub id: RequestId,
    /// Its position in the queue, to be used as [`Ask::parent`].
    pub ticket: u64,
    /// Set when it was granted at once.
    pub granted: Option<Granted>,
}

/// Why a request was rejected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Refusal {
    /// It could not be granted at once and must not wait.
    Unavailable,
    /// All slots are in use.
    Full,
    /// It would block the very thread that must release what it waits for.
    Deadlock,
    /// See [`Stuck`].
    Stuck,
}

impl From<Stuck> for Refusal {
    fn from(_: Stuck) -> Self {
        Self::Stuck
    }
}

/// The state of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It waits.
    Pending,
    /// It is granted.
    Held(Granted),
    /// It was granted and then stolen.
    Lost,
    /// This owner has no such request.
    Gone,
}

/// A request as seen by others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// For named locks.
    pub name: Vec<u8>,
    /// For locks.
    pub mode: Mode,
    /// Whether it is granted.
    pub is_held: bool,
    /// Whether it blocks its thread.
    pub is_blocking: bool,
    /// For semaphores.
    pub permits: u32,
    /// The requesting thread.
    pub owner: u64,
    /// Its process id.
    pub pid: u32,
    /// Position in the queue.
    pub ticket: u64,
    /// See [`Ask::parent`].
    pub parent: u64,
    /// Fencing token, once granted.
    pub fence: u64,
}

impl Snapshot {
    pub(super) fn of(slot: &Slot, name: Vec<u8>) -> Self {
        Self {
            name,
            mode: slot.mode(),
            is_held: slot.code() == code::HELD,
            is_blocking: slot.flags.load(Ordering::Relaxed) & flag::BLOCKING != 0,
            permits: slot.permits.load(Ordering::Relaxed),
            owner: slot.owner.load(Ordering::Relaxed),
            pid: slot.pid.load(Ordering::Relaxed),
            ticket: slot.ticket.load(Ordering::Relaxed),
            parent: slot.parent.load(Ordering::Relaxed),
            fence: slot.fence.load(Ordering::Relaxed),
        }
    }
}

pub(super) fn granted(slot: &Slot) -> Granted {
    let flags = slot.flags.load(Ordering::Relaxed);
    Granted {
        fence: slot.fence.load(Ordering::Relaxed),
        owner_died: flags & flag::OWNER_DIED != 0,
        is_last: flags & flag::LAST != 0,
    }
}
