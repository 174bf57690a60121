//! A table: shards in a segment, found by the hash of the key.
//!
//! ```text
//! parameter 0  shards, a power of two      1  words of each     2  buckets of each    3  1: evicts
//!           4, 5  seeds of the hash        6  nanoseconds after which entries expire, 0: never
//!           8  watched keys, a bit for each hash modulo 64      9  counts changes of watched keys
//! ```
//!
//! The parameters are read once, when the table is opened, and checked against the size of the segment.
//!
//! **Watching.** Who watches a key sets its bit, passes through the lock of the key's shard, looks at the entry and waits
//! for the count to change. Who changes an entry whose bit is set raises the count and wakes. A change under the lock
//! before the watcher's passing is seen by its look, and one after it sees the bit. Bits are never taken back: at worst a
//! change wakes in vain.

use std::sync::Arc;

use super::entry::{hash, Key, NewValue};
use super::read::{Read, Scan};
use super::shard::{Change, Condition, Expiry, Geometry, Shard, Stats};
use super::TableError;
use crate::shm::bell::Bell;
use crate::shm::header::{random, Kind};
use crate::shm::object::{ObjectSegment, Plan};
use crate::shm::owner_lock::System;
use crate::shm::words::{Corrupt, Words};
use crate::shm::OpenError;
use crate::sync::Ordering;
use crate::sys::clock::monotonic_ns;

/// Of the segments of tables.
pub const KIND: Kind = Kind {
    name: "map",
    layout: 3,
};

/// A table has at most this many shards, unless more are asked for.
const USUAL_SHARDS: usize = 64;
/// And so many at most.
pub const MAX_SHARDS: usize = 1024;
/// Shards are not made smaller than this without being asked to.
const SHARD_BYTES: usize = 1 << 20;
/// The least that makes sense.
pub const MIN_CAPACITY: usize = 64 * 1024;
/// Words of a shard begin on a line of their own.
const LINE_WORDS: usize = 16;

const WATCHED: usize = 8;
const CHANGES: usize = 9;

/// What a table is made with.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes for everything.
    pub capacity_bytes: usize,
    /// How many writers can be at work at once; 0: by the capacity. Rounded up to a power of two.
    pub shards: usize,
    /// Bytes that an entry has on average, key, value and some 40; decides the number of buckets.
    pub entry_bytes: usize,
    /// Whether the least recently used entries go when there is no room.
    pub evicts: bool,
    /// Nanoseconds after which entries expire; 0: never.
    pub ttl_ns: u64,
}

struct Layout {
    shards: usize,
    shard_words: usize,
    geometry: Geometry,
}

impl Options {
    fn layout(&self) -> Option<Layout> {
        let by_capacity = (self.capacity_bytes / SHARD_BYTES).clamp(1, USUAL_SHARDS);
        let shards = if self.shards == 0 {
            by_capacity
        } else {
            self.shards
        };
        let shards = if self.shards == 0 {
            // Rounded down: shards are at least as large as they should be.
            1 << shards.ilog2()
        } else {
            shards.min(MAX_SHARDS).next_power_of_two()
        };
        let shard_words = self.capacity_bytes / shards / 8 / LINE_WORDS * LINE_WORDS;
        let buckets = (shard_words * 8 / self.entry_bytes.max(16)).max(2);
        let geometry = Geometry::new(shard_words, 1 << buckets.ilog2(), self.evicts)?;
        Some(Layout {
            shards,
            shard_words,
            geometry,
        })
    }
}

/// A table, open. Any thread.
#[derive(Clone, Debug)]
pub struct Table {
    segment: Arc<ObjectSegment>,
    shards: usize,
    shard_words: usize,
    geometry: Geometry,
    seeds: [u64; 2],
    /// Nanoseconds after which entries expire that say nothing else; 0: never.
    pub ttl_ns: u64,
}

