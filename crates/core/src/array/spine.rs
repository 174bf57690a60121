//! What all arrays have in common: a length, a capacity, and the lock for changes of the length.

use crate::crash;
use crate::shm::owner_lock::{Host, OwnerLock, Stuck};
use crate::shm::words::{Corrupt, Words};
use crate::sync::Ordering;

pub(super) const LOCK: usize = 0;
pub(super) const LENGTH: usize = 16;
/// Number of words before the elements.
pub const CONTROL_WORDS: usize = 32;

/// Why an operation on an array failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArrayError {
    /// The array has reached its capacity.
    #[error("the array is full")]
    Full,
    /// The value is longer than an element.
    #[error("the value is larger than an element")]
    TooLarge,
    /// There is no element at this index.
    #[error("the array has no such element")]
    NoElement,
    /// A lock's owner is alive but makes no progress.
    #[error("a living user of the array does not go on")]
    Stuck,
    /// The memory holds impossible values.
    #[error("the array is corrupt")]
    Corrupt,
}

impl From<Corrupt> for ArrayError {
    fn from(_: Corrupt) -> Self {
        Self::Corrupt
    }
}

impl From<Stuck> for ArrayError {
    fn from(_: Stuck) -> Self {
        Self::Stuck
    }
}

/// Lock and length of an array with room for `capacity` elements of `element_words` words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spine<'a> {
    pub words: Words<'a>,
    pub capacity: usize,
    element_words: usize,
}

impl<'a> Spine<'a> {
    pub fn new(words: Words<'a>, capacity: usize, element_words: usize) -> Result<Self, Corrupt> {
        let all = capacity
            .checked_mul(element_words)
            .and_then(|elements| elements.checked_add(CONTROL_WORDS));
        match all {
            Some(all) if all <= words.len() && element_words > 0 => Ok(Self {
                words,
                capacity,
                element_words,
            }),
            _ => Err(Corrupt),
        }
    }

    /// Number of elements.
    #[inline]
    pub fn length(self) -> Result<usize, Corrupt> {
        // Acquire: pairs with `set_length`, so that the counted elements are visible.
        let length = self.words.at(LENGTH)?.load(Ordering::Acquire);
        match usize::try_from(length) {
            Ok(length) if length <= self.capacity => Ok(length),
            _ => Err(Corrupt),
        }
    }

    /// The word index of an element, if it exists.
    #[inline]
    pub fn element(self, index: usize) -> Result<Option<usize>, Corrupt> {
        Ok((index < self.length()?).then(|| self.place(index)))
    }

    /// The word index at which an element is or would be stored. In bounds for an index below the capacity.
    #[inline]
    pub fn place(self, index: usize) -> usize {
        CONTROL_WORDS + index * self.element_words
    }

    /// Lock holder: changes the number of elements.
    pub fn set_length(self, length: usize) -> Result<(), Corrupt> {
        crash::point("array.counting");
        self.words.publish(LENGTH, length as u64)?;
        crash::point("array.counted");
        Ok(())
    }

    /// Runs `action` under the lock for changes of the length. A holder that died leaves nothing to repair.
    pub fn locked<T>(
        self,
        host: &impl Host,
        action: impl FnOnce() -> Result<T, ArrayError>,
    ) -> Result<T, ArrayError> {
        locked(self.words, LOCK, host, action)
    }
}

/// Runs `action` under the lock in a word. The protected data must be consistent after every store, as the
/// death of a holder is ignored.
pub(super) fn locked<T>(
    words: Words<'_>,
    at: usize,
    host: &impl Host,
    action: impl FnOnce() -> Result<T, ArrayError>,
) -> Result<T, ArrayError> {
    let lock = OwnerLock::new(words.at(at)?);
    let _either_way = lock.acquire(host)?;
    let outcome = action();
    lock.release();
    outcome
}
