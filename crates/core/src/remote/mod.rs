//! The task queue of a pool of processes. Tasks are queued on the caller's side, and a few are pushed ahead
//! to each worker, so that it can begin the next one without a round trip to the caller.
//!
//! ```text
//! caller ── push ──▶ lots ── least loaded ──▶ pipe ──▶ worker 0: claims a task, runs it
//!    ▲                                   └──▶ pipe ──▶ worker 1
//!    └── take ◀───────────────────────────── pipes ◀── complete
//! ```
//!
//! Each worker has a `pipe` in each direction and a table of `cells` in memory shared with the caller. A
//! task pushed ahead has a cell, where either the worker claims it or the caller revokes it with a
//! compare-and-swap: in favour of a task with higher priority, for an idle worker, because the task was
//! cancelled, or because its worker is to end. So whenever a worker dies, it is known exactly which tasks it
//! had begun: only those are lost, the rest go to others.
//!
//! [`Dispatch`] is owned by one thread of the calling process, [`RemoteWorker`] by one of the worker's.
//! Everything written by the worker's process is validated where it is read; a worker that writes invalid
//! data is cut off. When the caller is gone, [`watch`] ends the worker's process.

mod cells;
#[cfg(not(loom))]
mod dispatch;
#[cfg(not(loom))]
mod frame;
#[cfg(not(loom))]
mod link;
#[cfg(not(loom))]
mod lots;
#[cfg(not(loom))]
mod pipe;
#[cfg(not(loom))]
mod station;
// Separate attributes, so that clippy recognises a test module.
#[cfg(not(loom))]
#[cfg(test)]
mod tests;
#[cfg(not(loom))]
pub mod watch;
#[cfg(not(loom))]
mod worker;

// For `crates/core/tests/loom_remote.rs`.
#[cfg(loom)]
pub use cells::Cell;
pub use cells::CELLS;
#[cfg(not(loom))]
pub use dispatch::Dispatch;
#[cfg(not(loom))]
pub use link::PASSED;
#[cfg(not(loom))]
pub use worker::RemoteWorker;
