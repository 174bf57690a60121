//! Arrays of values: an element has two buffers, and its version selects the current one.
//!
//! ```text
//! element:  lock      `OwnerLock` for writers
//!           version   number of changes; its lowest bit selects the buffer
//!           place 0:  bytes << 8 | kind, the bytes padded to whole words
//!           place 1:  the same
//! ```
//!
//! A writer fills the buffer that is not current and then stores the next version. If it dies before that
//! store, nothing has changed, and the next writer fills that buffer again; so nothing needs repair. Readers
//! take no lock: if the version is unchanged after the copy, the copy is consistent.

use super::spine::{locked, ArrayError, Spine};
use crate::crash;
use crate::shm::owner_lock::Host;
use crate::shm::words::{Corrupt, Words};
use crate::sync::{fence, Ordering};

const LOCK: usize = 0;
const VERSION: usize = 1;
const PLACES: usize = 2;
/// A reader that was overtaken this often takes the element's lock.
const OVERTAKEN: u32 = 100;

/// A value to be stored.
#[derive(Clone, Copy, Debug)]
pub struct NewValue<'v> {
    /// The meaning of its bytes.
    pub kind: u8,
    /// Its bytes.
    pub bytes: &'v [u8],
}

/// A value that was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The meaning of its bytes. An element that was never written is empty, with kind 0.
    pub kind: u8,
    /// Its length in bytes.
    pub bytes: usize,
    /// The element's version.
    pub version: u64,
}

/// A view of an array's words.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    spine: Spine<'a>,
    /// Size of a value in words.
    payload: usize,
}

impl<'a> Values<'a> {
    /// Size in words of an element for values of up to `bytes` bytes.
    pub fn element_words(bytes: usize) -> usize {
        PLACES + 2 * (1 + bytes.div_ceil(8))
    }

    /// An array with room for `capacity` values of at most `bytes` bytes.
    ///
    /// # Errors
    /// When there are too few words.
    pub fn new(words: Words<'a>, capacity: usize, bytes: usize) -> Result<Self, Corrupt> {
        if bytes > words.len().saturating_mul(8) {
            return Err(Corrupt);
        }
        Ok(Self {
            spine: Spine::new(words, capacity, Self::element_words(bytes))?,
            payload: bytes.div_ceil(8),
        })
    }

    /// Size in words of the largest value.
    pub fn payload_words(self) -> usize {
        self.payload
    }

    /// Number of elements.
    ///
    /// # Errors
    /// `Corrupt`.
    #[inline]
    pub fn length(self) -> Result<usize, ArrayError> {
        Ok(self.spine.length()?)
    }

    /// The word index of the buffer for a version.
    fn place(self, element: usize, version: u64) -> usize {
        element + PLACES + (version & 1) as usize * (1 + self.payload)
    }

    /// Copies the value at `index`, if there is one, into `target`, which must have [`Values::payload_words`]
    /// words.
    ///
    /// # Errors
    /// `Stuck`, `Corrupt`.
    pub fn get(
        self,
        host: &impl Host,
        index: usize,
        target: &mut [u64],
    ) -> Result<Option<Found>, ArrayError> {
        let Some(element) = self.spine.element(index)? else {
            return Ok(None);
        };
        for _ in 0..OVERTAKEN {
            if let Some(found) = self.try_copy(element, target) {
                return found.map(Some).map_err(ArrayError::from);
            }
        }
        locked(self.spine.words, element + LOCK, host, || {
            self.copy(element, target).map(Some).map_err(ArrayError::from)
        })
    }

    /// Copies the value without the lock. `None` when a writer interfered and the copy is useless.
    fn try_copy(self, element: usize, target: &mut [u64]) -> Option<Result<Found, Corrupt>> {
        let copied = self.copy(element, target);
        // Acquire: pairs with the fence in `write`. A reader that has copied any part of a later value sees a
        // later version.
        fence(Ordering::Acquire);
        let version = self.spine.words.load(element + VERSION);
        match (&copied, version) {
            (Ok(found), Ok(version)) if found.version == version => Some(copied),
            (Ok(_), Ok(_)) => None,
            // Either the element is corrupt or a writer interfered. Retry; the final attempt holds the lock.
            (Err(_), Ok(_)) => None,
            (_, Err(corrupt)) => Some(Err(corrupt)),
        }
    }

