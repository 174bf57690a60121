//! The task queue of a pool of threads. Tasks are pushed on the caller's thread and pulled on the thread of
//! any free worker; completions are returned in batches.
//!
//! ```text
//! caller ── push ──▶ returned · urgent · injector · relaxed ──▶ pull ── worker 0 (a deque that others steal from)
//!    ▲                                                     └──▶ pull ── worker 1
//!    │      to one worker ──▶ notices · pinned ───────────────▶
//!    └── take ◀── the workers' outboxes, one bell for all ◀── complete
//! ```
//!
//! [`Queue`]'s methods are called on the caller's thread unless stated otherwise, [`Worker`]'s on the
//! worker's. No lock is held for longer than it takes to copy a record.
//!
//! A task is in exactly one place: in the queue, in a worker's line, in hand at a worker (recorded in its
//! `Station`), or completed. A caller that blocks hands its task directly to a worker that spins with nothing in
//! hand (`Line`); if either takes longer, it becomes a task in hand. When a worker ends, the tasks it has not begun
//! go to other workers; those it had begun are returned by [`Queue::abandon`] to the caller, which gives them up or
//! retries them.

mod completions;
mod line;
mod order;
mod pool;
mod scheduler;
mod sleepers;
mod slots;
mod station;
mod stock;
mod task;
mod worker;

#[cfg(all(test, not(loom)))]
mod call_tests;

pub use crate::histogram::local::{Histogram, PERCENTILES};
pub use crate::histogram::scale::Summary;
pub use completions::{Entry, Kind, ENTRY_BYTES};
pub use line::{Call, Decision, Line, LINE_BYTES};
pub use pool::{Called, Cancelled, Load, Queue};
pub use scheduler::{Scheduler, Taker};
pub use sleepers::Sleepers;
pub use slots::{Place, Slots};
pub use station::Limits;
pub use stock::{Payload, Stock, Towards};
pub use task::{Priority, Target, Task, TaskKind};
pub use worker::Worker;
