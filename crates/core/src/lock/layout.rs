//! What lies in memory: a header, slots, and for a table of named locks the names and the runs done.
//!
//! ```text
//! header (128 bytes)   0 magic   4 version   8 kind   12 slots   16 limit   20 done
//!                     64 shortcut: 0, the owner that holds the lock without a slot, or all ones   72 fencing token
//!                     80 guard   88 top   92 next run   96 ticket   104 when dead owners were looked for
//! slots (64 bytes)     0 state   4 flags   8 owner   16 ticket   24 fencing token   32 hash   40 parent
//!                     48 permits   52 process
//! ```
//!
//! All fields are atomics, and a table is made over borrowed ones, so that one algorithm serves mapped memory
//! and the model checker. `magic` is stored last by the maker.

use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// First word of a finished table.
pub const MAGIC: u32 = 0x4b43_4c6d;
/// Changes with each change of the layout.
pub const VERSION: u32 = 2;
/// Bytes that a name has at most.
pub const NAME_BYTES: usize = 252;
/// Runs that are remembered as done; older ones are forgotten.
pub const DONE_RUNS: usize = 4096;
/// More slots than any table has.
pub const MAX_SLOTS: usize = 65_536;

/// What a table decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Kind {
    /// Exclusive requests exclude all others, shared ones don't exclude each other. Also a mutex and a once.
    Lock = 1,
    /// Holders have at most `limit` permits together.
    Semaphore = 2,
    /// Requests wait until they are notified.
    Condition = 3,
    /// Requests wait until there are `limit` of them.
    Barrier = 4,
    /// A lock of its own for each name.
    Names = 5,
}

impl Kind {
    /// From a word of shared memory.
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

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Nobody else.
    Exclusive,
    /// Others that share.
    Shared,
}

/// Bits of [`Slot::flags`].
pub mod flag {
    /// The mode is [`Mode::Shared`](super::Mode::Shared).
    pub const SHARED: u32 = 1;
    /// The owner sleeps on the state word; otherwise its bell is rung.
    pub const BLOCKING: u32 = 2;
    /// An owner before this one died.
    pub const OWNER_DIED: u32 = 4;
    /// This request's arrival opened the barrier.
    pub const LAST: u32 = 8;
    /// The owner has the lock by the shortcut.
    pub const SHORTCUT: u32 = 16;
}

/// Low bits of [`Slot::state`]; the others count the slot's uses.
pub mod code {
    /// Nobody's.
    pub const FREE: u32 = 0;
    /// Waits.
    pub const PENDING: u32 = 1;
    /// Granted: holds the lock, was notified, passed the barrier.
    pub const HELD: u32 = 2;
    /// Was taken away from its owner.
    pub const LOST: u32 = 3;
    /// Was held by an owner that died.
    pub const ORPHAN: u32 = 4;
    /// The bits of all these.
    pub const MASK: u32 = 7;
    /// One use of the slot.
    pub const SERIAL_STEP: u32 = 8;
}

/// [`Header::shortcut`] when requests are in the slots.
pub const IN_SLOTS: u64 = u64::MAX;

/// Where the shortcut is in a table, and behind it the fencing token.
pub const SHORTCUT_AT: usize = 64;

/// The table's own words: in the first line what stays, in the second what changes.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Header {
    /// [`MAGIC`] once all else is initialised.
    pub magic: AtomicU32,
    /// [`VERSION`].
    pub version: AtomicU32,
    /// A [`Kind`].
    pub kind: AtomicU32,
    /// How many slots follow.
    pub slots: AtomicU32,
    /// Permits of a semaphore, parties of a barrier.
    pub limit: AtomicU32,
    /// 1: the once is done.
    pub done: AtomicU32,
    _rest_of_line: [AtomicU32; 10],
    /// Who holds the lock without a slot, see [`super::shortcut`]: 0, an owner word, or [`IN_SLOTS`].
    pub shortcut: AtomicU64,
    /// Fencing token that was given last: the bits of a double, in which JavaScript counts.
    pub fence: AtomicU64,
    /// The thread that changes slots now, see [`super::guard`].
    pub guard: AtomicU64,
    /// Slots at and after this one are free. A hint that only the guard's owner follows.
    pub top: AtomicU32,
    /// Where the next run done is noted.
    pub done_next: AtomicU32,
    /// Place in the queue that was given last.
    pub ticket: AtomicU64,
    /// When dead owners were last looked for, in nanoseconds of the monotonic clock.
    pub reaped_at: AtomicU64,
}

