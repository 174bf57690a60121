//! Payloads too large for the ring: copied into a block by the sender, handed to the receiver by number.
//!
//! Who may call: the producer's thread puts, the consumer's takes and gives back; both share it by `Arc`. A block
//! has one owner at a time, so nothing is ever read while it is written. Blocks given back are used again while
//! traffic lasts: fresh memory costs more, in page faults, than the copy into it. Where the consumer has lent memory of
//! the payload's length ([`loans`](super::loans)), the payload goes there, and is copied once.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use super::loans::{Filled, Lender, Loans};
use crate::sync::{Mutex, MutexGuard};
use crate::sys::heap::{use_huge_pages, OWN_MAPPING_BYTES};

/// Payloads waiting to be taken have at most so many bytes together, unless it is one alone; the sender finds another
/// way for more.
pub const MAX_WAITING_BYTES: usize = 64 << 20;

/// Bytes of free blocks kept while others are in use, and when none is.
const KEPT_BUSY_BYTES: usize = 16 << 20;
const KEPT_IDLE_BYTES: usize = 4 << 20;

/// Memory for one payload.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Block {
    memory: Vec<u8>,
    len: usize,
}

impl Block {
    /// False without memory for it.
    fn fill(&mut self, payload: &[u8]) -> bool {
        if self.memory.len() < payload.len() {
            // One that large is hardly used again.
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

    /// The payload's first byte. It stays where it is when the block is moved.
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.memory.as_mut_ptr()
    }

    /// Bytes of the payload.
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

/// A payload that waits.
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
    /// Blocks taken and not given back.
    taken: usize,
    /// The one used last is last, and goes first: it is still in the processor's caches.
    free: Vec<Block>,
    free_bytes: usize,
    last_number: u32,
    closed: bool,
}

impl Slab {
    /// Copies a payload. Returns its number, never 0; `None` when there is too much waiting, or no memory.
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
        // Not under the lock: the consumer goes on meanwhile.
        let is_filled = block.fill(payload);
        let mut blocks = self.lock();
        if !is_filled {
            blocks.waiting_bytes = blocks.waiting_bytes.saturating_sub(payload.len());
            return None;
        }
        Some(blocks.keep(number, Waiting::In(block)))
    }

    /// The consumer's side that lends memory for payloads.
    pub fn lender(&self) -> Lender {
        Lender::new(Arc::clone(&self.loans))
    }

    /// Copies a payload that has no number: it waits until it is dropped, wherever that is. `None` when there is too
    /// much waiting, or no memory.
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

    /// Bytes of a payload that waits to be taken.
    pub fn len_of(&self, number: u32) -> Option<usize> {
        self.lock().waiting.get(&number).map(Waiting::len)
    }

    /// Takes a payload out; once. `None` for a number that was not put.
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
        // Who lends wants a block all the same.
        let mut memory = vec![0; filled.len()];
        if !filled.copy_to(&mut memory) {
            return None;
        }
        self.lock().taken += 1;
        let len = memory.len();
        Some(Block { memory, len })
    }

    /// Takes a payload out that lies in lent memory, if `redeem` has that; once.
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

    /// The block of a payload that has been dealt with.
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
        // Returning memory to the system takes time that the other thread need not wait for.
        drop(blocks);
        drop(dropped);
    }

    /// Bytes waiting to be taken.
    pub fn bytes(&self) -> usize {
        self.lock().waiting_bytes
    }

    /// Nothing is taken any more: drops what there is, and what is put from here on.
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
        // A panic while the lock is held leaves the blocks whole, at worst miscounted.
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A payload that belongs to whoever has it. Its block is given back when it is dropped.
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
    /// A block for a payload of this length, which counts as waiting. `None` when there is too much waiting.
    fn reserve(&mut self, len: usize) -> Option<Block> {
        if self.waiting_bytes > 0 && len > MAX_WAITING_BYTES.saturating_sub(self.waiting_bytes) {
            return None;
        }
        self.waiting_bytes += len;
        Some(self.find_free(len))
    }

    /// Lets a payload that has been counted wait under its number, which is returned. It is dropped when nothing is taken
    /// any more.
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

    /// The free block used last that is large enough and not far too large; else an empty one.
    fn find_free(&mut self, len: usize) -> Block {
        let fitting = |block: &Block| block.memory.len() >= len && block.memory.len() / 4 <= len;
        let Some(at) = self.free.iter().rposition(fitting) else {
            return Block::default();
        };
        let block = self.free.remove(at);
        self.free_bytes -= block.memory.capacity();
        block
    }

    /// Lets go of the free blocks used longest ago until at most `kept` bytes are left.
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
        // Free again: it serves the next payload, which nobody takes.
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
