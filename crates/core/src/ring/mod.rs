//! Lanes: byte rings with one producer and one consumer in shared memory, and their doorbell.
//!
//! The producer and the consumer of records are JavaScript (`lib/link/`), which writes and reads the same
//! control words; the doorbell, the overflow and the model that loom checks are here.

pub mod cold_copy;
pub mod control;
pub mod doorbell;
pub mod lane;
pub mod loans;
pub mod looking;
pub mod meeting;
pub mod overflow;
pub mod process;
pub mod slab;
pub mod spin;
pub mod vicinity;
