//! Memory shared between threads and processes.

pub mod segment;
