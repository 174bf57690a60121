//! Whether the process has descriptors left for new connections.
//!
//! A connection that a process accepts or receives without a free descriptor is lost: libuv resets those that
//! wait, and the kernel drops those in a message. So a worker checks beforehand, on each turn of its loop and
//! for each message. Two shortcuts keep that cheap:
//!
//! - A process that has thousands of free descriptors needs some time to use them up, so it counts again only
//!   after that time, which is an estimate.
//! - Otherwise it checks whether the few numbers are still free that the kernel assigns last.

use crate::sys::clock::monotonic_ns;
use crate::sys::descriptors::{self, FreeNumbers};

/// Minimum number of free descriptors for which a count is cached.
const PLENTY: u32 = 4096;

/// Estimated time per descriptor of a process that opens them as fast as it can, in several threads.
const OPENED_IN_NS: u64 = 250;

/// Maximum time for which a count is cached. A limit that is lowered meanwhile goes unnoticed.
const CACHED_NS: u64 = 10_000_000;

/// Time between reads of the limit while no count is cached.
const LIMIT_NS: u64 = 1_000_000;

/// After an unsuccessful search, the next one is this many times as long away as the search took.
const REST_SHARE: u64 = 16;

/// The reserve is the limit divided by this, within the given bounds.
const LIMIT_SHARE: u32 = 8;

/// Checks whether a reserve of descriptors is free.
#[derive(Debug)]
pub struct Room {
    least: u32,
    most: u32,
    needed: usize,
    /// The last ones found: as many as needed if there was room.
    free: FreeNumbers,
    limit: u32,
    /// When the limit expires, and is read again.
    limit_until_ns: u64,
    /// Before this, no search.
    resting_until_ns: u64,
    /// When the last count expires.
    count_until_ns: u64,
}

impl Room {
    /// A reserve of an eighth of the limit, but at least `least` and at most `most` descriptors.
    pub fn between(least: u32, most: u32) -> Self {
        Self {
            least,
            most,
            needed: most as usize,
            free: FreeNumbers::default(),
            // Higher than any limit.
            limit: u32::MAX,
            limit_until_ns: 0,
            resting_until_ns: 0,
            count_until_ns: 0,
        }
    }

    /// Changes the bounds.
    pub fn set_bounds(&mut self, least: u32, most: u32) {
        if (least, most) != (self.least, self.most) {
            (self.least, self.most) = (least, most);
            (self.limit_until_ns, self.count_until_ns) = (0, 0);
            self.reset();
        }
    }

    /// How many descriptors must be free; up to date after a check.
    pub fn needed(&self) -> u32 {
        self.needed as u32
    }

    /// Whether so many are free at `now_ns`, which must be the current time.
    pub fn is_left(&mut self, now_ns: u64) -> bool {
        if now_ns < self.count_until_ns {
            return true;
        }
        if now_ns >= self.limit_until_ns {
            self.limit_until_ns = now_ns.saturating_add(LIMIT_NS);
            self.set_limit(descriptors::limit());
            if self.has_plenty(now_ns) {
                return true;
            }
        }
        if self.free.len() == self.needed && self.free.are_still_free() {
            return true;
        }
        if now_ns < self.resting_until_ns {
            return false;
        }
        let started_ns = monotonic_ns();
        self.free = FreeNumbers::find(self.limit, self.needed);
        let is_left = self.free.len() == self.needed;
        if !is_left {
            let took_ns = monotonic_ns().saturating_sub(started_ns);
            self.resting_until_ns = now_ns.saturating_add(REST_SHARE * took_ns);
        }
        is_left
    }

    fn has_plenty(&mut self, now_ns: u64) -> bool {
        if self.limit < PLENTY {
            return false;
        }
        let free = descriptors::open_count().map_or(0, |open| self.limit.saturating_sub(open));
        let needed = self.needed();
        let has_plenty = free >= PLENTY.max(needed);
        if has_plenty {
            let lasts_ns = (u64::from(free - needed) * OPENED_IN_NS).min(CACHED_NS);
            self.count_until_ns = now_ns.saturating_add(lasts_ns);
        }
        has_plenty
    }

    fn set_limit(&mut self, limit: u32) {
        if limit != self.limit {
            self.limit = limit;
            self.reset();
        }
    }

    fn reset(&mut self) {
        self.needed = (self.limit / LIMIT_SHARE).clamp(self.least, self.most) as usize;
        self.free = FreeNumbers::default();
        self.resting_until_ns = 0;
    }
}