/// One request.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Slot {
    /// A [`code`] and the count of uses. What the owner sleeps on.
    pub state: AtomicU32,
    /// Bits of [`flag`].
    pub flags: AtomicU32,
    /// The thread that asked.
    pub owner: AtomicU64,
    /// Place in the queue.
    pub ticket: AtomicU64,
    /// Fencing token, once granted.
    pub fence: AtomicU64,
    /// Hash of the name.
    pub hash: AtomicU64,
    /// Ticket of the request within which this one was made, 0 for none.
    pub parent: AtomicU64,
    /// Permits asked for.
    pub permits: AtomicU32,
    /// The owner's process.
    pub pid: AtomicU32,
}

/// A slot's name.
#[derive(Debug)]
#[repr(C)]
pub struct Name {
    len: AtomicU32,
    words: [AtomicU32; NAME_BYTES / 4],
}

/// The hash of a run that was done.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Run([AtomicU64; 2]);

#[cfg(not(loom))]
const _: () = {
    assert!(size_of::<Header>() == 128);
    // `lib/locks/shortcut.js` has these, too.
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
    /// The table's own words.
    pub header: &'a Header,
    /// One for each request there can be.
    pub slots: &'a [Slot],
    /// As many as slots in a table of named locks, else none.
    pub names: &'a [Name],
    /// [`DONE_RUNS`] in a table of named locks, else none.
    pub runs: &'a [Run],
}

/// Bytes of a table.
pub fn bytes(kind: Kind, slots: usize) -> usize {
    let named = match kind {
        Kind::Names => slots * size_of::<Name>() + DONE_RUNS * size_of::<Run>(),
        _ => 0,
    };
    size_of::<Header>() + slots * size_of::<Slot>() + named
}

impl Header {
    /// Writes what a new table's header says. `fence` is where fencing tokens begin: the time in microseconds
    /// makes them grow beyond those of an earlier table, also across a restart of the machine.
    pub fn initialise(&self, kind: Kind, slots: usize, limit: u32, fence: u64) {
        let slots = u32::try_from(slots).unwrap_or(u32::MAX);
        self.version.store(VERSION, Ordering::Relaxed);
        self.kind.store(kind as u32, Ordering::Relaxed);
        self.slots.store(slots, Ordering::Relaxed);
        self.limit.store(limit, Ordering::Relaxed);
        self.fence.store((fence as f64).to_bits(), Ordering::Relaxed);
        // Release: whoever sees the magic word sees the rest.
        self.magic.store(MAGIC, Ordering::Release);
    }

    /// One more than was given last. The guard's owner, or who holds the lock by the shortcut: never both, for inside the
    /// guard nothing is granted beside such a holder.
    pub(super) fn next_fence(&self) -> u64 {
        let fence = f64::from_bits(self.fence.load(Ordering::Relaxed)) + 1.0;
        self.fence.store(fence.to_bits(), Ordering::Relaxed);
        fence as u64
    }
}

impl Slot {
    /// Whether its mode is shared.
    pub fn mode(&self) -> Mode {
        match self.flags.load(Ordering::Relaxed) & flag::SHARED {
            0 => Mode::Exclusive,
            _ => Mode::Shared,
        }
    }

    /// Moves to `code` in the same use. Guard's owner only.
    pub(super) fn transition_to(&self, code: u32) -> u32 {
        let state = self.state.load(Ordering::Relaxed) & !code::MASK | code;
        // Release: pairs with the Acquire of an owner that looks without the guard.
        self.state.store(state, Ordering::Release);
        state
    }

    /// Begins a new use of a free slot in `code`. Returns the new state. Guard's owner only.
    pub(super) fn transition_to_used(&self, code: u32) -> u32 {
        let uses = (self.state.load(Ordering::Relaxed) & !code::MASK).wrapping_add(code::SERIAL_STEP);
        // Release: as above.
        self.state.store(uses | code, Ordering::Release);
        uses | code
    }

    /// The low bits of its state; unknown ones count as free.
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
    /// Stores a name, cut to [`NAME_BYTES`].
    pub(super) fn store(&self, name: &[u8]) {
        let name = &name[..name.len().min(NAME_BYTES)];
        for (word, bytes) in self.words.iter().zip(name.chunks(4)) {
            let mut padded = [0; 4];
            padded[..bytes.len()].copy_from_slice(bytes);
            word.store(u32::from_ne_bytes(padded), Ordering::Relaxed);
        }
        self.len.store(name.len() as u32, Ordering::Relaxed);
    }

    /// The name as it is now. Any bytes may come out.
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

/// FNV-1a of 128 bits: the same in every version of the addon.
pub fn hash(bytes: &[u8]) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(OFFSET, |hash, byte| {
        (hash ^ u128::from(*byte)).wrapping_mul(PRIME)
    })
}
