//! A rate limiter in a segment: one token bucket or sliding window per key.
//!
//! ```text
//! parameter 0  1: sliding window    1  limit    2  window, ns    3  burst    4  sets    5, 6  seeds    7  epoch, ns
//! ```
//!
//! **Token bucket.** The state is the time at which the bucket will be full again, in units of 1/256 token
//! since the epoch. Taking tokens moves it forward; it may be at most a burst ahead of the current time. This
//! is exact and fits in one word (the generic cell rate algorithm).
//!
//! **Sliding window.** The state has a window number (24 bits), the count of the previous window (20 bits)
//! and the count of the current one (20 bits). The previous count is weighted by the part of that window that
//! still lies within one window length of the current time, assuming that its requests were evenly spread.
//! Under that assumption, no window at any position exceeds the limit.

use std::sync::Arc;

use super::slots::{Meaning, SlotError, Slots, PLACES, SET_WORDS};
use crate::shm::header::{random, Kind};
use crate::shm::object::{ObjectSegment, Plan};
use crate::shm::owner_lock::System;
use crate::shm::words::Words;
use crate::shm::OpenError;
use crate::sys::clock::monotonic_ns;
use crate::table::entry::hash;

/// The segment type of limiters.
pub const KIND: Kind = Kind {
    name: "limiter",
    layout: 1,
};
/// Largest limit of a sliding window.
const MAX_WINDOW_LIMIT: u64 = (1 << 20) - 1;

const UNITS: u64 = 256;
const COUNT_BITS: u32 = 20;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const NUMBER_MASK: u64 = (1 << 24) - 1;

/// The rules of a limiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Sliding windows if true, token buckets otherwise.
    pub slides: bool,
    /// Amount per window.
    pub limit: u64,
    /// Length of a window in nanoseconds.
    pub window_ns: u64,
    /// Capacity of a bucket.
    pub burst: u64,
}

/// The result of taking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the amount was taken.
    pub allowed: bool,
    /// The amount that can still be taken now.
    pub remaining: u64,
    /// Time in ns after which the amount could be taken if nobody else takes any; 0 if it was taken.
    pub retry_after_ns: u64,
}

/// The rules at a point in time.
struct At {
    rules: Rules,
    /// Time since the epoch.
    now_ns: u64,
}

impl At {
    fn units(&self) -> u64 {
        scale(
            self.now_ns,
            self.rules.limit.saturating_mul(UNITS),
            self.rules.window_ns,
        )
    }

    fn number(&self) -> u64 {
        // Offset by 1, because 0 is the state of a place that was never used.
        (self.now_ns / self.rules.window_ns + 1) & NUMBER_MASK
    }

    /// The counts of the previous and the current window.
    fn counts(&self, state: u64) -> (u64, u64) {
        let (before, now) = ((state >> COUNT_BITS) & COUNT_MASK, state & COUNT_MASK);
        match self.number().wrapping_sub(state >> (2 * COUNT_BITS)) & NUMBER_MASK {
            0 => (before, now),
            1 => (now, 0),
            _ => (0, 0),
        }
    }

    fn take(&self, state: u64, cost: u64) -> (Option<u64>, Verdict) {
        match self.rules.slides {
            true => self.take_from_window(state, cost),
            false => self.take_from_bucket(state, cost),
        }
    }

    fn take_from_bucket(&self, state: u64, cost: u64) -> (Option<u64>, Verdict) {
        let now = self.units();
        let room = self.rules.burst.saturating_mul(UNITS);
        let full_at = state.max(now);
        let next = full_at.saturating_add(cost.saturating_mul(UNITS));
        let ahead = next - now;
        if ahead <= room {
            let remaining = (room - ahead) / UNITS;
            return (Some(next), allowed(remaining));
        }
        let per_ns = self.rules.limit.saturating_mul(UNITS);
        let verdict = Verdict {
            allowed: false,
            remaining: room.saturating_sub(full_at - now) / UNITS,
            // Rounded up, so that the tokens are available by then.
            retry_after_ns: scale(ahead - room, self.rules.window_ns, per_ns).saturating_add(1),
        };
        (None, verdict)
    }

    fn take_from_window(&self, state: u64, cost: u64) -> (Option<u64>, Verdict) {
        let Rules { limit, window_ns, .. } = self.rules;
        let (before, now) = self.counts(state);
        let left_ns = window_ns - self.now_ns % window_ns;
        // Rounded up, so that the previous window is overestimated rather than underestimated.
        let counted = scale_up(before, left_ns, window_ns);
        let used = counted + now;
        if used.saturating_add(cost) <= limit {
            let next = (self.number() << (2 * COUNT_BITS)) | (before << COUNT_BITS) | (now + cost);
            return (Some(next), allowed(limit - used - cost));
        }
        let verdict = Verdict {
            allowed: false,
            remaining: limit.saturating_sub(used),
            retry_after_ns: self.window_has_room_in(before, now, cost),
        };
        (None, verdict)
    }

    /// Time until enough of the counts has slid out of the window.
    fn window_has_room_in(&self, before: u64, now: u64, cost: u64) -> u64 {
        let Rules { limit, window_ns, .. } = self.rules;
        let left_ns = window_ns - self.now_ns % window_ns;
        // Time after which, of `count` requests spread evenly over a window that slides out, at most `rest`
        // still count.
        let slid = |count: u64, rest: u64| window_ns - scale(rest, window_ns, count.max(1)).min(window_ns);
        let room = limit.saturating_sub(cost);
        if now <= room && before > 0 {
            return slid(before, room - now)
                .saturating_sub(window_ns - left_ns)
                .max(1);
        }
        left_ns + slid(now, room)
    }
}

