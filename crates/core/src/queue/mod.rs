//! Queues in shared memory, for threads and processes that may die at any time.

pub mod ring;

#[cfg(not(loom))]
pub mod shared;

#[cfg(test)]
#[cfg(not(loom))]
mod tests;
