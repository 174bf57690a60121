//! A lock that nobody else asks for is held without a slot: one word of the header says who holds it.
//!
//! ```text
//!      0 free --- take: compare-and-swap ---> owner word --- leave: compare-and-swap ---> 0 free
//!        |                                        |
//!        | whoever enters the guard: all requests are in the slots now, the holder's too
//!        v                                        v
//!     IN_SLOTS --- leaves the guard, and no slot is in use ---> 0 free
//! ```
//!
//! So only the first to come takes the word, nobody overtakes by it, and inside the guard there are slots only:
//! everything else about locks is as if there were no shortcut. `lib/locks/shortcut.js` does the same two
//! compare-and-swaps from JavaScript.
//!
//! A holder that dies is found in the word by whoever asks next, and becomes a slot of a dead owner. Who dies while it
//! moves a holder into a slot has stored the slot first: the next to enter finds that the word still says otherwise,
//! and that the slot therefore counts for nothing.

use super::guard::Stuck;
use super::layout::{code, flag, Header, Kind, Slot, IN_SLOTS};
use super::table::Table;
use super::turn::Turn;
use super::Environment;
use crate::crash;
use crate::liveness::OwnerId;
use crate::sync::Ordering;

const FREE: u64 = 0;
/// Others take and leave the lock meanwhile, but not so often.
const TRIES: usize = 10_000;

impl Table<'_> {
    /// Takes a lock that nobody holds or waits for. The fencing token, or `None` when it has to be asked for.
    pub fn take(&self, me: OwnerId) -> Option<u64> {
        if self.kind != Kind::Lock {
            return None;
        }
        let header = self.storage.header;
        // Acquire: pairs with the Release of who had it before.
        let taken = header
            .shortcut
            .compare_exchange(FREE, me.word(), Ordering::Acquire, Ordering::Relaxed);
        taken.ok()?;
        crash::point("lock-shortcut-taken");
        Some(header.next_fence())
    }

    /// Lets go of what [`Table::take`] gave. False when this thread does not have it.
    ///
    /// # Errors
    /// [`Stuck`].
    pub fn leave(&self, me: OwnerId, environment: &impl Environment) -> Result<bool, Stuck> {
        let shortcut = &self.storage.header.shortcut;
        // Release: pairs with the Acquire of the next.
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

    /// Who holds the lock without a slot, if anybody does.
    pub(super) fn holder_without_slot(&self) -> Option<u64> {
        let holder = self.storage.header.shortcut.load(Ordering::Relaxed);
        (self.kind == Kind::Lock && !matches!(holder, FREE | IN_SLOTS)).then_some(holder)
    }
}

impl Turn<'_, '_> {
    /// Entering: from here to [`Turn::close_slots`], all there is of the lock is in the slots.
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
            // There can be only what one that died here left: the slot of a holder that it did not come to move.
            for slot in storage.slots.iter().filter(|slot| slot.code() != code::FREE) {
                slot.transition_to(code::FREE);
            }
        }
        for _ in 0..TRIES {
            if holder != FREE {
                self.fill_with_holder(slot, holder);
                crash::point("lock-shortcut-copied");
            }
            // Acquire: pairs with the Release of who had the lock before. Release: who finds IN_SLOTS finds the slot.
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

    /// Leaving: when no slot is in use, the lock can be had by the word.
    pub(super) fn close_slots(&self) {
        if self.table.kind == Kind::Lock && self.table.top() == 0 {
            // Release: pairs with the Acquire of the next to take it.
            self.table.storage.header.shortcut.store(FREE, Ordering::Release);
        }
    }

    fn fill_with_holder(&self, slot: &Slot, holder: u64) {
        let Header { ticket, fence, .. } = self.table.storage.header;
        let place = ticket.load(Ordering::Relaxed).wrapping_add(1);
        ticket.store(place, Ordering::Relaxed);
        slot.flags.store(flag::SHORTCUT, Ordering::Relaxed);
        slot.owner.store(holder, Ordering::Relaxed);
        // Not known here; whoever wants to know can ask for it.
        slot.pid.store(0, Ordering::Relaxed);
        slot.ticket.store(place, Ordering::Relaxed);
        slot.permits.store(1, Ordering::Relaxed);
        let fence = f64::from_bits(fence.load(Ordering::Relaxed));
        slot.fence.store(fence as u64, Ordering::Relaxed);
        slot.transition_to_used(code::HELD);
    }
}
