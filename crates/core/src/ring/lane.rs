//! A lane between two threads of one process: a ring mapped once per end, an overflow queue, a slab and a
//! doorbell. Lanes between processes ([`super::process`]) use the same types; their overflow queue stays
//! empty.
//!
//! Each end belongs to one thread at a time and may be sent to another. Either end may be dropped first:
//! published records stay readable as long as the receiver lives.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::control::Control;
use super::doorbell::{is_pending_within, stamp};
use super::overflow::{Overflow, Taken};
use super::slab::Slab;
use super::vicinity::Vicinity;
use crate::shm::segment::{page_size, Mapping, Segment, Sizes};
use crate::sync::{AtomicU64, Ordering};
use crate::sys::eventfd::EventFd;

/// What both ends share besides the ring.
#[derive(Debug)]
struct Shared {
    overflow: Overflow,
    slab: Slab,
    /// The consumer's bell. The consumer may use it as its `room_bell` in another lane as well.
    bell: Arc<EventFd>,
    /// Notifies the producer of room: the bell of the producer's own incoming lane.
    room_bell: Option<Arc<EventFd>>,
    /// Whether the other end is in another process.
    is_foreign: bool,
    /// Between threads: a waiting producer is notified once at most this many bytes are queued.
    room_limit: AtomicU64,
}

impl Shared {
    fn new(bell: Arc<EventFd>, room_bell: Option<Arc<EventFd>>, is_foreign: bool) -> Arc<Self> {
        Arc::new(Self {
            overflow: Overflow::default(),
            slab: Slab::default(),
            bell,
            room_bell,
            is_foreign,
            room_limit: AtomicU64::new(0),
        })
    }

    /// Bytes queued outside the ring, in the overflow queue and the slab.
    fn bytes_beside(&self) -> usize {
        self.overflow.bytes() + self.slab.bytes()
    }

    /// Whether at most `room_limit` bytes are queued.
    fn has_room(&self, control: &Control) -> bool {
        // Acquire: everything the consumer took from the overflow queue and the slab before this store is
        // accounted for.
        let tail = control.tail.0.load(Ordering::Acquire);
        let in_ring = control.head.0.load(Ordering::Relaxed).wrapping_sub(tail);
        let waiting = u64::from(in_ring) + self.bytes_beside() as u64;
        // Relaxed: stored before the flag that brought the consumer here.
        waiting <= self.room_limit.load(Ordering::Relaxed)
    }
}

/// One end's mapping of the ring.
#[derive(Debug)]
pub struct Memory {
    mapping: Mapping,
    sizes: Sizes,
    /// The beginning of the store, as far as it has been used.
    store: Mutex<Option<Arc<Mapping>>>,
}

/// A store is mapped up to a power of two of at least this, so that the address space that it takes is in proportion to
/// what is used of it.
const MIN_MAPPED_STORE: usize = 4 << 20;

/// Sizes in bytes of a lane.
#[derive(Clone, Copy, Debug)]
pub struct LaneSizes {
    /// Size of the ring.
    pub capacity: usize,
    /// Size of the store, whose blocks producers hand out to be filled in place; a multiple of the page size.
    pub store: usize,
}

impl From<usize> for LaneSizes {
    /// A lane without a store.
    fn from(capacity: usize) -> Self {
        Self { capacity, store: 0 }
    }
}

impl Memory {
    pub(super) fn new(mapping: Mapping, sizes: Sizes) -> Self {
        Self {
            mapping,
            sizes,
            store: Mutex::new(None),
        }
    }

    /// The first byte of the mapping: the control words, followed at [`Memory::ring_offset`] by the ring and
    /// its mirror.
    pub fn as_ptr(&self) -> *mut u8 {
        self.mapping.as_ptr()
    }

    /// Byte offset of the ring.
    pub fn ring_offset(&self) -> usize {
        self.sizes.header
    }

    /// Size of the ring in bytes, a power of two.
    pub fn capacity(&self) -> usize {
        self.sizes.ring
    }

    /// Accessible bytes: the control words, the ring and its mirror.
    pub fn mapped_len(&self) -> usize {
        self.sizes.header + 2 * self.sizes.ring
    }

    /// Size of the store in bytes; may be 0.
    pub fn store_len(&self) -> usize {
        self.sizes.store
    }

