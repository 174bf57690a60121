//! Arrays in shared memory for threads and processes, any of which may die at any time.
//!
//! ```text
//! word  0   lock     `OwnerLock` for push and pop
//!      16   length   number of elements, at most the capacity
//!      32   the elements, one after the other
//! ```
//!
//! An element exists as long as `length` counts it; a single store adds or removes it. So a process that dies
//! during a push or pop has completed it or not, and nothing needs repair. The rest is up to the elements:
//! numbers (`numbers`) are words that change atomically, other values (`values`) are double-buffered.

pub mod numbers;
pub mod values;

mod spine;

#[cfg(not(loom))]
pub mod shared;

#[cfg(test)]
#[cfg(not(loom))]
mod tests;

pub use spine::{ArrayError, CONTROL_WORDS};
