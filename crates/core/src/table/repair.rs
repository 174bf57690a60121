//! What the next holder of a shard's lock does when the last one died holding it.

use std::collections::HashSet;

use super::entry::{link, Entry};
use super::shard::{Link, Shard, BLOCK_WORDS, ENTRIES, EXPIRING, MAX_CHAIN, PAYLOAD, VERSION};
use crate::crash;
use crate::shm::words::Corrupt;

impl Shard<'_> {
    /// Holder: makes counts and arena anew from the entries that can be reached. Each of them is whole, for it
    /// was written before it could be. Where a link leads to what cannot be an entry, which no writer of ours
    /// does, its chain ends there.
    pub(super) fn repair(self) -> Result<(), Corrupt> {
        self.announce_reclaim()?;
        let mut used: Vec<(usize, usize)> = Vec::new();
        let mut seen = HashSet::new();
        let mut payload = 0u64;
        let mut expiring = 0;
        let mut version = self.words.load(VERSION)?;
        for bucket in 0..self.geometry.buckets {
            let mut at = Link::Bucket(bucket);
            for _ in 0..MAX_CHAIN {
                let block = match at {
                    Link::Bucket(bucket) => self.head(bucket)?,
                    Link::Entry(block) => link(self.words, block)?.1,
                };
                if block == 0 {
                    break;
                }
                match Entry::at(self.words, self.arena(), block) {
                    Ok(entry) if seen.insert(block) => {
                        used.push((block, entry.size));
                        payload += entry.payload();
                        expiring += u64::from(entry.is_expiring());
                        version = version.max(entry.version(self.words)?);
                        at = Link::Entry(block);
                    }
                    _ => {
                        self.set_link(at, 0)?;
                        break;
                    }
                }
            }
        }
        used.sort_unstable();
        if used.windows(2).any(|pair| pair[0].0 + pair[0].1 > pair[1].0) {
            // Entries inside each other: nothing here can be told from anything else.
            return self.give_up();
        }
        crash::point("table.repairing");
        self.arena().rebuild(&used)?;
        let block_words: usize = used.iter().map(|(_, size)| size).sum();
        self.words.store(ENTRIES, used.len() as u64)?;
        self.words.store(BLOCK_WORDS, block_words as u64)?;
        self.words.store(PAYLOAD, payload)?;
        self.words.store(EXPIRING, expiring)?;
        self.words.store(VERSION, version)
    }

    /// Holder: an empty shard.
    fn give_up(self) -> Result<(), Corrupt> {
        for bucket in 0..self.geometry.buckets {
            self.set_link(Link::Bucket(bucket), 0)?;
        }
        self.arena().rebuild(&[])?;
        for index in [ENTRIES, BLOCK_WORDS, PAYLOAD, EXPIRING] {
            self.words.store(index, 0)?;
        }
        Ok(())
    }
}
