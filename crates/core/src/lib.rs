//! The logic of manycore, free of Node: accepting and scheduling connections, lanes between threads
//! and processes, the shared memory under both, and the queues of pools of threads
//! and of processes.

pub mod accept;
pub mod array;
pub mod channel;
#[cfg(not(loom))]
pub mod counter;
pub mod crash;
pub mod histogram;
pub mod limit;
pub mod liveness;
pub mod lock;
pub mod queue;
pub mod remote;
pub mod ring;
pub mod shm;
pub mod sync;
pub mod sys;
pub mod table;
#[cfg(test)]
mod testing;
