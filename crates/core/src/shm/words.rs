//! Words of shared memory, with every access checked: an index read from there may be anything.
//!
//! All accesses are atomic, since another process may write at any time. `load` and `store` are relaxed unless
//! they say otherwise; what orders them is with the algorithms.

use crate::crash;
use crate::sync::{AtomicU64, Ordering};

/// The memory says what no writer of ours has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the segment holds what cannot be")]
pub struct Corrupt;

/// A piece of shared memory.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a>(&'a [AtomicU64]);

impl<'a> Words<'a> {
    /// Of this memory.
    pub fn new(words: &'a [AtomicU64]) -> Self {
        Self(words)
    }

    /// How many there are.
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The word itself, for orderings of one's own.
    ///
    /// # Errors
    /// When there is no such word.
    #[inline]
    pub fn at(self, index: usize) -> Result<&'a AtomicU64, Corrupt> {
        self.0.get(index).ok_or(Corrupt)
    }

    /// A part.
    ///
    /// # Errors
    /// When it is not all there.
    pub fn part(self, from: usize, count: usize) -> Result<Self, Corrupt> {
        let to = from.checked_add(count).ok_or(Corrupt)?;
        self.0.get(from..to).map(Self).ok_or(Corrupt)
    }

    /// # Errors
    /// When there is no such word.
    #[inline]
    pub fn load(self, index: usize) -> Result<u64, Corrupt> {
        Ok(self.at(index)?.load(Ordering::Relaxed))
    }

    /// # Errors
    /// When there is no such word.
    #[inline]
    pub fn store(self, index: usize, value: u64) -> Result<(), Corrupt> {
        crash::point("store");
        self.at(index)?.store(value, Ordering::Relaxed);
        Ok(())
    }

    /// Makes what was written before visible to whoever loads the word with Acquire.
    ///
    /// # Errors
    /// When there is no such word.
    #[inline]
    pub fn publish(self, index: usize, value: u64) -> Result<(), Corrupt> {
        crash::point("publish");
        // Release: pairs with the Acquire of readers.
        self.at(index)?.store(value, Ordering::Release);
        Ok(())
    }

    /// Lets the processor fetch the line of a word that is about to be written, if there is such a word. Does nothing else.
    #[inline]
    pub fn fetch(self, index: usize) {
        #[cfg(all(target_arch = "x86_64", not(loom)))]
        if let Some(word) = self.0.get(index) {
            // Not the intrinsic, which without leave to use this instruction fetches for reading: the line would come
            // twice. All processors of 64 bits decode it, and those that do not know it do nothing.
            // SAFETY: a hint, which changes nothing that a program can see.
            unsafe {
                std::arch::asm!("prefetchw [{}]", in(reg) std::ptr::from_ref(word), options(nostack, preserves_flags));
            }
        }
        #[cfg(not(all(target_arch = "x86_64", not(loom))))]
        let _ = index;
    }

    /// Copies words out.
    ///
    /// # Errors
    /// When they are not all there.
    pub fn copy_out(self, from: usize, target: &mut [u64]) -> Result<(), Corrupt> {
        let source = self.part(from, target.len())?;
        for (target, source) in target.iter_mut().zip(source.0) {
            *target = source.load(Ordering::Relaxed);
        }
        Ok(())
    }

    /// Copies bytes in, the last word filled up with zeros.
    ///
    /// # Errors
    /// When there is no room for them.
    pub fn copy_in(self, at: usize, bytes: &[u8]) -> Result<(), Corrupt> {
        crash::point("copy");
        let target = self.part(at, bytes.len().div_ceil(8))?;
        let (whole, rest) = bytes.as_chunks::<8>();
        for (target, bytes) in target.0.iter().zip(whole) {
            target.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
        }
        if let Some(last) = target.0.get(whole.len()) {
            let mut padded = [0; 8];
            padded[..rest.len()].copy_from_slice(rest);
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
