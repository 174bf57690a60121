//! Overwriting a value in its entry.
//!
//! A new value of the same kind and length goes into the entry that is there, through the shard's redo record,
//! so that a death between any two stores leaves the old value or the new one:
//!
//! ```text
//! 1  the version is taken, the record is written          a death leaves the old value
//! 2  `REDO` names the entry: the new value counts          from here on, a death leaves the new value,
//! 3  `RECLAIMS` is incremented                             which the next lock holder copies again
//! 4  version and value are copied into the entry
//! 5  `REDO` is 0                                           the record may be written again
//! ```
//!
//! A reader that finds its entry named in `REDO` takes the value from the record, and the version from that of the
//! shard, since there has been no change after it. It never waits. One that has seen no
//! name there but a store of step 4, finds `RECLAIMS` changed; one that has read the record while the next writer wrote
//! it finds `REDO` changed, as that contains the low bits of `RECLAIMS` and never has a value twice in a row.
//!
//! Neither the bucket, nor the counts, nor another block is touched, so two writers exchange the cache lines of the shard's
//! first words and of the entry only, and all of them are known before the lock is taken.

use super::entry::{self, Entry, Key, NewValue};
use super::shard::{Shard, EXPIRING, LOW, RECLAIMS, RECORD, RECORD_WORDS, REDO, VERSION};
use crate::crash;
use crate::shm::words::Corrupt;
use crate::sync::{fence, Ordering};

/// What a lock-free reader loads before it reads, and compares afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    reclaims: u64,
    redo: u64,
}

/// Where version and value of an entry are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub version: usize,
    pub value: usize,
}

impl Moment {
    /// Where to read version and value of an entry.
    #[inline(always)]
    pub fn place_of(self, entry: &Entry) -> Place {
        if self.redo & LOW == entry.block as u64 && can_be_recorded(entry) {
            return Place {
                version: VERSION,
                value: RECORD,
            };
        }
        Place {
            version: entry.version_at(),
            value: entry.value_at(),
        }
    }
}

fn can_be_recorded(entry: &Entry) -> bool {
    entry.value_bytes() <= RECORD_WORDS * 8 && !entry.is_expiring()
}

impl Shard<'_> {
    /// Reader: to be called before it follows links.
    #[inline(always)]
    pub(super) fn moment(self) -> Result<Moment, Corrupt> {
        // Acquire: pairs with the store in `announce_reclaim`. The links read below are at least as new as this count,
        // and so is `REDO`.
        let reclaims = self.words.at(RECLAIMS)?.load(Ordering::Acquire);
        // Acquire: pairs with the stores in `overwrite`: of a name, when the record is complete, and of none, when
        // the entry is.
        let redo = self.words.at(REDO)?.load(Ordering::Acquire);
        Ok(Moment { reclaims, redo })
    }

    /// Reader: whether all that it has read since `before` belongs together.
    #[inline(always)]
    pub(super) fn is_still(self, before: Moment) -> Result<bool, Corrupt> {
        // Acquire: pairs with the fences in `announce_reclaim` and `overwrite`. A reader that saw a word
        // written after one of them sees what was stored before it.
        fence(Ordering::Acquire);
        let now = Moment {
            reclaims: self.words.load(RECLAIMS)?,
            redo: self.words.load(REDO)?,
        };
        Ok(now == before)
    }

    /// Lock holder: overwrites the value of an entry, if it stays of the same kind and length, fits into the record, and
    /// no entry of the shard expires. Returns the new version, `None` if the value has to be stored elsewhere.
    #[inline]
    pub(super) fn overwrite(
        self,
        entry: &Entry,
        key: &Key<'_>,
        value: &NewValue<'_>,
    ) -> Result<Option<u64>, Corrupt> {
        let fits = entry.meta() == entry::meta_of(key, value, None) && can_be_recorded(entry);
        if !fits || self.words.load(EXPIRING)? > 0 {
            return Ok(None);
        }
        let version = self.next_version()?;
        // Release: pairs with the fence in `is_still`. A reader that sees a store to the record sees that `REDO` no
        // longer has the value it had when the record was last complete.
        fence(Ordering::Release);
        self.words.copy_in(RECORD, value.bytes)?;
        crash::point("table.recorded");
        let mark = self.words.load(RECLAIMS)?.wrapping_add(1) << 32;
        self.words.publish(REDO, mark | entry.block as u64)?;
        crash::point("table.named");
        self.announce_reclaim()?;
        self.copy_recorded(entry)?;
        crash::point("table.overwritten");
        self.words.publish(REDO, 0)?;
        self.stamp(entry.block)?;
        Ok(Some(version))
    }

    /// Lock holder, after `announce_reclaim`: completes what a dead one has recorded.
    pub(super) fn redo(self) -> Result<(), Corrupt> {
        let block = (self.words.load(REDO)? & LOW) as usize;
        if let Ok(entry) = Entry::at(self.words, self.arena(), block) {
            if can_be_recorded(&entry) {
                self.copy_recorded(&entry)?;
            }
        }
        self.words.publish(REDO, 0)
    }

    /// Copies the version of the last change and the value in the record into their entry. Not from the caller's memory,
    /// which may change between two reads if it is shared: a version has one value.
    fn copy_recorded(self, entry: &Entry) -> Result<(), Corrupt> {
        self.words.store(entry.version_at(), self.words.load(VERSION)?)?;
        self.words
            .copy(RECORD, entry.value_at(), entry.value_bytes().div_ceil(8))
    }
}
