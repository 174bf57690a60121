//! The allocator for entries: contiguous blocks, segregated free lists by size, and coalescing of free
//! neighbours.
//!
//! A small block that is freed is not coalesced at once. It becomes *spare*, and the next allocation of its
//! size takes it without touching other blocks. When no free block is large enough, all spare blocks are
//! coalesced. The most recently freed small block has a word of its own, whose place the caller chooses.
//!
//! ```text
//! word 0 of any block     size of the preceding block << 32 | size << 1 | 1 if free     (sizes in words)
//! word 1 of a free block  previous in its list << 32 | next in its list
//!        of a spare block next in its list
//! ```
//!
//! To be called by the holder of the shard's lock. Nothing here needs to survive a crash: the blocks in use
//! are those reachable from the table, and [`Arena::rebuild`] recreates everything else from them. It relies
//! on one invariant: the size of a block in use never changes.

use crate::shm::words::{Corrupt, Words};

/// Granularity of block sizes in words.
const GRAIN: usize = 2;
/// Smallest block in words.
const MIN_BLOCK: usize = 4;
/// Below this size in words, each size has its own list.
const EXACT_BELOW: usize = 64;
const EXACT_CLASSES: usize = EXACT_BELOW / GRAIN;
/// From that size on, each power of two has this many lists.
const STEPS: usize = 4;
const CLASSES: usize = EXACT_CLASSES + (31 - 6) * STEPS;
const BITMAP_WORDS: usize = CLASSES.div_ceil(64);
/// Number of blocks checked in a list whose blocks may be too small.
const LOOKS: usize = 8;
/// Index of the first of the spare lists, one for each exact size.
const SPARE: usize = BITMAP_WORDS + CLASSES;
/// Size of all lists in words.
pub const LIST_WORDS: usize = SPARE + EXACT_CLASSES;

const LOW: u64 = 0xffff_ffff;

/// The arena of a shard, with its lists and blocks in separate places.
#[derive(Clone, Copy, Debug)]
pub struct Arena<'a> {
    words: Words<'a>,
    last_free: usize,
    lists: usize,
    start: usize,
    end: usize,
}

impl<'a> Arena<'a> {
    /// An arena over `words`; blocks are identified by their index there. `last_free` is the index of the
    /// word for the most recently freed block, the lists begin at `lists`, and blocks occupy `start..end`.
    /// Both bounds must be even and less than 2^31 apart.
    #[inline]
    pub fn new(words: Words<'a>, last_free: usize, lists: usize, start: usize, end: usize) -> Self {
        Self {
            words,
            last_free,
            lists,
            start,
            end,
        }
    }

    /// Total size of all blocks in words.
    pub fn capacity(self) -> usize {
        self.end - self.start
    }

    /// Size of the block allocated for `words` words.
    pub fn block_size(words: usize) -> usize {
        words.next_multiple_of(GRAIN).max(MIN_BLOCK)
    }

    /// Size of a block in use.
    ///
    /// # Errors
    /// When it cannot be a block.
    #[inline]
    pub fn size(self, block: usize) -> Result<usize, Corrupt> {
        self.sizes(block).map(|(size, _, _)| size)
    }

    /// Size, size of the preceding block (0: none), and whether it is free.
    #[inline]
    fn sizes(self, block: usize) -> Result<(usize, usize, bool), Corrupt> {
        if block < self.start || !block.is_multiple_of(GRAIN) {
            return Err(Corrupt);
        }
        let word = self.words.load(block)?;
        let size = ((word & LOW) >> 1) as usize;
        let before = (word >> 32) as usize;
        if size < MIN_BLOCK || size > self.end - block.min(self.end) || before > block - self.start {
            return Err(Corrupt);
        }
        Ok((size, before, word & 1 == 1))
    }

    fn store_sizes(self, block: usize, size: usize, before: usize, free: bool) -> Result<(), Corrupt> {
        let word = ((before as u64) << 32) | ((size as u64) << 1) | u64::from(free);
        self.words.store(block, word)
    }

    /// Records the size of the preceding block in the block at `block`, if there is one.
    fn tell_before(self, block: usize, before: usize) -> Result<(), Corrupt> {
        if block >= self.end {
            return Ok(());
        }
        let word = self.words.load(block)?;
        self.words.store(block, ((before as u64) << 32) | (word & LOW))
    }

