//! Reports of workers, serialised: a worker appends entries to its own outbox, and the caller copies them in
//! batches.

use std::collections::VecDeque;

use super::stock::Payload;
use crate::sync::{AtomicU32, Mutex, MutexGuard, Ordering};

/// Memory in bytes that an outbox keeps between batches.
const KEPT_BYTES: usize = 1 << 20;

/// Size of an entry's header in bytes.
pub const ENTRY_BYTES: usize = 32;

/// What an entry reports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Kind {
    /// The task returned; the record is its result.
    Result = 1,
    /// The task threw; the record is the error.
    Error = 2,
    /// The task returned; the result is on the worker's own port.
    ParcelResult = 3,
    /// The task threw; the error is on the worker's own port.
    ParcelError = 4,
    /// The task reports an event and goes on; the record is the event.
    Event = 5,
    /// Like `Event`, with the event on the worker's own port.
    ParcelEvent = 6,
    /// The worker requests the argument of a `Ticket`.
    Claim = 7,
    /// A cancelled task was removed; its number may be reused.
    Dropped = 8,
    /// The worker has started and takes tasks.
    Ready = 9,
    /// The worker takes no more tasks and has none in hand.
    Retired = 10,
    /// The worker's thread or process has ended or is ending.
    Ended = 11,
    /// The worker's process is about to end; the record is the unhandled error.
    Fault = 12,
    /// The worker's process has written invalid data.
    Corrupt = 13,
}

impl Kind {
    /// The kind with this number in JavaScript.
    pub fn from_number(number: u32) -> Option<Self> {
        [
            Self::Result,
            Self::Error,
            Self::ParcelResult,
            Self::ParcelError,
            Self::Event,
            Self::ParcelEvent,
            Self::Claim,
            Self::Dropped,
            Self::Ready,
            Self::Retired,
            Self::Ended,
            Self::Fault,
            Self::Corrupt,
        ]
        .into_iter()
        .find(|kind| *kind as u32 == number)
    }

    /// Whether it completes the task.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Result | Self::Error | Self::ParcelResult | Self::ParcelError
        )
    }
}

/// The second word of an entry has the kind in the bits below this one, and the number of payloads above.
const PAYLOADS_SHIFT: u32 = 8;

/// The header before a record: total length, kind and number of payloads, slot, worker, then two times in us.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Entry {
    /// What it reports.
    pub kind: Kind,
    /// The task's number.
    pub slot: u32,
    /// The worker's number.
    pub worker: u32,
    /// How long the task waited, in microseconds.
    pub wait_us: f64,
    /// How long it ran, in microseconds.
    pub run_us: f64,
}

impl Entry {
    /// The serialised header; `len` is the length of header and record, `payloads` the number of payloads.
    pub(crate) fn header(&self, len: u32, payloads: u32) -> [u8; ENTRY_BYTES] {
        let mut header = [0; ENTRY_BYTES];
        let kind = self.kind as u32 | payloads << PAYLOADS_SHIFT;
        for (at, word) in [len, kind, self.slot, self.worker].into_iter().enumerate() {
            header[at * 4..at * 4 + 4].copy_from_slice(&word.to_le_bytes());
        }
        header[16..24].copy_from_slice(&self.wait_us.to_le_bytes());
        header[24..32].copy_from_slice(&self.run_us.to_le_bytes());
        header
    }
}

/// A worker's reports not yet taken by the caller. The fields used for every report are adjacent.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub struct Outbox {
    /// 1 once the caller has been told that there is something.
    pub(super) reported: AtomicU32,
    batch: Mutex<Batch>,
}

#[derive(Debug, Default)]
#[repr(C)]
struct Batch {
    bytes: Vec<u8>,
    /// Bytes already taken by the caller.
    taken: usize,
    /// The payloads of the entries not yet taken, in order.
    payloads: VecDeque<Payload>,
}

impl Outbox {
    /// Worker: whether the caller has yet to take something.
    pub fn is_reported(&self) -> bool {
        self.reported.load(Ordering::Acquire) == 1
    }

    /// Worker: appends an entry. Its record is padded to 8 bytes.
    pub fn push(&self, entry: Entry, record: &[u8], payloads: Vec<Payload>) {
        let padding = record.len().wrapping_neg() & 7;
        let len = ENTRY_BYTES + record.len() + padding;
        let mut batch = self.lock();
        batch.bytes.reserve(len);
        let header = entry.header(len as u32, payloads.len() as u32);
        batch.bytes.extend_from_slice(&header);
        batch.bytes.extend_from_slice(record);
        batch.bytes.extend_from_slice(&[0; 7][..padding]);
        if !payloads.is_empty() {
            batch.payloads.extend(payloads);
        }
    }

