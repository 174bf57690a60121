//! Where a producer puts records when the ring is full: an unbounded queue in the memory of the process.
//!
//! Who may call: the producer's thread pushes, the consumer's takes; both share it by `Arc`. Outlives either
//! thread, so what a thread posted before it ended still arrives. The lock is held for a copy at most.

use std::collections::VecDeque;
use std::sync::PoisonError;

use crate::sync::{Mutex, MutexGuard};

/// Records are gathered into chunks up to this size, so that a take moves many of them.
const CHUNK_BYTES: usize = 256 * 1024;

/// Chunks of whole records, oldest first.
#[derive(Debug, Default)]
pub struct Overflow(Mutex<VecDeque<Vec<u8>>>);

impl Overflow {
    /// Appends the bytes of one record.
    pub fn push(&self, record: &[u8]) {
        let mut chunks = self.lock();
        if let Some(last) = chunks.back_mut() {
            if last.len() + record.len() <= CHUNK_BYTES {
                last.extend_from_slice(record);
                return;
            }
        }
        chunks.push_back(record.to_vec());
    }

    /// The oldest chunk, with all its records.
    pub fn take(&self) -> Option<Vec<u8>> {
        self.lock().pop_front()
    }

    /// Bytes waiting.
    pub fn bytes(&self) -> usize {
        self.lock().iter().map(Vec::len).sum()
    }

    /// Drops everything.
    pub fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Vec<u8>>> {
        // A panic while the lock is held leaves the queue whole: each step is one call into `VecDeque`.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn records_come_out_whole_and_in_order() {
        let overflow = Overflow::default();
        let mut expected = Vec::new();
        for number in 0u32..50_000 {
            let record = [number.to_ne_bytes(), (!number).to_ne_bytes()].concat();
            overflow.push(&record);
            expected.extend_from_slice(&record);
        }
        assert_eq!(overflow.bytes(), expected.len());
        let mut taken = Vec::new();
        let mut chunks = 0;
        while let Some(chunk) = overflow.take() {
            assert_eq!(chunk.len() % 8, 0);
            assert!(chunk.len() <= CHUNK_BYTES);
            taken.extend_from_slice(&chunk);
            chunks += 1;
        }
        assert_eq!(taken, expected);
        assert!(chunks > 1);
        assert_eq!(overflow.bytes(), 0);
    }

    #[test]
    fn a_record_larger_than_a_chunk_has_its_own() {
        let overflow = Overflow::default();
        overflow.push(&[1; 8]);
        overflow.push(&vec![2; CHUNK_BYTES * 3]);
        overflow.push(&[3; 8]);
        assert_eq!(overflow.take().map(|chunk| chunk.len()), Some(8));
        assert_eq!(overflow.take().map(|chunk| chunk.len()), Some(CHUNK_BYTES * 3));
        assert_eq!(overflow.take(), Some(vec![3; 8]));
        assert_eq!(overflow.take(), None);
    }

    #[test]
    fn clearing_drops_everything() {
        let overflow = Overflow::default();
        overflow.push(&[1; 8]);
        overflow.clear();
        assert_eq!(overflow.take(), None);
    }
}
