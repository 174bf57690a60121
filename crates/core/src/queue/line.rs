//! The direct line between a caller that blocks and a worker that spins: one word and one record, in which the
//! result replaces the argument, so that a short call moves one cache line there and back.
//!
//! ```text
//! CLOSED ◀─worker─▶ OPEN ──caller offers──▶ OFFERED ──worker answers──▶ ANSWERED ◀─worker─▶ OPEN, ANSWERED
//!                                            │   ▲                                              │
//!                                            │   └─────────────────caller offers────────────────┘
//!                                            └──either demotes──▶ DEMOTED ──worker──▶ CLOSED
//! ```
//!
//! A demoted call is an ordinary task in hand: its result comes through the worker's outbox. Answer and demotion
//! are decided by one compare-and-swap. `ANSWERED` is kept until the next offer, so that the caller can tell how
//! its call was decided however late it looks.
//!
//! The record belongs to the worker from an offer until it closes the line or answers; a caller that has demoted
//! does not touch it. Otherwise it belongs to the caller.

use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// Size of a line's record in bytes.
pub const LINE_BYTES: usize = 480;

const CLOSED: u32 = 0;
const OPEN: u32 = 1;
const OFFERED: u32 = 2;
const DEMOTED: u32 = 4;
/// The last call was answered through the line.
const ANSWERED: u32 = 8;
const CALLED: u32 = OFFERED | DEMOTED;

/// Times that a caller looks, for one or two microseconds, for a worker that has just answered to listen again.
const POLLS_FOR_OPEN: u32 = if cfg!(loom) { 1 } else { 2000 };

/// What precedes the record of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call {
    /// The caller's number for the task.
    pub slot: u32,
    /// The function to call.
    pub handler: u32,
    /// Number of definitions that the worker must know first.
    pub definitions: u32,
    /// When it was offered, as returned by [`crate::sys::clock::monotonic_ns`].
    pub created_ns: u64,
}

/// How a call was decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// The result is in the line: its length in bytes and the durations in nanoseconds.
    Answered {
        /// Length of the record.
        len: usize,
        /// How long the task waited.
        wait_ns: u32,
        /// How long it ran.
        run_ns: u32,
    },
    /// The call has become an ordinary task.
    Demoted,
}

/// The line of a worker.
#[repr(C, align(128))]
pub struct Line {
    word: AtomicU32,
    len: AtomicU32,
    /// Slot of the task; duration of its wait in the answer.
    first: AtomicU32,
    /// Handler of the task; its run time in the answer.
    second: AtomicU32,
    definitions: AtomicU32,
    created_ns: AtomicU64,
    record: [AtomicU64; LINE_BYTES / 8],
    /// What the caller expects to find in the word, used by it alone; 0 if unknown.
    expected: Expected,
}

#[repr(align(128))]
struct Expected(AtomicU32);

impl Default for Line {
    fn default() -> Self {
        Self {
            word: AtomicU32::new(CLOSED),
            len: AtomicU32::new(0),
            first: AtomicU32::new(0),
            second: AtomicU32::new(0),
            definitions: AtomicU32::new(0),
            created_ns: AtomicU64::new(0),
            record: std::array::from_fn(|_| AtomicU64::new(0)),
            expected: Expected(AtomicU32::new(0)),
        }
    }
}

impl Line {
    /// Worker, when it starts to spin with nothing in hand: calls may be offered.
    pub fn open(&self) {
        self.word.fetch_or(OPEN, Ordering::AcqRel);
    }

    /// Worker or caller: no more calls may be offered. Returns whether one has been offered.
    pub fn close(&self) -> bool {
        self.word.fetch_and(!OPEN, Ordering::AcqRel) & CALLED != 0
    }

    /// Worker, while the line is open: whether a call has been offered.
    pub fn is_offered(&self) -> bool {
        self.word.load(Ordering::Relaxed) & CALLED != 0
    }

    /// Worker, after `close` returned true: the call, and the length of its record, which is copied.
    pub fn read_call(&self, record: &mut [u8; LINE_BYTES]) -> (Call, usize) {
        let call = Call {
            slot: self.first.load(Ordering::Relaxed),
            handler: self.second.load(Ordering::Relaxed),
            definitions: self.definitions.load(Ordering::Relaxed),
            created_ns: self.created_ns.load(Ordering::Relaxed),
        };
        (call, self.read(record))
    }

    /// Worker: answers the call that it has read. Returns false if it has been demoted; the line is closed then.
    pub fn answer(&self, record: &[u8], wait_ns: u64, run_ns: u64) -> bool {
        let short = |ns: u64| u32::try_from(ns).unwrap_or(u32::MAX);
        self.write(record);
        self.first.store(short(wait_ns), Ordering::Relaxed);
        self.second.store(short(run_ns), Ordering::Relaxed);
        let decided = self
            .word
            .compare_exchange(OFFERED, ANSWERED, Ordering::AcqRel, Ordering::Acquire);
        if decided.is_err() {
            self.word.store(CLOSED, Ordering::Release);
        }
        decided.is_ok()
    }

