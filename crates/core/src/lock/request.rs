//! What is asked of a table, and what it answers.

use super::guard::Stuck;
use super::layout::{code, flag, Mode, Slot};
use crate::liveness::OwnerId;
use crate::sync::Ordering;

/// How whoever asks learns that it is granted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waiting {
    /// It does not wait.
    Never,
    /// In [`Table::wait`](super::Table::wait), blocking its thread.
    Blocking,
    /// By its event loop's bell.
    Bell,
}

/// A request to be made.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The calling thread.
    pub me: OwnerId,
    /// Its process.
    pub pid: u32,
    /// Of a lock.
    pub mode: Mode,
    /// Of a semaphore.
    pub permits: u32,
    /// Of a named lock.
    pub name: &'a [u8],
    /// What happens while it cannot be granted.
    pub waiting: Waiting,
    /// Takes a named lock away from whoever holds it.
    pub steal: bool,
    /// Ticket of the request within which this one is made, or 0.
    pub parent: u64,
}

/// Names one use of a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestId {
    /// The slot.
    pub index: u32,
    /// Its state word without the code.
    pub serial: u32,
}

/// What comes with being granted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Granted {
    /// Grows with each grant of the table.
    pub fence: u64,
    /// The holder before died; what the lock protects may be half changed.
    pub owner_died: bool,
    /// Of all that a barrier let pass, the one that came last.
    pub is_last: bool,
}

/// A request that was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// For all further calls.
    pub id: RequestId,
    /// Its place in the queue, and its name for [`Ask::parent`].
    pub ticket: u64,
    /// At once, or not yet.
    pub granted: Option<Granted>,
}

/// Why a request was not made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Refusal {
    /// It could not be granted at once and does not wait.
    Unavailable,
    /// All slots are in use.
    Full,
    /// It would block the thread that has to release what it waits for.
    Deadlock,
    /// See [`Stuck`].
    Stuck,
}

impl From<Stuck> for Refusal {
    fn from(_: Stuck) -> Self {
        Self::Stuck
    }
}

/// How a request stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It waits.
    Pending,
    /// It is granted.
    Held(Granted),
    /// It was granted and taken away.
    Lost,
    /// There is no such request of this owner.
    Gone,
}

/// One request as others see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// Of a named lock.
    pub name: Vec<u8>,
    /// Of a lock.
    pub mode: Mode,
    /// Granted or waiting.
    pub is_held: bool,
    /// Blocks its thread.
    pub is_blocking: bool,
    /// Of a semaphore.
    pub permits: u32,
    /// The thread that asked.
    pub owner: u64,
    /// Its process.
    pub pid: u32,
    /// Place in the queue.
    pub ticket: u64,
    /// See [`Ask::parent`].
    pub parent: u64,
    /// Once granted.
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
