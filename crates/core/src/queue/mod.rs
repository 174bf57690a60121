//! The queue of a pool whose workers are threads: tasks go in on the caller's thread, come out on the thread of
//! whichever worker is free, and completions come back in batches.
//!
//! ```text
//! caller ── push ──▶ returned · urgent · injector · relaxed ──▶ pull ── worker 0 (a deque that others steal from)
//!    ▲                                                     └──▶ pull ── worker 1
//!    │      to one worker ──▶ notices · pinned ───────────────▶
//!    └── take ◀── the workers' outboxes, one bell for all ◀── complete
//! ```
//!
//! Who may call: [`Queue`]'s methods belong to the caller's thread unless they say otherwise, [`Worker`]'s to the
//! worker's. Nobody waits for a lock longer than it takes to copy a record.
//!
//! A task is in exactly one place: in the queue, in the hands of a worker (its [`Station`] knows which), or
//! completed. A worker that ends leaves what it had not begun to the others; what it had begun is told to the
//! caller by [`Queue::abandon`], who gives it up or sends it again.

mod completions;
mod order;
mod pool;
mod scheduler;
mod sleepers;
mod slots;
mod station;
mod stock;
mod task;
mod worker;

pub use crate::histogram::local::{Histogram, PERCENTILES};
pub use crate::histogram::scale::Summary;
pub use completions::{Entry, Kind, ENTRY_BYTES};
pub use pool::{Cancelled, Load, Queue};
pub use scheduler::{Scheduler, Taker};
pub use sleepers::Sleepers;
pub use station::Limits;
pub use stock::{Payload, Stock, Towards};
pub use task::{Priority, Target, Task, TaskKind};
pub use worker::Worker;
