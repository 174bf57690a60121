//! Rate limiting, with counts shared by all processes.

#[cfg(not(loom))]
pub mod limiter;
pub mod slots;

#[cfg(test)]
#[cfg(not(loom))]
mod tests;
