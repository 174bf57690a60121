//! Shared memory between threads and processes.

#[cfg(not(loom))]
pub mod bell;
pub mod directory;
pub mod header;
pub mod object;
pub mod owner_lock;
pub mod segment;
pub mod words;

use std::io;

/// Why a segment cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no segment with this name or handle.
    #[error("there is no such segment")]
    NotFound,
    /// A segment with this name exists, but a new one was requested.
    #[error("a segment of this name exists")]
    Exists,
    /// The creator has not finished initialising it, or died before.
    #[error("the segment is not initialised yet")]
    NotInitialised,
    /// The segment was created with another layout; contains its version word.
    #[error("the segment has another layout ({0:#x})")]
    OtherVersion(u64),
    /// The segment holds an object of another kind; contains its name.
    #[error("the segment holds a {0}")]
    OtherKind(String),
    /// The segment was created in another PID namespace, where owner ids mean other threads.
    #[error("the segment belongs to another PID namespace")]
    OtherNamespace,
    /// The file or its directory belongs to another user or is accessible to others.
    #[error("the segment belongs to another user")]
    OtherUser,
    /// The contents are invalid.
    #[error("the segment is corrupt: {0}")]
    Corrupt(&'static str),
    /// The name is not valid for a segment.
    #[error("not a name for a segment")]
    InvalidName,
    /// Any other system error, such as ENOSPC.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<rustix::io::Errno> for OpenError {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::Io(errno.into())
    }
}
