//! A ring in a segment, with bells: the implementation of channels and topics.

use std::sync::Arc;

use super::ring::{Cursor, QueueError, Ring, RingStats, Taken, CONTROL_WORDS, RECORD_BELL, ROOM_BELL};
use crate::shm::bell::Bell;
use crate::shm::header::Kind;
use crate::shm::object::{ObjectSegment, Plan};
use crate::shm::owner_lock::System;
use crate::shm::words::Words;
use crate::shm::OpenError;

/// Each record is taken by one consumer.
pub const CHANNEL: Kind = Kind {
    name: "channel",
    layout: 1,
};
/// Each record is read by every subscriber.
pub const TOPIC: Kind = Kind {
    name: "topic",
    layout: 1,
};

/// An open channel or topic. May be used from any thread.
#[derive(Clone, Debug)]
pub struct Queue {
    segment: Arc<ObjectSegment>,
    words: usize,
    most: u64,
}

impl Queue {
    /// Opens or creates a queue with a ring of `bytes` bytes and at most `most` records, using `open`. An
    /// existing queue keeps its own limits.
    ///
    /// # Errors
    /// Those of `open`; `Corrupt`.
    pub fn open(
        kind: Kind,
        bytes: usize,
        most: u64,
        open: impl FnOnce(&Plan) -> Result<Arc<ObjectSegment>, OpenError>,
    ) -> Result<Self, OpenError> {
        let words = CONTROL_WORDS + bytes.div_ceil(8);
        let segment = open(&Plan {
            kind,
            body_bytes: words.saturating_mul(8),
            initialise: &|segment| {
                segment.set_parameters([words as u64, most]);
            },
        })?;
        let parameter = |index| segment.parameter(index);
        let words = usize::try_from(parameter(0)).unwrap_or(usize::MAX);
        let most = parameter(1);
        let queue = Self { segment, words, most };
        match queue.ring() {
            Ok(_) => Ok(queue),
            Err(_) => Err(OpenError::Corrupt("its parameters cannot be")),
        }
    }

    fn ring(&self) -> Result<Ring<'_>, QueueError> {
        Ok(Ring::new(Words::new(self.segment.body()).part(0, self.words)?)?)
    }

    /// The underlying segment.
    pub fn segment(&self) -> &Arc<ObjectSegment> {
        &self.segment
    }

    /// Size of the ring in bytes.
    pub fn capacity_bytes(&self) -> usize {
        (self.words - CONTROL_WORDS) * 8
    }

    /// Rings after a record was appended.
    pub fn record_bell(&self) -> Bell<'_> {
        Bell::new(self.segment.body(), RECORD_BELL)
    }

    /// Rings after a record was taken.
    pub fn room_bell(&self) -> Bell<'_> {
        Bell::new(self.segment.body(), ROOM_BELL)
    }

    /// See [`Ring::push`].
    ///
    /// # Errors
    /// Those of [`Ring::push`].
    pub fn push(&self, kind: u8, bytes: &[u8]) -> Result<(), QueueError> {
        self.ring()?.push(&System, kind, bytes, self.most)?;
        self.record_bell().ring();
        Ok(())
    }

    /// See [`Ring::pop`].
    ///
    /// # Errors
    /// Those of [`Ring::pop`].
    pub fn pop(&self, target: &mut [u64]) -> Result<Taken, QueueError> {
        let taken = self.ring()?.pop(&System, target)?;
        if let Taken::Record { .. } = taken {
            self.room_bell().ring();
        }
        Ok(taken)
    }

    /// See [`Ring::publish`].
    ///
    /// # Errors
    /// Those of [`Ring::publish`].
    pub fn publish(&self, kind: u8, bytes: &[u8]) -> Result<(), QueueError> {
        self.ring()?.publish(&System, kind, bytes)?;
        self.record_bell().ring();
        Ok(())
    }

    /// See [`Ring::read`].
    ///
    /// # Errors
    /// Those of [`Ring::read`].
    pub fn read(&self, cursor: &mut Cursor, target: &mut [u64]) -> Result<Taken, QueueError> {
        self.ring()?.read(cursor, target)
    }

    /// See [`Ring::cursor`].
    ///
    /// # Errors
    /// Those of [`Ring::cursor`].
    pub fn cursor(&self, oldest: bool) -> Result<Cursor, QueueError> {
        self.ring()?.cursor(&System, oldest)
    }

    /// Number of records appended after those the cursor has read.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn lag(&self, cursor: &Cursor) -> Result<u64, QueueError> {
        Ok(self.ring()?.next_sequence()?.saturating_sub(cursor.sequence))
    }

    /// Closes the queue and wakes all waiting threads.
    ///
    /// # Errors
    /// `Stuck`, `Corrupt`.
    pub fn close(&self) -> Result<(), QueueError> {
        self.ring()?.close(&System)?;
        self.record_bell().ring();
        self.room_bell().ring();
        Ok(())
    }

    /// See [`Ring::stats`].
    ///
    /// # Errors
    /// Those of [`Ring::stats`].
    pub fn stats(&self) -> Result<RingStats, QueueError> {
        self.ring()?.stats(&System)
    }
}
