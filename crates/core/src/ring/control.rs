//! The control words of a lane, at the start of its segment.
//!
//! ```text
//! offset  word          written by
//!      0  head          producer   position up to which records are published
//!      4  read          producer   position up to which it had read the lane of the other direction
//!      8  copied        producer   position up to which records are published, if `copy` is the last one
//!     16  copy          producer   copy of a record of at most 112 bytes
//!    128  tail          consumer   position up to which records are consumed
//!    256  asleep        both       1: the consumer sleeps and must be woken by the doorbell
//!    260  unfenced      creator    1: producers need no barrier, see below
//!    264  signalled_at  producer   CLOCK_MONOTONIC time of the last wake-up, in ns
//!    384  overflowed    producer   number of records pushed to the overflow queue
//!    512  taken         consumer   number of records popped from the overflow queue
//!    640  closed        consumer   1: the consumer has closed the lane
//!    768  waiting       both       1: the producer waits for room and must be notified
//!    896  returned[64]  both       1: the consumer has returned the block of the store with this number
//! ```
//!
//! Positions are byte counters that only grow and wrap at 2^32. Each word is aligned to 128 bytes, two cache
//! lines, because processors prefetch lines in pairs; the words of `returned` share theirs. The peer can write every
//! word, so all values are untrusted.
//!
//! # Copies
//!
//! A consumer that spins for a record first waits for the line of `head`, and then for the lines of the record. Where
//! records answer each other, a record is therefore written a second time, next to `head`: if it is short, and the
//! consumer has read all records before it, which its own last record said (`read`). The copy stays until the consumer
//! has said that it has read this record too. A consumer that finds `copied == head`, and a copy as long as all that
//! is published, reads the copy. The record in the ring is as valid: both sides may do without copies. They are used
//! between threads on x64 only, whose order of loads and stores they rely on, by producers that need no barrier.
//!
//! # Ordering
//!
//! - Publish: write the record's bytes, then store `head` (Release).
//! - Consume: load `head` (Acquire), read the bytes, then store `tail`.
//! - Sleep: store `asleep = 1`, then re-check `head`.
//! - Wake: store `head`, then check `asleep`.
//!
//! Sleep and wake form a store-then-load pair on each side (Dekker's pattern) and need sequential
//! consistency. Otherwise each side could miss the other's store, and the consumer would sleep although a
//! record is published. Waiting for room is symmetric: the producer stores `waiting = 1`, then re-checks
//! `tail`; the consumer stores `tail`, then checks `waiting`.
//!
//! A block of the store belongs to the producer, which clears its word before it publishes a record that passes the
//! block on. The consumer sets the word (Release) after its last access to the block. The producer reuses the block once
//! it reads 1 (Acquire), and looks at the words of passed blocks only.
//!
//! The full barrier between the two steps of "wake" would stall the producer, for each record, until its stores have
//! left the store buffer, that is, until it has the consumer's cache lines. Between threads of a process the consumer
//! pays instead, and only when it goes to sleep (an asymmetric fence): if `unfenced` is set, it issues a barrier in all
//! threads ([`crate::sys::membarrier`]) between its two steps. The re-check sees a store of `head` that precedes that
//! barrier; a producer whose store follows it sees `asleep`, because x64 reorders neither stores with stores nor loads
//! with loads. The flag is set on x64 only; producers in JavaScript read it once.

use super::doorbell::Consumer;
use crate::sync::{fence, AtomicU32, AtomicU64, Ordering};
use crate::sys::membarrier;

/// A value aligned to its own pair of cache lines, to avoid false sharing.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct Line<T>(pub T);

/// What the producer of a lane publishes.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct Head(pub AtomicU32, pub Copies);

/// See the module documentation.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Copies {
    /// Position up to which the producer had read the lane of the other direction.
    pub read: AtomicU32,
    /// Position behind the record that `record` is a copy of; never a position when there is none.
    pub copied: AtomicU32,
    unused: AtomicU32,
    /// The copy.
    pub record: [AtomicU32; COPY_BYTES / 4],
}

/// Greatest length of a record that is copied, in bytes.
pub const COPY_BYTES: usize = 112;

