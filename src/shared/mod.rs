//! Shared objects: buffers, tables, counters and queues in segments that other threads and processes open, too.

pub mod bell;
pub mod buffer;
mod keys;
pub mod map;
pub mod numbers;
pub mod queue;
pub(crate) mod raw;
pub mod segment;
