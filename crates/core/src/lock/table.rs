//! The requests of one lock, or of all named locks, and the operations on them.
//!
//! May be called from any thread of any process that maps the memory, with the caller's own [`OwnerId`]. All
//! changes are made under the guard (`turn`), see the parent module; [`Table::standing`] and waiting need no
//! guard.

use std::time::Duration;

use super::guard::Stuck;
use super::layout::{code, Kind, Mode, Name, Slot, Storage, MAGIC, VERSION};
use super::request::{granted, Ask, Refusal, Request, RequestId, Snapshot, Standing};
use super::turn::Turn;
use super::Environment;
use crate::crash;
use crate::liveness::OwnerId;
use crate::sync::Ordering;

/// Waiters search for dead owners at most this often.
const REAP_EVERY: Duration = Duration::from_millis(20);

/// The memory does not hold a table of this version.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the memory holds no lock of this version")]
pub struct Invalid;

/// A lock table; see the module documentation.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    pub(super) storage: Storage<'a>,
    pub(super) kind: Kind,
    pub(super) limit: u32,
}

/// Which lock of the table: the only one, or a name.
pub(super) type Lock<'n> = Option<&'n [u8]>;

impl<'a> Table<'a> {
    /// A table over memory initialised by its creator.
    ///
    /// # Errors
    /// [`Invalid`] when the header does not match the storage.
    pub fn new(storage: Storage<'a>) -> Result<Self, Invalid> {
        let header = storage.header;
        // Acquire: pairs with the Release in `initialise`.
        let is_ours = header.magic.load(Ordering::Acquire) == MAGIC
            && header.version.load(Ordering::Relaxed) == VERSION
            && header.slots.load(Ordering::Relaxed) as usize == storage.slots.len()
            && !storage.slots.is_empty();
        let kind = Kind::from_word(header.kind.load(Ordering::Relaxed)).ok_or(Invalid)?;
        let names = match kind {
            Kind::Names => storage.slots.len(),
            _ => 0,
        };
        if !is_ours || storage.names.len() != names {
            return Err(Invalid);
        }
        Ok(Self {
            storage,
            kind,
            limit: header.limit.load(Ordering::Relaxed),
        })
    }

    /// The kind of lock.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Permits of a semaphore, or parties of a barrier.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Makes a request.
    ///
    /// # Errors
    /// See [`Refusal`]; the table is unchanged then.
    pub fn request(&self, ask: &Ask<'_>, environment: &impl Environment) -> Result<Request, Refusal> {
        if self.kind == Kind::Barrier {
            // A party that died after arriving does not count.
            self.reap_now(ask.me, environment)?;
        }
        match self.request_once(ask, environment) {
            // A dead owner may be in the way.
            Err(refusal @ (Refusal::Unavailable | Refusal::Full)) => {
                if self.reap(ask.me, environment)? {
                    self.request_once(ask, environment)
                } else {
                    Err(refusal)
                }
            }
            done => done,
        }
    }

    fn request_once(&self, ask: &Ask<'_>, environment: &impl Environment) -> Result<Request, Refusal> {
        let mut turn = Turn::begin(self, ask.me, environment)?;
        let request = if self.top() == 0 && self.grants_first(ask) {
            Ok(turn.grant_first(ask))
        } else {
            turn.enqueue(ask, self.lock_of(ask.name))
        };
        turn.end(environment);
        request
    }

    /// The state of a request, read without the guard. Cheap.
    pub fn standing(&self, id: RequestId, me: OwnerId) -> Standing {
        let Some(slot) = self.storage.slots.get(id.index as usize) else {
            return Standing::Gone;
        };
        // Acquire: pairs with the Release of the transition, so that the details of the grant are visible.
        let state = slot.state.load(Ordering::Acquire);
        if state & !code::MASK != id.serial || slot.owner.load(Ordering::Relaxed) != me.word() {
            return Standing::Gone;
        }
        match state & code::MASK {
            code::PENDING => Standing::Pending,
            code::HELD => Standing::Held(granted(slot)),
            code::LOST => Standing::Lost,
            _ => Standing::Gone,
        }
    }

    /// Blocks the thread while the request is pending, for at most `slice`, and then looks for dead owners.
    ///
    /// # Errors
    /// [`Stuck`].
    pub fn wait(
        &self,
        id: RequestId,
        me: OwnerId,
        slice: Duration,
        environment: &impl Environment,
    ) -> Result<Standing, Stuck> {
        let standing = self.standing(id, me);
        let Some(slot) = self.storage.slots.get(id.index as usize) else {
            return Ok(standing);
        };
        if standing != Standing::Pending {
            return Ok(standing);
        }
        // No lost wake-up: a grant changes the word before it wakes.
        environment.sleep(&slot.state, id.serial | code::PENDING, slice);
        if self.standing(id, me) == Standing::Pending {
            self.reap(me, environment)?;
        }
        Ok(self.standing(id, me))
    }

