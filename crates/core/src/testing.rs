//! Helpers for tests.

use std::time::{Duration, Instant};

/// Time limit of a test's wait, longer than any legitimate wait on a slow and busy machine.
pub const WATCHDOG: Duration = Duration::from_secs(60);

/// Fails a test whose wait loop never ends. Threads of a scope need it as well: if one of them panics, the
/// scope still waits for the others, which may in turn wait for that one.
pub struct Watchdog(Instant);

impl Watchdog {
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// To be called on each iteration of the loop.
    #[track_caller]
    pub fn check(&self, waits_for: impl std::fmt::Display) {
        assert!(self.0.elapsed() < WATCHDOG, "waited in vain for {waits_for}");
    }
}