fn allowed(remaining: u64) -> Verdict {
    Verdict {
        allowed: true,
        remaining,
        retry_after_ns: 0,
    }
}

fn scale(value: u64, by: u64, over: u64) -> u64 {
    let scaled = u128::from(value) * u128::from(by) / u128::from(over.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX - 1).min(u64::MAX / 2)
}

fn scale_up(value: u64, by: u64, over: u64) -> u64 {
    let over = u128::from(over.max(1));
    let scaled = (u128::from(value) * u128::from(by)).div_ceil(over);
    u64::try_from(scaled).unwrap_or(u64::MAX / 2)
}

impl Meaning for At {
    fn is_idle(&self, state: u64) -> bool {
        match self.rules.slides {
            true => self.counts(state) == (0, 0),
            false => state <= self.units(),
        }
    }

    fn fresh(&self, before: u64) -> u64 {
        match self.rules.slides {
            true => {
                let fresh = self.number() << (2 * COUNT_BITS);
                // Equal only if nothing was counted; a previous window without requests is equivalent.
                if fresh == before {
                    ((self.number().wrapping_sub(1)) & NUMBER_MASK) << (2 * COUNT_BITS)
                } else {
                    fresh
                }
            }
            false => match self.units() {
                now if now == before => now.saturating_sub(1),
                now => now,
            },
        }
    }
}

/// An open limiter. May be used from any thread.
#[derive(Clone, Debug)]
pub struct Limiter {
    segment: Arc<ObjectSegment>,
    rules: Rules,
    sets: usize,
    seeds: [u64; 2],
    epoch_ns: u64,
}

impl Limiter {
    /// Opens or creates a limiter with room for about `keys` concurrent keys, using `open`. An existing
    /// limiter keeps its own rules.
    ///
    /// # Errors
    /// Those of `open`; `Corrupt`.
    pub fn open(
        rules: Rules,
        keys: usize,
        open: impl FnOnce(&Plan) -> Result<Arc<ObjectSegment>, OpenError>,
    ) -> Result<Self, OpenError> {
        // With twice the room, it is rare enough that both sets of a key are full.
        let sets = (keys.saturating_mul(2) / PLACES + 1).next_power_of_two();
        let segment = open(&Plan {
            kind: KIND,
            body_bytes: sets.saturating_mul(SET_WORDS * 8),
            initialise: &|segment| {
                segment.set_parameters([
                    u64::from(rules.slides),
                    rules.limit,
                    rules.window_ns,
                    rules.burst,
                    sets as u64,
                    random() | 1,
                    random() | 1,
                    monotonic_ns(),
                ]);
            },
        })?;
        let parameter = |index| segment.parameter(index);
        let rules = Rules {
            slides: parameter(0) == 1,
            limit: parameter(1),
            window_ns: parameter(2),
            burst: parameter(3),
        };
        let sets = usize::try_from(parameter(4)).unwrap_or(usize::MAX);
        let limiter = Self {
            rules,
            sets,
            seeds: [parameter(5), parameter(6)],
            epoch_ns: parameter(7),
            segment,
        };
        let sane =
            rules.limit > 0 && rules.window_ns > 0 && !(rules.slides && rules.limit > MAX_WINDOW_LIMIT);
        match limiter.slots() {
            Ok(_) if sane => Ok(limiter),
            _ => Err(OpenError::Corrupt("its parameters cannot be")),
        }
    }

    /// The underlying segment.
    pub fn segment(&self) -> &Arc<ObjectSegment> {
        &self.segment
    }

    /// The rules of the limiter.
    pub fn rules(&self) -> Rules {
        self.rules
    }

    fn slots(&self) -> Result<Slots<'_>, SlotError> {
        let words = self.sets.checked_mul(SET_WORDS).ok_or(SlotError::Corrupt)?;
        Ok(Slots::new(Words::new(self.segment.body()).part(0, words)?)?)
    }

    fn at(&self) -> At {
        At {
            rules: self.rules,
            // Offset by one window, so that the time is never 0.
            now_ns: monotonic_ns()
                .saturating_sub(self.epoch_ns)
                .saturating_add(self.rules.window_ns),
        }
    }

    /// Takes `cost` for a key, entirely or not at all.
    ///
    /// # Errors
    /// `Full` when more keys are in use than there is room for, `Stuck`, `Corrupt`.
    #[inline]
    pub fn take(&self, kind: u8, bytes: usize, key: &[u64], cost: u64) -> Result<Verdict, SlotError> {
        let at = self.at();
        let hash = hash(self.seeds, kind, bytes, key);
        self.slots()?
            .change(&System, hash, &at, |state| at.take(state, cost))
    }

    /// What [`Limiter::take`] would return, without taking.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn peek(&self, kind: u8, bytes: usize, key: &[u64], cost: u64) -> Result<Verdict, SlotError> {
        let at = self.at();
        let state = self.slots()?.peek(hash(self.seeds, kind, bytes, key))?;
        Ok(at.take(state.unwrap_or(at.fresh(0)), cost).1)
    }

    /// Resets the state of a key.
    ///
    /// # Errors
    /// Those of [`Limiter::take`].
    pub fn reset(&self, kind: u8, bytes: usize, key: &[u64]) -> Result<(), SlotError> {
        let at = self.at();
        let hash = hash(self.seeds, kind, bytes, key);
        self.slots()?
            .change(&System, hash, &at, |state| (Some(at.fresh(state)), ()))
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "limiter_tests.rs"]
mod tests;
