//! The layout of an entry in its block, and the keys by which it is found.
//!
//! ```text
//! word 0   block sizes (`arena`)
//!      1   tag: a part of the key's hash << 32 | next entry of the bucket, 0: none
//!      2   version
//!      3   expiring << 56 | kind of value << 52 | kind of key << 48 | bytes of key << 32 | bytes of value
//!      4   expiry time in ns of the monotonic clock; present only if the entry expires
//!          the key, then the value, each zero-padded to whole words
//! ```
//!
//! A reachable entry is immutable except for its link, its version and its value. The latter two are overwritten by a
//! value of the same kind and length (`overwrite`); any other means a new entry.

use super::arena::Arena;
use crate::shm::words::{Corrupt, Words};
use crate::sync::Ordering;

/// Longest key in bytes.
pub const MAX_KEY_BYTES: usize = 2048;

const HEADER_WORDS: usize = 4;
/// Typical offset, in words, of the end of a short key.
pub(super) const KEY_NEAR: usize = HEADER_WORDS + 2;
const LOW: u64 = 0xffff_ffff;
const EXPIRING: u64 = 1 << 56;
/// Upper bound (exclusive) of the kinds of keys and values.
pub const KINDS: u8 = 16;

/// A key with its hash.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// The meaning of the bytes, below [`KINDS`]. Keys of different kinds are different.
    pub kind: u8,
    /// Length in bytes, at most [`MAX_KEY_BYTES`].
    pub bytes: usize,
    /// The bytes, zero-padded to whole words.
    pub words: &'a [u64],
    /// Hash of all of the above, see [`hash`].
    pub hash: u64,
}

impl Key<'_> {
    pub(super) fn tag(&self) -> u64 {
        self.hash & LOW
    }

    fn meta(&self) -> u64 {
        (u64::from(self.kind) << 48) | ((self.bytes as u64) << 32)
    }
}

/// The keyed hash of a key. Without the seeds, collisions cannot be predicted.
#[inline]
pub fn hash(seeds: [u64; 2], kind: u8, bytes: usize, words: &[u64]) -> u64 {
    let mut hash = fold(seeds[0] ^ (bytes as u64), seeds[1] ^ u64::from(kind));
    for word in words {
        hash = fold(hash ^ word, seeds[1]) ^ hash.rotate_left(29);
    }
    fold(hash, 0x9e37_79b9_7f4a_7c15)
}

#[inline]
fn fold(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    (product as u64) ^ ((product >> 64) as u64)
}

/// A value to be stored.
#[derive(Clone, Copy, Debug)]
pub struct NewValue<'a> {
    /// The meaning of the bytes, below [`KINDS`].
    pub kind: u8,
    /// The bytes, fewer than 2^32.
    pub bytes: &'a [u8],
}

/// The position and contents of an entry, validated to lie within its block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub block: usize,
    /// Size of the block in words.
    pub size: usize,
    meta: u64,
}

impl Entry {
    /// Reads and validates the entry in `block`.
    #[inline(always)]
    pub fn at(words: Words<'_>, arena: Arena<'_>, block: usize) -> Result<Self, Corrupt> {
        let size = arena.size(block)?;
        let meta = words.load(block + 3)?;
        let entry = Self { block, size, meta };
        match entry.words() <= size {
            true => Ok(entry),
            false => Err(Corrupt),
        }
    }

    /// An entry with only its meta word, to decode it.
    pub fn of_meta(meta: u64) -> Self {
        Self {
            block: 0,
            size: 0,
            meta,
        }
    }

    fn header_words(&self) -> usize {
        HEADER_WORDS + usize::from(self.is_expiring())
    }

    pub fn is_expiring(&self) -> bool {
        self.meta & EXPIRING != 0
    }

    pub fn key_kind(&self) -> u8 {
        ((self.meta >> 48) & 15) as u8
    }

    pub fn key_bytes(&self) -> usize {
        ((self.meta >> 32) & 0xffff) as usize
    }

    pub fn value_kind(&self) -> u8 {
        ((self.meta >> 52) & 15) as u8
    }

    pub fn value_bytes(&self) -> usize {
        (self.meta & LOW) as usize
    }

    pub fn meta(&self) -> u64 {
        self.meta
    }

    pub fn key_at(&self) -> usize {
        self.block + self.header_words()
    }

    pub fn value_at(&self) -> usize {
        self.key_at() + self.key_bytes().div_ceil(8)
    }

    /// Number of words in use.
    fn words(&self) -> usize {
        self.header_words() + self.key_bytes().div_ceil(8) + self.value_bytes().div_ceil(8)
    }

    /// Length of key and value in bytes.
    pub fn payload(&self) -> u64 {
        (self.key_bytes() + self.value_bytes()) as u64
    }

    pub fn version_at(&self) -> usize {
        self.block + 2
    }

    pub fn version(&self, words: Words<'_>) -> Result<u64, Corrupt> {
        words.load(self.version_at())
    }

    /// The expiry time, if there is one.
    #[inline]
    pub fn expires(&self, words: Words<'_>) -> Result<Option<u64>, Corrupt> {
        match self.is_expiring() {
            true => words.load(self.block + HEADER_WORDS).map(Some),
            false => Ok(None),
        }
    }

    /// Whether this entry has the given key.
    #[inline(always)]
    pub fn has(&self, words: Words<'_>, key: &Key<'_>) -> Result<bool, Corrupt> {
        if (self.meta ^ key.meta()) & (0xf_ffff << 32) != 0 {
            return Ok(false);
        }
        let at = self.key_at();
        for (index, word) in key.words.iter().enumerate() {
            if words.load(at + index)? != *word {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Number of words needed for an entry.
pub(super) fn words_needed(key: &Key<'_>, value_bytes: usize, expires: Option<u64>) -> usize {
    HEADER_WORDS + usize::from(expires.is_some()) + key.words.len() + value_bytes.div_ceil(8)
}

/// The meta word of an entry.
#[inline]
pub(super) fn meta_of(key: &Key<'_>, value: &NewValue<'_>, expires: Option<u64>) -> u64 {
    let expiring = if expires.is_some() { EXPIRING } else { 0 };
    expiring | (u64::from(value.kind) << 52) | key.meta() | value.bytes.len() as u64
}

/// Fills in a block that is not reachable yet.
#[inline]
pub(super) fn write(
    words: Words<'_>,
    block: usize,
    key: &Key<'_>,
    value: &NewValue<'_>,
    expires: Option<u64>,
    version: u64,
) -> Result<(), Corrupt> {
    let meta = meta_of(key, value, expires);
    words.put(block + 2, &[version, meta])?;
    let mut at = block + HEADER_WORDS;
    if let Some(expires) = expires {
        words.store(at, expires)?;
        at += 1;
    }
    words.put(at, key.words)?;
    words.copy_in(at + key.words.len(), value.bytes)
}

/// The tag and link to the next entry of the bucket. Acquire: pairs with `Words::publish`.
#[inline(always)]
pub(super) fn link(words: Words<'_>, block: usize) -> Result<(u64, usize), Corrupt> {
    let word = words
        .at(block.checked_add(1).ok_or(Corrupt)?)?
        .load(Ordering::Acquire);
    Ok((word >> 32, (word & LOW) as usize))
}

pub(super) fn link_word(tag: u64, next: usize) -> u64 {
    (tag << 32) | (next as u64 & LOW)
}