impl Table {
    /// Calls `open` with how to make the segment, and takes what it returns for a table.
    ///
    /// # Errors
    /// Those of `open`; EINVAL for a capacity that leaves no room for entries; `Corrupt`.
    pub fn open(
        options: &Options,
        open: impl FnOnce(&Plan) -> Result<Arc<ObjectSegment>, OpenError>,
    ) -> Result<Self, OpenError> {
        let invalid = || OpenError::Io(std::io::ErrorKind::InvalidInput.into());
        let layout = options.layout().ok_or_else(invalid)?;
        let segment = open(&Plan {
            kind: KIND,
            body_bytes: layout.shards * layout.shard_words * 8,
            initialise: &|segment| initialise(segment, &layout, options.ttl_ns),
        })?;
        Self::over(segment)
    }

    /// Takes a segment for a table.
    ///
    /// # Errors
    /// `Corrupt` when its parameters cannot be.
    pub fn over(segment: Arc<ObjectSegment>) -> Result<Self, OpenError> {
        let parameter = |index| usize::try_from(segment.parameter(index)).unwrap_or(usize::MAX);
        let corrupt = || OpenError::Corrupt("its parameters cannot be");
        let (shards, shard_words) = (parameter(0), parameter(1));
        let geometry = Geometry::new(shard_words, parameter(2), parameter(3) == 1).ok_or_else(corrupt)?;
        let words = shards.checked_mul(shard_words).ok_or_else(corrupt)?;
        if !shards.is_power_of_two() || words > segment.body().len() {
            return Err(corrupt());
        }
        let seeds = [parameter(4) as u64, parameter(5) as u64];
        let ttl_ns = parameter(6) as u64;
        Ok(Self {
            segment,
            shards,
            shard_words,
            geometry,
            seeds,
            ttl_ns,
        })
    }

    /// The segment.
    pub fn segment(&self) -> &Arc<ObjectSegment> {
        &self.segment
    }

