//! The uncontended fast path: a lock is held without a slot, and one word of the header records its holder.
//!
//! ```text
//!      0 free --- take: compare-and-swap ---> owner word --- leave: compare-and-swap ---> 0 free
//!        |                                        |
//!        | the guard is acquired: all requests move to slots, including the holder's
//!        v                                        v
//!     IN_SLOTS --- the guard is released with no slot in use ---> 0 free
//! ```
//!
//! The word can be taken only while there are no other requests, so it never overtakes any; and inside the
//! guard there are slots only, so the rest of the lock implementation need not know about the shortcut.
//! `lib/locks/shortcut.js` performs the same two compare-and-swaps from JavaScript.
//!
//! A holder that dies is found in the word by the next requester and becomes the slot of a dead owner. A
//! thread that dies while it moves the holder into a slot has written the slot first: its successor finds
//! that the word is not `IN_SLOTS` and discards that slot.

use super::guard::Stuck;
use super::layout::{code, flag, Header, Kind, Slot, IN_SLOTS};
use super::table::Table;
use super::turn::Turn;
use super::Environment;
use crate::crash;
use crate::liveness::OwnerId;
use crate::sync::Ordering;

const FREE: u64 = 0;
/// Other threads may take and leave the lock meanwhile, but not this often.
const TRIES: usize = 10_000;

impl Table<'_> {
    /// Takes an uncontended lock and returns the fencing token. `None` when a regular request is needed.
    pub fn take(&self, me: OwnerId) -> Option<u64> {
        if self.kind != Kind::Lock {
            return None;
        }
        let header = self.storage.header;
        // Acquire: pairs with the Release of the previous holder.
        let taken = header
            .shortcut
            .compare_exchange(FREE, me.word(), Ordering::Acquire, Ordering::Relaxed);
        taken.ok()?;
        crash::point("lock-shortcut-taken");
        Some(header.next_fence())
    }

    /// Releases a lock acquired by [`Table::take`]. Returns false when this thread does not hold it.
    ///
    /// # Errors
    /// [`Stuck`].
    pub fn leave(&self, me: OwnerId, environment: &impl Environment) -> Result<bool, Stuck> {
        let shortcut = &self.storage.header.shortcut;
        // Release: pairs with the Acquire of the next holder.
        let left = shortcut.compare_exchange(me.word(), FREE, Ordering::Release, Ordering::Relaxed);
        crash::point("lock-shortcut-left");
        if left.is_ok() {
            return Ok(true);
        }
        let mut turn = Turn::begin(self, me, environment)?;
        let mine = self.used().find(|(_, slot)| {
            slot.code() == code::HELD
                && slot.owner.load(Ordering::Relaxed) == me.word()
                && slot.flags.load(Ordering::Relaxed) & flag::SHORTCUT != 0
        });
        let index = mine.map(|(index, _)| index);
        if let Some(index) = index {
            turn.free(index);
        }
        turn.end(environment);
        Ok(index.is_some())
    }

    /// The holder without a slot, if there is one.
    pub(super) fn holder_without_slot(&self) -> Option<u64> {
        let holder = self.storage.header.shortcut.load(Ordering::Relaxed);
        (self.kind == Kind::Lock && !matches!(holder, FREE | IN_SLOTS)).then_some(holder)
    }
}

impl Turn<'_, '_> {
    /// On acquiring the guard: until [`Turn::close_slots`], the slots are the complete state of the lock.
    pub(super) fn open_slots(&self, recovered: bool) -> Result<(), Stuck> {
        let (kind, storage) = (self.table.kind, self.table.storage);
        let shortcut = &storage.header.shortcut;
        let mut holder = shortcut.load(Ordering::Relaxed);
        if kind != Kind::Lock || holder == IN_SLOTS {
            return Ok(());
        }
        let Some(slot) = storage.slots.first() else {
            return Ok(());
        };
        if recovered || slot.code() != code::FREE {
            // Only leftovers of a thread that died here are possible: the slot of a holder that it had not
            // finished moving.
            for slot in storage.slots.iter().filter(|slot| slot.code() != code::FREE) {
                slot.transition_to(code::FREE);
            }
        }
        for _ in 0..TRIES {
            if holder != FREE {
                self.fill_with_holder(slot, holder);
                crash::point("lock-shortcut-copied");
            }
            // Acquire: pairs with the Release of the previous holder. Release: a thread that sees `IN_SLOTS`
            // sees the slot.
            match shortcut.compare_exchange(holder, IN_SLOTS, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(FREE) => return Ok(()),
                Ok(_) => {
                    crash::point("lock-shortcut-moved");
                    self.table.set_top(self.table.top().max(1));
                    return Ok(());
                }
                Err(now) => {
                    if holder != FREE {
                        slot.transition_to(code::FREE);
                    }
                    holder = now;
                }
            }
        }
        Err(Stuck)
    }

    /// On releasing the guard: reopens the shortcut when no slot is in use.
    pub(super) fn close_slots(&self) {
        if self.table.kind == Kind::Lock && self.table.top() == 0 {
            // Release: pairs with the Acquire of the next thread that takes it.
            self.table.storage.header.shortcut.store(FREE, Ordering::Release);
        }
    }

    fn fill_with_holder(&self, slot: &Slot, holder: u64) {
        let Header { ticket, fence, .. } = self.table.storage.header;
        let place = ticket.load(Ordering::Relaxed).wrapping_add(1);
        ticket.store(place, Ordering::Relaxed);
        slot.flags.store(flag::SHORTCUT, Ordering::Relaxed);
        slot.owner.store(holder, Ordering::Relaxed);
        // Unknown here; it can be looked up from the owner when needed.
        slot.pid.store(0, Ordering::Relaxed);
        slot.ticket.store(place, Ordering::Relaxed);
        slot.permits.store(1, Ordering::Relaxed);
        let fence = f64::from_bits(fence.load(Ordering::Relaxed));
        slot.fence.store(fence as u64, Ordering::Relaxed);
        slot.transition_to_used(code::HELD);
    }
}