/// Sleep state of the consumer.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Sleep {
    /// [`AWAKE`] or [`ASLEEP`]; any other value (the peer can write it) counts as awake.
    pub flag: AtomicU32,
    /// 1: producers need no barrier between publishing and checking `flag`. A peer that sets it only slows the
    /// consumer down, or loses its own wake-ups.
    pub unfenced: AtomicU32,
    /// Time of the producer's last wake-up, as returned by [`crate::sys::clock::monotonic_ns`].
    pub signalled_at: AtomicU64,
}

/// The consumer polls `head` and needs no wake-up.
const AWAKE: u32 = 0;
/// The consumer sleeps until the doorbell rings.
pub const ASLEEP: u32 = 1;

/// The producer waits until the ring has room.
pub const WAITING: u32 = 1;

/// The control words; see the module documentation.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Control {
    /// Position up to which records are published.
    pub head: Head,
    /// Position up to which records are consumed.
    pub tail: Line<AtomicU32>,
    /// Whether the consumer must be woken.
    pub sleep: Line<Sleep>,
    /// Number of records pushed to the overflow queue.
    pub overflowed: Line<AtomicU32>,
    /// Number of records popped from the overflow queue.
    pub taken: Line<AtomicU32>,
    /// 1 once the consumer has closed the lane.
    pub closed: Line<AtomicU32>,
    /// [`WAITING`] while the producer waits for room; any other value counts as not waiting.
    pub waiting: Line<AtomicU32>,
    /// 1 for blocks of the store that the consumer has returned.
    pub returned: Returned,
}

/// Number of blocks of the store that can be in use at a time. No model uses them, and each word would cost loom time.
pub const STORE_BLOCKS: usize = if cfg!(loom) { 1 } else { 64 };

/// A word for each block of the store.
#[repr(C, align(128))]
#[derive(Debug)]
pub struct Returned(pub [AtomicU32; STORE_BLOCKS]);

impl Default for Returned {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU32::new(0)))
    }
}

/// Byte offsets of the control words, for JavaScript.
pub mod offset {
    use super::{Control, Copies, Head, Sleep};
    use std::mem::offset_of;

    /// Offset of `head`.
    pub const HEAD: usize = offset_of!(Control, head);
    const COPIES: usize = HEAD + offset_of!(Head, 1);
    /// Offset of `read`.
    pub const READ: usize = COPIES + offset_of!(Copies, read);
    /// Offset of `copied`.
    pub const COPIED: usize = COPIES + offset_of!(Copies, copied);
    /// Offset of the copy.
    pub const COPY: usize = COPIES + offset_of!(Copies, record);
    /// Offset of `tail`.
    pub const TAIL: usize = offset_of!(Control, tail);
    /// Offset of `asleep`.
    pub const ASLEEP: usize = offset_of!(Control, sleep) + offset_of!(Sleep, flag);
    /// Offset of `unfenced`.
    pub const UNFENCED: usize = offset_of!(Control, sleep) + offset_of!(Sleep, unfenced);
    /// Offset of `overflowed`.
    pub const OVERFLOWED: usize = offset_of!(Control, overflowed);
    /// Offset of `taken`.
    pub const TAKEN: usize = offset_of!(Control, taken);
    /// Offset of `closed`.
    pub const CLOSED: usize = offset_of!(Control, closed);
    /// Offset of `waiting`.
    pub const WAITING: usize = offset_of!(Control, waiting);
    /// Offset of `returned`.
    pub const RETURNED: usize = offset_of!(Control, returned);
}

#[cfg(not(loom))]
const _: () = {
    assert!(offset::READ == 4 && offset::COPIED == 8 && offset::COPY == 16);
    assert!(offset::HEAD == 0 && offset::TAIL == 128 && offset::ASLEEP == 256);
    assert!(offset::UNFENCED == 260 && std::mem::offset_of!(Sleep, signalled_at) == 8);
    assert!(offset::OVERFLOWED == 384 && offset::TAKEN == 512 && offset::CLOSED == 640);
    assert!(offset::WAITING == 768 && offset::RETURNED == 896);
    assert!(size_of::<Control>() == 1152);
};

impl Control {
    /// Consumer: whether a record is available, in the ring or in the overflow queue.
    pub fn is_pending(&self) -> bool {
        // Acquire: pairs with the store in `publish`, so that the record's bytes are visible.
        self.head.0.load(Ordering::Acquire) != self.tail.0.load(Ordering::Relaxed)
            || self.overflowed.0.load(Ordering::Acquire) != self.taken.0.load(Ordering::Relaxed)
    }

