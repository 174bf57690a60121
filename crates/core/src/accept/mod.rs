//! Accepting connections: in the primary, which hands them to workers, or in workers that share a socket.
//!
//! - [`hub`] runs a thread in the primary that accepts, applies a [`policy`] and hands over.
//! - [`inbox`] is the worker's end of the hand-over.
//! - [`gate`] decides in a worker whether it should accept from a shared listening socket now.
//! - [`room`] tells whether the process has descriptors left for connections.
//! - [`scoreboard`] is the shared memory in which they see each other's load.

pub mod gate;
pub mod hub;
pub mod inbox;
pub mod message;
pub mod policy;
pub mod room;
pub mod scoreboard;

pub use hub::{Event, Hub, HubOptions, ListenerOptions};
pub use inbox::{Delivery, Inbox};
pub use policy::Policy;
pub use room::Room;
pub use scoreboard::Scoreboard;
