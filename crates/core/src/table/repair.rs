//! Repair of a shard whose last lock holder died.

use std::collections::HashSet;

use super::entry::{link, Entry};
use super::shard::{Link, Shard, BLOCK_WORDS, ENTRIES, EXPIRING, MAX_CHAIN, PAYLOAD, VERSION};
use crate::crash;
use crate::shm::words::Corrupt;

impl Shard<'_> {
    /// Lock holder: recomputes the counters and recreates the arena from the reachable entries. Each of them
    /// is complete, as it was written before it became reachable. A chain is truncated at a link to something
    /// that cannot be an entry, which no correct writer stores.
    pub(super) fn repair(self) -> Result<(), Corrupt> {
        self.announce_reclaim()?;
        self.redo()?;
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
            // Entries overlap, so none of them can be trusted.
            return self.give_up();
        }
        crash::point("table.repairing");
        self.arena().rebuild(&used)?;
        let block_words: usize = used.iter().map(|(_, size)| size).sum();
        self.words.store(ENTRIES, used.len() as u64)?;
        self.words.store(BLOCK_WORDS, block_words as u64)?;
        self.words.store(PAYLOAD, payload)?;
        self.words.store(EXPIRING, expiring)?;
        // Release: as in `next_version`.
        self.words.publish(VERSION, version)
    }

    /// Lock holder: empties the shard.
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
