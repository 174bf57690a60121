//! The memory layout of a table: a header and slots; for named locks, also the names and the completed runs.
//!
//! ```text
//! header (128 bytes)   0 magic   4 version   8 kind   12 slots   16 limit   20 done
//!                     64 shortcut: 0, the owner that holds the lock without a slot, or all ones   72 fencing token
//!                     80 guard   88 top   92 next run   96 ticket   104 time of the last search for dead owners
//! slots (64 bytes)     0 state   4 flags   8 owner   16 ticket   24 fencing token   32 hash   40 parent
//!                     48 permits   52 process
//! ```
//!
//! All fields are atomics, and a table borrows its memory, so that the same algorithm runs on mapped memory
//! and under the model checker. The creator stores `magic` last.

use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// First word of an initialised table.
pub const MAGIC: u32 = 0x4b43_4c6d;
/// Incremented with every change of the layout.
pub const VERSION: u32 = 2;
/// Longest name in bytes.
pub const NAME_BYTES: usize = 252;
/// Number of completed runs remembered; older ones are forgotten.
pub const DONE_RUNS: usize = 4096;
/// Largest number of slots in a table.
pub const MAX_SLOTS: usize = 65_536;

/// What kind of lock a table implements.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Kind {
    /// A readers-writer lock: exclusive requests exclude all others, shared ones do not exclude each other.
    /// Also used for mutexes and once cells.
    Lock = 1,
    /// The holders have at most `limit` permits together.
    Semaphore = 2,
    /// A condition variable: requests wait until notified.
    Condition = 3,
    /// Requests wait until there are `limit` of them.
    Barrier = 4,
    /// One readers-writer lock per name.
    Names = 5,
}

impl Kind {
    /// Decodes a word read from shared memory.
    pub fn from_word(word: u32) -> Option<Self> {
        Some(match word {
            1 => Self::Lock,
            2 => Self::Semaphore,
            3 => Self::Condition,
            4 => Self::Barrier,
            5 => Self::Names,
            _ => return None,
        })
    }
}

/// The access mode of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Excludes all other holders.
    Exclusive,
    /// Coexists with other shared holders.
    Shared,
}

/// Bits of [`Slot::flags`].
pub mod flag {
    /// The mode is [`Mode::Shared`](super::Mode::Shared).
    pub const SHARED: u32 = 1;
    /// The owner sleeps on the state word; otherwise, its bell is rung.
    pub const BLOCKING: u32 = 2;
    /// The previous holder died.
    pub const OWNER_DIED: u32 = 4;
    /// This request completed the barrier.
    pub const LAST: u32 = 8;
    /// The owner acquired the lock through the shortcut.
    pub const SHORTCUT: u32 = 16;
}

/// Low bits of [`Slot::state`]; the other bits count how often the slot has been used.
pub mod code {
    /// The slot is unused.
    pub const FREE: u32 = 0;
    /// The request waits.
    pub const PENDING: u32 = 1;
    /// The request is granted: it holds the lock, was notified, or passed the barrier.
    pub const HELD: u32 = 2;
    /// The lock was stolen from its owner.
    pub const LOST: u32 = 3;
    /// The owner died while it held the lock.
    pub const ORPHAN: u32 = 4;
    /// Mask of the code bits.
    pub const MASK: u32 = 7;
    /// Increment of the use counter.
    pub const SERIAL_STEP: u32 = 8;
}

/// Value of [`Header::shortcut`] while all requests are in slots.
pub const IN_SLOTS: u64 = u64::MAX;

/// Byte offset of the shortcut word in a table; the fencing token follows it.
pub const SHORTCUT_AT: usize = 64;

