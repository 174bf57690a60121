//! One word of state per key, found by the key's hash, changed by compare-and-swap.
//!
//! ```text
//! set (32 words)   word 0    lock: `OwnerLock`, for who puts a key in
//!                  2, 4 ..   hash of the key, 0: nobody's        3, 5 ..  state; `CLAIMED` while it changes hands
//! ```
//!
//! A key may be in either of two sets. Who finds it there needs no lock. Who puts it in takes the locks of both
//! sets, and the place of a key whose state says nothing any more: state to `CLAIMED`, the hash, the new state.
//! Whoever loaded the state before meets another one in its compare-and-swap. `CLAIMED` places that a dead thread
//! left belong to nobody.
//!
//! Keys are told apart by 63 bits of a seeded hash: of a million keys, two share a state with a probability of
//! one in twenty million.

use crate::crash;
use crate::shm::owner_lock::{Acquired, Host, OwnerLock, Stuck};
use crate::shm::words::{Corrupt, Words};
use crate::sync::{AtomicU64, Ordering};

/// Words of a set.
pub const SET_WORDS: usize = 32;
/// Keys that a set has room for.
pub const PLACES: usize = SET_WORDS / 2 - 1;
/// A state that no key has.
const CLAIMED: u64 = u64::MAX;
/// Tries before a thread that meets `CLAIMED` looks with the lock.
const TRIES: u32 = 32;

/// Why a key has no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SlotError {
    /// All places are taken by keys whose states still say something.
    #[error("there are too many keys")]
    Full,
    /// Whoever has the lock lives, but does not go on.
    #[error("a living thread does not go on")]
    Stuck,
    /// The memory is not what it should be.
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

/// What states mean.
pub trait Meaning {
    /// Whether a state says nothing more than a fresh one.
    fn is_idle(&self, state: u64) -> bool;
    /// A state that says nothing, and is not `before`.
    fn fresh(&self, before: u64) -> u64;
}

/// The sets.
#[derive(Clone, Copy, Debug)]
pub struct Slots<'a> {
    words: Words<'a>,
    sets: usize,
}

impl<'a> Slots<'a> {
    /// Over words for a power of two of sets.
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

    /// The two sets of a hash, the lower first; they may be the same.
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

    /// Changes the state of a key: `change` is asked for the new one, `None` to leave it, and is called again
    /// when another thread was faster. Returns what `change` did last.
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
            // Acquire: pairs with the store of a fresh state; the hash looked at next is that state's or newer.
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
            // The place has not changed hands since: that takes another state.
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
        // Always in this order, so that two do not wait for each other.
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

    /// Holder: makes places that a dead thread was changing nobody's.
    fn disown(self, set: usize) -> Result<(), Corrupt> {
        for place in 0..PLACES {
            let index = self.place(set, place);
            if self.words.load(index + 1)? == CLAIMED {
                self.words.store(index, 0)?;
            }
        }
        Ok(())
    }

    /// Finds out whether somebody died who was changing a place of this hash.
    #[cold]
    fn clean(self, host: &impl Host, hash: u64) -> Result<(), SlotError> {
        self.locked(host, hash, || {
            // Whoever claims has the lock, so whatever is still claimed is nobody's.
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

    /// Holder: takes a place, if its key needs it no longer.
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
            // Its key was used just now.
            return Ok(false);
        }
        crash::point("limit.claimed");
        self.words.publish(index, hash)?;
        crash::point("limit.named");
        self.words.publish(index + 1, meaning.fresh(state))?;
        Ok(true)
    }
}
