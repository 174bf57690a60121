//! Lock-free reads of a shard.

use super::entry::{Entry, Key};
use super::shard::{Found, Shard, RECLAIMS};
use super::TableError;
use crate::shm::owner_lock::Host;
use crate::shm::words::Corrupt;
use crate::sync::{fence, Ordering};

/// Attempts of a reader before it takes the lock.
const TRIES: usize = 64;

/// The result of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// There is no entry.
    Missing,
    /// A value, of which as many whole words as fit were copied.
    Found(Value),
}

/// The properties of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    /// The meaning of its bytes.
    pub kind: u8,
    /// Its length in bytes.
    pub bytes: usize,
    /// The entry's version.
    pub version: u64,
    /// Expiry time in ns of the monotonic clock.
    pub expires: Option<u64>,
}

/// The result of scanning a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// All entries were copied.
    Copied {
        /// Number of entries.
        entries: usize,
        /// Number of words.
        words: usize,
    },
    /// Nothing usable was copied: this many words are needed.
    NeedsWords(usize),
}

impl Shard<'_> {
    /// Looks up a key and copies as much of its value as fits into `target`.
    ///
    /// # Errors
    /// `Corrupt`; `Stuck` when a reader overtaken too often cannot get the lock either.
    #[inline(always)]
    pub fn get(
        self,
        host: &impl Host,
        key: &Key<'_>,
        target: &mut [u64],
        now: impl Fn() -> u64,
    ) -> Result<Read, TableError> {
        let reclaims = self.words.at(RECLAIMS)?;
        // As in `consistent`, whose loop would prevent this from being inlined into the caller.
        let before = reclaims.load(Ordering::Acquire);
        let outcome = self.look_up(key, target, &now);
        fence(Ordering::Acquire);
        if reclaims.load(Ordering::Relaxed) == before {
            return Ok(outcome?);
        }
        self.get_contended(host, key, target, &now)
    }

    #[cold]
    fn get_contended(
        self,
        host: &impl Host,
        key: &Key<'_>,
        target: &mut [u64],
        now: &impl Fn() -> u64,
    ) -> Result<Read, TableError> {
        self.consistent(host, || self.look_up(key, target, now))
    }

    #[inline(always)]
    fn look_up(self, key: &Key<'_>, target: &mut [u64], now: &impl Fn() -> u64) -> Result<Read, Corrupt> {
        let Some(Found { entry, .. }) = self.find(key)? else {
            return Ok(Read::Missing);
        };
        let expires = entry.expires(self.words)?;
        if expires.is_some_and(|expires| expires <= now()) {
            return Ok(Read::Missing);
        }
        let words = entry.value_bytes().div_ceil(8).min(target.len());
        self.words.copy_out(entry.value_at(), &mut target[..words])?;
        self.stamp(entry.block)?;
        Ok(Read::Found(Value {
            kind: entry.value_kind(),
            bytes: entry.value_bytes(),
            version: entry.version(self.words)?,
            expires,
        }))
    }

    /// Copies all live entries of a bucket: for each its version, its meta word (`entry`), its key and its
    /// value.
    ///
    /// # Errors
    /// Those of [`Shard::get`].
    pub fn scan(
        self,
        host: &impl Host,
        bucket: usize,
        target: &mut [u64],
        now: impl Fn() -> u64,
    ) -> Result<Scan, TableError> {
        self.consistent(host, || {
            let mut entries = 0;
            let mut at = 0;
            for found in self.chain(bucket) {
                let entry = found?.entry;
                if entry.is_expiring() && self.has_expired(&entry, now())? {
                    continue;
                }
                let words = entry.value_at() - entry.key_at() + entry.value_bytes().div_ceil(8);
                let end = at + 2 + words;
                if let Some(target) = target.get_mut(at..end) {
                    target[0] = entry.version(self.words)?;
                    target[1] = entry.meta();
                    self.words.copy_out(entry.key_at(), &mut target[2..])?;
                }
                entries += 1;
                at = end;
            }
            Ok(match at <= target.len() {
                true => Scan::Copied { entries, words: at },
                false => Scan::NeedsWords(at),
            })
        })
    }

    /// Repeats `read` until no block can have been reclaimed while it ran; after too many attempts, runs it
    /// under the lock.
    fn consistent<T>(
        self,
        host: &impl Host,
        mut read: impl FnMut() -> Result<T, Corrupt>,
    ) -> Result<T, TableError> {
        let reclaims = self.words.at(RECLAIMS)?;
        for _ in 0..TRIES {
            // Acquire: pairs with the store in `announce_reclaim`; the links read below are at least as new
            // as this count.
            let before = reclaims.load(Ordering::Acquire);
            let outcome = read();
            // Acquire: pairs with the fence in `announce_reclaim`. If `read` saw a word written after that
            // fence, the load below sees the new count.
            fence(Ordering::Acquire);
            if reclaims.load(Ordering::Relaxed) == before {
                return Ok(outcome?);
            }
        }
        self.locked(host, || Ok(read()?))
    }
}

/// Decodes the meta word of an entry: kind and length of the key, kind and length of the value.
pub fn parts_of_meta(meta: u64) -> (u8, usize, u8, usize) {
    let entry = Entry::of_meta(meta);
    (
        entry.key_kind(),
        entry.key_bytes(),
        entry.value_kind(),
        entry.value_bytes(),
    )
}