/// The table's own fields: the first cache line is constant, the second changes.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Header {
    /// [`MAGIC`] once everything else is initialised.
    pub magic: AtomicU32,
    /// [`VERSION`].
    pub version: AtomicU32,
    /// A [`Kind`].
    pub kind: AtomicU32,
    /// Number of slots that follow.
    pub slots: AtomicU32,
    /// Permits of a semaphore, or parties of a barrier; for [`Kind::Lock`], the type of lock (`lib/locks/object.js`).
    pub limit: AtomicU32,
    /// 1 once the once cell is done.
    pub done: AtomicU32,
    _rest_of_line: [AtomicU32; 10],
    /// Holder without a slot, see [`super::shortcut`]: 0, an owner word, or [`IN_SLOTS`].
    pub shortcut: AtomicU64,
    /// The last fencing token issued, as the bits of a double, because JavaScript increments it as a number.
    pub fence: AtomicU64,
    /// The thread that may change slots, see [`super::guard`].
    pub guard: AtomicU64,
    /// All slots from this index on are free. A hint for the guard's holder only.
    pub top: AtomicU32,
    /// Where to record the next completed run.
    pub done_next: AtomicU32,
    /// The last queue ticket issued.
    pub ticket: AtomicU64,
    /// Time of the last search for dead owners, in ns of the monotonic clock.
    pub reaped_at: AtomicU64,
}

/// One request.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Slot {
    /// A [`code`] and the use counter. Blocking owners sleep on it.
    pub state: AtomicU32,
    /// Bits of [`flag`].
    pub flags: AtomicU32,
    /// The requesting thread.
    pub owner: AtomicU64,
    /// Position in the queue.
    pub ticket: AtomicU64,
    /// Fencing token, once granted.
    pub fence: AtomicU64,
    /// Hash of the name.
    pub hash: AtomicU64,
    /// Ticket of the enclosing request, or 0.
    pub parent: AtomicU64,
    /// Number of permits requested.
    pub permits: AtomicU32,
    /// The owner's process id.
    pub pid: AtomicU32,
}

/// The name of a slot.
#[derive(Debug)]
#[repr(C)]
pub struct Name {
    len: AtomicU32,
    words: [AtomicU32; NAME_BYTES / 4],
}

/// The hash of a completed run.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Run([AtomicU64; 2]);

#[cfg(not(loom))]
const _: () = {
    assert!(size_of::<Header>() == 128);
    // `lib/locks/shortcut.js` uses the same offsets.
    assert!(
        std::mem::offset_of!(Header, shortcut) == SHORTCUT_AT
            && std::mem::offset_of!(Header, fence) == SHORTCUT_AT + 8
    );
    assert!(size_of::<Slot>() == 64);
    assert!(size_of::<Name>() == 256);
    assert!(size_of::<Run>() == 16);
};

/// A table's memory, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Storage<'a> {
    /// The table's own fields.
    pub header: &'a Header,
    /// One per possible request.
    pub slots: &'a [Slot],
    /// As many as slots for named locks, otherwise empty.
    pub names: &'a [Name],
    /// [`DONE_RUNS`] for named locks, otherwise empty.
    pub runs: &'a [Run],
}

/// Size of a table in bytes.
pub fn bytes(kind: Kind, slots: usize) -> usize {
    let named = match kind {
        Kind::Names => slots * size_of::<Name>() + DONE_RUNS * size_of::<Run>(),
        _ => 0,
    };
    size_of::<Header>() + slots * size_of::<Slot>() + named
}

impl Header {
    /// Initialises the header of a new table. `fence` is the initial fencing token; passing the current time
    /// in microseconds keeps tokens increasing across tables, even across a reboot.
    pub fn initialise(&self, kind: Kind, slots: usize, limit: u32, fence: u64) {
        let slots = u32::try_from(slots).unwrap_or(u32::MAX);
        self.version.store(VERSION, Ordering::Relaxed);
        self.kind.store(kind as u32, Ordering::Relaxed);
        self.slots.store(slots, Ordering::Relaxed);
        self.limit.store(limit, Ordering::Relaxed);
        self.fence.store((fence as f64).to_bits(), Ordering::Relaxed);
        // Release: a thread that sees the magic word sees everything else.
        self.magic.store(MAGIC, Ordering::Release);
    }

    /// Issues the next fencing token. Called by the guard's holder or the shortcut's holder, never both at
    /// once: no request is granted inside the guard while the shortcut is held.
    pub(super) fn next_fence(&self) -> u64 {
        let fence = f64::from_bits(self.fence.load(Ordering::Relaxed)) + 1.0;
        self.fence.store(fence.to_bits(), Ordering::Relaxed);
        fence as u64
    }
}

impl Slot {
    /// The access mode.
    pub fn mode(&self) -> Mode {
        match self.flags.load(Ordering::Relaxed) & flag::SHARED {
            0 => Mode::Exclusive,
            _ => Mode::Shared,
        }
    }