    /// Releases a granted request. Returns false when it was stolen or does not exist.
    ///
    /// # Errors
    /// [`Stuck`].
    pub fn release(&self, id: RequestId, me: OwnerId, environment: &impl Environment) -> Result<bool, Stuck> {
        let ends = |standing: &Standing| matches!(standing, Standing::Held(_) | Standing::Lost);
        let standing = self.finish(id, me, environment, ends)?;
        Ok(matches!(standing, Standing::Held(_)))
    }

    /// Cancels a pending request and returns its state before. A request granted in the meantime stays
    /// granted.
    ///
    /// # Errors
    /// [`Stuck`].
    pub fn cancel(
        &self,
        id: RequestId,
        me: OwnerId,
        environment: &impl Environment,
    ) -> Result<Standing, Stuck> {
        self.finish(id, me, environment, |standing| *standing == Standing::Pending)
    }

    fn finish(
        &self,
        id: RequestId,
        me: OwnerId,
        environment: &impl Environment,
        ends: impl FnOnce(&Standing) -> bool,
    ) -> Result<Standing, Stuck> {
        let mut turn = Turn::begin(self, me, environment)?;
        let standing = self.standing(id, me);
        if ends(&standing) {
            turn.free(id.index as usize);
        }
        turn.end(environment);
        Ok(standing)
    }

    /// Notifies the `count` longest waiters. Returns how many were notified.
    ///
    /// # Errors
    /// [`Stuck`].
    pub fn notify(&self, count: u32, me: OwnerId, environment: &impl Environment) -> Result<u32, Stuck> {
        let mut turn = Turn::begin(self, me, environment)?;
        let notified = turn.notify(count as usize);
        turn.end(environment);
        Ok(notified as u32)
    }

    /// Whether the once cell is done.
    pub fn is_done(&self) -> bool {
        // Acquire: pairs with the Release in `set_done`.
        self.storage.header.done.load(Ordering::Acquire) == 1
    }

    /// Marks the once cell as done. To be called by the runner before it releases the lock.
    pub fn set_done(&self) {
        // Release: what the runner did is visible to a thread that sees it done.
        self.storage.header.done.store(1, Ordering::Release);
    }

    /// Whether a run with this hash has been recorded as completed.
    ///
    /// # Errors
    /// [`Stuck`].
    pub fn is_run_done(
        &self,
        hash: u128,
        me: OwnerId,
        environment: &impl Environment,
    ) -> Result<bool, Stuck> {
        let turn = Turn::begin(self, me, environment)?;
        let is_done = self.storage.runs.iter().any(|run| run.is(hash));
        turn.end(environment);
        Ok(is_done)
    }

    /// Records a run as completed. May overwrite the oldest record.
    ///
    /// # Errors
    /// [`Stuck`].
    pub fn note_run(&self, hash: u128, me: OwnerId, environment: &impl Environment) -> Result<(), Stuck> {
        let turn = Turn::begin(self, me, environment)?;
        let Storage { header, runs, .. } = self.storage;
        let next = header.done_next.load(Ordering::Relaxed);
        if let Some(run) = runs.get(next as usize % runs.len().max(1)) {
            run.store(hash);
            crash::point("lock-run-noted");
            header.done_next.store(next.wrapping_add(1), Ordering::Relaxed);
        }
        turn.end(environment);
        Ok(())
    }

    /// Looks for dead owners, unless this has been done recently, and ends their requests. Returns whether
    /// there was something to do.
    ///
    /// # Errors
    /// [`Stuck`].
    pub fn reap(&self, me: OwnerId, environment: &impl Environment) -> Result<bool, Stuck> {
        let reaped_at = &self.storage.header.reaped_at;
        let last = reaped_at.load(Ordering::Relaxed);
        let now = environment.now_ns().max(1);
        // A time in the future is forged.
        let is_recent = last != 0 && last <= now && now - last < REAP_EVERY.as_nanos() as u64;
        let is_mine = !is_recent
            && reaped_at
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if is_mine {
            self.reap_now(me, environment)
        } else {
            Ok(false)
        }
    }

