//! Payloads that are too large for the ring: the sender copies each into a block and passes the block's
//! number through the ring.
//!
//! The producer's thread puts, the consumer's thread takes and returns blocks; both share the slab through an
//! `Arc`. A block has one owner at a time, so it is never read while it is written. Returned blocks are
//! reused while traffic lasts, because page faults on fresh memory cost more than the copy into it. If the
//! consumer has lent a buffer of exactly the payload's length ([`loans`](super::loans)), the payload goes
//! there and is copied only once.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use super::loans::{Filled, Lender, Loans};
use crate::sync::{Mutex, MutexGuard};
use crate::sys::heap::{use_huge_pages, OWN_MAPPING_BYTES};

/// Limit on the bytes of all queued payloads; a single payload may exceed it. Beyond it, the sender has to
/// send payloads another way.
const MAX_WAITING_BYTES: usize = 64 << 20;

/// Bytes of free blocks kept while other blocks are in use, and when none is.
const KEPT_BUSY_BYTES: usize = 16 << 20;
const KEPT_IDLE_BYTES: usize = 4 << 20;

/// Memory for one payload.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Block {
    memory: Vec<u8>,
    len: usize,
}

impl Block {
    /// Copies `payload` into the block, which grows if necessary. Returns false when the allocation fails.
    fn fill(&mut self, payload: &[u8]) -> bool {
        if self.memory.len() < payload.len() {
            // Blocks of this size are rarely reused, so their capacity is not rounded up.
            let capacity = match payload.len() {
                len if len < OWN_MAPPING_BYTES => len.next_power_of_two(),
                len => len,
            };
            let mut memory = Vec::new();
            if memory.try_reserve_exact(capacity).is_err() {
                return false;
            }
            use_huge_pages(memory.as_mut_ptr(), capacity);
            memory.extend_from_slice(payload);
            self.memory = memory;
        } else if let Some(target) = self.memory.get_mut(..payload.len()) {
            target.copy_from_slice(payload);
        }
        self.len = payload.len();
        true
    }

    /// The payload.
    pub fn bytes(&self) -> &[u8] {
        self.memory.get(..self.len).unwrap_or_default()
    }

    /// The payload's first byte. Its address does not change when the block is moved.
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.memory.as_mut_ptr()
    }

    /// Length of the payload in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no payload.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The blocks of one direction of a link.
#[derive(Debug, Default)]
pub struct Slab {
    blocks: Mutex<Blocks>,
    loans: Arc<Loans>,
}

/// A queued payload.
#[derive(Debug)]
enum Waiting {
    In(Block),
    Lent(Filled),
}

impl Waiting {
    fn len(&self) -> usize {
        match self {
            Self::In(block) => block.len,
            Self::Lent(filled) => filled.len(),
        }
    }
}

#[derive(Debug, Default)]
struct Blocks {
    waiting: HashMap<u32, Waiting>,
    waiting_bytes: usize,
    /// Blocks taken and not yet returned.
    taken: usize,
    /// A stack: the most recently used block is still in the processor's caches.
    free: Vec<Block>,
    free_bytes: usize,
    last_number: u32,
    closed: bool,
}

impl Slab {
    /// Copies a payload and returns its number, which is never 0. `None` when too many bytes are queued or
    /// the allocation fails.
    pub fn put(&self, payload: &[u8]) -> Option<u32> {
        if let Some(filled) = self.loans.fill(payload) {
            let mut blocks = self.lock();
            blocks.waiting_bytes += payload.len();
            let number = blocks.next_number();
            return Some(blocks.keep(number, Waiting::Lent(filled)));
        }
        let (mut block, number) = {
            let mut blocks = self.lock();
            let block = blocks.reserve(payload.len())?;
            (block, blocks.next_number())
        };
        // Outside the lock, so that the consumer can go on meanwhile.
        let is_filled = block.fill(payload);
        let mut blocks = self.lock();
        if !is_filled {
            blocks.waiting_bytes = blocks.waiting_bytes.saturating_sub(payload.len());
            return None;
        }
        Some(blocks.keep(number, Waiting::In(block)))
    }

