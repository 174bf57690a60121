//! A whole number that all may change at once.

use std::sync::Arc;

use crate::shm::header::Kind;
use crate::shm::object::{ObjectSegment, Plan};
use crate::shm::OpenError;
use crate::sync::{AtomicU64, Ordering};

/// Of the segments of counters.
pub const KIND: Kind = Kind {
    name: "counter",
    layout: 1,
};

/// A counter, open. Any thread. Changes are single instructions, so nobody can die within one.
#[derive(Clone, Debug)]
pub struct Counter(Arc<ObjectSegment>);

impl Counter {
    /// Opens or makes one that begins with `initial`, by way of `open`.
    ///
    /// # Errors
    /// Those of `open`.
    pub fn open(
        initial: i64,
        open: impl FnOnce(&Plan) -> Result<Arc<ObjectSegment>, OpenError>,
    ) -> Result<Self, OpenError> {
        let segment = open(&Plan {
            kind: KIND,
            body_bytes: 8,
            initialise: &|segment| {
                if let Some(word) = segment.body().first() {
                    word.store(initial as u64, Ordering::Relaxed);
                }
            },
        })?;
        match segment.body().is_empty() {
            true => Err(OpenError::Corrupt("it is too short")),
            false => Ok(Self(segment)),
        }
    }

    /// The segment.
    pub fn segment(&self) -> &Arc<ObjectSegment> {
        &self.0
    }

    fn word(&self) -> &AtomicU64 {
        // `open` has seen that it is there.
        &self.0.body()[0]
    }

    /// The number.
    pub fn get(&self) -> i64 {
        self.word().load(Ordering::SeqCst) as i64
    }

    /// Adds, and returns the sum. Wraps.
    #[inline]
    pub fn add(&self, by: i64) -> i64 {
        let before = self.word().fetch_add(by as u64, Ordering::SeqCst) as i64;
        before.wrapping_add(by)
    }

    /// Puts another number in its place, and returns the one there was.
    pub fn swap(&self, value: i64) -> i64 {
        self.word().swap(value as u64, Ordering::SeqCst) as i64
    }

    /// Puts `value` in the place of `expected`. Returns what was there.
    pub fn compare_exchange(&self, expected: i64, value: i64) -> i64 {
        let outcome =
            self.word()
                .compare_exchange(expected as u64, value as u64, Ordering::SeqCst, Ordering::SeqCst);
        outcome.unwrap_or_else(|found| found) as i64
    }
}