    /// Worker or caller: turns the call into an ordinary task. Returns false if it has been decided before.
    pub fn demote(&self) -> bool {
        self.word
            .compare_exchange(OFFERED, DEMOTED, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Worker: closes the line after the call that it has read was demoted.
    pub fn leave(&self) {
        self.word.store(CLOSED, Ordering::Release);
    }

    /// Caller: offers a call. Returns false if the line is not open or the record is too long.
    pub fn offer(&self, call: Call, record: &[u8]) -> bool {
        let mut expected = self.expected.0.load(Ordering::Relaxed);
        let is_familiar = expected != 0;
        if !is_familiar {
            expected = self.word.load(Ordering::Acquire);
            if expected & OPEN == 0 {
                return false;
            }
        }
        if record.len() > LINE_BYTES {
            return false;
        }
        self.write(record);
        self.first.store(call.slot, Ordering::Relaxed);
        self.second.store(call.handler, Ordering::Relaxed);
        self.definitions.store(call.definitions, Ordering::Relaxed);
        self.created_ns.store(call.created_ns, Ordering::Relaxed);
        self.expected.0.store(0, Ordering::Relaxed);
        let take = || {
            self.word
                .compare_exchange(expected, OFFERED, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
        };
        take() || is_familiar && self.is_opened() && take()
    }

    /// Caller: waits briefly for the worker that has just answered to open the line.
    fn is_opened(&self) -> bool {
        (0..POLLS_FOR_OPEN).any(|_| self.word.load(Ordering::Relaxed) & OPEN != 0)
    }

    /// Caller: how its call was decided; `None` as long as it is not.
    pub fn decision(&self) -> Option<Decision> {
        let word = self.word.load(Ordering::Acquire);
        if word & ANSWERED != 0 {
            self.expected.0.store(OPEN | ANSWERED, Ordering::Relaxed);
            return Some(Decision::Answered {
                len: self.len(),
                wait_ns: self.first.load(Ordering::Relaxed),
                run_ns: self.second.load(Ordering::Relaxed),
            });
        }
        (word & OFFERED == 0).then_some(Decision::Demoted)
    }

    /// Copies the record into a target of at least [`LINE_BYTES`]. Returns its length. The rest of the target's last
    /// eight bytes is overwritten.
    pub fn read(&self, target: &mut [u8]) -> usize {
        let len = self.len().min(target.len());
        for (word, chunk) in self.record[..len.div_ceil(8)]
            .iter()
            .zip(target.chunks_exact_mut(8))
        {
            chunk.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
        }
        len
    }

    fn write(&self, record: &[u8]) {
        self.len.store(record.len() as u32, Ordering::Relaxed);
        for (word, chunk) in self.record.iter().zip(record.chunks(8)) {
            let mut bytes = [0; 8];
            match <[u8; 8]>::try_from(chunk) {
                Ok(whole) => bytes = whole,
                Err(_) => bytes[..chunk.len()].copy_from_slice(chunk),
            }
            word.store(u64::from_ne_bytes(bytes), Ordering::Relaxed);
        }
    }

    fn len(&self) -> usize {
        (self.len.load(Ordering::Relaxed) as usize).min(LINE_BYTES)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const CALL: Call = Call {
        slot: 7,
        handler: 2,
        definitions: 3,
        created_ns: 4,
    };

    fn read(line: &Line) -> Vec<u8> {
        let mut record = [0; LINE_BYTES];
        let len = line.read(&mut record);
        record[..len].to_vec()
    }

    #[test]
    fn a_call_is_answered_in_place() {
        let line = Line::default();
        assert!(!line.offer(CALL, b"early"));
        for len in [0, 1, 8, 13, LINE_BYTES] {
            let record: Vec<u8> = (0..len).map(|i| i as u8).collect();
            line.open();
            assert!(!line.is_offered());
            assert!(line.offer(CALL, &record));
            assert_eq!(line.decision(), None);
            assert!(line.is_offered() && line.close());
            let mut copy = [0; LINE_BYTES];
            assert_eq!(line.read_call(&mut copy), (CALL, len));
            assert_eq!(&copy[..len], &record);
            assert!(line.answer(b"result", 5, u64::MAX));
            // Found however late the caller looks.
            line.open();
            assert!(!line.close());
            let answered = Decision::Answered {
                len: 6,
                wait_ns: 5,
                run_ns: u32::MAX,
            };
            assert_eq!(line.decision(), Some(answered));
            assert_eq!(read(&line), b"result");
        }
        line.open();
        assert!(!line.offer(CALL, &[0; LINE_BYTES + 1]));
        assert!(!line.close());
        assert!(!line.offer(CALL, b"late"));
    }

    #[test]
    fn a_demoted_call_is_not_answered() {
        let line = Line::default();
        for by_worker in [false, true] {
            line.open();
            assert!(line.offer(CALL, b"call"));
            if !by_worker {
                assert!(line.demote());
                assert_eq!(line.decision(), Some(Decision::Demoted));
            }
            assert!(line.close());
            if by_worker {
                assert!(line.demote());
                line.leave();
            } else {
                assert!(!line.answer(b"too late", 0, 0));
            }
            assert_eq!(line.decision(), Some(Decision::Demoted));
            assert!(!line.offer(CALL, b"closed"));
        }
    }
}
