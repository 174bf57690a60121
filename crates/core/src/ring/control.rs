//! The control words of a lane, at the start of its segment.
//!
//! ```text
//! offset  word          written by
//!      0  head          producer   position up to which records are published
//!    128  tail          consumer   position up to which they are consumed
//!    256  asleep        both       1: the consumer sleeps and must be rung
//!    264  signalled_at  producer   CLOCK_MONOTONIC in ns of the last ring
//!    384  overflowed    producer   count of records put into the overflow
//!    512  taken         consumer   count of records taken from it
//!    640  closed        consumer   1: nobody reads this lane any more
//!    768  waiting       both       1: the producer waits for room and must be told of it
//! ```
//!
//! Positions are bytes, counted up without end and wrapping at 2^32. Each word has a line (two: processors
//! fetch them in pairs) of its own. All is untrusted: the peer can write it.
//!
//! Order. Publishing: the record's bytes, then a store of `head`. Consuming: a load of `head`, the bytes, then
//! a store of `tail`. Sleeping: `asleep = 1`, then `head` is looked at once more. Ringing: `head` is stored,
//! then `asleep` is looked at. The last two pairs need sequential consistency on both sides: else each could
//! miss the other's store, and the consumer would sleep on a published record. Waiting for room is the same the
//! other way round: `waiting = 1`, then `tail` is looked at once more; `tail` is stored, then `waiting` is looked at.

use super::doorbell::Consumer;
use crate::sync::{fence, AtomicU32, AtomicU64, Ordering};

/// A word on a line of its own.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct Line<T>(pub T);

/// The sleep state of the consumer.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Sleep {
    /// [`AWAKE`] or [`ASLEEP`]; anything else a peer may write counts as awake.
    pub flag: AtomicU32,
    reserved: u32,
    /// When the producer rang last, [`crate::sys::clock::monotonic_ns`].
    pub signalled_at: AtomicU64,
}

/// The consumer looks at `head` by itself.
pub const AWAKE: u32 = 0;
/// The consumer waits for the doorbell.
pub const ASLEEP: u32 = 1;

/// The producer has records that the ring has no room for.
pub const WAITING: u32 = 1;

/// See the module's documentation.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Control {
    /// Position up to which records are published.
    pub head: Line<AtomicU32>,
    /// Position up to which they are consumed.
    pub tail: Line<AtomicU32>,
    /// Whether the consumer must be rung.
    pub sleep: Line<Sleep>,
    /// Records put into the overflow.
    pub overflowed: Line<AtomicU32>,
    /// Records taken from the overflow.
    pub taken: Line<AtomicU32>,
    /// 1 once nobody reads this lane any more.
    pub closed: Line<AtomicU32>,
    /// [`WAITING`] while the producer waits for room; anything else counts as not waiting.
    pub waiting: Line<AtomicU32>,
}

/// Byte offsets of the words, for JavaScript.
pub mod offset {
    use super::{Control, Sleep};
    use std::mem::offset_of;

    /// Of `head`.
    pub const HEAD: usize = offset_of!(Control, head);
    /// Of `tail`.
    pub const TAIL: usize = offset_of!(Control, tail);
    /// Of `asleep`.
    pub const ASLEEP: usize = offset_of!(Control, sleep) + offset_of!(Sleep, flag);
    /// Of `overflowed`.
    pub const OVERFLOWED: usize = offset_of!(Control, overflowed);
    /// Of `taken`.
    pub const TAKEN: usize = offset_of!(Control, taken);
    /// Of `closed`.
    pub const CLOSED: usize = offset_of!(Control, closed);
    /// Of `waiting`.
    pub const WAITING: usize = offset_of!(Control, waiting);
}

#[cfg(not(loom))]
const _: () = {
    assert!(offset::HEAD == 0 && offset::TAIL == 128 && offset::ASLEEP == 256);
    assert!(std::mem::offset_of!(Sleep, signalled_at) == 8);
    assert!(offset::OVERFLOWED == 384 && offset::TAKEN == 512 && offset::CLOSED == 640);
    assert!(offset::WAITING == 768);
    assert!(size_of::<Control>() == 896);
};

impl Control {
    /// Consumer: whether there is something to consume.
    pub fn is_pending(&self) -> bool {
        // Acquire: pairs with the store in `publish`, the bytes of the record are visible.
        self.head.0.load(Ordering::Acquire) != self.tail.0.load(Ordering::Relaxed)
            || self.overflowed.0.load(Ordering::Acquire) != self.taken.0.load(Ordering::Relaxed)
    }

    /// Consumer: asks to be rung for what comes from here on, see [`Consumer::transition_to_asleep`].
    pub(super) fn begin_sleep(&self) {
        // A swap, not a store: it comes after whatever the producer took back before, in every thread's eyes.
        self.sleep.0.flag.swap(ASLEEP, Ordering::SeqCst);
    }

    /// Consumer: gives up looking. False when something came in meanwhile: the consumer is awake again.
    pub fn transition_to_asleep(&self) -> bool {
        Consumer::transition_to_asleep(self)
    }

    /// Consumer: looks by itself from now on.
    pub fn transition_to_awake(&self) {
        self.sleep.0.flag.swap(AWAKE, Ordering::SeqCst);
    }

    /// Producer: makes the records before `position` visible.
    pub fn publish(&self, position: u32) {
        // Release: pairs with the load in `is_pending`.
        self.head.0.store(position, Ordering::Release);
    }

    /// Producer, after publishing: whether the doorbell must be rung. True once per sleep.
    pub fn ring_needed(&self) -> bool {
        // SeqCst: pairs with the fence in `transition_to_asleep`.
        fence(Ordering::SeqCst);
        self.sleep.0.flag.load(Ordering::Relaxed) == ASLEEP
            && self.sleep.0.flag.swap(AWAKE, Ordering::SeqCst) == ASLEEP
    }

    /// Producer: asks to be told of room, having seen the consumer at `seen_tail`. False when the consumer has
    /// moved on meanwhile: there may be room already.
    pub fn transition_to_waiting(&self, seen_tail: u32) -> bool {
        self.transition_to_waiting_unless(|| self.tail.0.load(Ordering::Acquire) != seen_tail)
    }

    /// Producer: asks to be told of room. False when `has_room`, which looks at what the consumer stores: the
    /// consumer may not have seen the flag then.
    pub fn transition_to_waiting_unless(&self, has_room: impl FnOnce() -> bool) -> bool {
        self.waiting.0.swap(WAITING, Ordering::SeqCst);
        // SeqCst: pairs with the fence in `room_needed`. Whichever of the two comes second sees the other's
        // store, so that either this thread sees the room or the consumer sees the flag.
        fence(Ordering::SeqCst);
        if has_room() {
            self.waiting.0.swap(0, Ordering::SeqCst);
            return false;
        }
        true
    }

    /// Consumer, after storing `tail`, or taking from beside the ring: whether the producer must be told. True once
    /// per wait.
    pub fn room_needed(&self) -> bool {
        // SeqCst: pairs with the fence in `transition_to_waiting`.
        fence(Ordering::SeqCst);
        self.waiting.0.load(Ordering::Relaxed) == WAITING
            && self.waiting.0.swap(0, Ordering::SeqCst) == WAITING
    }
}
