//! Changes to slots under the guard. After each store the slots are consistent by themselves, so a crash
//! between any two leaves nothing to undo; [`Turn::begin`] of the next holder recomputes the derived data.

use super::admit::{admit, Entry};
use super::guard::{self, Guard, Stuck};
use super::layout::{code, flag, Kind, Mode, Slot, Storage};
use super::request::{granted, Ask, Granted, Refusal, Request, RequestId, Waiting};
use super::table::{name_hash, Lock, Table};
use super::Environment;
use crate::crash;
use crate::liveness::OwnerId;
use crate::sync::Ordering;

/// One critical section under the guard, and the threads to wake after it.
pub(super) struct Turn<'t, 'a> {
    pub(super) table: &'t Table<'a>,
    wakes: Vec<(&'a Slot, u64)>,
    guard: Guard<'a>,
}

impl<'t, 'a> Turn<'t, 'a> {
    /// Acquires the guard, moves a shortcut holder into a slot, and repairs the table if the previous holder
    /// died.
    pub(super) fn begin(
        table: &'t Table<'a>,
        me: OwnerId,
        environment: &impl Environment,
    ) -> Result<Self, Stuck> {
        let guard = guard::enter(table.storage.header, me, environment)?;
        let recovered = guard.recovered;
        let mut turn = Self {
            table,
            wakes: Vec::new(),
            guard,
        };
        turn.open_slots(recovered)?;
        if recovered {
            turn.repair();
        }
        Ok(turn)
    }

    /// Releases the guard, then wakes.
    pub(super) fn end(self, environment: &impl Environment) {
        self.close_slots();
        drop(self.guard);
        for (slot, owner) in self.wakes {
            if slot.flags.load(Ordering::Relaxed) & flag::BLOCKING != 0 {
                environment.wake(&slot.state);
            } else if let Some(owner) = OwnerId::from_word(owner) {
                environment.ring(owner);
            }
        }
    }

    /// Recomputes all data derived from the slots.
    #[cold]
    fn repair(&mut self) {
        let slots = self.table.storage.slots;
        let last = slots.iter().rposition(|slot| slot.code() != code::FREE);
        self.table.set_top(last.map_or(0, |last| last + 1));
        self.admit_all();
    }

    /// Grants the first request of an empty table.
    pub(super) fn grant_first(&mut self, ask: &Ask<'_>) -> Request {
        let ticket = self.fill(0, ask);
        let slot = &self.table.storage.slots[0];
        let fence = self.table.storage.header.next_fence();
        slot.fence.store(fence, Ordering::Relaxed);
        crash::point("lock-request-filled");
        let state = slot.transition_to_used(code::HELD);
        crash::point("lock-request-pending");
        self.table.set_top(1);
        Request {
            id: RequestId {
                index: 0,
                serial: state & !code::MASK,
            },
            ticket,
            granted: Some(Granted {
                fence,
                owner_died: false,
                is_last: false,
            }),
        }
    }

    /// Enqueues a request and grants what can now be granted.
    pub(super) fn enqueue(&mut self, ask: &Ask<'_>, lock: Lock<'_>) -> Result<Request, Refusal> {
        let table = self.table;
        if ask.waiting == Waiting::Blocking && table.is_deadlock(ask, lock) {
            return Err(Refusal::Deadlock);
        }
        let index = self.take_slot()?;
        let reused = &table.storage.slots[index];
        let succeeds_dead = reused.code() == code::ORPHAN && table.belongs_to(index, reused, lock);
        if ask.steal {
            self.steal(lock);
        }
        let ticket = self.fill(index, ask);
        let slot = reused;
        if succeeds_dead {
            slot.flags.fetch_or(flag::OWNER_DIED, Ordering::Relaxed);
        }
        crash::point("lock-request-filled");
        let state = slot.transition_to_used(code::PENDING);
        crash::point("lock-request-pending");
        table.set_top(table.top().max(index + 1));
        if ask.steal {
            // Ahead of all waiters.
            self.grant(&[index], lock);
        } else {
            self.admit(lock);
        }
        // The requester learns of its own grant from the return value.
        self.wakes.retain(|(woken, _)| !std::ptr::eq(*woken, slot));
        let is_held = slot.code() == code::HELD;
        if !is_held && ask.waiting == Waiting::Never {
            self.free(index);
            return Err(Refusal::Unavailable);
        }
        if is_held && table.kind == Kind::Barrier {
            slot.flags.fetch_or(flag::LAST, Ordering::Relaxed);
        }
        let id = RequestId {
            index: index as u32,
            serial: state & !code::MASK,
        };
        let granted = is_held.then(|| granted(slot));
        Ok(Request { id, ticket, granted })
    }