    /// Creates a lender of buffers, for the consumer.
    pub fn lender(&self) -> Lender {
        Lender::new(Arc::clone(&self.loans))
    }

    /// Copies a payload that gets no number: it counts as queued until the result is dropped, on whichever
    /// thread. `None` when too many bytes are queued or the allocation fails.
    pub fn hold(self: &Arc<Self>, payload: &[u8]) -> Option<Held> {
        let mut block = {
            let mut blocks = self.lock();
            let block = blocks.reserve(payload.len())?;
            blocks.taken += 1;
            block
        };
        if !block.fill(payload) {
            let mut blocks = self.lock();
            blocks.taken -= 1;
            blocks.waiting_bytes = blocks.waiting_bytes.saturating_sub(payload.len());
            return None;
        }
        Some(Held {
            block,
            slab: Arc::clone(self),
        })
    }

    /// Length in bytes of a queued payload.
    pub fn len_of(&self, number: u32) -> Option<usize> {
        self.lock().waiting.get(&number).map(Waiting::len)
    }

    /// Takes a queued payload. `None` for an unknown number or one already taken.
    pub fn take(&self, number: u32) -> Option<Block> {
        let mut blocks = self.lock();
        let waiting = blocks.waiting.remove(&number)?;
        blocks.waiting_bytes = blocks.waiting_bytes.saturating_sub(waiting.len());
        if let Waiting::In(block) = waiting {
            blocks.taken += 1;
            return Some(block);
        }
        drop(blocks);
        let Waiting::Lent(filled) = waiting else {
            return None;
        };
        // The payload is in a lent buffer, but the consumer wants a block.
        let mut memory = vec![0; filled.len()];
        if !filled.copy_to(&mut memory) {
            return None;
        }
        self.lock().taken += 1;
        let len = memory.len();
        Some(Block { memory, len })
    }

    /// Takes a queued payload that is in a lent buffer, provided that `redeem` accepts it.
    pub fn take_lent<T>(&self, number: u32, redeem: impl FnOnce(&Filled) -> Option<T>) -> Option<T> {
        let mut blocks = self.lock();
        let Some(Waiting::Lent(filled)) = blocks.waiting.get(&number) else {
            return None;
        };
        let redeemed = redeem(filled)?;
        let waiting = blocks.waiting.remove(&number);
        let len = waiting.as_ref().map_or(0, Waiting::len);
        blocks.waiting_bytes = blocks.waiting_bytes.saturating_sub(len);
        Some(redeemed)
    }

    /// Returns the block of a consumed payload.
    pub fn give_back(&self, block: Block) {
        let mut blocks = self.lock();
        blocks.taken = blocks.taken.saturating_sub(1);
        let is_busy = blocks.taken > 0 || !blocks.waiting.is_empty();
        let kept = if is_busy { KEPT_BUSY_BYTES } else { KEPT_IDLE_BYTES };
        if !blocks.closed {
            blocks.free_bytes += block.memory.capacity();
            blocks.free.push(block);
        }
        let dropped = blocks.shrink(kept);
        // Returning memory to the system takes time, and the other thread need not wait for it.
        drop(blocks);
        drop(dropped);
    }

    /// Bytes of all queued payloads.
    pub fn bytes(&self) -> usize {
        self.lock().waiting_bytes
    }

    /// Closes the slab: drops all queued payloads, and those put from here on.
    pub fn close(&self) {
        let mut blocks = self.lock();
        let closed = Blocks {
            closed: true,
            last_number: blocks.last_number,
            ..Blocks::default()
        };
        let dropped = std::mem::replace(&mut *blocks, closed);
        drop(blocks);
        drop(dropped);
    }