    /// Allocates a block of at least `words` words. `None` when no free block is large enough.
    ///
    /// # Errors
    /// `Corrupt` when the lists are inconsistent.
    #[inline]
    pub fn allocate(self, words: usize) -> Result<Option<usize>, Corrupt> {
        if words > self.capacity() {
            return Ok(None);
        }
        let wanted = Self::block_size(words);
        if let Some(block) = self.take_spare(wanted)? {
            return Ok(Some(block));
        }
        self.cut(wanted)
    }

    /// Allocates from a free block, splitting off the rest.
    fn cut(self, wanted: usize) -> Result<Option<usize>, Corrupt> {
        let mut found = self.find(wanted)?;
        if found.is_none() && self.join_spare()? {
            found = self.find(wanted)?;
        }
        let Some(block) = found else { return Ok(None) };
        let (size, before, _) = self.sizes(block)?;
        self.take(block, size)?;
        let rest = size - wanted;
        let size = if rest >= MIN_BLOCK {
            self.put(block + wanted, rest, wanted)?;
            wanted
        } else {
            size
        };
        self.store_sizes(block, size, before, false)?;
        Ok(Some(block))
    }

    /// Frees a block.
    ///
    /// # Errors
    /// Those of [`Arena::allocate`].
    #[inline]
    pub fn free(self, block: usize) -> Result<(), Corrupt> {
        let (size, _, free) = self.sizes(block)?;
        if free {
            return Err(Corrupt);
        }
        if size >= EXACT_BELOW {
            return self.join(block);
        }
        let last = self.words.load(self.last_free)? as usize;
        self.words.store(self.last_free, block as u64)?;
        if last == 0 {
            return Ok(());
        }
        let (size, _, free) = self.sizes(last)?;
        if free || size >= EXACT_BELOW {
            return Err(Corrupt);
        }
        let list = self.lists + SPARE + size / GRAIN;
        self.words.store(last + 1, self.words.load(list)?)?;
        self.words.store(list, last as u64)
    }

    /// Takes the block that was freed last, if it has exactly this size, and frees `block`, which has this size
    /// too, in its place.
    ///
    /// # Errors
    /// As [`Arena::allocate`].
    #[inline]
    pub fn exchange(self, size: usize, block: usize) -> Result<Option<usize>, Corrupt> {
        let last = self.words.load(self.last_free)? as usize;
        if last == 0 || size >= EXACT_BELOW {
            return Ok(None);
        }
        let (its_size, _, free) = self.sizes(last)?;
        if free {
            return Err(Corrupt);
        }
        if its_size != size {
            return Ok(None);
        }
        self.words.store(self.last_free, block as u64)?;
        Ok(Some(last))
    }

    /// Takes a spare block of exactly this size.
    #[inline]
    fn take_spare(self, size: usize) -> Result<Option<usize>, Corrupt> {
        if size >= EXACT_BELOW {
            return Ok(None);
        }
        let last = self.words.load(self.last_free)? as usize;
        if last != 0 {
            let (its_size, _, free) = self.sizes(last)?;
            if free {
                return Err(Corrupt);
            }
            if its_size == size {
                self.words.store(self.last_free, 0)?;
                return Ok(Some(last));
            }
        }
        let list = self.lists + SPARE + size / GRAIN;
        let block = self.words.load(list)? as usize;
        if block == 0 {
            return Ok(None);
        }
        let (its_size, _, free) = self.sizes(block)?;
        if free || its_size != size {
            return Err(Corrupt);
        }
        self.words.store(list, self.words.load(block + 1)? & LOW)?;
        Ok(Some(block))
    }

    /// Coalesces all spare blocks. Returns false when there were none.
    fn join_spare(self) -> Result<bool, Corrupt> {
        let mut any = false;
        let last = self.words.load(self.last_free)? as usize;
        if last != 0 {
            self.words.store(self.last_free, 0)?;
            self.join(last)?;
            any = true;
        }
        for class in 0..EXACT_CLASSES {
            // Terminates: a block that is listed twice is already free the second time, which is reported as
            // corrupt.
            while let Some(block) = self.take_spare(class * GRAIN)? {
                self.join(block)?;
                any = true;
            }
        }
        Ok(any)
    }