    /// A free slot or, if there is none, that of a dead owner whose death nobody has been told of yet.
    fn take_slot(&self) -> Result<usize, Refusal> {
        let slots = self.table.storage.slots;
        let with = |wanted| slots.iter().position(|slot| slot.code() == wanted);
        with(code::FREE)
            .or_else(|| with(code::ORPHAN))
            .ok_or(Refusal::Full)
    }

    fn fill(&self, index: usize, ask: &Ask<'_>) -> u64 {
        let Storage {
            header, slots, names, ..
        } = self.table.storage;
        let slot = &slots[index];
        let ticket = header.ticket.load(Ordering::Relaxed).wrapping_add(1);
        header.ticket.store(ticket, Ordering::Relaxed);
        let mut flags = 0;
        if ask.mode == Mode::Shared {
            flags |= flag::SHARED;
        }
        if ask.waiting == Waiting::Blocking {
            flags |= flag::BLOCKING;
        }
        slot.flags.store(flags, Ordering::Relaxed);
        slot.owner.store(ask.me.word(), Ordering::Relaxed);
        slot.pid.store(ask.pid, Ordering::Relaxed);
        slot.ticket.store(ticket, Ordering::Relaxed);
        slot.permits.store(ask.permits, Ordering::Relaxed);
        if let Some(name) = names.get(index) {
            name.store(ask.name);
            slot.hash.store(name_hash(ask.name), Ordering::Relaxed);
            slot.parent.store(ask.parent, Ordering::Relaxed);
        }
        ticket
    }

    /// Ends a request and grants those it blocked.
    pub(super) fn free(&mut self, index: usize) {
        let slot = &self.table.storage.slots[index];
        slot.transition_to(code::FREE);
        crash::point("lock-release-freed");
        self.lower_top();
        if self.table.top() > 0 {
            let name = self.table.name(index);
            self.admit(self.table.lock_of(&name));
        }
    }

    fn lower_top(&self) {
        let used = &self.table.storage.slots[..self.table.top()];
        let last = used.iter().rposition(|slot| slot.code() != code::FREE);
        self.table.set_top(last.map_or(0, |last| last + 1));
    }

    /// Grants all grantable requests of one lock.
    fn admit(&mut self, lock: Lock<'_>) {
        let table = self.table;
        let mut entries: Vec<Entry> = table
            .used()
            .filter(|(_, slot)| matches!(slot.code(), code::PENDING | code::HELD))
            .filter(|(index, slot)| table.belongs_to(*index, slot, lock))
            .map(|(index, slot)| Entry {
                index,
                ticket: slot.ticket.load(Ordering::Relaxed),
                is_held: slot.code() == code::HELD,
                mode: slot.mode(),
                permits: slot.permits.load(Ordering::Relaxed),
            })
            .collect();
        let granted = admit(table.kind, table.limit, &mut entries);
        if !granted.is_empty() {
            self.grant(&granted, lock);
        }
    }

    fn admit_all(&mut self) {
        if self.table.kind != Kind::Names {
            return self.admit(None);
        }
        let waiting = self.table.used().filter(|(_, slot)| slot.code() == code::PENDING);
        let mut names: Vec<Vec<u8>> = waiting.map(|(index, _)| self.table.name(index)).collect();
        names.sort_unstable();
        names.dedup();
        for name in &names {
            self.admit(Some(name));
        }
    }

