//! Memory shared between threads and processes.

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
    /// There is no segment of this name or handle.
    #[error("there is no such segment")]
    NotFound,
    /// A segment of this name exists, and a new one was asked for.
    #[error("a segment of this name exists")]
    Exists,
    /// Its maker has not finished, or died before it had.
    #[error("the segment is not initialised yet")]
    NotInitialised,
    /// Another version of this library made it; the version found.
    #[error("the segment has another layout ({0:#x})")]
    OtherVersion(u64),
    /// It holds another kind of object; which.
    #[error("the segment holds a {0}")]
    OtherKind(String),
    /// It was made in another PID namespace, where owners have other numbers.
    #[error("the segment belongs to another PID namespace")]
    OtherNamespace,
    /// The file or its directory belongs to another user or can be used by others.
    #[error("the segment belongs to another user")]
    OtherUser,
    /// Its bytes cannot be.
    #[error("the segment is corrupt: {0}")]
    Corrupt(&'static str),
    /// Not a name that a segment can have.
    #[error("not a name for a segment")]
    InvalidName,
    /// Anything else that the system refuses, ENOSPC among it.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<rustix::io::Errno> for OpenError {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::Io(errno.into())
    }
}
