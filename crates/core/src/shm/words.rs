//! Bounds-checked access to words of shared memory; an index read from there may have any value.
//!
//! All accesses are atomic, as another process may write at any time. `load` and `store` are relaxed unless
//! noted otherwise; the algorithms that use them document their ordering.

use crate::crash;
use crate::sync::{AtomicU64, Ordering};

/// The memory holds values that no correct writer has stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the segment holds what cannot be")]
pub struct Corrupt;

/// A range of shared memory.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a>(&'a [AtomicU64]);

impl<'a> Words<'a> {
    /// A range over `words`.
    pub fn new(words: &'a [AtomicU64]) -> Self {
        Self(words)
    }

    /// Number of words.
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// Whether the range is empty.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The word itself, for accesses with another ordering.
    ///
    /// # Errors
    /// When the index is out of bounds.
    #[inline]
    pub fn at(self, index: usize) -> Result<&'a AtomicU64, Corrupt> {
        self.0.get(index).ok_or(Corrupt)
    }

    /// The `count` words from `from` on.
    ///
    /// # Errors
    /// When they are out of bounds.
    #[inline]
    pub fn part(self, from: usize, count: usize) -> Result<Self, Corrupt> {
        let to = from.checked_add(count).ok_or(Corrupt)?;
        self.0.get(from..to).map(Self).ok_or(Corrupt)
    }

    /// Loads a word (Relaxed).
    ///
    /// # Errors
    /// When the index is out of bounds.
    #[inline]
    pub fn load(self, index: usize) -> Result<u64, Corrupt> {
        Ok(self.at(index)?.load(Ordering::Relaxed))
    }

    /// Stores a word (Relaxed).
    ///
    /// # Errors
    /// When the index is out of bounds.
    #[inline]
    pub fn store(self, index: usize, value: u64) -> Result<(), Corrupt> {
        crash::point("store");
        self.at(index)?.store(value, Ordering::Relaxed);
        Ok(())
    }

    /// Stores a word with Release ordering: earlier stores are visible to a thread that loads it with
    /// Acquire.
    ///
    /// # Errors
    /// When the index is out of bounds.
    #[inline]
    pub fn publish(self, index: usize, value: u64) -> Result<(), Corrupt> {
        crash::point("publish");
        // Release: pairs with the Acquire loads of readers.
        self.at(index)?.store(value, Ordering::Release);
        Ok(())
    }

    /// Prefetches the cache line of a word for writing. Does nothing when there is no memory at the index.
    #[inline(always)]
    pub fn fetch(self, index: usize) {
        #[cfg(all(target_arch = "x86_64", not(loom)))]
        {
            let word = self.0.as_ptr().wrapping_add(index);
            // The intrinsic prefetches for reading unless this instruction is enabled as a target feature, so
            // the line would be fetched twice. All 64-bit x86 processors decode the instruction; those
            // without it treat it as a no-op.
            // SAFETY: a prefetch has no architectural effect, and never faults, whatever the address.
            unsafe {
                std::arch::asm!("prefetchw [{}]", in(reg) word, options(nostack, preserves_flags));
            }
        }
        #[cfg(not(all(target_arch = "x86_64", not(loom))))]
        let _ = index;
    }

    /// Copies words to `target`.
    ///
    /// # Errors
    /// When they are out of bounds.
    pub fn copy_out(self, from: usize, target: &mut [u64]) -> Result<(), Corrupt> {
        let source = self.part(from, target.len())?;
        for (target, source) in target.iter_mut().zip(source.0) {
            *target = source.load(Ordering::Relaxed);
        }
        Ok(())
    }

    /// Copies words into the range.
    ///
    /// # Errors
    /// When they do not fit.
    #[inline]
    pub fn put(self, at: usize, words: &[u64]) -> Result<(), Corrupt> {
        let target = self.part(at, words.len())?;
        for (target, word) in target.0.iter().zip(words) {
            crash::point("store");
            target.store(*word, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Copies words from one part of the range to another, in order.
    ///
    /// # Errors
    /// When either is out of bounds.
    #[inline]
    pub fn copy(self, from: usize, to: usize, count: usize) -> Result<(), Corrupt> {
        let source = self.part(from, count)?;
        let target = self.part(to, count)?;
        for (target, source) in target.0.iter().zip(source.0) {
            crash::point("store");
            target.store(source.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        Ok(())
    }

    /// Copies bytes into the range, padding the last word with zeros.
    ///
    /// # Errors
    /// When they do not fit.
    #[inline]
    pub fn copy_in(self, at: usize, bytes: &[u8]) -> Result<(), Corrupt> {
        crash::point("copy");
        let target = self.part(at, bytes.len().div_ceil(8))?;
        let (whole, rest) = bytes.as_chunks::<8>();
        for (target, bytes) in target.0.iter().zip(whole) {
            crash::point("store");
            target.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
        }
        if let Some(last) = target.0.get(whole.len()) {
            let mut padded = [0; 8];
            padded[..rest.len()].copy_from_slice(rest);
            crash::point("store");
            last.store(u64::from_le_bytes(padded), Ordering::Relaxed);
        }
        Ok(())
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_is_reached() {
        let memory: Vec<_> = (0..4).map(AtomicU64::new).collect();
        let words = Words::new(&memory);
        assert_eq!(words.load(3), Ok(3));
        assert_eq!(words.load(4), Err(Corrupt));
        assert_eq!(words.store(usize::MAX, 0), Err(Corrupt));
        assert!(words.part(2, 3).is_err());
        assert!(words.part(usize::MAX, 2).is_err());
        assert_eq!(words.copy_out(3, &mut [0; 2]), Err(Corrupt));
        assert_eq!(words.copy_in(3, &[0; 9]), Err(Corrupt));
        assert_eq!(words.put(3, &[0; 2]), Err(Corrupt));
        assert_eq!(words.copy(3, 0, 2), Err(Corrupt));
        assert_eq!(words.copy(0, 3, 2), Err(Corrupt));
        words.fetch(usize::MAX);
        assert_eq!(words.load(3), Ok(3));
    }

    #[test]
    fn bytes_are_filled_up_with_zeros() {
        let memory: Vec<_> = (0..3).map(|_| AtomicU64::new(u64::MAX)).collect();
        let words = Words::new(&memory);
        words.copy_in(0, b"0123456789").unwrap();
        let mut copy = [0; 3];
        words.copy_out(0, &mut copy).unwrap();
        assert_eq!(
            copy.map(u64::to_le_bytes).concat(),
            b"0123456789\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"
        );
    }
}
