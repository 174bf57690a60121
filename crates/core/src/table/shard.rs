//! One shard of a table: a lock for writers, buckets of chained entries, and the arena that holds them.
//!
//! ```text
//! word   0   lock         `OwnerLock`
//!        1   version      of the last change
//!        2   reclaims     incremented before a block that was reachable is reused or overwritten
//!        3   redo         the low half of reclaims << 32 | the entry being overwritten, 0: none (`overwrite`)
//!        4   redo record  15 words
//!       19   number of entries, 20 words in their blocks, 21 bytes of keys and values, 22 entries that can expire
//!       23   most recently freed block (`arena`)
//!       24   next bucket to sweep for expired entries
//!       25   entries evicted so far, 26 entries expired so far
//!       32   lists of the arena, then the buckets (32 bits each), then the stamps (32 bits each), then the arena
//! ```
//!
//! What every write changes is in the cache line of the lock, which a writer has to fetch anyway, and the record is in that
//! line and those after it. Overwriting a short value leaves the third line as it is, so that each writer keeps its copy
//! of the counts there.
//!
//! **Writing** requires the lock. A value of the same kind and length as the one before is written over it, through
//! the redo record (`overwrite`). Otherwise a new entry is written into a free block, which is not reachable; then a
//! single store to a bucket or to another entry's link puts it in place of the old one. A writer that dies
//! before that store has changed nothing; if it dies after it, everything that matters has been changed. The
//! rest, counters and arena, is recreated from the reachable entries (`repair`) by the next
//! lock holder.
//!
//! **Reading** requires no lock and never waits for a writer, dead or alive. As with a seqlock, a reader
//! loads `reclaims` and `redo`, follows the links, copies, and loads both again: if they are unchanged, no block that
//! the reader saw has been reused or overwritten. Otherwise it retries, and after several attempts it takes the lock.
//! The value of an entry that `redo` names is read from the record.
//!
//! Nothing in a shard is trusted: each index is checked against the memory, each length against its block,
//! and the length of chains is bounded.

use super::arena::{Arena, LIST_WORDS};
use super::entry::{self, link, link_word, Entry, Key, NewValue};
use super::TableError;
use crate::crash;
use crate::shm::owner_lock::{Acquired, Host, OwnerLock};
use crate::shm::words::{Corrupt, Words};
use crate::sync::{fence, Ordering};

pub(super) const LOCK: usize = 0;
pub(super) const VERSION: usize = 1;
pub(super) const RECLAIMS: usize = 2;
pub(super) const REDO: usize = 3;
pub(super) const RECORD: usize = 4;
pub(super) const ENTRIES: usize = RECORD + RECORD_WORDS;
pub(super) const BLOCK_WORDS: usize = 20;
pub(super) const PAYLOAD: usize = 21;
pub(super) const EXPIRING: usize = 22;
pub(super) const LAST_FREE: usize = 23;
pub(super) const HAND: usize = 24;
pub(super) const EVICTED: usize = 25;
pub(super) const EXPIRED: usize = 26;
/// Longest value in the record, in words.
pub(super) const RECORD_WORDS: usize = 15;
pub(super) const LISTS: usize = 32;
pub(super) const BUCKETS: usize = (LISTS + LIST_WORDS).next_multiple_of(16);

pub(super) const LOW: u64 = 0xffff_ffff;
/// No genuine chain comes near this length.
pub(super) const MAX_CHAIN: usize = 1 << 14;
/// Words of the arena per stamp.
pub(super) const STAMP_GRAIN: usize = 8;

/// The layout of a table's shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Number of buckets, a power of two.
    pub buckets: usize,
    /// Whether entries are evicted when there is no room.
    pub evicts: bool,
    pub(super) stamps: usize,
    pub(super) arena: usize,
    words: usize,
}

impl Geometry {
    /// The layout of shards with `words` words. `None` when that leaves no room for entries or is too large.
    pub fn new(words: usize, buckets: usize, evicts: bool) -> Option<Self> {
        if buckets < 2 || !buckets.is_power_of_two() || words > 1 << 30 {
            return None;
        }
        let words = words & !1;
        let stamps = BUCKETS.checked_add(buckets / 2)?;
        let rest = words.checked_sub(stamps)?;
        let stamp_words = if evicts {
            rest / (2 * STAMP_GRAIN + 1) + 1
        } else {
            0
        };
        let arena = (stamps + stamp_words).next_multiple_of(2);
        (words.checked_sub(arena)? >= 16).then_some(Self {
            buckets,
            evicts,
            stamps,
            arena,
            words,
        })
    }