    /// Consumer: sets the sleep flag, the first step of [`Consumer::transition_to_asleep`].
    pub(super) fn begin_sleep(&self) {
        // A swap rather than a store, so that it is ordered after the producer's latest reset of the flag.
        self.sleep.0.flag.swap(ASLEEP, Ordering::SeqCst);
        // Relaxed: set before the ends were in use.
        if self.sleep.0.unfenced.load(Ordering::Relaxed) == 1 {
            membarrier::in_all_threads();
        }
    }

    /// Creator of a lane between threads, before its ends are in use: spares producers the barrier where possible.
    pub(super) fn set_unfenced(&self) {
        let is_available = membarrier::is_available();
        self.sleep
            .0
            .unfenced
            .store(u32::from(is_available), Ordering::Relaxed);
    }

    /// Consumer: announces that it goes to sleep. Returns false, with the consumer awake again, when a record
    /// has arrived in the meantime.
    pub fn transition_to_asleep(&self) -> bool {
        Consumer::transition_to_asleep(self)
    }

    /// Consumer: clears the sleep flag.
    pub fn transition_to_awake(&self) {
        self.sleep.0.flag.swap(AWAKE, Ordering::SeqCst);
    }

    /// Producer: makes all records before `position` visible to the consumer.
    pub fn publish(&self, position: u32) {
        // Release: pairs with the load in `is_pending`.
        self.head.0.store(position, Ordering::Release);
    }

    /// Producer, after publishing: whether the consumer must be woken. Resets the flag, so it is true once
    /// per sleep.
    pub fn ring_needed(&self) -> bool {
        // SeqCst: pairs with the fence in `transition_to_asleep`.
        fence(Ordering::SeqCst);
        self.sleep.0.flag.load(Ordering::Relaxed) == ASLEEP
            && self.sleep.0.flag.swap(AWAKE, Ordering::SeqCst) == ASLEEP
    }

    /// Producer: requests a notification when the consumer makes room; `seen_tail` is the last observed
    /// `tail`. Returns false when `tail` has changed since, as there may be room already.
    pub fn transition_to_waiting(&self, seen_tail: u32) -> bool {
        self.transition_to_waiting_unless(|| self.tail.0.load(Ordering::Acquire) != seen_tail)
    }

    /// Producer: requests a notification when there is room. `has_room` is evaluated after the flag is set
    /// and must read what the consumer stores. Returns false when it is true, because the consumer may then
    /// have missed the flag.
    pub fn transition_to_waiting_unless(&self, has_room: impl FnOnce() -> bool) -> bool {
        self.waiting.0.swap(WAITING, Ordering::SeqCst);
        // SeqCst: pairs with the fence in `room_needed`. Of the two sides, the later one sees the other's
        // store: either this thread sees the room, or the consumer sees the flag.
        fence(Ordering::SeqCst);
        if has_room() {
            self.waiting.0.swap(0, Ordering::SeqCst);
            return false;
        }
        true
    }

    /// Consumer, after storing `tail` or popping from the overflow queue or the slab: whether the producer
    /// must be notified. Resets the flag, so it is true once per wait.
    pub fn room_needed(&self) -> bool {
        // SeqCst: pairs with the fence in `transition_to_waiting_unless`.
        fence(Ordering::SeqCst);
        self.waiting.0.load(Ordering::Relaxed) == WAITING
            && self.waiting.0.swap(0, Ordering::SeqCst) == WAITING
    }
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
            include_str!("control.rs"),
            &[
                ("head", offset::HEAD),
                ("read", offset::READ),
                ("copied", offset::COPIED),
                ("copy", offset::COPY),
                ("tail", offset::TAIL),
                ("asleep", offset::ASLEEP),
                ("unfenced", offset::UNFENCED),
                (
                    "signalled_at",
                    offset_of!(Control, sleep) + offset_of!(Sleep, signalled_at),
                ),
                ("overflowed", offset::OVERFLOWED),
                ("taken", offset::TAKEN),
                ("closed", offset::CLOSED),
                ("waiting", offset::WAITING),
                ("returned[64]", offset::RETURNED),
            ],
        );
    }
}
