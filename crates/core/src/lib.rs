//! The logic of manycore, free of Node: accepting and scheduling connections, lanes between threads
//! and processes, and the shared memory under both.

pub mod accept;
#[cfg(not(loom))]
pub mod counter;
pub mod crash;
#[cfg(not(loom))]
pub mod histogram;
pub mod limit;
pub mod liveness;
pub mod lock;
pub mod queue;
pub mod ring;
pub mod shm;
pub mod sync;
pub mod sys;
pub mod table;
