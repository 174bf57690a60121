//! A shared integer counter.

use std::sync::Arc;

use crate::shm::header::Kind;
use crate::shm::object::{ObjectSegment, Plan};
use crate::shm::OpenError;
use crate::sync::{AtomicU64, Ordering};

/// The segment type of counters.
pub const KIND: Kind = Kind {
    name: "counter",
    layout: 1,
};

/// An open counter. May be used from any thread. Every change is one atomic instruction, so a process cannot
/// die halfway through it.
#[derive(Clone, Debug)]
pub struct Counter(Arc<ObjectSegment>);

impl Counter {
    /// Opens a counter, or creates one with the value `initial`, using `open`.
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

    /// The underlying segment.
    pub fn segment(&self) -> &Arc<ObjectSegment> {
        &self.0
    }

    fn word(&self) -> &AtomicU64 {
        // In bounds: checked in `open`.
        &self.0.body()[0]
    }

    /// The current value.
    pub fn get(&self) -> i64 {
        self.word().load(Ordering::SeqCst) as i64
    }

    /// Adds `by` and returns the new value. Wraps on overflow.
    #[inline]
    pub fn add(&self, by: i64) -> i64 {
        let before = self.word().fetch_add(by as u64, Ordering::SeqCst) as i64;
        before.wrapping_add(by)
    }

    /// Stores `value` and returns the previous value.
    pub fn swap(&self, value: i64) -> i64 {
        self.word().swap(value as u64, Ordering::SeqCst) as i64
    }

    /// Stores `value` if the current value is `expected`. Returns the previous value either way.
    pub fn compare_exchange(&self, expected: i64, value: i64) -> i64 {
        let outcome =
            self.word()
                .compare_exchange(expected as u64, value as u64, Ordering::SeqCst, Ordering::SeqCst);
        outcome.unwrap_or_else(|found| found) as i64
    }
}
