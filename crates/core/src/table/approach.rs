//! Prefetching what a change is about to touch.
//!
//! The cache lines of a shard are often in the cache of another processor, which last changed them. After the lock has been
//! taken they would be fetched one after the other, and all other writers would wait for each.

use super::entry::{self, link, Entry, Key, KEY_NEAR};
use super::shard::{Shard, BUCKETS, LAST_FREE, LOCK, RECORD, RECORD_WORDS};

/// Words per cache line.
const LINE: usize = 8;
/// The longest value that is recorded in the first two lines, in bytes.
const SHORT: usize = (2 * LINE - RECORD) * 8;
/// Of a large block, at most this many words are prefetched.
const FORESEEN: usize = 64;
/// So many entries of a bucket are looked at before the lock is taken.
const NEAR: usize = 4;

impl Shard<'_> {
    /// Prefetches what a change of this key to a value of so many bytes is likely to touch.
    #[inline]
    pub(super) fn foresee(self, key: &Key<'_>, value_bytes: usize) {
        let words = entry::words_needed(key, value_bytes, None);
        let bucket = self.bucket_of(key);
        self.words.fetch(LOCK);
        let found = self.head(bucket).unwrap_or(0);
        if found > 0 {
            // Probably to be overwritten, which leaves the bucket as it is.
            self.words.fetch(LOCK + LINE);
            self.fetch_block(found, words.min(KEY_NEAR + RECORD_WORDS));
        } else {
            self.words.fetch(BUCKETS + bucket / 2);
            self.foresee_allocation(words);
        }
    }

    fn foresee_allocation(self, words: usize) {
        self.words.fetch(LAST_FREE);
        let free = self.words.load(LAST_FREE).map_or(0, |block| block as usize);
        self.fetch_block(free, words.min(FORESEEN));
    }

    #[inline]
    fn fetch_block(self, block: usize, words: usize) {
        for word in (0..words).step_by(LINE) {
            self.words.fetch(block.wrapping_add(word));
        }
        self.words.fetch(block.wrapping_add(words - 1));
    }

    /// Waits until what a change of this key is likely to touch has arrived.
    #[inline]
    pub(super) fn approach(self, key: &Key<'_>, value_bytes: usize) {
        self.foresee(key, value_bytes);
        let words = entry::words_needed(key, value_bytes, None);
        let mut block = self.head(self.bucket_of(key)).unwrap_or(0);
        if block == 0 {
            return;
        }
        for _ in 0..NEAR {
            let Ok((tag, next)) = link(self.words, block) else {
                return;
            };
            if tag == key.tag() {
                let meta = self.words.load(block.wrapping_add(3)).unwrap_or(0);
                if Entry::of_meta(meta).value_bytes() != value_bytes {
                    self.foresee_allocation(words);
                } else if value_bytes > SHORT {
                    self.words.fetch(LOCK + 2 * LINE);
                }
                return;
            }
            if next == 0 {
                return;
            }
            block = next;
            self.fetch_block(block, words.min(KEY_NEAR + RECORD_WORDS));
        }
    }
}
