//! Locks between threads and processes that survive the death of whoever holds them or waits for them.
//!
//! Every kind of lock is one [`Table`] of requests: each thread that holds or waits has a slot with its owner
//! word, and what a lock does is a pure decision over the slots ([`admit`]): which of those that wait are
//! granted now. Nothing else is state. There are no counts of readers and no linked queues that a death could
//! leave half changed: a slot becomes pending, granted or free by one store of its `state` word, the order of
//! waiting is that of the tickets, and whoever comes next decides anew from what the slots say.
//!
//! ```text
//!            request            admit              release
//!   FREE ----------> PENDING ----------> HELD ------------> FREE
//!                       |                  |  steal: LOST ---^ (acknowledged by its owner)
//!                       | cancel           |
//!                       v                  v owner died
//!                      FREE             ORPHAN ------------> FREE (the next one granted is told)
//! ```
//!
//! Slots are changed under the table's [`guard`](self::guard), a spin lock that knows its owner: one that died
//! inside is succeeded by the next to come, which repairs what is only derived. Waiting is not done under it:
//! a waiter sleeps on its slot's state word, or is told by its event loop's bell. Waits have a limit after which
//! the waiter looks for dead owners ([`Table::reap`]), so whoever died anywhere is noticed within that limit.
//!
//! A lock that nobody else asks for does without all that: one word says who holds it ([`shortcut`]).
//!
//! Fairness: requests are granted in the order in which they came. Nobody overtakes, so nobody starves.
//!
//! Whatever is read from shared memory is checked: indices are bounded by the slice of slots, unknown states
//! count as free, and a guard that never comes free is an error after [`guard::STUCK_AFTER`].

use std::time::Duration;

use crate::liveness::OwnerId;
use crate::sync::AtomicU32;

pub mod admit;
pub mod guard;
#[cfg(not(loom))]
pub mod host;
pub mod layout;
#[cfg(not(loom))]
pub mod memory;
pub mod request;
pub mod shortcut;
pub mod table;

mod turn;

#[cfg(test)]
#[cfg(not(loom))]
mod tests;

pub use layout::{Kind, Mode};
pub use request::{Ask, Granted, Refusal, Request, RequestId, Snapshot, Standing, Waiting};
pub use table::Table;

/// The world outside: time, other threads, sleep. Injected, so that the model checker can stand in.
pub trait Environment {
    /// Whether a thread may still run.
    fn is_alive(&self, owner: OwnerId) -> bool;
    /// Nanoseconds of a clock that all processes share.
    fn now_ns(&self) -> u64;
    /// Passes a moment; `looks` times so far.
    fn relax(&self, looks: u32);
    /// Sleeps while `word` is `expected`, at most for `limit`.
    fn sleep(&self, word: &AtomicU32, expected: u32, limit: Duration);
    /// Wakes the threads that sleep on `word`.
    fn wake(&self, word: &AtomicU32);
    /// Rings the event loop of a thread.
    fn ring(&self, owner: OwnerId);
}
