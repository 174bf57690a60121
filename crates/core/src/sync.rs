//! Atomics and mutexes: the standard library's, or loom's under its model checker (`--cfg loom`).

#[cfg(not(loom))]
pub use std::sync::{
    atomic::{fence, AtomicU32, AtomicU64, Ordering},
    Mutex, MutexGuard,
};

#[cfg(loom)]
pub use loom::sync::{
    atomic::{fence, AtomicU32, AtomicU64, Ordering},
    Mutex, MutexGuard,
};
