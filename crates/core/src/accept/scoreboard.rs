//! The scoreboard: each worker's load, and which workers serve which listener, in memory shared by the
//! primary and all workers.
//!
//! A worker writes only its own slot, with plain atomic stores from its JavaScript thread; the primary writes
//! the listener rows and clears a slot before it assigns it to a new worker. All fields are fixed-width
//! atomics. Values read from here influence scheduling only: a worker that writes nonsense gets too many
//! connections or none.

use std::io;
use std::mem::{offset_of, size_of};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::Release};

use crate::shm::segment::Segment;
use crate::sys::clock::main_thread_cpu_ns;

/// Maximum number of workers.
pub const MAX_WORKERS: usize = 256;

/// Maximum number of gated listeners; further ones are shared without a gate.
pub const MAX_LISTENERS: usize = 256;

const WORDS: usize = MAX_WORKERS / 64;

const MAGIC: u64 = u64::from_ne_bytes(*b"mcboard\x01");

/// CPU time that the callbacks of one turn may take before the loop counts as busy.
const CALLBACK_NS: u64 = 1_000_000;

/// Set in [`WorkerSlot::state`] while the worker's event loop waits for events.
pub const POLLING: u32 = 1;

/// Set in [`WorkerSlot::state`] while the worker has too few descriptors left to accept from shared sockets.
pub const CROWDED: u32 = 2;

#[repr(C, align(128))]
struct Header {
    magic: AtomicU64,
    /// Nonzero once loads are being read; workers then also publish the values that are costly to maintain.
    watched: AtomicU32,
}

/// What a worker publishes. The first four words are also written by JavaScript.
#[repr(C, align(128))]
pub struct WorkerSlot {
    /// Open connections of all its servers.
    pub connections: AtomicI32,
    /// HTTP requests in flight, counted from the time that loads are first read.
    pub requests: AtomicI32,
    /// Connections received since it started; wraps.
    pub accepted: AtomicU32,
    /// The shared listening socket from which the worker last accepted, plus 1; 0 once that has been
    /// processed.
    pub accepted_from: AtomicU32,
    /// [`POLLING`] and [`CROWDED`].
    pub state: AtomicU32,
    /// Its process id; 0 in a free slot.
    pub pid: AtomicU32,
    /// When its event loop last turned, in ns of the monotonic clock.
    pub beat_ns: AtomicU64,
    /// Connections, and messages without any, that it has taken from the hub.
    pub taken: AtomicU64,
    /// Those that it has taken or has begun to take: greater than `taken` while it accepts granted
    /// connections.
    pub begun: AtomicU64,
    /// CPU time of its thread when its event loop last started to wait for events, in nanoseconds; 0 as long
    /// as loads are not read.
    pub cpu_ns: AtomicU64,
}

#[repr(C, align(128))]
struct ListenerRow {
    workers: [AtomicU64; WORDS],
}

#[repr(C)]
struct Layout {
    header: Header,
    workers: [WorkerSlot; MAX_WORKERS],
    listeners: [ListenerRow; MAX_LISTENERS],
}

const _: () = {
    assert!(size_of::<WorkerSlot>() == 128);
    assert!(offset_of!(WorkerSlot, connections) == 4 * CONNECTIONS_INDEX);
    assert!(offset_of!(WorkerSlot, requests) == 4 * REQUESTS_INDEX);
    assert!(offset_of!(WorkerSlot, accepted) == 4 * ACCEPTED_INDEX);
    assert!(offset_of!(WorkerSlot, accepted_from) == 4 * ACCEPTED_FROM_INDEX);
};

/// Index of `connections` in the 32-bit words of a slot, as seen by JavaScript.
pub const CONNECTIONS_INDEX: usize = 0;
/// Index of `requests`.
pub const REQUESTS_INDEX: usize = 1;
/// Index of `accepted`.
pub const ACCEPTED_INDEX: usize = 2;
/// Index of `accepted_from`.
pub const ACCEPTED_FROM_INDEX: usize = 3;
/// Size in bytes of the part of a slot that JavaScript sees.
pub const COUNTERS_BYTES: usize = 16;

