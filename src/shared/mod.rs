//! Shared objects: buffers, tables, arrays, counters and queues in segments that other threads and processes
//! can open.

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
