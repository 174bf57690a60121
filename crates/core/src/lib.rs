//! The core of manycore, independent of Node: connection acceptance and scheduling, lanes between threads and
//! processes, the shared memory beneath them, and the task queues of thread and process pools.

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