    /// Like [`Table::reap`], without the rate limit.
    ///
    /// # Errors
    /// [`Stuck`].
    pub fn reap_now(&self, me: OwnerId, environment: &impl Environment) -> Result<bool, Stuck> {
        let is_dead = |word: &u64| OwnerId::from_word(*word).is_none_or(|owner| !environment.is_alive(owner));
        // All slots, as a thread that died inside the guard may have left `top` out of date.
        let slots = self.storage.slots.iter();
        let mut owners: Vec<u64> = slots
            .filter(|slot| !matches!(slot.code(), code::FREE | code::ORPHAN))
            .map(|slot| slot.owner.load(Ordering::Relaxed))
            .chain(self.holder_without_slot())
            .filter(|owner| *owner != me.word())
            .collect();
        owners.sort_unstable();
        owners.dedup();
        owners.retain(is_dead);
        let inside = self.storage.header.guard.load(Ordering::Relaxed);
        let died_inside = inside != 0 && inside != me.word() && is_dead(&inside);
        if owners.is_empty() && !died_inside {
            return Ok(false);
        }
        let mut turn = Turn::begin(self, me, environment)?;
        turn.bury(|owner| owners.binary_search(&owner).is_ok());
        turn.end(environment);
        Ok(true)
    }

    /// Ends all requests of the calling thread, which is about to exit, as if it had died.
    ///
    /// # Errors
    /// [`Stuck`].
    pub fn abandon(&self, me: OwnerId, environment: &impl Environment) -> Result<(), Stuck> {
        if self.has_owner(me) {
            let mut turn = Turn::begin(self, me, environment)?;
            turn.bury(|owner| owner == me.word());
            turn.end(environment);
        }
        Ok(())
    }

    /// Whether a thread has any request.
    pub fn has_owner(&self, me: OwnerId) -> bool {
        let mut owners = self.used().map(|(_, slot)| slot.owner.load(Ordering::Relaxed));
        self.holder_without_slot() == Some(me.word()) || owners.any(|owner| owner == me.word())
    }

    /// All requests, oldest first.
    ///
    /// # Errors
    /// [`Stuck`].
    pub fn query(&self, me: OwnerId, environment: &impl Environment) -> Result<Vec<Snapshot>, Stuck> {
        let turn = Turn::begin(self, me, environment)?;
        let mut all: Vec<Snapshot> = self
            .used()
            .filter(|(_, slot)| matches!(slot.code(), code::PENDING | code::HELD))
            .map(|(index, slot)| Snapshot::of(slot, self.name(index)))
            .collect();
        turn.end(environment);
        all.sort_unstable_by_key(|request| request.ticket);
        Ok(all)
    }

    pub(super) fn top(&self) -> usize {
        (self.storage.header.top.load(Ordering::Relaxed) as usize).min(self.storage.slots.len())
    }

    pub(super) fn set_top(&self, top: usize) {
        self.storage.header.top.store(top as u32, Ordering::Relaxed);
    }

    /// Slots in use, according to `top`.
    pub(super) fn used(&self) -> impl Iterator<Item = (usize, &'a Slot)> {
        let slots = self.storage.slots[..self.top()].iter().enumerate();
        slots.filter(|(_, slot)| slot.code() != code::FREE)
    }

    pub(super) fn lock_of<'n>(&self, name: &'n [u8]) -> Lock<'n> {
        (self.kind == Kind::Names).then_some(name)
    }

    pub(super) fn name(&self, index: usize) -> Vec<u8> {
        self.storage.names.get(index).map_or_else(Vec::new, Name::load)
    }

    pub(super) fn belongs_to(&self, index: usize, slot: &Slot, lock: Lock<'_>) -> bool {
        lock.is_none_or(|name| {
            slot.hash.load(Ordering::Relaxed) == name_hash(name) && self.name(index) == name
        })
    }

    /// Whether a request to an empty table is granted at once.
    fn grants_first(&self, ask: &Ask<'_>) -> bool {
        match self.kind {
            Kind::Lock | Kind::Names => true,
            Kind::Semaphore => ask.permits <= self.limit,
            Kind::Condition | Kind::Barrier => false,
        }
    }

    /// Whether only the thread that is about to block could make this request grantable.
    pub(super) fn is_deadlock(&self, ask: &Ask<'_>, lock: Lock<'_>) -> bool {
        let all = || {
            self.used()
                .filter(|(_, slot)| matches!(slot.code(), code::PENDING | code::HELD))
                .filter(|(index, slot)| self.belongs_to(*index, slot, lock))
                .map(|(_, slot)| slot)
        };
        let own = || all().filter(|slot| slot.owner.load(Ordering::Relaxed) == ask.me.word());
        match self.kind {
            Kind::Lock | Kind::Names => {
                let is_exclusive = |slot: &Slot| slot.mode() == Mode::Exclusive;
                own().next().is_some() && (ask.mode == Mode::Exclusive || all().any(is_exclusive))
            }
            Kind::Semaphore => {
                let permits = own().map(|slot| u64::from(slot.permits.load(Ordering::Relaxed)));
                let own = permits.fold(0, u64::saturating_add);
                own > 0 && own + u64::from(ask.permits) > u64::from(self.limit)
            }
            Kind::Condition | Kind::Barrier => false,
        }
    }
}

pub(super) fn name_hash(name: &[u8]) -> u64 {
    super::layout::hash(name) as u64
}
