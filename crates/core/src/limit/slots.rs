//! One word of state per key, found by the key's hash and changed by compare-and-swap.
//!
//! ```text
//! set (32 words)   word 0    lock: `OwnerLock`, for insertion
//!                  2, 4 ..   hash of the key, 0: unused        3, 5 ..  state; `CLAIMED` while the place is reassigned
//! ```
//!
//! Each key has two candidate sets. Using an existing place needs no lock. To insert a key, a thread locks
//! both sets and takes over the place of a key whose state is idle: it sets the state to `CLAIMED`, stores
//! the hash, and then a fresh state. A thread that has loaded the previous state fails its compare-and-swap,
//! because the fresh state differs from it (no ABA). Places left `CLAIMED` by a dead thread are unused.
//!
//! Keys are identified by 63 bits of a seeded hash: among a million keys, the probability that two share a
//! state is about one in twenty million.

use crate::crash;
use crate::shm::owner_lock::{Acquired, Host, OwnerLock, Stuck};
use crate::shm::words::{Corrupt, Words};
use crate::sync::{AtomicU64, Ordering};

/// Size of a set in words.
pub const SET_WORDS: usize = 32;
/// Number of places in a set.
pub const PLACES: usize = SET_WORDS / 2 - 1;
/// A state that no key has.
const CLAIMED: u64 = u64::MAX;
/// Attempts of a thread that finds `CLAIMED` before it takes the lock to check.
const TRIES: u32 = 32;

/// Why a key has no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SlotError {
    /// All places are taken by keys whose states are not idle.
    #[error("there are too many keys")]
    Full,
    /// The lock's owner is alive but makes no progress.
    #[error("a living thread does not go on")]
    Stuck,
    /// The memory is invalid.
    #[error("the memory is corrupt")]
    Corrupt,
}

impl From<Corrupt> for SlotError {
    fn from(_: Corrupt) -> Self {
        Self::Corrupt
    }
}

impl From<Stuck> for SlotError {
    fn from(_: Stuck) -> Self {
        Self::Stuck
    }
}

/// The interpretation of states.
pub trait Meaning {
    /// Whether a state is equivalent to a fresh one.
    fn is_idle(&self, state: u64) -> bool;
    /// An idle state that differs from `before`.
    fn fresh(&self, before: u64) -> u64;
}

/// A view of all sets.
#[derive(Clone, Copy, Debug)]
pub struct Slots<'a> {
    words: Words<'a>,
    sets: usize,
}

impl<'a> Slots<'a> {
    /// The sets in `words`, whose number must be a power of two.
    ///
    /// # Errors
    /// For any other number.
    pub fn new(words: Words<'a>) -> Result<Self, Corrupt> {
        let sets = words.len() / SET_WORDS;
        match sets.is_power_of_two() {
            true => Ok(Self { words, sets }),
            false => Err(Corrupt),
        }
    }

    /// The two sets of a hash, in ascending order; they may be the same.
    fn sets_of(self, hash: u64) -> [usize; 2] {
        let one = (hash >> 8) as usize & (self.sets - 1);
        let other = (hash >> 36) as usize & (self.sets - 1);
        [one.min(other), one.max(other)]
    }

    fn place(self, set: usize, place: usize) -> usize {
        set * SET_WORDS + 2 + place * 2
    }

    /// The index of a hash's place.
    #[inline]
    fn find(self, hash: u64) -> Result<Option<usize>, Corrupt> {
        for set in self.sets_of(hash) {
            for place in 0..PLACES {
                let index = self.place(set, place);
                if self.words.at(index)?.load(Ordering::Acquire) == hash {
                    return Ok(Some(index));
                }
            }
        }
        Ok(None)
    }

