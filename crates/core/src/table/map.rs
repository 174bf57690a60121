//! A table: shards in a segment, selected by the hash of the key.
//!
//! ```text
//! parameter 0  number of shards, a power of two  1  words per shard    2  buckets per shard   3  1: evicts
//!           4, 5  hash seeds                     6  time to live of entries in ns, 0: unlimited
//!           8  watched keys: a bit per hash modulo 64                  9  counter of changes to watched keys
//! ```
//!
//! The parameters are read once, when the table is opened, and validated against the size of the segment.
//!
//! **Watching.** To watch a key, a thread sets the key's bit, passes through the lock of its shard, reads the
//! entry and waits for the counter to change. A thread that changes an entry whose bit is set increments the
//! counter and wakes all waiters. The watcher's read sees every change made under the lock before it passed,
//! and every later writer sees the bit. Bits are never cleared, so spurious wake-ups are possible.

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

/// The segment type of tables.
pub const KIND: Kind = Kind {
    name: "map",
    layout: 5,
};

/// Largest default number of shards.
const USUAL_SHARDS: usize = 64;
/// Largest number of shards that can be requested.
const MAX_SHARDS: usize = 1024;
/// By default, shards are at least this large, in bytes.
const SHARD_BYTES: usize = 1 << 20;
/// Shards are aligned to this many words, two cache lines.
const LINE_WORDS: usize = 16;

const WATCHED: usize = 8;
const CHANGES: usize = 9;

/// The parameters of a new table.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Total size in bytes.
    pub capacity_bytes: usize,
    /// Number of shards, which is the number of concurrent writers; 0 to derive it from the capacity. Rounded
    /// up to a power of two.
    pub shards: usize,
    /// Expected average size of an entry in bytes (key, value and about 40 bytes of overhead); determines the
    /// number of buckets.
    pub entry_bytes: usize,
    /// Whether the least recently used entries are evicted when there is no room.
    pub evicts: bool,
    /// Time to live of entries in ns; 0: unlimited.
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
            // Rounded down, so that shards do not fall below `SHARD_BYTES`.
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

/// An open table. May be used from any thread.
#[derive(Clone, Debug)]
pub struct Table {
    segment: Arc<ObjectSegment>,
    shards: usize,
    shard_words: usize,
    geometry: Geometry,
    seeds: [u64; 2],
    /// Default time to live of entries in ns; 0: unlimited.
    pub ttl_ns: u64,
}

impl Table {
    /// Opens or creates a table, using `open` with the plan for its segment.
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

    /// Opens the table in a segment.
    ///
    /// # Errors
    /// `Corrupt` when its parameters are invalid.
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

    /// The underlying segment.
    pub fn segment(&self) -> &Arc<ObjectSegment> {
        &self.segment
    }

    /// The layout of its shards.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Number of shards.
    pub fn shards(&self) -> usize {
        self.shards
    }

    /// A key of this table, with its hash.
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

    /// Prefetches what a change of the key is likely to touch, so that it arrives while the caller still prepares
    /// the value. Has no other effect.
    #[inline]
    pub fn foresee(&self, key: &Key<'_>, value_bytes: usize) {
        if let Ok(shard) = self.shard_of(key) {
            shard.foresee(key, value_bytes);
        }
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

    /// Removes all entries, shard by shard; not atomic.
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

    /// Copies the entries of a bucket; buckets are numbered across all shards. `None` after the last one.
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

    /// The statistics of all shards together, after repairing those of dead writers.
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

    /// From here on, changes to the key increment [`Table::changes`].
    ///
    /// # Errors
    /// `Corrupt`, `Stuck`.
    pub fn watch(&self, key: &Key<'_>) -> Result<(), TableError> {
        if let Some(watched) = self.segment.parameters().get(WATCHED) {
            watched.fetch_or(1 << (key.hash & 63), Ordering::SeqCst);
        }
        self.shard_of(key)?.pass(&System)
    }

    /// The bell that counts changes to watched keys.
    pub fn changes(&self) -> Bell<'_> {
        Bell::new(self.segment.parameters(), CHANGES)
    }

    /// Notifies watchers after a change.
    #[inline]
    fn tell(&self, key: &Key<'_>) {
        // Relaxed: ordered by the shard's lock, whose Acquire pairs with the release in `watch`.
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
