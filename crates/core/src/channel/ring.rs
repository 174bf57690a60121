//! A multi-producer, multi-consumer ring of records: the basis of channels and topics.
//!
//! ```text
//! word   0   lock       `OwnerLock`
//!       16   head       position after the newest record
//!       17   tail       position of the oldest record
//!       18   sequence   of the next record
//!       19   records in the ring
//!       20   1: closed
//!       21, 22  bell for threads that wait for a record   23, 24  for threads that wait for room
//!       32   the ring
//!
//! record:  bytes << 8 | kind, sequence, the bytes padded to whole words; may wrap around the end of the ring
//! ```
//!
//! Positions are word counters that only grow. Each operation takes effect with one store: a record exists
//! once `head` has moved past it and is gone once `tail` has. So a producer that dies before that store
//! leaves nothing behind, a consumer that dies before it has taken nothing, and neither blocks the others:
//! the next thread to take the lock only recounts the records.
//!
//! Topics are read without the lock, as with a seqlock: `tail` moves past a record before its space is
//! reused, so a reader that has copied a record and then finds `tail` not past it has a consistent copy.

use crate::crash;
use crate::shm::owner_lock::{Acquired, Host, OwnerLock, Stuck};
use crate::shm::words::{Corrupt, Words};
use crate::sync::{fence, Ordering};

const LOCK: usize = 0;
const HEAD: usize = 16;
const TAIL: usize = 17;
const SEQUENCE: usize = 18;
const RECORDS: usize = 19;
const CLOSED: usize = 20;
/// Word index of the bell for threads that wait for a record.
pub const RECORD_BELL: usize = 21;
/// Word index of the bell for threads that wait for room.
pub const ROOM_BELL: usize = 23;
/// Number of words before the ring.
pub const CONTROL_WORDS: usize = 32;
const HEADER_WORDS: usize = 2;
/// No genuine position grows this large.
const MAX_POSITION: u64 = 1 << 62;

/// Why an operation on a ring failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// There is no room at present.
    #[error("the queue is full")]
    Full,
    /// The record can never fit.
    #[error("the record is larger than the queue")]
    TooLarge,
    /// The queue accepts no more records; for readers, none is left either.
    #[error("the queue is closed")]
    Closed,
    /// The lock's owner is alive but makes no progress.
    #[error("a living user of the queue does not go on")]
    Stuck,
    /// The memory holds impossible values.
    #[error("the queue is corrupt")]
    Corrupt,
}

impl From<Corrupt> for QueueError {
    fn from(_: Corrupt) -> Self {
        Self::Corrupt
    }
}

impl From<Stuck> for QueueError {
    fn from(_: Stuck) -> Self {
        Self::Stuck
    }
}

/// The result of taking or reading a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// There is no record.
    Nothing,
    /// A record, copied to the target.
    Record {
        /// The meaning of its bytes, as passed by the producer.
        kind: u8,
        /// Its length.
        bytes: usize,
        /// Its sequence number.
        sequence: u64,
    },
    /// The target is too small: the record has this many words. Nothing was taken.
    NeedsWords(usize),
}

/// A subscriber's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Position of the next record.
    pub position: u64,
    /// Sequence number expected of the next record.
    pub sequence: u64,
}

/// Statistics of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingStats {
    /// Records queued.
    pub records: u64,
    /// Bytes they occupy, including headers and padding.
    pub bytes: u64,
    /// Number of records ever appended.
    pub sequence: u64,
    /// Whether it is closed.
    pub closed: bool,
}

/// A view of a ring's words.
#[derive(Clone, Copy, Debug)]
pub struct Ring<'a> {
    words: Words<'a>,
    capacity: u64,
}

impl<'a> Ring<'a> {
    /// A ring over its control words and storage.
    ///
    /// # Errors
    /// When there are too few words.
    pub fn new(words: Words<'a>) -> Result<Self, Corrupt> {
        match words.len().checked_sub(CONTROL_WORDS) {
            Some(capacity @ 4..) => Ok(Self {
                words,
                capacity: capacity as u64,
            }),
            _ => Err(Corrupt),
        }
    }

    fn locked<T>(
        self,
        host: &impl Host,
        action: impl FnOnce() -> Result<T, QueueError>,
    ) -> Result<T, QueueError> {
        let lock = OwnerLock::new(self.words.at(LOCK)?);
        let in_order = match lock.acquire(host)? {
            Acquired::Free => Ok(()),
            Acquired::OwnerDied => self.count_again(),
        };
        let outcome = in_order.map_err(QueueError::from).and_then(|()| action());
        lock.release();
        outcome
    }

    /// Lock holder: recomputes the counters that a dead holder may have left out of date.
    fn count_again(self) -> Result<(), Corrupt> {
        let (head, mut at) = self.ends()?;
        let mut records = 0;
        let mut sequence = self.words.load(SEQUENCE)?;
        while at < head {
            let (words, _, _, of_record) = self.record(at, head)?;
            at += words;
            records += 1;
            sequence = sequence.max(of_record.wrapping_add(1));
        }
        self.words.store(RECORDS, records)?;
        self.words.store(SEQUENCE, sequence)
    }