    /// Marks a block as free and coalesces it with its free neighbours.
    fn join(self, block: usize) -> Result<(), Corrupt> {
        let (mut size, mut before, free) = self.sizes(block)?;
        let mut block = block;
        if free {
            return Err(Corrupt);
        }
        let next = block + size;
        if next < self.end {
            let (next_size, _, next_free) = self.sizes(next)?;
            if next_free {
                self.take(next, next_size)?;
                size += next_size;
            }
        }
        if before > 0 {
            let previous = block - before;
            let (previous_size, previous_before, previous_free) = self.sizes(previous)?;
            if previous_size != before {
                return Err(Corrupt);
            }
            if previous_free {
                self.take(previous, previous_size)?;
                block = previous;
                size += previous_size;
                before = previous_before;
            }
        }
        self.put(block, size, before)
    }

    /// Recreates the lists and free blocks around the blocks in use, given as index and size and sorted by
    /// index.
    ///
    /// # Errors
    /// `Corrupt` when blocks overlap or a gap is too small for a block.
    pub fn rebuild(self, used: &[(usize, usize)]) -> Result<(), Corrupt> {
        self.words.store(self.last_free, 0)?;
        for index in 0..LIST_WORDS {
            self.words.store(self.lists + index, 0)?;
        }
        let mut at = self.start;
        let mut before = 0;
        for &(block, size) in used.iter().chain([&(self.end, 0)]) {
            let gap = block.checked_sub(at).ok_or(Corrupt)?;
            if gap > 0 {
                if gap < MIN_BLOCK {
                    return Err(Corrupt);
                }
                self.put(at, gap, before)?;
                before = gap;
            }
            if size > 0 {
                self.store_sizes(block, size, before, false)?;
                before = size;
            }
            at = block + size;
        }
        Ok(())
    }

    /// Finds a free block of at least `wanted` words.
    fn find(self, wanted: usize) -> Result<Option<usize>, Corrupt> {
        let class = class_of(wanted);
        let mut block = self.head(class)?;
        for _ in 0..LOOKS {
            if block == 0 {
                break;
            }
            if self.sizes(block)?.0 >= wanted {
                return Ok(Some(block));
            }
            block = (self.words.load(block + 1)? & LOW) as usize;
        }
        // Every block of a higher class is large enough.
        let mut from = class + 1;
        while from < CLASSES {
            let word = self.words.load(self.lists + from / 64)? >> (from % 64);
            if word != 0 {
                let found = self.head(from + word.trailing_zeros() as usize)?;
                // The size class is not trustworthy if the memory was overwritten.
                return if self.sizes(found)?.0 < wanted {
                    Err(Corrupt)
                } else {
                    Ok(Some(found))
                };
            }
            from = (from / 64 + 1) * 64;
        }
        Ok(None)
    }

    fn head(self, class: usize) -> Result<usize, Corrupt> {
        if class >= CLASSES {
            return Err(Corrupt);
        }
        Ok(self.words.load(self.lists + BITMAP_WORDS + class)? as usize)
    }

    fn set_head(self, class: usize, block: usize) -> Result<(), Corrupt> {
        let bitmap = self.lists + class / 64;
        let bit = 1u64 << (class % 64);
        let bits = self.words.load(bitmap)?;
        let bits = if block == 0 { bits & !bit } else { bits | bit };
        self.words.store(bitmap, bits)?;
        self.words.store(self.lists + BITMAP_WORDS + class, block as u64)
    }

    /// Marks a block as free and pushes it to the front of its list.
    fn put(self, block: usize, size: usize, before: usize) -> Result<(), Corrupt> {
        let class = class_of(size);
        let next = self.head(class)?;
        self.store_sizes(block, size, before, true)?;
        self.words.store(block + 1, next as u64)?;
        if next != 0 {
            self.sizes(next)?;
            let links = self.words.load(next + 1)?;
            self.words
                .store(next + 1, ((block as u64) << 32) | (links & LOW))?;
        }
        self.set_head(class, block)?;
        self.tell_before(block + size, size)
    }

    /// Unlinks a free block from its list.
    fn take(self, block: usize, size: usize) -> Result<(), Corrupt> {
        let links = self.words.load(block + 1)?;
        let (next, previous) = ((links & LOW) as usize, (links >> 32) as usize);
        if next != 0 {
            self.sizes(next)?;
            let links = self.words.load(next + 1)?;
            self.words
                .store(next + 1, ((previous as u64) << 32) | (links & LOW))?;
        }
        if previous == 0 {
            return self.set_head(class_of(size), next);
        }
        self.sizes(previous)?;
        let links = self.words.load(previous + 1)?;
        self.words.store(previous + 1, (links & !LOW) | next as u64)
    }
}

