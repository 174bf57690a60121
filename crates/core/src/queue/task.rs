//! A task in the queue.

use std::sync::Arc;

use super::stock::Payload;

/// Records of up to this many bytes are stored inline.
const INLINE_BYTES: usize = 30;

/// What a worker is to do with a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum TaskKind {
    /// The record is the argument.
    Call = 1,
    /// The argument is on the worker's own port.
    Parcel = 2,
    /// The argument must be requested.
    Ticket = 3,
    /// Notice: abort the task in the slot.
    Abort = 4,
    /// Notice: the requested argument is on the worker's own port.
    Delivery = 5,
    /// Notice: the worker is to end.
    Retire = 6,
}

impl TaskKind {
    /// The kind with this number in JavaScript.
    pub fn from_number(number: u32) -> Option<Self> {
        [
            Self::Call,
            Self::Parcel,
            Self::Ticket,
            Self::Abort,
            Self::Delivery,
            Self::Retire,
        ]
        .into_iter()
        .find(|kind| *kind as u32 == number)
    }
}

/// Priority of a task: higher first, 0 by default.
pub type Priority = f64;

/// Which worker may take a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// Any worker with room.
    Any,
    /// A worker with no other task in hand, which takes no other meanwhile.
    Alone,
    /// The worker with this number.
    Worker(u32),
}

/// A task, or a notice to a worker.
#[derive(Clone, Debug)]
pub struct Task {
    /// The caller's number for it.
    pub slot: u32,
    /// The function to call.
    pub handler: u32,
    /// Number of definitions that the worker must know first.
    pub definitions: u32,
    /// What to do with it.
    pub kind: TaskKind,
    /// Whether its worker takes no other task meanwhile.
    pub alone: bool,
    /// Whether a copy is kept for a retry in case its worker ends.
    pub keep: bool,
    /// When it was pushed, as returned by [`crate::sys::clock::monotonic_ns`].
    pub created_ns: u64,
    /// Payloads that are too large for the record; never empty.
    pub payloads: Option<Arc<Vec<Payload>>>,
    record: Record,
}

#[derive(Clone, Debug)]
enum Record {
    Inline { len: u8, bytes: [u8; INLINE_BYTES] },
    Heap(Box<[u8]>),
}

impl Task {
    /// Creates a task with a copy of `record`.
    pub fn new(kind: TaskKind, slot: u32, record: &[u8]) -> Self {
        let mut bytes = [0; INLINE_BYTES];
        let record = match bytes.get_mut(..record.len()) {
            Some(inline) => {
                inline.copy_from_slice(record);
                Record::Inline {
                    len: record.len() as u8,
                    bytes,
                }
            }
            None => Record::Heap(record.into()),
        };
        Self {
            slot,
            handler: 0,
            definitions: 0,
            kind,
            alone: false,
            keep: false,
            created_ns: 0,
            payloads: None,
            record,
        }
    }

    /// Its record.
    pub fn record(&self) -> &[u8] {
        match &self.record {
            Record::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Record::Heap(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_any_length_are_kept() {
        for len in [0, 1, INLINE_BYTES, INLINE_BYTES + 1, 5000] {
            let record: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let task = Task::new(TaskKind::Call, 7, &record);
            assert_eq!((task.record(), task.slot), (&record[..], 7));
        }
    }

    #[test]
    fn a_queued_task_is_small() {
        assert!(size_of::<Task>() <= 64);
    }

    #[test]
    fn kinds_have_numbers() {
        assert_eq!(TaskKind::from_number(1), Some(TaskKind::Call));
        assert_eq!(TaskKind::from_number(6), Some(TaskKind::Retire));
        assert_eq!(TaskKind::from_number(0), None);
        assert_eq!(TaskKind::from_number(257), None);
    }
}
