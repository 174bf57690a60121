//! How often something may happen, counted for all processes together.

#[cfg(not(loom))]
pub mod limiter;
pub mod slots;

#[cfg(test)]
#[cfg(not(loom))]
mod tests;
