//! The logic of manycore, free of Node: accepting and scheduling connections, lanes between threads
//! and processes, and the shared memory under both.

pub mod accept;
pub mod shm;
pub mod sys;
