//! Queues in shared memory for threads and processes, any of which may die at any time.

pub mod ring;

#[cfg(not(loom))]
pub mod shared;

#[cfg(test)]
#[cfg(not(loom))]
mod tests;