/// A worker's load at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Open connections.
    pub connections: u32,
    /// Requests in flight.
    pub requests: u32,
    /// How long the event loop has been busy without a turn, in nanoseconds; 0 while it waits.
    pub loop_lag_ns: u64,
}

/// A mapped scoreboard.
#[derive(Debug)]
pub struct Scoreboard {
    segment: Segment,
}

impl Scoreboard {
    /// Creates a scoreboard with all slots free.
    ///
    /// # Errors
    /// Those of [`Segment::create`].
    pub fn create() -> io::Result<Self> {
        let board = Self {
            segment: Segment::create("manycore-scoreboard", size_of::<Layout>())?,
        };
        board.layout().header.magic.store(MAGIC, Release);
        Ok(board)
    }

    /// Maps an existing scoreboard.
    ///
    /// # Errors
    /// `InvalidData` when it is not a scoreboard of this version, and those of [`Segment::open`].
    pub fn open(fd: OwnedFd) -> io::Result<Self> {
        let board = Self {
            segment: Segment::open(fd, size_of::<Layout>())?,
        };
        if board
            .layout()
            .header
            .magic
            .load(std::sync::atomic::Ordering::Acquire)
            != MAGIC
        {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "not a scoreboard of this version",
            ));
        }
        Ok(board)
    }

    fn layout(&self) -> &Layout {
        // SAFETY: the segment is page-aligned, exactly as long as `Layout` and lives as long as `self`; it
        // consists of atomics, for which any bit pattern is valid.
        unsafe { &*self.segment.as_ptr().cast::<Layout>() }
    }

    /// The slot of a worker.
    ///
    /// # Panics
    /// When `slot` is not below [`MAX_WORKERS`].
    pub fn worker(&self, slot: u32) -> &WorkerSlot {
        &self.layout().workers[slot as usize]
    }

    /// A worker's current load.
    pub fn load(&self, slot: u32, now_ns: u64) -> Load {
        let worker = self.worker(slot);
        let polling = worker.state.load(Relaxed) & POLLING != 0;
        let beat_ns = worker.beat_ns.load(Relaxed);
        Load {
            connections: worker.connections.load(Relaxed).max(0).unsigned_abs(),
            requests: worker.requests.load(Relaxed).max(0).unsigned_abs(),
            loop_lag_ns: if polling || beat_ns == 0 {
                0
            } else {
                now_ns.saturating_sub(beat_ns)
            },
        }
    }

    /// How long a worker's loop has been busy without a turn, in nanoseconds, even if it is stuck in an I/O
    /// callback. libuv has no hook for the end of polling, but a thread that has used CPU time since it
    /// started to wait is no longer waiting. Reads a file in /proc, so this is not for every connection.
    pub fn loop_lag_ns(&self, slot: u32, now_ns: u64) -> u64 {
        let worker = self.worker(slot);
        if worker.state.load(Relaxed) & POLLING == 0 {
            return self.load(slot, now_ns).loop_lag_ns;
        }
        let before_ns = worker.cpu_ns.load(Relaxed);
        if before_ns == 0 {
            return 0;
        }
        let used_ns = main_thread_cpu_ns(worker.pid.load(Relaxed))
            .unwrap_or(0)
            .saturating_sub(before_ns);
        if used_ns > CALLBACK_NS {
            used_ns
        } else {
            0
        }
    }

    /// Whether workers should publish the costly values as well.
    pub fn is_watched(&self) -> bool {
        self.layout().header.watched.load(Relaxed) != 0
    }

    /// Makes workers publish the costly values, from the next turn of their loops on. Returns whether they
    /// already did.
    pub fn watch(&self) -> bool {
        self.layout().header.watched.swap(1, Relaxed) != 0
    }

    /// Clears a slot.
    pub fn clear(&self, slot: u32) {
        let worker = self.worker(slot);
        for word in [
            &worker.accepted,
            &worker.accepted_from,
            &worker.state,
            &worker.pid,
        ] {
            word.store(0, Relaxed);
        }
        worker.connections.store(0, Relaxed);
        worker.requests.store(0, Relaxed);
        worker.beat_ns.store(0, Relaxed);
        worker.cpu_ns.store(0, Relaxed);
        worker.begun.store(0, Relaxed);
        worker.taken.store(0, Release);
    }

    /// Records whether a worker serves a listener. Ignored for rows from [`MAX_LISTENERS`] on.
    pub fn set_serving(&self, row: u32, slot: u32, serving: bool) {
        let Some(row) = self.layout().listeners.get(row as usize) else {
            return;
        };
        let (word, bit) = (slot as usize / 64, 1u64 << (slot % 64));
        if serving {
            row.workers[word].fetch_or(bit, Release);
        } else {
            row.workers[word].fetch_and(!bit, Release);
        }
    }

    /// The workers that serve a listener, as a bit set of slots.
    pub fn serving(&self, row: u32) -> [u64; WORDS] {
        let mut set = [0; WORDS];
        if let Some(row) = self.layout().listeners.get(row as usize) {
            for (bits, word) in set.iter_mut().zip(&row.workers) {
                *bits = word.load(Relaxed);
            }
        }
        set
    }

    /// The address of a worker's counters, [`COUNTERS_BYTES`] long, to be written by JavaScript.
    pub fn counters(&self, slot: u32) -> *mut u8 {
        std::ptr::from_ref(self.worker(slot)).cast_mut().cast()
    }
}