/// The size class of a block, monotonic in its size.
fn class_of(size: usize) -> usize {
    if size < EXACT_BELOW {
        return size / GRAIN;
    }
    let power = size.ilog2() as usize;
    let step = (size >> (power - 2)) & (STEPS - 1);
    EXACT_CLASSES + (power - 6) * STEPS + step
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::sync::AtomicU64;
    use proptest::prelude::*;

    const START: usize = (1 + LIST_WORDS).next_multiple_of(GRAIN);
    const WORDS: usize = START + 1000;

    struct Memory(Vec<AtomicU64>);

    impl Memory {
        fn new() -> Self {
            let memory = Self((0..WORDS).map(|_| AtomicU64::new(0)).collect());
            memory.arena().rebuild(&[]).unwrap();
            memory
        }

        fn arena(&self) -> Arena<'_> {
            Arena::new(Words::new(&self.0), 0, 1, START, WORDS)
        }
    }

    #[test]
    fn classes_grow_with_sizes() {
        for size in (MIN_BLOCK..1 << 20).step_by(GRAIN) {
            assert!(class_of(size) <= class_of(size + GRAIN));
            assert!(class_of(size) < CLASSES);
        }
        assert!(class_of((1 << 31) - 2) < CLASSES);
    }

    #[test]
    fn what_is_given_back_joins_its_neighbours() {
        let memory = Memory::new();
        let arena = memory.arena();
        let blocks: Vec<_> = (0..10).map(|_| arena.allocate(100).unwrap().unwrap()).collect();
        assert_eq!(arena.allocate(4).unwrap(), None);
        for index in [1, 3, 2, 9, 0, 5, 7, 6, 8, 4] {
            arena.free(blocks[index]).unwrap();
        }
        assert_eq!(arena.allocate(1000).unwrap(), Some(START));
    }

    #[test]
    fn more_than_there_is_is_none() {
        let memory = Memory::new();
        assert_eq!(memory.arena().allocate(1001).unwrap(), None);
        assert_eq!(memory.arena().allocate(usize::MAX).unwrap(), None);
    }

    proptest! {
        #[test]
        fn blocks_never_overlap_and_all_comes_back(
            actions in prop::collection::vec((0usize..200, any::<prop::sample::Index>()), 1..200),
            rebuild_at in 0usize..200,
        ) {
            let memory = Memory::new();
            let arena = memory.arena();
            let mut used: Vec<(usize, usize)> = Vec::new();
            for (turn, (words, which)) in actions.iter().enumerate() {
                if turn == rebuild_at {
                    used.sort_unstable();
                    arena.rebuild(&used).unwrap();
                }
                if *words < 100 && !used.is_empty() {
                    let (block, size) = used.swap_remove(which.index(used.len()));
                    prop_assert_eq!(arena.size(block).unwrap(), size);
                    arena.free(block).unwrap();
                } else if let Some(block) = arena.allocate(*words).unwrap() {
                    let size = arena.size(block).unwrap();
                    prop_assert!(size >= *words && block >= START && block + size <= WORDS);
                    for (other, other_size) in &used {
                        prop_assert!(block + size <= *other || other + other_size <= block);
                    }
                    used.push((block, size));
                }
            }
            for (block, _) in used {
                arena.free(block).unwrap();
            }
            prop_assert_eq!(arena.allocate(1000).unwrap(), Some(START));
        }

        #[test]
        fn any_bytes_are_an_error_at_most(
            bytes in prop::collection::vec(any::<u64>(), WORDS),
            small in any::<bool>(),
            words in 0usize..300,
            block in 0usize..WORDS + 10,
        ) {
            let narrow = |word: u64| if small { word & 0x0000_07ff_0000_07ff } else { word };
            let memory = Memory(bytes.into_iter().map(|word| AtomicU64::new(narrow(word))).collect());
            let _allocated = memory.arena().allocate(words);
            let _freed = memory.arena().free(block);
            let _size = memory.arena().size(block);
        }
    }
}
