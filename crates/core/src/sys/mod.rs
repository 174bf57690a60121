//! Thin wrappers of system calls.
//!
//! Everything here returns `io::Result`, owns its descriptors and leaves policy to the caller.

pub mod backlog;
pub mod bell;
pub mod clock;
pub mod descriptors;
pub mod epoll;
pub mod eventfd;
pub mod futex;
pub mod heap;
pub mod membarrier;
pub mod memory;
pub mod nice;
pub mod peer;
pub mod scm;