    /// Caller: copies as many whole entries as fit into `target`, passes each to `see`, and appends their
    /// payloads to `payloads`. Returns the number of bytes copied, or as an error the size of the first entry
    /// if it does not fit.
    pub fn take(
        &self,
        target: &mut [u8],
        payloads: &mut Vec<Payload>,
        mut see: impl FnMut(u32, &[u8]),
    ) -> Result<usize, usize> {
        let mut batch = self.lock();
        let batch = &mut *batch;
        let waiting = &batch.bytes[batch.taken..];
        let mut with_entries = 0;
        let mut end = 0;
        while let Some(len) = entry_len(&waiting[end..]) {
            if end + len > target.len() {
                break;
            }
            let kind = word(&waiting[end..], 1);
            with_entries += (kind >> PAYLOADS_SHIFT) as usize;
            see(kind & ((1 << PAYLOADS_SHIFT) - 1), &waiting[end..end + len]);
            end += len;
        }
        if end == 0 {
            return entry_len(waiting).map_or(Ok(0), Err);
        }
        target[..end].copy_from_slice(&waiting[..end]);
        if with_entries > 0 {
            payloads.extend(batch.payloads.drain(..with_entries));
        }
        batch.taken += end;
        if batch.taken == batch.bytes.len() {
            batch.taken = 0;
            batch.bytes.clear();
            batch.bytes.shrink_to(KEPT_BYTES);
        }
        Ok(end)
    }

    fn lock(&self) -> MutexGuard<'_, Batch> {
        // Only an allocation can fail while the lock is held, which aborts the process.
        self.batch
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn entry_len(bytes: &[u8]) -> Option<usize> {
    (bytes.len() >= ENTRY_BYTES).then(|| word(bytes, 0) as usize)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at * 4..at * 4 + 4]);
    u32::from_le_bytes(word)
}

/// The times of an entry in microseconds: waited and ran.
pub fn times(entry: &[u8]) -> (f64, f64) {
    let time = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&entry[at..at + 8]);
        f64::from_le_bytes(bytes)
    };
    (time(16), time(24))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::queue::{Stock, Towards};

    fn entry(slot: u32) -> Entry {
        Entry {
            kind: Kind::Result,
            slot,
            worker: 2,
            wait_us: 1.5,
            run_us: 0.25,
        }
    }

    #[test]
    fn whole_entries_are_taken_in_order() {
        let outbox = Outbox::default();
        for slot in 0..10 {
            outbox.push(entry(slot), &[slot as u8; 3], Vec::new());
        }
        let mut target = [0; ENTRY_BYTES * 4];
        let mut slots = Vec::new();
        loop {
            let taken = outbox.take(&mut target, &mut Vec::new(), |kind, bytes| {
                assert_eq!((kind, bytes.len()), (Kind::Result as u32, ENTRY_BYTES + 8));
                assert_eq!(times(bytes), (1.5, 0.25));
                slots.push(word(bytes, 2));
            });
            if taken == Ok(0) {
                break;
            }
            assert_eq!(taken.unwrap() % (ENTRY_BYTES + 8), 0);
        }
        assert_eq!(slots, (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn an_entry_that_does_not_fit_tells_its_size() {
        let outbox = Outbox::default();
        outbox.push(entry(1), &[7; 1000], Vec::new());
        let mut small = [0; 100];
        let payloads = &mut Vec::new();
        let size = outbox.take(&mut small, payloads, |_, _| ()).unwrap_err();
        let mut large = vec![0; size];
        assert_eq!(outbox.take(&mut large, payloads, |_, _| ()), Ok(size));
        assert_eq!(&large[ENTRY_BYTES..ENTRY_BYTES + 1000], [7; 1000]);
    }

    #[test]
    fn payloads_come_with_their_entries() {
        let stock = Stock::default();
        let outbox = Outbox::default();
        for slot in 0..4 {
            let hold = |at| stock.hold(&[slot as u8, at as u8], Towards::Caller).unwrap();
            let payloads = (0..slot).map(hold);
            outbox.push(entry(slot), &[], payloads.collect());
        }
        let mut target = [0; ENTRY_BYTES];
        for slot in 0..4 {
            let mut payloads = Vec::new();
            let taken = outbox.take(&mut target, &mut payloads, |kind, _| {
                assert_eq!(kind, Kind::Result as u32);
            });
            assert_eq!(
                (taken, word(&target, 1) >> PAYLOADS_SHIFT),
                (Ok(ENTRY_BYTES), slot)
            );
            let copies = payloads.iter().map(|payload| {
                let mut copy = [0; 2];
                assert!(payload.copy_to(&mut copy));
                copy
            });
            assert!(copies.eq((0..slot as u8).map(|at| [slot as u8, at])));
        }
        assert_eq!(stock.waiting_bytes(), 0);
    }
}