    fn lock(&self) -> MutexGuard<'_, Blocks> {
        // A panic while the lock is held leaves the blocks consistent, except perhaps for the counts.
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A payload owned by its holder. Dropping it returns the block.
#[derive(Debug)]
pub struct Held {
    block: Block,
    slab: Arc<Slab>,
}

impl Held {
    /// The payload.
    pub fn bytes(&self) -> &[u8] {
        self.block.bytes()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let block = std::mem::take(&mut self.block);
        let waited = block.len;
        {
            let mut blocks = self.slab.lock();
            blocks.waiting_bytes = blocks.waiting_bytes.saturating_sub(waited);
        }
        self.slab.give_back(block);
    }
}

impl Blocks {
    /// A block for a payload of `len` bytes, which counts as queued from here on. `None` when too many bytes
    /// are queued.
    fn reserve(&mut self, len: usize) -> Option<Block> {
        if self.waiting_bytes > 0 && len > MAX_WAITING_BYTES.saturating_sub(self.waiting_bytes) {
            return None;
        }
        self.waiting_bytes += len;
        Some(self.find_free(len))
    }

    /// Queues a payload under its number, which is returned. A closed slab drops it.
    fn keep(&mut self, number: u32, payload: Waiting) -> u32 {
        if self.closed {
            self.waiting_bytes = 0;
        } else {
            self.waiting.insert(number, payload);
        }
        number
    }

    fn next_number(&mut self) -> u32 {
        loop {
            self.last_number = self.last_number.wrapping_add(1);
            if self.last_number != 0 && !self.waiting.contains_key(&self.last_number) {
                return self.last_number;
            }
        }
    }

    /// The most recently used free block that is large enough and at most four times as large; otherwise an
    /// empty one.
    fn find_free(&mut self, len: usize) -> Block {
        let fitting = |block: &Block| block.memory.len() >= len && block.memory.len() / 4 <= len;
        let Some(at) = self.free.iter().rposition(fitting) else {
            return Block::default();
        };
        let block = self.free.remove(at);
        self.free_bytes -= block.memory.capacity();
        block
    }

