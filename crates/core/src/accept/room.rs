//! Whether the process has descriptors left for new connections.
//!
//! A connection that a process accepts or receives without a free descriptor is lost: libuv resets those that
//! wait, and the kernel drops those in a message. So a worker makes sure beforehand, on each turn of its loop
//! or for each message. While there is room, that is one system call for a few numbers known to be the last
//! to be used.

use crate::sys::clock::monotonic_ns;
use crate::sys::descriptors::{self, FreeNumbers};

/// How often the limit is read, which other processes can change.
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
        }
    }

    /// How many descriptors must be free. Known from the first check on.
    pub fn needed(&self) -> u32 {
        self.needed as u32
    }

    /// Whether so many are free now.
    pub fn is_left(&mut self, now_ns: u64) -> bool {
        if now_ns >= self.limit_until_ns {
            self.limit_until_ns = now_ns.saturating_add(LIMIT_NS);
            self.set_limit(descriptors::limit());
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

    fn set_limit(&mut self, limit: u32) {
        if limit != self.limit {
            self.limit = limit;
            self.needed = (limit / LIMIT_SHARE).clamp(self.least, self.most) as usize;
            self.free = FreeNumbers::default();
            self.resting_until_ns = 0;
        }
    }
}