    /// Head and tail, validated against each other.
    fn ends(self) -> Result<(u64, u64), Corrupt> {
        // Acquire: pairs with the Release store in `append`.
        let head = self.words.at(HEAD)?.load(Ordering::Acquire);
        let tail = self.words.load(TAIL)?;
        match head.checked_sub(tail) {
            Some(used) if used <= self.capacity && head < MAX_POSITION => Ok((head, tail)),
            _ => Err(Corrupt),
        }
    }

    fn index(self, position: u64) -> usize {
        CONTROL_WORDS + (position % self.capacity) as usize
    }

    /// The record at `position`: its length in words including the header, its length in bytes, its kind and
    /// its sequence number.
    fn record(self, position: u64, head: u64) -> Result<(u64, usize, u8, u64), Corrupt> {
        let word = self.words.load(self.index(position))?;
        let bytes = (word >> 8) as usize;
        let words = (HEADER_WORDS + bytes.div_ceil(8)) as u64;
        if position.checked_add(words).is_none_or(|end| end > head) {
            return Err(Corrupt);
        }
        let sequence = self.words.load(self.index(position + 1))?;
        Ok((words, bytes, word as u8, sequence))
    }

    fn words_of(self, bytes: usize) -> Result<u64, QueueError> {
        let words = (HEADER_WORDS + bytes.div_ceil(8)) as u64;
        match words <= self.capacity {
            true => Ok(words),
            false => Err(QueueError::TooLarge),
        }
    }

    /// Lock holder: writes a record to free space and publishes it.
    fn append(self, head: u64, words: u64, kind: u8, bytes: &[u8]) -> Result<(), Corrupt> {
        let sequence = self.words.load(SEQUENCE)?;
        self.words
            .store(self.index(head), (bytes.len() as u64) << 8 | u64::from(kind))?;
        self.words.store(self.index(head + 1), sequence)?;
        let at = self.index(head + 2);
        let until_end = (self.words.len() - at) * 8;
        let (first, second) = bytes.split_at(bytes.len().min(until_end));
        self.words.copy_in(at, first)?;
        if !second.is_empty() {
            self.words.copy_in(CONTROL_WORDS, second)?;
        }
        crash::point("queue.written");
        self.words.publish(HEAD, head + words)?;
        crash::point("queue.published");
        self.words.store(SEQUENCE, sequence.wrapping_add(1))?;
        self.words
            .store(RECORDS, self.words.load(RECORDS)?.wrapping_add(1))
    }

    fn copy(self, position: u64, bytes: usize, target: &mut [u64]) -> Result<(), Corrupt> {
        let at = self.index(position + 2);
        let words = bytes.div_ceil(8);
        let target = target.get_mut(..words).ok_or(Corrupt)?;
        let (first, second) = target.split_at_mut(words.min(self.words.len() - at));
        self.words.copy_out(at, first)?;
        self.words.copy_out(CONTROL_WORDS, second)
    }

    /// Appends a record, provided that the ring then holds at most `most` records.
    ///
    /// # Errors
    /// `Full`, `TooLarge`, `Closed`, `Stuck`, `Corrupt`.
    pub fn push(self, host: &impl Host, kind: u8, bytes: &[u8], most: u64) -> Result<(), QueueError> {
        let words = self.words_of(bytes.len())?;
        self.locked(host, || {
            if self.is_closed()? {
                return Err(QueueError::Closed);
            }
            let (head, tail) = self.ends()?;
            if head - tail + words > self.capacity || self.words.load(RECORDS)? >= most {
                return Err(QueueError::Full);
            }
            Ok(self.append(head, words, kind, bytes)?)
        })
    }

    /// Takes the oldest record.
    ///
    /// # Errors
    /// `Closed` when the ring is closed and empty, `Stuck`, `Corrupt`.
    pub fn pop(self, host: &impl Host, target: &mut [u64]) -> Result<Taken, QueueError> {
        self.locked(host, || {
            let (head, tail) = self.ends()?;
            if head == tail {
                return match self.is_closed()? {
                    true => Err(QueueError::Closed),
                    false => Ok(Taken::Nothing),
                };
            }
            let (words, bytes, kind, sequence) = self.record(tail, head)?;
            if bytes.div_ceil(8) > target.len() {
                return Ok(Taken::NeedsWords(bytes.div_ceil(8)));
            }
            self.copy(tail, bytes, target)?;
            crash::point("queue.copied");
            self.words.publish(TAIL, tail + words)?;
            crash::point("queue.taken");
            self.words
                .store(RECORDS, self.words.load(RECORDS)?.saturating_sub(1))?;
            Ok(Taken::Record {
                kind,
                bytes,
                sequence,
            })
        })
    }