    /// Changes the state of a key. `change` returns the new state, or `None` to keep the current one, and is
    /// called again after a lost race. Returns the last result of `change`.
    ///
    /// # Errors
    /// `Full`, `Stuck`, `Corrupt`.
    pub fn change<T>(
        self,
        host: &impl Host,
        hash: u64,
        meaning: &impl Meaning,
        mut change: impl FnMut(u64) -> (Option<u64>, T),
    ) -> Result<T, SlotError> {
        let hash = hash | 1;
        let mut tries = 0;
        loop {
            let index = match self.find(hash)? {
                Some(index) => index,
                None => self.insert(host, hash, meaning)?,
            };
            let word = self.words.at(index + 1)?;
            // Acquire: pairs with the store of a fresh state; the hash loaded next is the one stored before
            // that state, or a newer one.
            let state = word.load(Ordering::Acquire);
            let is_ours = self.words.at(index)?.load(Ordering::Acquire) == hash;
            if !is_ours || state == CLAIMED {
                tries += 1;
                if tries > TRIES {
                    self.clean(host, hash)?;
                    tries = 0;
                }
                continue;
            }
            let (next, outcome) = change(state);
            let Some(next) = next else {
                return Ok(outcome);
            };
            crash::point("limit.swap");
            // The place has not been reassigned since, as that would have changed the state.
            if word
                .compare_exchange(state, next, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
            {
                return Ok(outcome);
            }
        }
    }

    /// The state of a key, if it has one.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn peek(self, hash: u64) -> Result<Option<u64>, Corrupt> {
        let Some(index) = self.find(hash | 1)? else {
            return Ok(None);
        };
        let state = self.words.at(index + 1)?.load(Ordering::Acquire);
        Ok((state != CLAIMED).then_some(state))
    }

    fn locked<T>(
        self,
        host: &impl Host,
        hash: u64,
        action: impl FnOnce() -> Result<T, SlotError>,
    ) -> Result<T, SlotError> {
        let [low, high] = self.sets_of(hash);
        let lock = |set: usize| -> Result<OwnerLock<'a>, SlotError> {
            let lock = OwnerLock::new(self.words.at(set * SET_WORDS)?);
            match lock.acquire(host)? {
                Acquired::Free => {}
                Acquired::OwnerDied => self.disown(set)?,
            }
            Ok(lock)
        };
        let first = lock(low)?;
        // Always in ascending order, to avoid deadlocks.
        let second = if high == low { None } else { Some(lock(high)) };
        let outcome = match second {
            Some(Err(error)) => Err(error),
            _ => action(),
        };
        if let Some(Ok(second)) = second {
            second.release();
        }
        first.release();
        outcome
    }

    /// Lock holder: releases places that a dead thread was reassigning.
    fn disown(self, set: usize) -> Result<(), Corrupt> {
        for place in 0..PLACES {
            let index = self.place(set, place);
            if self.words.load(index + 1)? == CLAIMED {
                self.words.store(index, 0)?;
            }
        }
        Ok(())
    }

    /// Checks whether a thread died while it reassigned a place in the sets of this hash.
    #[cold]
    fn clean(self, host: &impl Host, hash: u64) -> Result<(), SlotError> {
        self.locked(host, hash, || {
            // Only lock holders claim places, so all places still claimed are left over.
            for set in self.sets_of(hash) {
                self.disown(set)?;
            }
            Ok(())
        })
    }

    #[cold]
    fn insert(self, host: &impl Host, hash: u64, meaning: &impl Meaning) -> Result<usize, SlotError> {
        self.locked(host, hash, || {
            if let Some(index) = self.find(hash)? {
                return Ok(index);
            }
            for set in self.sets_of(hash) {
                for place in 0..PLACES {
                    let index = self.place(set, place);
                    if self.take(index, hash, meaning)? {
                        return Ok(index);
                    }
                }
            }
            Err(SlotError::Full)
        })
    }

    /// Lock holder: takes over a place that is unused or idle.
    fn take(self, index: usize, hash: u64, meaning: &impl Meaning) -> Result<bool, Corrupt> {
        let word: &AtomicU64 = self.words.at(index + 1)?;
        let state = word.load(Ordering::Acquire);
        let is_nobodys = self.words.load(index)? == 0;
        if !is_nobodys && state != CLAIMED && !meaning.is_idle(state) {
            return Ok(false);
        }
        crash::point("limit.claim");
        if word
            .compare_exchange(state, CLAIMED, Ordering::AcqRel, Ordering::Relaxed)
            .is_err()
        {
            // Its key has just been used.
            return Ok(false);
        }
        crash::point("limit.claimed");
        self.words.publish(index, hash)?;
        crash::point("limit.named");
        self.words.publish(index + 1, meaning.fresh(state))?;
        Ok(true)
    }
}