    /// This end's mapping of at least the first `len` bytes of the store, which may outlive that of the ring. It is
    /// replaced by a larger one once more is needed; whoever uses the smaller one keeps it.
    ///
    /// # Errors
    /// Those of [`Mapping::of_store`]; a later call tries again.
    pub fn store(&self, len: usize) -> io::Result<Arc<Mapping>> {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mapped) = store.as_ref().filter(|mapped| len <= mapped.len()) {
            return Ok(Arc::clone(mapped));
        }
        if len > self.sizes.store {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let wanted = len.next_power_of_two().max(MIN_MAPPED_STORE);
        let mapped = Arc::new(self.mapping.of_store(self.sizes, wanted.min(self.sizes.store))?);
        Ok(Arc::clone(store.insert(mapped)))
    }

    /// Returns pages of the store, which no block uses, to the system; `at` and `len` are multiples of the page size.
    ///
    /// # Errors
    /// `InvalidInput` for a range that is not in the store; those of `madvise`.
    pub fn discard_in_store(&self, at: usize, len: usize) -> io::Result<()> {
        self.store(at.saturating_add(len))?.discard(at, len)
    }

    /// The control words.
    pub fn control(&self) -> &Control {
        // SAFETY: the mapping is page-aligned, at least one page long and lives as long as `self`; `Control`
        // consists of atomics only, for which any bit pattern is valid.
        unsafe { &*self.mapping.as_ptr().cast::<Control>() }
    }

    /// Consumer: spins for a record for up to `limit`, see [`is_pending_within`]. Returns whether there is
    /// one.
    pub fn spin(&self, limit: Duration, vicinity: &Vicinity) -> bool {
        is_pending_within(self.control(), limit, vicinity)
    }
}

/// The producer's end of a lane.
#[derive(Clone, Debug)]
pub struct Sender {
    memory: Arc<Memory>,
    shared: Arc<Shared>,
}

/// The consumer's end of a lane.
#[derive(Clone, Debug)]
pub struct Receiver {
    memory: Arc<Memory>,
    shared: Arc<Shared>,
}

/// Creates a lane. The capacity of its ring is rounded up to a power of two and to at least one page.
///
/// # Errors
/// `InvalidInput` above 1 GiB and for a store of an odd size, EMFILE or ENFILE without free descriptors, ENOMEM without address space.
pub fn lane(lane: impl Into<LaneSizes>) -> io::Result<(Sender, Receiver)> {
    lane_with(lane, Arc::new(EventFd::new()?), None)
}

/// Like [`lane`], with a given consumer bell and, optionally, the bell that notifies the producer of room.
///
/// # Errors
/// Those of [`lane`].
pub fn lane_with(
    lane: impl Into<LaneSizes>,
    bell: Arc<EventFd>,
    room_bell: Option<Arc<EventFd>>,
) -> io::Result<(Sender, Receiver)> {
    let LaneSizes { capacity, store } = lane.into();
    let header = page_size();
    let ring = capacity
        .max(header)
        .checked_next_power_of_two()
        .filter(|capacity| *capacity <= MAX_CAPACITY)
        .ok_or(io::ErrorKind::InvalidInput)?;
    let sizes = Sizes { header, ring, store };
    let first = Segment::create_mirrored("manycore-lane", sizes)?;
    let fd = first.as_fd().try_clone_to_owned()?;
    let second = Segment::open_mirrored(fd, sizes)?;
    let shared = Shared::new(bell, room_bell, false);
    let sender_memory = Memory::new(first.into_mapping(), sizes);
    let receiver_memory = Memory::new(second.into_mapping(), sizes);
    sender_memory.control().set_unfenced();
    Ok((
        Sender {
            memory: Arc::new(sender_memory),
            shared: Arc::clone(&shared),
        },
        Receiver {
            memory: Arc::new(receiver_memory),
            shared,
        },
    ))
}

/// Positions are 32 bits wide, and the distance between two of them must be unambiguous.
pub(super) const MAX_CAPACITY: usize = 1 << 30;

impl Sender {
    /// The producer's end of a lane to another process. `bell` is the consumer's.
    pub(super) fn new(memory: Memory, bell: EventFd) -> Self {
        Self {
            memory: Arc::new(memory),
            shared: Shared::new(Arc::new(bell), None, true),
        }
    }

    /// Requests a notification when there is room, see [`Control::transition_to_waiting`].
    pub fn wait_for_room(&self, seen_tail: u32) -> bool {
        self.memory.control().transition_to_waiting(seen_tail)
    }