    fn copy(self, element: usize, target: &mut [u64]) -> Result<Found, Corrupt> {
        // Acquire: pairs with `publish` in `write`.
        let version = self.spine.words.at(element + VERSION)?.load(Ordering::Acquire);
        let place = self.place(element, version);
        let word = self.spine.words.load(place)?;
        let bytes = usize::try_from(word >> 8).map_err(|_| Corrupt)?;
        let words = bytes.div_ceil(8);
        if words > self.payload {
            return Err(Corrupt);
        }
        self.spine
            .words
            .copy_out(place + 1, target.get_mut(..words).ok_or(Corrupt)?)?;
        Ok(Found {
            kind: word as u8,
            bytes,
            version,
        })
    }

    /// Holder of the element's lock: stores a value and returns its version.
    fn write(self, element: usize, value: &NewValue<'_>) -> Result<u64, Corrupt> {
        // Acquire: pairs with `publish` below, including that of an owner that died before releasing the
        // lock.
        let version = self
            .spine
            .words
            .at(element + VERSION)?
            .load(Ordering::Acquire)
            .wrapping_add(1);
        // Release: pairs with the fence in `try_copy`. A reader that sees any of the following stores sees
        // the version loaded here.
        fence(Ordering::Release);
        let place = self.place(element, version);
        self.spine
            .words
            .store(place, (value.bytes.len() as u64) << 8 | u64::from(value.kind))?;
        self.spine.words.copy_in(place + 1, value.bytes)?;
        crash::point("array.written");
        self.spine.words.publish(element + VERSION, version)?;
        crash::point("array.published");
        Ok(version)
    }

    fn check_size(self, value: &NewValue<'_>) -> Result<(), ArrayError> {
        match value.bytes.len().div_ceil(8) <= self.payload {
            true => Ok(()),
            false => Err(ArrayError::TooLarge),
        }
    }

    /// Stores a value, if the element still has the version `expected`. Returns the new version, or 0 when
    /// the version differs.
    ///
    /// # Errors
    /// `NoElement`, `TooLarge`, `Stuck`, `Corrupt`.
    pub fn set(
        self,
        host: &impl Host,
        index: usize,
        value: &NewValue<'_>,
        expected: Option<u64>,
    ) -> Result<u64, ArrayError> {
        self.check_size(value)?;
        let element = self.spine.element(index)?.ok_or(ArrayError::NoElement)?;
        locked(self.spine.words, element + LOCK, host, || {
            // The element may have been popped meanwhile; pop takes this lock as well.
            if self.spine.element(index)?.is_none() {
                return Err(ArrayError::NoElement);
            }
            let version = self.spine.words.load(element + VERSION)?;
            if expected.is_some_and(|expected| expected != version) {
                return Ok(0);
            }
            Ok(self.write(element, value)?)
        })
    }

    /// Appends a value and returns the new length.
    ///
    /// # Errors
    /// `Full`, `TooLarge`, `Stuck`, `Corrupt`.
    pub fn push(self, host: &impl Host, value: &NewValue<'_>) -> Result<usize, ArrayError> {
        self.check_size(value)?;
        self.spine.locked(host, || {
            let length = self.spine.length()?;
            if length >= self.spine.capacity {
                return Err(ArrayError::Full);
            }
            let element = self.spine.place(length);
            locked(self.spine.words, element + LOCK, host, || {
                self.write(element, value)?;
                self.spine.set_length(length + 1)?;
                Ok(length + 1)
            })
        })
    }

    /// Copies the last value into `target`, which must have [`Values::payload_words`] words, and removes it.
    ///
    /// # Errors
    /// `Stuck`, `Corrupt`.
    pub fn pop(self, host: &impl Host, target: &mut [u64]) -> Result<Option<Found>, ArrayError> {
        self.spine.locked(host, || {
            let Some(last) = self.spine.length()?.checked_sub(1) else {
                return Ok(None);
            };
            let element = self.spine.place(last);
            locked(self.spine.words, element + LOCK, host, || {
                let found = self.copy(element, target)?;
                self.spine.set_length(last)?;
                Ok(Some(found))
            })
        })
    }

    /// Removes all values.
    ///
    /// # Errors
    /// `Stuck`, `Corrupt`.
    pub fn clear(self, host: &impl Host) -> Result<(), ArrayError> {
        self.spine.locked(host, || Ok(self.spine.set_length(0)?))
    }
}
