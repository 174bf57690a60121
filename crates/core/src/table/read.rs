//! Reading a shard without its lock.

use super::entry::{Entry, Key};
use super::shard::{Found, Shard, RECLAIMS};
use super::TableError;
use crate::shm::owner_lock::Host;
use crate::shm::words::Corrupt;
use crate::sync::{fence, Ordering};

/// So often a reader tries before it takes the lock.
const TRIES: usize = 64;

/// What a key has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// Nothing.
    Missing,
    /// A value, copied as far as there was room for whole words.
    Found(Value),
}

/// What is told of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    /// What its bytes mean.
    pub kind: u8,
    /// How many there are.
    pub bytes: usize,
    /// Of the entry.
    pub version: u64,
    /// When it expires, in nanoseconds of the monotonic clock.
    pub expires: Option<u64>,
}

/// What was copied of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// All its entries, into so many words.
    Copied {
        /// Entries.
        entries: usize,
        /// Words.
        words: usize,
    },
    /// Nothing: this many words are needed.
    NeedsWords(usize),
}

impl Shard<'_> {
    /// Looks a key up and copies its value into `target`, as much of it as there is room for.
    ///
    /// # Errors
    /// `Corrupt`, and `Stuck` when so many write that only the lock would help.
    #[inline(always)]
    pub fn get(
        self,
        host: &impl Host,
        key: &Key<'_>,
        target: &mut [u64],
        now: impl Fn() -> u64,
    ) -> Result<Read, TableError> {
        let reclaims = self.words.at(RECLAIMS)?;
        // As in `consistent`, whose loop would keep this from being one piece of code with its caller.
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

    /// Copies all entries of a bucket that have not expired: for each its version, its meta word (`entry`), its
    /// key and its value.
    ///
    /// # Errors
    /// As [`Shard::get`].
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

    /// Runs `read` until nothing that it saw can have been used for something else meanwhile.
    fn consistent<T>(
        self,
        host: &impl Host,
        mut read: impl FnMut() -> Result<T, Corrupt>,
    ) -> Result<T, TableError> {
        let reclaims = self.words.at(RECLAIMS)?;
        for _ in 0..TRIES {
            // Acquire: pairs with the store in `announce_reclaim`; the links are those of then or newer.
            let before = reclaims.load(Ordering::Acquire);
            let outcome = read();
            // Acquire: pairs with the fence there. Words written after it come with the new count.
            fence(Ordering::Acquire);
            if reclaims.load(Ordering::Relaxed) == before {
                return Ok(outcome?);
            }
        }
        self.locked(host, || Ok(read()?))
    }
}

/// The parts of an entry's meta word: kind and bytes of the key, kind and bytes of the value.
pub fn parts_of_meta(meta: u64) -> (u8, usize, u8, usize) {
    let entry = Entry::of_meta(meta);
    (
        entry.key_kind(),
        entry.key_bytes(),
        entry.value_kind(),
        entry.value_bytes(),
    )
}