    /// Between threads: requests a notification when at most `limit` bytes are queued. Returns false when
    /// that is already the case.
    pub fn wait_for_less(&self, limit: u64) -> bool {
        let control = self.memory.control();
        // Relaxed: made visible by the flag, which is stored after it.
        self.shared.room_limit.store(limit, Ordering::Relaxed);
        control.transition_to_waiting_unless(|| self.shared.has_room(control))
    }

    /// This end's mapping.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// Wakes the consumer. To be called after the producer has found it asleep and reset the flag.
    pub fn ring(&self) {
        stamp(self.memory.control());
        self.shared.bell.signal();
    }

    /// Appends a record for which the ring has no room to the overflow queue, and wakes the consumer if it
    /// sleeps.
    pub fn push_overflow(&self, record: &[u8]) {
        self.shared.overflow.push(record);
        let control = self.memory.control();
        // Release: pairs with the load in `Control::is_pending`.
        control.overflowed.0.fetch_add(1, Ordering::Release);
        if control.ring_needed() {
            self.ring();
        }
    }

    /// The slab for payloads that are too large for the ring.
    pub fn slab(&self) -> &Slab {
        &self.shared.slab
    }

    /// Bytes in the overflow queue.
    pub fn overflow_bytes(&self) -> usize {
        self.shared.overflow.bytes()
    }

    /// Bytes queued outside the ring, in the overflow queue and the slab.
    pub fn bytes_beside(&self) -> usize {
        self.shared.bytes_beside()
    }
}

impl Receiver {
    /// The consumer's end of a lane from another process. `bell` is this process's, `room_bell` the
    /// producer's.
    pub(super) fn new(memory: Memory, bell: EventFd, room_bell: EventFd) -> Self {
        Self {
            memory: Arc::new(memory),
            shared: Shared::new(Arc::new(bell), Some(Arc::new(room_bell)), true),
        }
    }

    /// Whether the producer is in another process.
    pub fn is_foreign(&self) -> bool {
        self.shared.is_foreign
    }

    /// Notifies a waiting producer of room; between threads only once the limit it asked for is met. To be
    /// called after storing `tail` or taking from the overflow queue or the slab.
    pub fn give_room(&self) {
        if let Some(bell) = &self.shared.room_bell {
            let control = self.memory.control();
            if (self.shared.is_foreign || self.shared.has_room(control)) && control.room_needed() {
                bell.signal();
            }
        }
    }

    /// This end's mapping.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// The descriptor that becomes readable when the bell rings.
    pub fn bell_fd(&self) -> RawFd {
        self.shared.bell.as_raw_fd()
    }

    /// Resets the bell. Returns whether it had rung.
    pub fn clear_bell(&self) -> bool {
        self.shared.bell.clear()
    }

    /// Blocks the thread until the bell rings or `limit` has elapsed.
    pub fn wait_for_bell(&self, limit: Duration) {
        self.shared.bell.wait(limit);
    }

    /// Blocks the thread until there is something to consume, the peer rings (as it also does when it closes
    /// or makes room) or `limit` has elapsed. May wake up spuriously.
    pub fn park(&self, limit: Duration) {
        let control = self.memory.control();
        if !control.transition_to_asleep() {
            return;
        }
        self.wait_for_bell(limit);
        self.clear_bell();
        control.transition_to_awake();
    }

    /// Announces that the consumer sleeps from here on, after it has polled. Returns false, with the consumer awake,
    /// when there is something to consume.
    pub fn allow_sleep(&self) -> bool {
        self.memory.control().transition_to_asleep()
    }

    /// Rings the consumer's own bell.
    pub fn ring(&self) {
        self.shared.bell.signal();
    }

    /// Pops the oldest chunk of records from the overflow queue, see [`Overflow::take_into`]. The caller adds
    /// the records to `taken` as it consumes them.
    pub fn take_overflow(&self, target: &mut [u8]) -> Taken {
        self.shared.overflow.take_into(target)
    }

    /// The slab for payloads that are too large for the ring.
    pub fn slab(&self) -> &Slab {
        &self.shared.slab
    }

