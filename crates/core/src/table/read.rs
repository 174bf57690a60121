//! Lock-free reads of a shard.

use super::entry::{Entry, Key};
use super::overwrite::Moment;
use super::shard::{Found, Shard};
use super::TableError;
use crate::shm::owner_lock::Host;
use crate::shm::words::Corrupt;

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
        // As in `consistent`, whose loop would prevent this from being inlined into the caller.
        let before = self.moment()?;
        let outcome = self.look_up(key, target, before, &now);
        if self.is_still(before)? {
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
        self.consistent(host, |moment| self.look_up(key, target, moment, now))
    }

    #[inline(always)]
    fn look_up(
        self,
        key: &Key<'_>,
        target: &mut [u64],
        moment: Moment,
        now: &impl Fn() -> u64,
    ) -> Result<Read, Corrupt> {
        let Some(Found { entry, .. }) = self.find(key)? else {
            return Ok(Read::Missing);
        };
        let expires = entry.expires(self.words)?;
        if expires.is_some_and(|expires| expires <= now()) {
            return Ok(Read::Missing);
        }
        let words = entry.value_bytes().div_ceil(8).min(target.len());
        let place = moment.place_of(&entry);
        self.words.copy_out(place.value, &mut target[..words])?;
        self.stamp(entry.block)?;
        Ok(Read::Found(Value {
            kind: entry.value_kind(),
            bytes: entry.value_bytes(),
            version: self.words.load(place.version)?,
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
        self.consistent(host, |moment| {
            let mut entries = 0;
            let mut at = 0;
            for found in self.chain(bucket) {
                let entry = found?.entry;
                if entry.is_expiring() && self.has_expired(&entry, now())? {
                    continue;
                }
                let key_words = entry.value_at() - entry.key_at();
                let end = at + 2 + key_words + entry.value_bytes().div_ceil(8);
                if let Some(target) = target.get_mut(at..end) {
                    let place = moment.place_of(&entry);
                    let (head, value) = target.split_at_mut(2 + key_words);
                    head[0] = self.words.load(place.version)?;
                    head[1] = entry.meta();
                    self.words.copy_out(entry.key_at(), &mut head[2..])?;
                    self.words.copy_out(place.value, value)?;
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

    /// Repeats `read` until no block can have been reclaimed or overwritten while it ran; after too many attempts, runs it
    /// under the lock.
    fn consistent<T>(
        self,
        host: &impl Host,
        mut read: impl FnMut(Moment) -> Result<T, Corrupt>,
    ) -> Result<T, TableError> {
        for _ in 0..TRIES {
            let before = self.moment()?;
            let outcome = read(before);
            if self.is_still(before)? {
                return Ok(outcome?);
            }
        }
        self.locked(host, || Ok(read(self.moment()?)?))
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
