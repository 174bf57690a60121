//! What tests share.

use std::time::{Duration, Instant};

/// Nothing that a test waits for takes as long, even on a slow and busy machine.
pub const WATCHDOG: Duration = Duration::from_secs(60);

/// Ends a test that waits in a loop for what never comes. Threads of a scope need it as well: where one of them panics,
/// the scope still waits for the others, which may wait for that one.
pub struct Watchdog(Instant);

impl Watchdog {
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// To be called in each turn of the loop.
    #[track_caller]
    pub fn check(&self, waits_for: impl std::fmt::Display) {
        assert!(self.0.elapsed() < WATCHDOG, "waited in vain for {waits_for}");
    }
}
