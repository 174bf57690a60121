//! Lanes: single-producer, single-consumer byte rings in shared memory, and their doorbells.
//!
//! Records are written and read by JavaScript (`lib/link/`), which uses the same control words. This module
//! has the doorbell, the overflow queue, the slab and the model that loom checks.

pub mod cold_copy;
pub mod control;
pub mod doorbell;
pub mod lane;
pub mod loans;
pub mod meeting;
pub mod overflow;
pub mod polling;
pub mod process;
pub mod slab;
pub mod spin;
pub mod vicinity;
