//! Shared objects: buffers, tables, counters and queues in segments that other threads and processes open, too.

pub mod array;
pub mod bell;
pub mod buffer;
mod keys;
pub mod map;
pub mod numbers;
mod owned;
pub mod queue;
pub(crate) mod raw;
pub mod segment;
