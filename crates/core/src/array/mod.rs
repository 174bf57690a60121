//! Arrays in shared memory, for threads and processes that may die at any time.
//!
//! ```text
//! word  0   lock     `OwnerLock` of those who push and pop
//!      16   length   elements that there are, at most the capacity
//!      32   the elements, one after the other
//! ```
//!
//! An element is there once `length` counts it and gone once it does not: one store each. So who dies while it pushes
//! or pops has done it or has not, and there is nothing to put in order. The rest is with the elements: numbers
//! (`numbers`) are words that change by one instruction, other values (`values`) have two places each.

pub mod numbers;
pub mod values;

mod spine;

#[cfg(not(loom))]
pub mod shared;

#[cfg(test)]
#[cfg(not(loom))]
mod tests;

pub use spine::{ArrayError, CONTROL_WORDS};