    /// Size of each shard's arena in bytes.
    fn arena_bytes(&self) -> usize {
        (self.words - self.arena) * 8
    }
}

/// The precondition of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// None.
    Always,
    /// The entry has this version; 0: there is no entry.
    Version(u64),
}

/// When an entry expires, in ns of the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Never.
    Never,
    /// At this time.
    At(u64),
    /// At the same time as the entry it replaces; a new entry at this time, or never.
    Kept(Option<u64>),
}

/// The result of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was made; contains the entry's version.
    Made(u64),
    /// The condition was not met; contains the current version, 0 for none.
    Refused(u64),
}

/// Statistics of a shard or table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Number of entries, including expired ones not removed yet.
    pub entries: u64,
    /// Size of their blocks in bytes.
    pub block_bytes: u64,
    /// Length of their keys and values in bytes.
    pub payload_bytes: u64,
    /// Entries evicted to make room.
    pub evicted: u64,
    /// Expired entries removed.
    pub expired: u64,
    /// Size of the arena in bytes.
    pub capacity_bytes: u64,
}

/// Where the index of an entry is stored.
#[derive(Clone, Copy, Debug)]
pub(super) enum Link {
    Bucket(usize),
    Entry(usize),
}

/// An entry and the link that points to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub link: Link,
    pub entry: Entry,
}

/// A view of a shard's words.
#[derive(Clone, Copy, Debug)]
pub struct Shard<'a> {
    pub(super) words: Words<'a>,
    pub(super) geometry: &'a Geometry,
}

impl<'a> Shard<'a> {
    /// A shard over the words that `geometry` was made for.
    ///
    /// # Errors
    /// When there are fewer words.
    #[inline]
    pub fn new(words: Words<'a>, geometry: &'a Geometry) -> Result<Self, Corrupt> {
        let words = words.part(0, geometry.words)?;
        Ok(Self { words, geometry })
    }

