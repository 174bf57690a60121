//! The overflow queue of a lane: an unbounded queue in process memory for records that find the ring full.
//!
//! The producer's thread pushes and the consumer's thread pops; both share the queue through an `Arc`. It
//! outlives either thread, so records posted before the producer ended still arrive. The lock is held for one
//! copy at most.

use std::collections::VecDeque;
use std::sync::PoisonError;

use crate::sync::{Mutex, MutexGuard};

/// Records are batched into chunks of up to this many bytes, so that one pop moves many of them.
pub const CHUNK_BYTES: usize = 256 * 1024;

/// Empty chunks kept for reuse, because page faults on fresh memory cost more than the copy into it.
const KEPT_CHUNKS: usize = 4;

/// A queue of chunks of whole records, oldest first.
#[derive(Debug, Default)]
pub struct Overflow(Mutex<Chunks>);

#[derive(Debug, Default)]
struct Chunks {
    full: VecDeque<Vec<u8>>,
    empty: Vec<Vec<u8>>,
}

/// The result of [`Overflow::take_into`].
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// This many bytes were copied; 0 when the queue is empty.
    Copied(usize),
    /// The oldest chunk, which is larger than the target.
    Whole(Vec<u8>),
}

impl Overflow {
    /// Appends one record.
    pub fn push(&self, record: &[u8]) {
        let mut chunks = self.lock();
        if let Some(last) = chunks.full.back_mut() {
            if last.len() + record.len() <= CHUNK_BYTES {
                last.extend_from_slice(record);
                return;
            }
        }
        let chunk = if record.len() > CHUNK_BYTES {
            record.to_vec()
        } else {
            let mut chunk = chunks
                .empty
                .pop()
                .unwrap_or_else(|| Vec::with_capacity(CHUNK_BYTES));
            chunk.extend_from_slice(record);
            chunk
        };
        chunks.full.push_back(chunk);
    }

    /// Pops the oldest chunk with all its records. `target` should have [`CHUNK_BYTES`] bytes, so that only a
    /// chunk of a single large record does not fit.
    pub fn take_into(&self, target: &mut [u8]) -> Taken {
        let mut chunks = self.lock();
        let Some(mut chunk) = chunks.full.pop_front() else {
            return Taken::Copied(0);
        };
        let len = chunk.len();
        let Some(target) = target.get_mut(..len) else {
            return Taken::Whole(chunk);
        };
        target.copy_from_slice(&chunk);
        if chunks.empty.len() < KEPT_CHUNKS {
            chunk.clear();
            chunks.empty.push(chunk);
        }
        Taken::Copied(len)
    }

    /// Bytes queued.
    pub fn bytes(&self) -> usize {
        self.lock().full.iter().map(Vec::len).sum()
    }

    /// Drops all records.
    pub fn clear(&self) {
        *self.lock() = Chunks::default();
    }

    fn lock(&self) -> MutexGuard<'_, Chunks> {
        // A panic while the lock is held leaves the queue consistent: each step is a single call into a
        // collection.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn take(overflow: &Overflow) -> Vec<u8> {
        let mut target = vec![0; CHUNK_BYTES];
        match overflow.take_into(&mut target) {
            Taken::Copied(len) => target[..len].to_vec(),
            Taken::Whole(chunk) => chunk,
        }
    }

    #[test]
    fn records_come_out_whole_and_in_order() {
        let overflow = Overflow::default();
        for _round in 0..3 {
            let mut expected = Vec::new();
            for number in 0u32..50_000 {
                let record = [number.to_ne_bytes(), (!number).to_ne_bytes()].concat();
                overflow.push(&record);
                expected.extend_from_slice(&record);
            }
            assert_eq!(overflow.bytes(), expected.len());
            let mut taken = Vec::new();
            let mut chunks = 0;
            loop {
                let chunk = take(&overflow);
                if chunk.is_empty() {
                    break;
                }
                assert_eq!(chunk.len() % 8, 0);
                taken.extend_from_slice(&chunk);
                chunks += 1;
            }
            assert_eq!(taken, expected);
            assert!(chunks > 1);
            assert_eq!(overflow.bytes(), 0);
        }
    }

    #[test]
    fn a_record_larger_than_a_chunk_has_its_own() {
        let overflow = Overflow::default();
        overflow.push(&[1; 8]);
        overflow.push(&vec![2; CHUNK_BYTES * 3]);
        overflow.push(&[3; 8]);
        let mut target = vec![0; CHUNK_BYTES];
        assert_eq!(overflow.take_into(&mut target), Taken::Copied(8));
        assert!(
            matches!(overflow.take_into(&mut target), Taken::Whole(chunk) if chunk.len() == CHUNK_BYTES * 3)
        );
        assert_eq!(overflow.take_into(&mut target), Taken::Copied(8));
        assert_eq!(target[..8], [3; 8]);
        assert_eq!(overflow.take_into(&mut target), Taken::Copied(0));
    }

    #[test]
    fn clearing_drops_everything() {
        let overflow = Overflow::default();
        overflow.push(&[1; 8]);
        overflow.clear();
        assert!(take(&overflow).is_empty());
    }
}
