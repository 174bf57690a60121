//! A ring of records for any number of producers and consumers, under channels and topics.
//!
//! ```text
//! word   0   lock       `OwnerLock`
//!       16   head       position behind the newest record
//!       17   tail       position of the oldest
//!       18   sequence   of the next record
//!       19   records in the ring
//!       20   1: closed
//!       21, 22  bell for those who wait for a record      23, 24  for those who wait for room
//!       32   the ring
//!
//! record:  bytes << 8 | kind, sequence, the bytes filled up to whole words; it may go on at the ring's start
//! ```
//!
//! Positions are words counted without end. A record is there once `head` has moved behind it, and gone once `tail`
//! has: one store each. So a producer that dies before leaves nothing, a consumer that dies before has taken
//! nothing, and neither stops the others: the next to take the lock counts the records once more, that is all.
//!
//! Topics read without the lock. Before its place is used again, `tail` moves past a record: a reader that finds the
//! tail behind its record when it has copied it has the record.

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
/// Where the bell for those who wait for a record is.
pub const RECORD_BELL: usize = 21;
/// Where the bell for those who wait for room is.
pub const ROOM_BELL: usize = 23;
/// Words before the ring.
pub const CONTROL_WORDS: usize = 32;
const HEADER_WORDS: usize = 2;
/// No ring of ours gets that far.
const MAX_POSITION: u64 = 1 << 62;

/// Why a ring does not do what it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// There is no room now.
    #[error("the queue is full")]
    Full,
    /// There never will be.
    #[error("the record is larger than the queue")]
    TooLarge,
    /// No more records.
    #[error("the queue is closed")]
    Closed,
    /// Whoever has the lock lives, but does not go on.
    #[error("a living user of the queue does not go on")]
    Stuck,
    /// The memory holds what cannot be.
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

/// What was taken or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Nothing is there.
    Nothing,
    /// A record, copied.
    Record {
        /// What its bytes mean.
        kind: u8,
        /// How many.
        bytes: usize,
        /// Of the record.
        sequence: u64,
    },
    /// Nothing was taken: the record has this many words.
    NeedsWords(usize),
}

/// Where a subscriber is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Of the next record.
    pub position: u64,
    /// Of the next record.
    pub sequence: u64,
}

/// Numbers of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingStats {
    /// Records in it.
    pub records: u64,
    /// Bytes that they take.
    pub bytes: u64,
    /// Records that ever came.
    pub sequence: u64,
    /// Whether it is closed.
    pub closed: bool,
}

/// A ring over its words.
#[derive(Clone, Copy, Debug)]
pub struct Ring<'a> {
    words: Words<'a>,
    capacity: u64,
}

impl<'a> Ring<'a> {
    /// Over control words and ring.
    ///
    /// # Errors
    /// When there are too few.
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

    /// Holder: what a dead one may have left uncounted.
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

    /// Head and tail, as far apart as they can be.
    fn ends(self) -> Result<(u64, u64), Corrupt> {
        // Acquire: pairs with `publish`.
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

    /// Of the record at a position: its words, header and all, its bytes, kind and sequence.
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

    /// Holder: writes a record where nobody reads, and lets it be seen.
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

    /// Puts a record behind the others, of which there may be `most` then.
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
    /// `Closed` when it is and nothing is left, `Stuck`, `Corrupt`.
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

    /// Puts a record behind the others; the oldest go to make room.
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
                // Release: pairs with the fence in `read`. Who sees anything of the new record sees the new tail.
                fence(Ordering::Release);
            }
            Ok(self.append(head, words, kind, bytes)?)
        })
    }

    /// Reads the record at a cursor, or the oldest there is if that has gone, and moves the cursor behind it. How
    /// many were missed shows in the sequence.
    ///
    /// # Errors
    /// `Closed` when it is and nothing is left, `Corrupt`.
    pub fn read(self, cursor: &mut Cursor, target: &mut [u64]) -> Result<Taken, QueueError> {
        loop {
            // Acquire: pairs with `publish`; a tail that is seen was stored before the head that is.
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

    /// A cursor at the oldest record, or behind the newest.
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

    /// No more records; those that are there can be taken.
    ///
    /// # Errors
    /// `Stuck`, `Corrupt`.
    pub fn close(self, host: &impl Host) -> Result<(), QueueError> {
        self.locked(host, || Ok(self.words.publish(CLOSED, 1)?))
    }

    fn is_closed(self) -> Result<bool, Corrupt> {
        Ok(self.words.at(CLOSED)?.load(Ordering::Acquire) != 0)
    }

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

    /// Sequence of the next record, without the lock.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn next_sequence(self) -> Result<u64, Corrupt> {
        self.words.load(SEQUENCE)
    }
}
