//! Whether the process has descriptors left for new connections.
//!
//! A connection that a process accepts or receives without a free descriptor is lost: libuv resets those that
//! wait, and the kernel drops those in a message. So a worker makes sure beforehand, on each turn of its loop
//! or for each message. Two checks keep that cheap:
//!
//! - A process that has thousands of free descriptors cannot use them up in an instant, so it counts again only
//!   after some time.
//! - Otherwise it checks whether a few numbers are still free that are the last to be used.

use crate::sys::clock::monotonic_ns;
use crate::sys::descriptors::{self, FreeNumbers};

/// A process with this many free descriptors has room for some time.
const PLENTY: u32 = 4096;

/// How long it takes to open a descriptor, at least, be it by several threads.
const OPENED_IN_NS: u64 = 250;

/// How long a count is trusted at most, since another process may lower the limit.
const TRUSTED_NS: u64 = 10_000_000;

/// How often the limit is read without a count.
const LIMIT_NS: u64 = 1_000_000;

/// After it has searched in vain, a process waits this many times as long as the search took.
const REST_SHARE: u64 = 16;

/// At most one in this many of all descriptors is kept free.
const LIMIT_SHARE: u32 = 8;

/// Checks for a number of free descriptors.
#[derive(Debug)]
pub struct Room {
    least: u32,
    most: u32,
    needed: usize,
    /// The last ones found: as many as needed if there was room.
    free: FreeNumbers,
    limit: u32,
    limit_until_ns: u64,
    resting_until_ns: u64,
    /// Until when there is certainly room.
    sure_until_ns: u64,
}

impl Room {
    /// Room for `most` descriptors, or fewer, but not fewer than `least`, if the process may have only few.
    pub fn between(least: u32, most: u32) -> Self {
        Self {
            least,
            most,
            needed: 0,
            free: FreeNumbers::default(),
            limit: 0,
            limit_until_ns: 0,
            resting_until_ns: 0,
            sure_until_ns: 0,
        }
    }

    /// How many descriptors must be free. Known from the first check on.
    pub fn needed(&self) -> u32 {
        self.needed as u32
    }

    /// Whether so many are free now.
    pub fn is_left(&mut self, now_ns: u64) -> bool {
        if now_ns < self.sure_until_ns {
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
        if free >= PLENTY {
            let lasts_ns = (u64::from(free) * OPENED_IN_NS).min(TRUSTED_NS);
            self.sure_until_ns = now_ns.saturating_add(lasts_ns);
        }
        free >= PLENTY
    }

    fn set_limit(&mut self, limit: u32) {
        if limit != self.limit {
            self.limit = limit;
            self.needed = (limit / LIMIT_SHARE).clamp(self.least, self.most) as usize;
            self.free = FreeNumbers::default();
            self.resting_until_ns = 0;
        }
    }
}
