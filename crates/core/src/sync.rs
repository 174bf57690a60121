//! Atomics and the mutex of the standard library, or loom's when its model checker runs (`--cfg loom`).

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
