//! Operating system objects behind safe types.

pub mod clock;
pub mod eventfd;
