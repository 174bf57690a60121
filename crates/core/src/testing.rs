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

/// Asserts that the head of a module, of which docs/memory-layout.md consists, says where these words are: the place
/// stands right before the name.
#[track_caller]
pub fn assert_documented(source: &str, places: &[(&str, usize)]) {
    let words_of = |text: &str| -> Vec<String> {
        text.split_whitespace()
            .map(|word| word.trim_end_matches([',', ':', '.']).to_owned())
            .collect()
    };
    let head = source.lines().map_while(|line| line.strip_prefix("//!"));
    let head: Vec<_> = head.flat_map(words_of).collect();
    for (name, place) in places {
        let expected = words_of(&format!("{place} {name}"));
        let is_there = head.windows(expected.len()).any(|words| words == expected);
        assert!(is_there, "the head of the module does not say: {place} {name}");
    }
}