    /// Closes the lane for reading: the producer may discard what it still has, and everything queued outside
    /// the ring is dropped.
    pub fn close(&self) {
        self.memory.control().closed.0.store(1, Ordering::Release);
        self.shared.overflow.clear();
        self.shared.slab.close();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn both_ends_see_the_same_words() {
        let (sender, receiver) = lane(10_000).unwrap();
        assert_eq!(sender.memory().capacity(), 16_384.max(page_size()));
        sender.memory().control().publish(42);
        assert_eq!(receiver.memory().control().head.0.load(Ordering::Acquire), 42);
        assert!(receiver.memory().control().is_pending());
    }

    #[test]
    fn both_ends_see_the_store() {
        let sizes = LaneSizes {
            capacity: 1,
            store: 2 * page_size(),
        };
        let (sender, receiver) = lane(sizes).unwrap();
        let (to, from) = (sender.memory(), receiver.memory());
        assert_eq!(
            (to.store_len(), lane(1).unwrap().0.memory().store_len()),
            (2 * page_size(), 0)
        );
        let last = |memory: &Memory| {
            let store = memory.store(memory.store_len()).unwrap();
            store.as_ptr().wrapping_add(memory.store_len() - 1)
        };
        assert_eq!(last(to), last(to));
        // SAFETY: the last byte of the mapping.
        unsafe { last(to).write_volatile(5) };
        // SAFETY: as above, of the other one.
        assert_eq!(unsafe { last(from).read_volatile() }, 5);
        assert!(to.discard_in_store(page_size(), 2 * page_size()).is_err());
        to.discard_in_store(page_size(), page_size()).unwrap();
        // SAFETY: as above.
        assert_eq!(unsafe { last(from).read_volatile() }, 0);
        assert!(to.store(2 * page_size() + 1).is_err());
        let odd = LaneSizes {
            capacity: 1,
            store: 1,
        };
        assert!(lane(odd).is_err());
    }

    #[test]
    fn ringing_reaches_the_other_end() {
        let (sender, receiver) = lane(1).unwrap();
        assert!(receiver.memory().control().transition_to_asleep());
        sender.push_overflow(&[7; 16]);
        let mut fds = [rustix::event::PollFd::new(
            &receiver.shared.bell,
            rustix::event::PollFlags::IN,
        )];
        let timeout = rustix::time::Timespec {
            tv_sec: 10,
            tv_nsec: 0,
        };
        assert_eq!(rustix::event::poll(&mut fds, Some(&timeout)).unwrap(), 1);
        assert_eq!(receiver.take_overflow(&mut [0; 16]), Taken::Copied(16));
    }

    #[test]
    fn an_end_outlives_the_other() {
        let (sender, receiver) = lane(1).unwrap();
        sender.push_overflow(&[1; 8]);
        drop(sender);
        assert!(receiver.memory().control().is_pending());
        assert_eq!(receiver.take_overflow(&mut [0; 16]), Taken::Copied(8));
        let (sender, receiver) = lane(1).unwrap();
        receiver.close();
        drop(receiver);
        assert_eq!(sender.memory().control().closed.0.load(Ordering::Acquire), 1);
        sender.push_overflow(&[1; 8]);
    }

    #[test]
    fn a_producer_is_told_once_little_enough_waits() {
        let [bell, room_bell] = [(); 2].map(|()| Arc::new(EventFd::new().unwrap()));
        let (sender, receiver) = lane_with(1, bell, Some(Arc::clone(&room_bell))).unwrap();
        assert!(!receiver.is_foreign());
        let control = sender.memory().control();
        assert!(!sender.wait_for_less(0));
        control.publish(100);
        sender.push_overflow(&[1; 40]);
        let large = sender.slab().put(&[2; 60]).unwrap();
        assert_eq!(sender.bytes_beside(), 100);
        assert!(!sender.wait_for_less(200));
        receiver.give_room();
        assert!(!room_bell.clear());
        assert!(sender.wait_for_less(99));
        control.tail.0.store(100, Ordering::Release);
        receiver.give_room();
        assert!(!room_bell.clear());
        receiver.slab().take(large).unwrap();
        receiver.give_room();
        assert!(room_bell.clear());
        receiver.give_room();
        assert!(!room_bell.clear());
        assert!(sender.wait_for_less(39));
        receiver.take_overflow(&mut [0; 64]);
        receiver.give_room();
        assert!(room_bell.clear());
    }

    #[test]
    fn absurd_capacities_are_refused() {
        assert!(lane(usize::MAX).is_err());
        assert!(lane(MAX_CAPACITY + 1).is_err());
    }
}
