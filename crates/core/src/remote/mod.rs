//! The queue of a pool whose workers are processes: tasks wait on the caller's side, and a few are pushed ahead to
//! each worker, so that it takes the next one without a trip through the caller.
//!
//! ```text
//! caller ── push ──▶ lots ── least loaded ──▶ pipe ──▶ worker 0: claims a task, runs it
//!    ▲                                   └──▶ pipe ──▶ worker 1
//!    └── take ◀───────────────────────────── pipes ◀── complete
//! ```
//!
//! Each worker has a [`pipe`] each way and a table of [`cells`] in memory shared with the caller. A task that was
//! pushed ahead lies in a cell, where the worker claims it or the caller takes it back, by compare-and-swap: for
//! a task of higher priority, for a worker that has nothing to do, because it was cancelled, or because its
//! worker is to end. So what a worker has begun is known exactly whenever it dies: only that is lost, the rest
//! goes to others.
//!
//! Who may call: [`Dispatch`] belongs to one thread of the calling process, [`RemoteWorker`] to one of the
//! worker's. What the worker's process writes is checked where it is read; one that writes what cannot be is cut
//! off. When the caller is gone, [`watch`] ends the worker's process.

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
// Apart, for clippy to know a test.
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
#[cfg(not(loom))]
pub use dispatch::Dispatch;
#[cfg(not(loom))]
pub use link::PASSED;
#[cfg(not(loom))]
pub use worker::RemoteWorker;