    /// Changes the code within the current use. Requires the guard.
    pub(super) fn transition_to(&self, code: u32) -> u32 {
        let state = self.state.load(Ordering::Relaxed) & !code::MASK | code;
        // Release: pairs with the Acquire load of an owner that reads it without the guard.
        self.state.store(state, Ordering::Release);
        state
    }

    /// Begins a new use of a free slot with `code` and returns the new state. Requires the guard.
    pub(super) fn transition_to_used(&self, code: u32) -> u32 {
        let uses = (self.state.load(Ordering::Relaxed) & !code::MASK).wrapping_add(code::SERIAL_STEP);
        // Release: as above.
        self.state.store(uses | code, Ordering::Release);
        uses | code
    }

    /// The code of its state; unknown values count as free.
    pub fn code(&self) -> u32 {
        // Acquire: pairs with the Release of the transitions.
        match self.state.load(Ordering::Acquire) & code::MASK {
            known @ code::PENDING..=code::ORPHAN => known,
            _ => code::FREE,
        }
    }
}

impl Default for Name {
    fn default() -> Self {
        Self {
            len: AtomicU32::new(0),
            words: std::array::from_fn(|_| AtomicU32::new(0)),
        }
    }
}

impl Name {
    /// Stores a name, truncated to [`NAME_BYTES`].
    pub(super) fn store(&self, name: &[u8]) {
        let name = &name[..name.len().min(NAME_BYTES)];
        for (word, bytes) in self.words.iter().zip(name.chunks(4)) {
            let mut padded = [0; 4];
            padded[..bytes.len()].copy_from_slice(bytes);
            word.store(u32::from_ne_bytes(padded), Ordering::Relaxed);
        }
        self.len.store(name.len() as u32, Ordering::Relaxed);
    }

    /// The current name. Unvalidated: any bytes are possible.
    pub fn load(&self) -> Vec<u8> {
        let len = (self.len.load(Ordering::Relaxed) as usize).min(NAME_BYTES);
        let words = self.words[..len.div_ceil(4)].iter();
        let mut name: Vec<u8> = words
            .flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes())
            .collect();
        name.truncate(len);
        name
    }
}

impl Run {
    pub(super) fn store(&self, hash: u128) {
        self.0[0].store(hash as u64, Ordering::Relaxed);
        self.0[1].store((hash >> 64) as u64, Ordering::Relaxed);
    }

    pub(super) fn is(&self, hash: u128) -> bool {
        self.0[0].load(Ordering::Relaxed) == hash as u64
            && self.0[1].load(Ordering::Relaxed) == (hash >> 64) as u64
    }
}

/// 128-bit FNV-1a: the same in every version of the addon.
pub fn hash(bytes: &[u8]) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(OFFSET, |hash, byte| {
        (hash ^ u128::from(*byte)).wrapping_mul(PRIME)
    })
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use std::mem::offset_of;

    use super::*;
    use crate::testing::assert_documented;

    #[test]
    fn the_layout_is_as_documented() {
        assert_documented(
            include_str!("layout.rs"),
            &[
                ("magic", offset_of!(Header, magic)),
                ("version", offset_of!(Header, version)),
                ("kind", offset_of!(Header, kind)),
                ("slots", offset_of!(Header, slots)),
                ("limit", offset_of!(Header, limit)),
                ("done", offset_of!(Header, done)),
                ("shortcut", offset_of!(Header, shortcut)),
                ("fencing token", offset_of!(Header, fence)),
                ("guard", offset_of!(Header, guard)),
                ("top", offset_of!(Header, top)),
                ("next run", offset_of!(Header, done_next)),
                ("ticket", offset_of!(Header, ticket)),
                ("time of the last search", offset_of!(Header, reaped_at)),
                ("state", offset_of!(Slot, state)),
                ("flags", offset_of!(Slot, flags)),
                ("owner", offset_of!(Slot, owner)),
                ("ticket", offset_of!(Slot, ticket)),
                ("fencing token", offset_of!(Slot, fence)),
                ("hash", offset_of!(Slot, hash)),
                ("parent", offset_of!(Slot, parent)),
                ("permits", offset_of!(Slot, permits)),
                ("process", offset_of!(Slot, pid)),
            ],
        );
    }
}
