//! How a shard makes room for a new entry: it removes expired entries and, if the table evicts, approximately
//! the least recently used ones.

use super::entry::Key;
use super::shard::{Found, Shard, ENTRIES, EVICTED, EXPIRED, EXPIRING, HAND, LOW, STAMP_GRAIN, VERSION};
use super::TableError;
use crate::shm::words::Corrupt;
use crate::sync::Ordering;

/// Sample size for the choice of the least recently used entry.
const CANDIDATES: usize = 24;
/// A stamp is refreshed once the number of changes since exceeds the number of entries divided by this.
const STAMP_SHARE: u64 = 32;
/// Buckets swept for expired entries on each change.
const SWEPT: usize = 2;

impl Shard<'_> {
    /// Lock holder: allocates a block, removing other entries if necessary. The entry in `found` may be among
    /// them.
    #[inline]
    pub(super) fn allocate(
        self,
        key: &Key<'_>,
        found: Option<Found>,
        words: usize,
        now: &impl Fn() -> u64,
    ) -> Result<(usize, Option<Found>), TableError> {
        if let Some(block) = self.arena().allocate(words)? {
            return Ok((block, found));
        }
        self.make_room(key, found, words, now)
    }

    #[cold]
    fn make_room(
        self,
        key: &Key<'_>,
        mut found: Option<Found>,
        words: usize,
        now: &impl Fn() -> u64,
    ) -> Result<(usize, Option<Found>), TableError> {
        if words > self.arena().capacity() {
            return Err(TableError::Full);
        }
        loop {
            let kept = found.map_or(0, |found| found.entry.block);
            let made_room = match self.geometry.evicts {
                true => self.evict(kept, now)?,
                false => self.remove_expired(now)?,
            };
            if !made_room {
                return Err(TableError::Full);
            }
            found = self.find(key)?;
            if let Some(block) = self.arena().allocate(words)? {
                return Ok((block, found));
            }
        }
    }

    /// Lock holder: removes the least recently used entry of a sample. Returns false when there is none.
    fn evict(self, kept: usize, now: &impl Fn() -> u64) -> Result<bool, TableError> {
        let version = self.words.load(VERSION)?;
        let now = if self.words.load(EXPIRING)? > 0 { now() } else { 0 };
        let start = (version.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize;
        let mut oldest: Option<(u32, Found)> = None;
        let mut candidates = 0;
        for bucket in 0..self.geometry.buckets {
            let bucket = (start + bucket) & (self.geometry.buckets - 1);
            for found in self.chain(bucket) {
                let found = found?;
                let expired = self.has_expired(&found.entry, now)?;
                let age = match (found.entry.block == kept, expired) {
                    // The entry being replaced is evicted only if there is no other.
                    (true, _) => 0,
                    (_, true) => u32::MAX,
                    _ => (version as u32)
                        .wrapping_sub(self.stamp_of(found.entry.block)?)
                        .saturating_add(1),
                };
                if oldest.is_none_or(|(oldest, _)| age > oldest) {
                    oldest = Some((age, found));
                }
                candidates += 1;
            }
            if candidates >= CANDIDATES {
                break;
            }
        }
        let Some((_, found)) = oldest else {
            return Ok(false);
        };
        self.words
            .store(EVICTED, self.words.load(EVICTED)?.wrapping_add(1))?;
        self.remove(found)?;
        Ok(true)
    }

    /// Lock holder: removes all expired entries. Returns false when there were none.
    fn remove_expired(self, now: &impl Fn() -> u64) -> Result<bool, TableError> {
        if self.words.load(EXPIRING)? == 0 {
            return Ok(false);
        }
        let now = now();
        let mut removed = false;
        for bucket in 0..self.geometry.buckets {
            removed |= self.remove_expired_of(bucket, now)?;
        }
        Ok(removed)
    }

    fn remove_expired_of(self, bucket: usize, now: u64) -> Result<bool, TableError> {
        let mut removed = false;
        'again: loop {
            for found in self.chain(bucket) {
                let found = found?;
                if self.has_expired(&found.entry, now)? {
                    self.words
                        .store(EXPIRED, self.words.load(EXPIRED)?.wrapping_add(1))?;
                    self.remove(found)?;
                    removed = true;
                    // The chain has changed.
                    continue 'again;
                }
            }
            return Ok(removed);
        }
    }

    /// Lock holder: sweeps the next few buckets for expired entries.
    #[inline]
    pub(super) fn sweep(self, now: &impl Fn() -> u64) -> Result<(), TableError> {
        if self.words.load(EXPIRING)? == 0 {
            return Ok(());
        }
        let now = now();
        let hand = self.words.load(HAND)? as usize;
        for bucket in hand..hand.saturating_add(SWEPT) {
            self.remove_expired_of(bucket & (self.geometry.buckets - 1), now)?;
        }
        self.words.store(HAND, hand.wrapping_add(SWEPT) as u64)?;
        Ok(())
    }

    /// Records that an entry was used. Needs no lock: a stamp is only a hint.
    #[inline]
    pub(super) fn stamp(self, block: usize) -> Result<(), Corrupt> {
        if !self.geometry.evicts {
            return Ok(());
        }
        let (index, shift) = self.stamp_place(block);
        let now = self.words.load(VERSION)? as u32;
        let word = self.words.load(index)?;
        let age = now.wrapping_sub((word >> shift) as u32);
        // A recent stamp is precise enough, and skipping the store keeps readers of the same entry from
        // contending for its cache line.
        if u64::from(age) > self.words.load(ENTRIES)? / STAMP_SHARE {
            let stamp = u64::from(now) << shift;
            self.words
                .at(index)?
                .store((word & !(LOW << shift)) | stamp, Ordering::Relaxed);
        }
        Ok(())
    }

    fn stamp_of(self, block: usize) -> Result<u32, Corrupt> {
        let (index, shift) = self.stamp_place(block);
        Ok((self.words.load(index)? >> shift) as u32)
    }

    fn stamp_place(self, block: usize) -> (usize, usize) {
        let number = block.saturating_sub(self.geometry.arena) / STAMP_GRAIN;
        (self.geometry.stamps + number / 2, number % 2 * 32)
    }
}