    /// Appends a record, dropping the oldest ones to make room.
    ///
    /// # Errors
    /// `TooLarge`, `Closed`, `Stuck`, `Corrupt`.
    pub fn publish(self, host: &impl Host, kind: u8, bytes: &[u8]) -> Result<(), QueueError> {
        let words = self.words_of(bytes.len())?;
        self.locked(host, || {
            if self.is_closed()? {
                return Err(QueueError::Closed);
            }
            let (head, mut tail) = self.ends()?;
            let mut records = self.words.load(RECORDS)?;
            if head - tail + words > self.capacity {
                while head - tail + words > self.capacity {
                    let (oldest, ..) = self.record(tail, head)?;
                    tail += oldest;
                    records = records.saturating_sub(1);
                }
                self.words.store(TAIL, tail)?;
                self.words.store(RECORDS, records)?;
                // Release: pairs with the fence in `read`. A reader that sees any part of the new record sees
                // the new tail.
                fence(Ordering::Release);
            }
            Ok(self.append(head, words, kind, bytes)?)
        })
    }

    /// Reads the record at the cursor, or the oldest one if that has been dropped, and advances the cursor. A
    /// gap in the sequence numbers shows how many records were missed.
    ///
    /// # Errors
    /// `Closed` when the ring is closed and the cursor is at its end, `Corrupt`.
    pub fn read(self, cursor: &mut Cursor, target: &mut [u64]) -> Result<Taken, QueueError> {
        loop {
            // Acquire: pairs with the Release store in `append`; the tail read here is at least the one
            // stored before this head.
            let head = self.words.at(HEAD)?.load(Ordering::Acquire);
            let tail = self.words.at(TAIL)?.load(Ordering::Acquire);
            let position = cursor.position.max(tail);
            if head >= MAX_POSITION {
                return Err(QueueError::Corrupt);
            }
            if position >= head {
                if position > head && tail <= head {
                    return Err(QueueError::Corrupt);
                }
                return match self.is_closed()? {
                    true if position == head => Err(QueueError::Closed),
                    _ => Ok(Taken::Nothing),
                };
            }
            let taken = self
                .record(position, head)
                .and_then(|(words, bytes, kind, sequence)| {
                    if bytes.div_ceil(8) > target.len() {
                        return Ok((words, Taken::NeedsWords(bytes.div_ceil(8))));
                    }
                    self.copy(position, bytes, target)?;
                    Ok((
                        words,
                        Taken::Record {
                            kind,
                            bytes,
                            sequence,
                        },
                    ))
                });
            // Acquire: pairs with the fence in `publish`.
            fence(Ordering::Acquire);
            if self.words.load(TAIL)? > position {
                continue;
            }
            let (words, taken) = taken?;
            if let Taken::Record { sequence, .. } = taken {
                *cursor = Cursor {
                    position: position + words,
                    sequence: sequence.wrapping_add(1),
                };
            }
            return Ok(taken);
        }
    }

    /// A cursor at the oldest record or after the newest one.
    ///
    /// # Errors
    /// `Stuck`, `Corrupt`.
    pub fn cursor(self, host: &impl Host, oldest: bool) -> Result<Cursor, QueueError> {
        self.locked(host, || {
            let (head, tail) = self.ends()?;
            let next = self.words.load(SEQUENCE)?;
            Ok(match oldest && head > tail {
                true => Cursor {
                    position: tail,
                    sequence: self.record(tail, head)?.3,
                },
                false => Cursor {
                    position: head,
                    sequence: next,
                },
            })
        })
    }

    /// Closes the ring: no more records are accepted, but queued ones can still be taken.
    ///
    /// # Errors
    /// `Stuck`, `Corrupt`.
    pub fn close(self, host: &impl Host) -> Result<(), QueueError> {
        self.locked(host, || Ok(self.words.publish(CLOSED, 1)?))
    }

    fn is_closed(self) -> Result<bool, Corrupt> {
        Ok(self.words.at(CLOSED)?.load(Ordering::Acquire) != 0)
    }

    /// The statistics, read under the lock.
    ///
    /// # Errors
    /// `Corrupt`, `Stuck`.
    pub fn stats(self, host: &impl Host) -> Result<RingStats, QueueError> {
        self.locked(host, || {
            let (head, tail) = self.ends()?;
            Ok(RingStats {
                records: self.words.load(RECORDS)?,
                bytes: (head - tail) * 8,
                sequence: self.words.load(SEQUENCE)?,
                closed: self.is_closed()?,
            })
        })
    }

    /// Sequence number of the next record, read without the lock.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn next_sequence(self) -> Result<u64, Corrupt> {
        self.words.load(SEQUENCE)
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::testing::assert_documented;

    #[test]
    fn the_layout_is_as_documented() {
        assert_documented(
            include_str!("ring.rs"),
            &[
                ("lock", LOCK),
                ("head", HEAD),
                ("tail", TAIL),
                ("sequence", SEQUENCE),
                ("records in the ring", RECORDS),
                ("1: closed", CLOSED),
                ("bell for threads that wait for a record", RECORD_BELL + 1),
                ("for threads that wait for room", ROOM_BELL + 1),
                ("the ring", CONTROL_WORDS),
            ],
        );
    }
}