    #[inline]
    pub(super) fn arena(self) -> Arena<'a> {
        let Geometry { arena, words, .. } = *self.geometry;
        Arena::new(self.words, LAST_FREE, LISTS, arena, words)
    }

    /// Creator: initialises an empty shard in zeroed memory.
    ///
    /// # Errors
    /// Never, given enough memory.
    pub fn initialise(self) -> Result<(), Corrupt> {
        self.arena().rebuild(&[])
    }

    #[inline]
    fn lock(self) -> Result<OwnerLock<'a>, Corrupt> {
        Ok(OwnerLock::new(self.words.at(LOCK)?))
    }

    /// Runs `action` under the lock, after repairing what a dead holder may have left.
    #[inline]
    pub(super) fn locked<T>(
        self,
        host: &impl Host,
        action: impl FnOnce() -> Result<T, TableError>,
    ) -> Result<T, TableError> {
        let lock = self.lock()?;
        let in_order = match lock.acquire(host)? {
            Acquired::Free => Ok(()),
            Acquired::OwnerDied => self.repair(),
        };
        let outcome = in_order.map_err(TableError::from).and_then(|()| action());
        let outcome = match outcome {
            // The lists have been overwritten; the reachable entries may still be intact.
            Err(TableError::Corrupt) => self.repair().and(Err(Corrupt)).map_err(TableError::from),
            outcome => outcome,
        };
        lock.release();
        outcome
    }

    /// Repairs the shard if the holder of its lock is dead.
    ///
    /// # Errors
    /// Those of any change.
    pub fn settle(self, host: &impl Host) -> Result<(), TableError> {
        match self.lock()?.is_orphaned(host) {
            true => self.locked(host, || Ok(())),
            false => Ok(()),
        }
    }

    /// Waits for a change in progress, by acquiring and releasing the lock.
    ///
    /// # Errors
    /// Those of any change.
    pub fn pass(self, host: &impl Host) -> Result<(), TableError> {
        self.locked(host, || Ok(()))
    }

    #[inline]
    pub(super) fn bucket_of(self, key: &Key<'_>) -> usize {
        key.hash as usize & (self.geometry.buckets - 1)
    }

    /// The first entry of a bucket, 0: none. Acquire: pairs with `Words::publish`.
    #[inline]
    pub(super) fn head(self, bucket: usize) -> Result<usize, Corrupt> {
        let word = self.words.at(BUCKETS + bucket / 2)?.load(Ordering::Acquire);
        Ok(((word >> (bucket % 2 * 32)) & LOW) as usize)
    }

    /// Lock holder: redirects a link to another entry. This is the store that makes a change visible.
    #[inline]
    pub(super) fn set_link(self, at: Link, block: usize) -> Result<(), Corrupt> {
        match at {
            Link::Bucket(bucket) => {
                let shift = bucket % 2 * 32;
                let index = BUCKETS + bucket / 2;
                let word = self.words.load(index)?;
                self.words
                    .publish(index, (word & !(LOW << shift)) | ((block as u64) << shift))
            }
            Link::Entry(entry) => {
                let (tag, _) = link(self.words, entry)?;
                self.words.publish(entry + 1, link_word(tag, block))
            }
        }
    }

    /// Finds the entry of a key.
    #[inline(always)]
    pub(super) fn find(self, key: &Key<'_>) -> Result<Option<Found>, Corrupt> {
        let bucket = self.bucket_of(key);
        let mut at = Link::Bucket(bucket);
        let mut block = self.head(bucket)?;
        for _ in 0..MAX_CHAIN {
            if block == 0 {
                return Ok(None);
            }
            let (tag, next) = link(self.words, block)?;
            if tag == key.tag() {
                let entry = Entry::at(self.words, self.arena(), block)?;
                if entry.has(self.words, key)? {
                    return Ok(Some(Found { link: at, entry }));
                }
            }
            at = Link::Entry(block);
            block = next;
        }
        Err(Corrupt)
    }

    pub(super) fn has_expired(self, entry: &Entry, now: u64) -> Result<bool, Corrupt> {
        Ok(entry.expires(self.words)?.is_some_and(|expires| expires <= now))
    }

    /// Stores a value if the condition is met. An expired entry counts as missing.
    ///
    /// # Errors
    /// `Full` when there is no room, `Stuck`, `Corrupt`.
    pub fn set(
        self,
        host: &impl Host,
        key: &Key<'_>,
        value: &NewValue<'_>,
        expiry: Expiry,
        condition: Condition,
        now: impl Fn() -> u64,
    ) -> Result<Change, TableError> {
        self.approach(key, value.bytes.len());
        self.locked(host, || {
            let found = self.find(key)?;
            let current = self.current(found, &now)?;
            if let (Condition::Version(wanted), version) = (condition, self.version_of(current)?) {
                if wanted != version {
                    return Ok(Change::Refused(version));
                }
            }
            let expires = self.expires(expiry, current)?;
            self.replace(key, found, value, expires, &now).map(Change::Made)
        })
    }

    /// Adds `by` to a number; a missing entry counts as 0. Returns the sum and the version.
    ///
    /// # Errors
    /// `NotANumber` when the value is not of this `kind`, and those of [`Shard::set`].
    pub fn add(
        self,
        host: &impl Host,
        key: &Key<'_>,
        kind: u8,
        by: f64,
        expiry: Expiry,
        now: impl Fn() -> u64,
    ) -> Result<(f64, u64), TableError> {
        self.approach(key, 8);
        self.locked(host, || {
            let found = self.find(key)?;
            let current = self.current(found, &now)?;
            let number = match current {
                None => 0.0,
                Some(Found { entry, .. }) => {
                    if entry.value_kind() != kind || entry.value_bytes() != 8 {
                        return Err(TableError::NotANumber);
                    }
                    f64::from_bits(self.words.load(entry.value_at())?)
                }
            };
            let expires = self.expires(expiry, current)?;
            let sum = number + by;
            let bytes = sum.to_bits().to_le_bytes();
            let value = NewValue { kind, bytes: &bytes };
            let version = self.replace(key, found, &value, expires, &now)?;
            Ok((sum, version))
        })
    }

    /// Removes an entry if the condition is met. Returns `Made(0)` when there was none.
    ///
    /// # Errors
    /// `Stuck`, `Corrupt`.
    pub fn delete(
        self,
        host: &impl Host,
        key: &Key<'_>,
        condition: Condition,
        now: impl Fn() -> u64,
    ) -> Result<Change, TableError> {
        self.locked(host, || {
            let found = self.find(key)?;
            let version = self.version_of(self.current(found, &now)?)?;
            if matches!(condition, Condition::Version(wanted) if wanted != version) {
                return Ok(Change::Refused(version));
            }
            if let Some(found) = found {
                self.next_version()?;
                self.remove(found)?;
            }
            Ok(Change::Made(version))
        })
    }

    /// Removes all entries.
    ///
    /// # Errors
    /// `Stuck`, `Corrupt`.
    pub fn clear(self, host: &impl Host) -> Result<(), TableError> {
        self.locked(host, || {
            self.next_version()?;
            for index in 0..self.geometry.buckets / 2 {
                self.words.publish(BUCKETS + index, 0)?;
            }
            self.repair()?;
            Ok(())
        })
    }

    /// The statistics, read without the lock.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn stats(self) -> Result<Stats, Corrupt> {
        Ok(Stats {
            entries: self.words.load(ENTRIES)?,
            block_bytes: self.words.load(BLOCK_WORDS)?.wrapping_mul(8),
            payload_bytes: self.words.load(PAYLOAD)?,
            evicted: self.words.load(EVICTED)?,
            expired: self.words.load(EXPIRED)?,
            capacity_bytes: self.geometry.arena_bytes() as u64,
        })
    }

    /// The entry found, unless it has expired.
    #[inline]
    fn current(self, found: Option<Found>, now: &impl Fn() -> u64) -> Result<Option<Found>, Corrupt> {
        match found {
            Some(found) if found.entry.is_expiring() && self.has_expired(&found.entry, now())? => Ok(None),
            found => Ok(found),
        }
    }

    #[inline]
    fn version_of(self, found: Option<Found>) -> Result<u64, Corrupt> {
        found.map_or(Ok(0), |found| found.entry.version(self.words))
    }

    /// When the entry that takes the place of `current` expires.
    #[inline]
    fn expires(self, expiry: Expiry, current: Option<Found>) -> Result<Option<u64>, Corrupt> {
        Ok(match (expiry, current) {
            (Expiry::Never, _) => None,
            (Expiry::At(time), _) => Some(time),
            (Expiry::Kept(otherwise), None) => otherwise,
            (Expiry::Kept(_), Some(found)) => found.entry.expires(self.words)?,
        })
    }

    /// Lock holder: inserts an entry in place of `found`, or at the front of its bucket.
    #[inline]
    fn replace(
        self,
        key: &Key<'_>,
        found: Option<Found>,
        value: &NewValue<'_>,
        expires: Option<u64>,
        now: &impl Fn() -> u64,
    ) -> Result<u64, TableError> {
        if let (Some(found), None) = (&found, expires) {
            if let Some(version) = self.overwrite(&found.entry, key, value)? {
                return Ok(version);
            }
            if let Some(version) = self.exchange(key, found, value)? {
                return Ok(version);
            }
        }
        self.replace_any(key, found, value, expires, now)
    }

    /// Lock holder: the common case of [`Shard::replace_any`], in which the new entry has the size of the old one and no
    /// entry of the shard expires. `None` in other cases.
    #[inline]
    fn exchange(self, key: &Key<'_>, found: &Found, value: &NewValue<'_>) -> Result<Option<u64>, Corrupt> {
        let Found { link: at, entry } = found;
        let size = Arena::block_size(entry::words_needed(key, value.bytes.len(), None));
        if entry.size != size || self.words.load(EXPIRING)? > 0 {
            return Ok(None);
        }
        let Some(block) = self.arena().exchange(size, entry.block)? else {
            return Ok(None);
        };
        let (_, next) = link(self.words, entry.block)?;
        let version = self.insert(block, (*at, next), key, value, None)?;
        self.announce_reclaim()?;
        crash::point("table.retired");
        let (enters, leaves) = ((key.bytes + value.bytes.len()) as u64, entry.payload());
        if enters != leaves {
            let payload = self.words.load(PAYLOAD)?;
            self.words
                .store(PAYLOAD, payload.wrapping_add(enters).wrapping_sub(leaves))?;
        }
        Ok(Some(version))
    }

    /// Lock holder: inserts an entry in place of `found`, or at the front of its bucket.
    #[inline(never)]
    fn replace_any(
        self,
        key: &Key<'_>,
        found: Option<Found>,
        value: &NewValue<'_>,
        expires: Option<u64>,
        now: &impl Fn() -> u64,
    ) -> Result<u64, TableError> {
        let (block, found) = self.allocate(
            key,
            found,
            entry::words_needed(key, value.bytes.len(), expires),
            now,
        )?;
        let place = match found {
            Some(found) => (found.link, link(self.words, found.entry.block)?.1),
            None => {
                let bucket = self.bucket_of(key);
                (Link::Bucket(bucket), self.head(bucket)?)
            }
        };
        let version = self.insert(block, place, key, value, expires)?;
        let entry = Entry::at(self.words, self.arena(), block)?;
        let replaced = found.map(|found| found.entry);
        self.account(Some(&entry), replaced.as_ref())?;
        if let Some(replaced) = replaced {
            self.give_back(replaced.block)?;
        }
        self.sweep(now)?;
        Ok(version)
    }

    /// Lock holder: takes the version of the next change.
    #[inline]
    pub(super) fn next_version(self) -> Result<u64, Corrupt> {
        let version = self.words.load(VERSION)?.wrapping_add(1);
        // Release: pairs with the fence in `is_still`. A reader of the record that sees this version sees that `REDO` no
        // longer names the entry of the one before.
        self.words.publish(VERSION, version)?;
        Ok(version)
    }

    /// Lock holder: writes an entry into a block that is not reachable yet, and links it in: the link to it, and the
    /// block after it. Returns its version.
    #[inline]
    fn insert(
        self,
        block: usize,
        (at, next): (Link, usize),
        key: &Key<'_>,
        value: &NewValue<'_>,
        expires: Option<u64>,
    ) -> Result<u64, Corrupt> {
        let version = self.next_version()?;
        entry::write(self.words, block, key, value, expires, version)?;
        self.words.store(block + 1, link_word(key.tag(), next))?;
        self.stamp(block)?;
        crash::point("table.written");
        self.set_link(at, block)?;
        crash::point("table.linked");
        Ok(version)
    }

    /// Lock holder: unlinks an entry and frees its block.
    pub(super) fn remove(self, found: Found) -> Result<(), Corrupt> {
        let (_, next) = link(self.words, found.entry.block)?;
        crash::point("table.removing");
        self.set_link(found.link, next)?;
        self.account(None, Some(&found.entry))?;
        self.give_back(found.entry.block)
    }

    /// Lock holder: frees a block that is no longer reachable.
    #[inline]
    fn give_back(self, block: usize) -> Result<(), Corrupt> {
        self.announce_reclaim()?;
        crash::point("table.retired");
        self.arena().free(block)
    }

    /// Lock holder: announces that blocks which were reachable before may be reused from here on.
    #[inline]
    pub(super) fn announce_reclaim(self) -> Result<(), Corrupt> {
        // Release: pairs with the Acquire load of readers before they follow links. A reader that sees this
        // count sees links that bypass the block.
        self.words
            .publish(RECLAIMS, self.words.load(RECLAIMS)?.wrapping_add(1))?;
        // Release: pairs with the fence of readers after they have copied. A reader that sees any store made
        // from here on sees this count.
        fence(Ordering::Release);
        Ok(())
    }

    /// Lock holder: updates the counters for an added and a removed entry.
    #[inline]
    fn account(self, enters: Option<&Entry>, leaves: Option<&Entry>) -> Result<(), Corrupt> {
        let counted = |entry: Option<&Entry>| {
            entry.map_or([0; 4], |entry| {
                [
                    1,
                    entry.size as u64,
                    entry.payload(),
                    u64::from(entry.is_expiring()),
                ]
            })
        };
        let (enters, leaves) = (counted(enters), counted(leaves));
        let counts = [ENTRIES, BLOCK_WORDS, PAYLOAD, EXPIRING];
        for (index, (more, less)) in counts.into_iter().zip(enters.into_iter().zip(leaves)) {
            if more != less {
                let count = self.words.load(index)?;
                self.words
                    .store(index, count.wrapping_add(more).wrapping_sub(less))?;
            }
        }
        Ok(())
    }

    /// The entries of a bucket, in order.
    pub(super) fn chain(self, bucket: usize) -> impl Iterator<Item = Result<Found, Corrupt>> + use<'a> {
        let mut at = Link::Bucket(bucket);
        let mut steps = 0;
        let mut ended = false;
        std::iter::from_fn(move || {
            if ended {
                return None;
            }
            let step = || {
                let block = match at {
                    Link::Bucket(bucket) => self.head(bucket)?,
                    Link::Entry(block) => link(self.words, block)?.1,
                };
                if block == 0 {
                    return Ok(None);
                }
                steps += 1;
                if steps > MAX_CHAIN {
                    return Err(Corrupt);
                }
                let entry = Entry::at(self.words, self.arena(), block)?;
                let found = Found { link: at, entry };
                at = Link::Entry(block);
                Ok(Some(found))
            };
            let mut step = step;
            let found = step().transpose();
            ended = !matches!(found, Some(Ok(_)));
            found
        })
    }
}

impl From<Corrupt> for TableError {
    fn from(_: Corrupt) -> Self {
        Self::Corrupt
    }
}
