//! Robust locks between threads and processes: they survive the death of holders and waiters.
//!
//! Every kind of lock is a [`Table`] of requests. Each thread that holds or waits has a slot with its owner
//! word, and what is granted is a pure function of the slots ([`admit`]). There is no other state: no reader
//! counts and no linked queues that a crash could leave half changed. A slot becomes pending, granted or free
//! with one store of its `state` word, tickets define the queue order, and every operation re-evaluates the
//! slots.
//!
//! ```text
//!            request            admit              release
//!   FREE ----------> PENDING ----------> HELD ------------> FREE
//!                       |                  |  steal: LOST ---^ (acknowledged by its owner)
//!                       | cancel           |
//!                       v                  v owner died
//!                      FREE             ORPHAN ------------> FREE (the next holder is told)
//! ```
//!
//! Slots are changed under the table's [`guard`], a spin lock that records its owner: one that
//! died inside is succeeded by the next thread, which recomputes the derived data. Waiting happens outside
//! it: a waiter sleeps on its slot's state word or is notified through its event loop's bell. Waits are
//! bounded, and after each one the waiter looks for dead owners ([`Table::reap`]), so a death is noticed
//! within that bound.
//!
//! An uncontended lock bypasses all of this: a single word records its holder ([`shortcut`]).
//!
//! Fairness: requests are granted in order of arrival (FIFO), so none starves.
//!
//! Everything read from shared memory is validated: indices are bounded by the slice of slots, unknown states
//! count as free, and a guard that is never released is an error after [`guard::STUCK_AFTER`].

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

/// The environment: clock, threads, sleeping. Injected so that the model checker can replace it.
pub trait Environment {
    /// Whether a thread may still be running.
    fn is_alive(&self, owner: OwnerId) -> bool;
    /// Time in ns of a clock shared by all processes.
    fn now_ns(&self) -> u64;
    /// Backs off; `looks` counts the attempts so far.
    fn relax(&self, looks: u32);
    /// Sleeps while `word` is `expected`, for at most `limit`.
    fn sleep(&self, word: &AtomicU32, expected: u32, limit: Duration);
    /// Wakes all threads that sleep on `word`.
    fn wake(&self, word: &AtomicU32);
    /// Rings the event-loop bell of a thread.
    fn ring(&self, owner: OwnerId);
}