    /// Where entries lie.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.shards
    }

    /// A key of this table.
    #[inline]
    pub fn key<'k>(&self, kind: u8, bytes: usize, words: &'k [u64]) -> Key<'k> {
        Key {
            kind,
            bytes,
            words,
            hash: hash(self.seeds, kind, bytes, words),
        }
    }

    #[inline]
    fn shard(&self, number: usize) -> Result<Shard<'_>, Corrupt> {
        let words = Words::new(self.segment.body()).part(number * self.shard_words, self.shard_words)?;
        Shard::new(words, &self.geometry)
    }

    #[inline]
    fn shard_of(&self, key: &Key<'_>) -> Result<Shard<'_>, Corrupt> {
        self.shard((key.hash >> 48) as usize & (self.shards - 1))
    }

    /// See [`Shard::get`].
    ///
    /// # Errors
    /// `Corrupt`, `Stuck`.
    #[inline(always)]
    pub fn get(&self, key: &Key<'_>, target: &mut [u64]) -> Result<Read, TableError> {
        self.shard_of(key)?.get(&System, key, target, monotonic_ns)
    }

    /// See [`Shard::set`].
    ///
    /// # Errors
    /// `Full`, `Corrupt`, `Stuck`.
    pub fn set(
        &self,
        key: &Key<'_>,
        value: &NewValue<'_>,
        expiry: Expiry,
        condition: Condition,
    ) -> Result<Change, TableError> {
        let change = self
            .shard_of(key)?
            .set(&System, key, value, expiry, condition, monotonic_ns)?;
        if let Change::Made(_) = change {
            self.tell(key);
        }
        Ok(change)
    }

    /// See [`Shard::add`].
    ///
    /// # Errors
    /// `Full`, `NotANumber`, `Corrupt`, `Stuck`.
    pub fn add(&self, key: &Key<'_>, kind: u8, by: f64, expiry: Expiry) -> Result<(f64, u64), TableError> {
        let sum = self
            .shard_of(key)?
            .add(&System, key, kind, by, expiry, monotonic_ns)?;
        self.tell(key);
        Ok(sum)
    }

    /// See [`Shard::delete`].
    ///
    /// # Errors
    /// `Corrupt`, `Stuck`.
    pub fn delete(&self, key: &Key<'_>, condition: Condition) -> Result<Change, TableError> {
        let change = self
            .shard_of(key)?
            .delete(&System, key, condition, monotonic_ns)?;
        if matches!(change, Change::Made(version) if version > 0) {
            self.tell(key);
        }
        Ok(change)
    }

    /// Removes all entries, shard by shard.
    ///
    /// # Errors
    /// `Corrupt`, `Stuck`.
    pub fn clear(&self) -> Result<(), TableError> {
        for number in 0..self.shards {
            self.shard(number)?.clear(&System)?;
        }
        self.tell_all();
        Ok(())
    }

    /// Copies the entries of a bucket, of all shards' buckets in a row; `None` behind the last.
    ///
    /// # Errors
    /// `Corrupt`, `Stuck`.
    pub fn scan(&self, bucket: usize, target: &mut [u64]) -> Result<Option<Scan>, TableError> {
        let (shard, bucket) = (bucket / self.geometry.buckets, bucket % self.geometry.buckets);
        if shard >= self.shards {
            return Ok(None);
        }
        self.shard(shard)?
            .scan(&System, bucket, target, monotonic_ns)
            .map(Some)
    }

    /// The sums over all shards, after putting in order what dead writers left.
    ///
    /// # Errors
    /// `Corrupt`, `Stuck`.
    pub fn stats(&self) -> Result<Stats, TableError> {
        let mut sum = Stats::default();
        for number in 0..self.shards {
            let shard = self.shard(number)?;
            shard.settle(&System)?;
            let stats = shard.stats()?;
            sum.entries = sum.entries.wrapping_add(stats.entries);
            sum.block_bytes = sum.block_bytes.wrapping_add(stats.block_bytes);
            sum.payload_bytes = sum.payload_bytes.wrapping_add(stats.payload_bytes);
            sum.evicted = sum.evicted.wrapping_add(stats.evicted);
            sum.expired = sum.expired.wrapping_add(stats.expired);
            sum.capacity_bytes += stats.capacity_bytes;
        }
        Ok(sum)
    }

    /// From here on, changes of the key raise [`Table::changes`].
    ///
    /// # Errors
    /// `Corrupt`, `Stuck`.
    pub fn watch(&self, key: &Key<'_>) -> Result<(), TableError> {
        if let Some(watched) = self.segment.parameters().get(WATCHED) {
            watched.fetch_or(1 << (key.hash & 63), Ordering::SeqCst);
        }
        self.shard_of(key)?.pass(&System)
    }

    /// Where changes of watched keys are counted.
    pub fn changes(&self) -> Bell<'_> {
        Bell::new(self.segment.parameters(), CHANGES)
    }

    /// After a change.
    #[inline]
    fn tell(&self, key: &Key<'_>) {
        // Behind the taking of the shard's lock, whose Acquire pairs with the release in `watch`.
        let watched = self.segment.parameters().get(WATCHED);
        let watched = watched.map_or(0, |word| word.load(Ordering::Relaxed));
        if watched & (1 << (key.hash & 63)) != 0 {
            self.tell_all();
        }
    }

    #[cold]
    fn tell_all(&self) {
        self.changes().ring();
    }
}

fn initialise(segment: &ObjectSegment, layout: &Layout, ttl_ns: u64) {
    segment.set_parameters([
        layout.shards as u64,
        layout.shard_words as u64,
        layout.geometry.buckets as u64,
        u64::from(layout.geometry.evicts),
        random() | 1,
        random() | 1,
        ttl_ns,
    ]);
    let body = Words::new(segment.body());
    for number in 0..layout.shards {
        let shard = body
            .part(number * layout.shard_words, layout.shard_words)
            .and_then(|words| Shard::new(words, &layout.geometry))
            .and_then(Shard::initialise);
        debug_assert!(shard.is_ok(), "the segment was made for this layout");
    }
}