    /// Marks the new holders before it frees the orphaned slots: after a crash in between, a death is
    /// reported twice rather than never.
    fn grant(&mut self, granted: &[usize], lock: Lock<'_>) {
        let table = self.table;
        let orphans: Vec<&Slot> = table
            .used()
            .filter(|(_, slot)| slot.code() == code::ORPHAN)
            .filter(|(index, slot)| table.belongs_to(*index, slot, lock))
            .map(|(_, slot)| slot)
            .collect();
        for &index in granted {
            let slot = &table.storage.slots[index];
            slot.fence
                .store(self.table.storage.header.next_fence(), Ordering::Relaxed);
            if !orphans.is_empty() {
                slot.flags.fetch_or(flag::OWNER_DIED, Ordering::Relaxed);
            }
            self.transition_to_held(slot);
            crash::point("lock-granted-one");
        }
        for orphan in orphans {
            orphan.transition_to(code::FREE);
        }
        self.lower_top();
        crash::point("lock-admitted");
    }

    fn transition_to_held(&mut self, slot: &'a Slot) {
        let owner = slot.owner.load(Ordering::Relaxed);
        slot.transition_to(code::HELD);
        self.wakes.push((slot, owner));
    }

    fn steal(&mut self, lock: Lock<'_>) {
        let table = self.table;
        let held = table.used().filter(|(_, slot)| slot.code() == code::HELD);
        for (_, slot) in held.filter(|(index, slot)| table.belongs_to(*index, slot, lock)) {
            slot.transition_to(code::LOST);
            crash::point("lock-stolen-one");
            self.wakes.push((slot, slot.owner.load(Ordering::Relaxed)));
        }
    }

    /// Grants the `count` longest waiters.
    pub(super) fn notify(&mut self, count: usize) -> usize {
        let waiting = self.table.used().filter(|(_, slot)| slot.code() == code::PENDING);
        let mut waiting: Vec<(u64, &'a Slot)> = waiting
            .map(|(_, slot)| (slot.ticket.load(Ordering::Relaxed), slot))
            .collect();
        waiting.sort_unstable_by_key(|(ticket, _)| *ticket);
        waiting.truncate(count);
        for (_, slot) in &waiting {
            self.transition_to_held(slot);
            crash::point("lock-notified-one");
        }
        waiting.len()
    }

    /// Ends the requests of dead owners. A notification that a dead waiter had not consumed goes to another
    /// one.
    pub(super) fn bury(&mut self, is_dead: impl Fn(u64) -> bool) {
        let table = self.table;
        let dead: Vec<&Slot> = table
            .used()
            .map(|(_, slot)| slot)
            .filter(|slot| slot.code() != code::ORPHAN && is_dead(slot.owner.load(Ordering::Relaxed)))
            .collect();
        // Pending requests first, so that nothing is granted to a dead waiter.
        let (held, waiting): (Vec<&Slot>, Vec<&Slot>) =
            dead.into_iter().partition(|slot| slot.code() == code::HELD);
        for slot in waiting {
            slot.transition_to(code::FREE);
            crash::point("lock-orphaned-one");
        }
        for slot in held {
            let leaves_doubt = match table.kind {
                Kind::Lock | Kind::Names => slot.mode() == Mode::Exclusive,
                Kind::Semaphore => true,
                Kind::Condition | Kind::Barrier => false,
            };
            if table.kind == Kind::Condition {
                // Before freeing the slot: after a crash in between, the notification is passed on twice
                // rather than lost.
                self.notify(1);
            }
            slot.transition_to(if leaves_doubt { code::ORPHAN } else { code::FREE });
            crash::point("lock-orphaned-one");
        }
        self.lower_top();
        self.admit_all();
    }
}