    /// Removes the least recently used free blocks until at most `kept` bytes are left. The caller drops
    /// them.
    fn shrink(&mut self, kept: usize) -> Vec<Block> {
        let mut dropped = Vec::new();
        while self.free_bytes > kept {
            let block = self.free.remove(0);
            self.free_bytes -= block.memory.capacity();
            dropped.push(block);
        }
        dropped
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_taken_once_by_their_number() {
        let slab = Slab::default();
        let first = slab.put(&[1; 1000]).unwrap();
        let second = slab.put(&[2; 2000]).unwrap();
        assert_ne!(first, second);
        assert_eq!(slab.bytes(), 3000);
        let block = slab.take(second).unwrap();
        assert_eq!(block.bytes(), [2; 2000]);
        assert!(slab.take(second).is_none());
        assert!(slab.take(0).is_none());
        slab.give_back(block);
        assert_eq!(slab.take(first).unwrap().bytes(), [1; 1000]);
        assert_eq!(slab.bytes(), 0);
    }

    #[test]
    fn a_block_given_back_serves_the_next_payload() {
        let slab = Slab::default();
        let mut addresses = Vec::new();
        for round in 1..=5u8 {
            let number = slab.put(&vec![round; 100_000]).unwrap();
            let mut block = slab.take(number).unwrap();
            assert!(block.bytes().iter().all(|byte| *byte == round));
            addresses.push(block.as_mut_ptr());
            slab.give_back(block);
        }
        addresses.dedup();
        assert_eq!(addresses.len(), 1);
    }

    #[test]
    fn shorter_payloads_do_not_show_what_was_there_before() {
        let slab = Slab::default();
        let number = slab.put(&[1; 4000]).unwrap();
        slab.give_back(slab.take(number).unwrap());
        let number = slab.put(&[2; 3000]).unwrap();
        let block = slab.take(number).unwrap();
        assert_eq!((block.bytes(), block.len()), ([2; 3000].as_slice(), 3000));
    }

    #[test]
    fn one_payload_may_be_larger_than_what_may_wait() {
        let slab = Slab::default();
        let large = vec![5; MAX_WAITING_BYTES + 3];
        let number = slab.put(&large).unwrap();
        assert_eq!(slab.put(&[6]), None);
        let block = slab.take(number).unwrap();
        assert!(block.bytes() == large);
        slab.give_back(block);
        assert_eq!((slab.bytes(), slab.lock().free_bytes), (0, 0));
        assert!(slab.put(&[6]).is_some());
        assert_eq!(slab.put(&large), None);
    }

    #[test]
    fn memory_comes_back_when_traffic_ends() {
        let slab = Slab::default();
        let payload = vec![7; 1 << 20];
        let numbers: Vec<u32> = (0..64).map(|_| slab.put(&payload).unwrap()).collect();
        assert_eq!(slab.put(&payload), None);
        for number in numbers {
            slab.give_back(slab.take(number).unwrap());
            assert!(slab.lock().free_bytes <= KEPT_BUSY_BYTES);
        }
        assert!(slab.lock().free_bytes <= KEPT_IDLE_BYTES);
        assert!(slab.put(&payload).is_some());
    }

    #[test]
    fn a_payload_that_is_held_waits_until_it_is_dropped() {
        let slab = Arc::new(Slab::default());
        let first = slab.hold(&[3; 100_000]).unwrap();
        let address = first.bytes().as_ptr();
        assert_eq!((first.bytes(), slab.bytes()), ([3; 100_000].as_slice(), 100_000));
        drop(first);
        assert_eq!(slab.bytes(), 0);
        let second = slab.hold(&[4; 99_000]).unwrap();
        assert_eq!(
            (second.bytes(), second.bytes().as_ptr()),
            ([4; 99_000].as_slice(), address)
        );
        let large = vec![5; MAX_WAITING_BYTES - 99_000];
        let third = slab.hold(&large).unwrap();
        assert!(slab.hold(&[6]).is_none());
        drop((second, third));
        let blocks = slab.lock();
        assert_eq!((blocks.waiting_bytes, blocks.taken), (0, 0));
        assert!(blocks.free_bytes <= KEPT_IDLE_BYTES);
    }

    #[test]
    fn payloads_go_into_lent_memory_of_their_length() {
        let mut memory = vec![0; 500];
        let slab = Slab::default();
        let mut lender = slab.lender();
        let lent = lender.lend_vec(&mut memory);
        let other = slab.put(&[1; 499]).unwrap();
        let number = slab.put(&[2; 500]).unwrap();
        let held = slab.put(&[3; 500]).unwrap();
        assert_eq!((slab.len_of(number), slab.bytes()), (Some(500), 1499));
        for not_lent in [other, held, 0] {
            assert_eq!(slab.take_lent(not_lent, |filled| lender.redeem(filled)), None);
        }
        assert_eq!(slab.take_lent(number, |filled| lender.redeem(filled)), Some(lent));
        assert_eq!(slab.take_lent(number, |filled| lender.redeem(filled)), None);
        assert_eq!((slab.len_of(number), slab.bytes()), (None, 999));
        drop(lender);
        assert_eq!(memory, [2; 500]);
    }

    #[test]
    fn a_payload_in_lent_memory_can_be_taken_as_any_other_and_goes_with_the_slab() {
        let mut memory = vec![0; 100];
        let slab = Slab::default();
        let mut lender = slab.lender();
        lender.lend_vec(&mut memory);
        let number = slab.put(&[4; 100]).unwrap();
        let block = slab.take(number).unwrap();
        assert_eq!((block.bytes(), slab.bytes()), ([4; 100].as_slice(), 0));
        slab.give_back(block);
        // Free again, so it receives the next payload, which nobody takes.
        let number = slab.put(&[5; 100]).unwrap();
        slab.close();
        assert!(slab.take(number).is_none());
        assert_eq!(lender.take_back().len(), 1);
    }

    #[test]
    fn a_closed_slab_keeps_nothing() {
        let slab = Slab::default();
        let number = slab.put(&[1; 1000]).unwrap();
        let taken = slab.put(&[2; 1000]).unwrap();
        let block = slab.take(taken).unwrap();
        slab.close();
        assert!(slab.take(number).is_none());
        slab.give_back(block);
        assert!(slab.put(&[1; 1000]).is_some());
        let blocks = slab.lock();
        assert_eq!(
            (blocks.waiting_bytes, blocks.waiting.len(), blocks.free.len()),
            (0, 0, 0)
        );
    }
}