impl AsFd for Scoreboard {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.segment.as_fd()
    }
}

/// The slots in a bit set, in ascending order.
pub fn slots(set: [u64; WORDS]) -> impl Iterator<Item = u32> {
    set.into_iter().enumerate().flat_map(|(word, mut bits)| {
        std::iter::from_fn(move || {
            let bit = (bits != 0).then(|| bits.trailing_zeros())?;
            bits &= bits - 1;
            Some(word as u32 * 64 + bit)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_mapping_sees_what_the_first_wrote() {
        let primary = Scoreboard::create().unwrap();
        let worker = Scoreboard::open(primary.as_fd().try_clone_to_owned().unwrap()).unwrap();
        worker.worker(3).connections.store(5, Relaxed);
        worker.worker(3).beat_ns.store(1_000, Relaxed);
        let load = primary.load(3, 3_000);
        assert_eq!(
            load,
            Load {
                connections: 5,
                requests: 0,
                loop_lag_ns: 2_000
            }
        );
        worker.worker(3).state.store(POLLING, Relaxed);
        assert_eq!(primary.load(3, 3_000).loop_lag_ns, 0);
        primary.clear(3);
        assert_eq!(worker.load(3, 9_000), Load::default());
    }

    #[test]
    fn nonsense_in_a_slot_is_no_load() {
        let board = Scoreboard::create().unwrap();
        board.worker(0).connections.store(i32::MIN, Relaxed);
        board.worker(0).beat_ns.store(u64::MAX, Relaxed);
        assert_eq!(board.load(0, 1), Load::default());
    }

    #[test]
    fn listener_rows_are_sets_of_workers() {
        let board = Scoreboard::create().unwrap();
        for slot in [0, 63, 64, 255] {
            board.set_serving(7, slot, true);
        }
        board.set_serving(7, 64, false);
        board.set_serving(MAX_LISTENERS as u32, 1, true);
        assert_eq!(slots(board.serving(7)).collect::<Vec<_>>(), [0, 63, 255]);
        assert_eq!(slots(board.serving(MAX_LISTENERS as u32)).count(), 0);
    }

    #[test]
    fn another_segment_of_the_same_size_is_refused() {
        let other = Segment::create("test", size_of::<Layout>()).unwrap();
        let error = Scoreboard::open(other.as_fd().try_clone_to_owned().unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
