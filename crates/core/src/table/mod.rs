//! A hash table in shared memory for threads and processes, any of which may die at any time.

mod approach;
pub mod arena;
pub mod entry;
#[cfg(not(loom))]
pub mod map;
mod overwrite;
pub mod read;
mod repair;
mod room;
pub mod shard;

#[cfg(test)]
#[cfg(not(loom))]
mod tests;

use crate::shm::owner_lock::Stuck;

/// Why an operation on a table failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// There is no room, and no entry may be removed to make some.
    #[error("the table is full")]
    Full,
    /// The value is not a number.
    #[error("the value is not a number")]
    NotANumber,
    /// A writer is alive but makes no progress.
    #[error("a living writer does not go on")]
    Stuck,
    /// The memory holds values that no correct writer has stored.
    #[error("the table is corrupt")]
    Corrupt,
}

impl From<Stuck> for TableError {
    fn from(_: Stuck) -> Self {
        Self::Stuck
    }
}
