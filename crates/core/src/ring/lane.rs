//! A lane between two threads of this process: its memory mapped once for each end, its overflow and its bell.
//! Ends of lanes between processes ([`super::process`]) are of the same types; their overflow stays empty.
//!
//! Who may call: each end belongs to one thread and may be sent there. Either end may go first; what was
//! published stays readable for the consumer as long as its end lives.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use super::control::Control;
use super::doorbell::{is_pending_within, stamp};
use super::overflow::{Overflow, Taken};
use super::slab::Slab;
use super::vicinity::Vicinity;
use crate::shm::segment::{page_size, Mapping, Segment};
use crate::sync::{AtomicU64, Ordering};
use crate::sys::eventfd::EventFd;

/// What both ends share besides the ring.
#[derive(Debug)]
struct Shared {
    overflow: Overflow,
    slab: Slab,
    /// The consumer's. It may be told of room in another lane by it, too.
    bell: Arc<EventFd>,
    /// What tells the producer of room: the bell of its own incoming lane.
    room_bell: Option<Arc<EventFd>>,
    /// Whether the other end is in another process.
    is_foreign: bool,
    /// Between threads, how many bytes may still wait when a producer that waits is told.
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

    /// Bytes waiting beside the ring.
    fn bytes_beside(&self) -> usize {
        self.overflow.bytes() + self.slab.bytes()
    }

    /// Whether no more than the producer asked for waits.
    fn has_room(&self, control: &Control) -> bool {
        // Acquire: what the consumer took before it stored its position is gone from beside the ring, too.
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
    header_len: usize,
}

impl Memory {
    pub(super) fn new(mapping: Mapping, header_len: usize) -> Self {
        Self { mapping, header_len }
    }

    /// The first byte: the control words, then from [`Memory::ring_offset`] the ring and its mirror.
    pub fn as_ptr(&self) -> *mut u8 {
        self.mapping.as_ptr()
    }

    /// Bytes that may be accessed.
    pub fn mapped_len(&self) -> usize {
        self.mapping.mapped_len()
    }

    /// Where the ring begins.
    pub fn ring_offset(&self) -> usize {
        self.header_len
    }

    /// Bytes of the ring, a power of two.
    pub fn capacity(&self) -> usize {
        self.mapping.len() - self.header_len
    }

    /// The control words.
    pub fn control(&self) -> &Control {
        // SAFETY: the mapping is page-aligned, at least a page long, lives as long as `self`, and `Control`
        // is made of atomics, for which any bytes are valid.
        unsafe { &*self.mapping.as_ptr().cast::<Control>() }
    }

    /// Consumer: looks on for a record, at most so long, see [`is_pending_within`]. True when there is one.
    pub fn look_on(&self, limit: Duration, vicinity: &Vicinity) -> bool {
        is_pending_within(self.control(), limit, vicinity)
    }
}

/// The end that publishes.
#[derive(Clone, Debug)]
pub struct Sender {
    memory: Arc<Memory>,
    shared: Arc<Shared>,
}

/// The end that consumes.
#[derive(Clone, Debug)]
pub struct Receiver {
    memory: Arc<Memory>,
    shared: Arc<Shared>,
}

/// Makes a lane whose ring has `capacity` bytes, rounded up to a power of two of at least a page.
///
/// # Errors
/// EMFILE and ENFILE without descriptors left, ENOMEM without address space.
pub fn lane(capacity: usize) -> io::Result<(Sender, Receiver)> {
    lane_with(capacity, Arc::new(EventFd::new()?), None)
}

/// As [`lane`], with the consumer's bell, and that by which the producer can be told of room.
///
/// # Errors
/// As [`lane`].
pub fn lane_with(
    capacity: usize,
    bell: Arc<EventFd>,
    room_bell: Option<Arc<EventFd>>,
) -> io::Result<(Sender, Receiver)> {
    let header_len = page_size();
    let capacity = capacity
        .max(header_len)
        .checked_next_power_of_two()
        .filter(|capacity| *capacity <= MAX_CAPACITY)
        .ok_or(io::ErrorKind::InvalidInput)?;
    let first = Segment::create_mirrored("manycore-lane", header_len, capacity)?;
    let fd = first.as_fd().try_clone_to_owned()?;
    let second = Segment::open_mirrored(fd, header_len, capacity)?;
    let shared = Shared::new(bell, room_bell, false);
    let sender_memory = Memory {
        mapping: first.into_mapping(),
        header_len,
    };
    let receiver_memory = Memory {
        mapping: second.into_mapping(),
        header_len,
    };
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

/// Positions are 32 bits wide, and their difference must not be ambiguous.
pub(super) const MAX_CAPACITY: usize = 1 << 30;

impl Sender {
    /// The end of a lane to another process. `bell` is the consumer's.
    pub(super) fn new(memory: Memory, bell: EventFd) -> Self {
        Self {
            memory: Arc::new(memory),
            shared: Shared::new(Arc::new(bell), None, true),
        }
    }

    /// Asks to be told of room, see [`Control::transition_to_waiting`].
    pub fn wait_for_room(&self, seen_tail: u32) -> bool {
        self.memory.control().transition_to_waiting(seen_tail)
    }

    /// Between threads: asks to be told when at most `limit` bytes wait. False when it is so already.
    pub fn wait_for_less(&self, limit: u64) -> bool {
        let control = self.memory.control();
        // Relaxed: the flag, stored after it, makes it visible.
        self.shared.room_limit.store(limit, Ordering::Relaxed);
        control.transition_to_waiting_unless(|| self.shared.has_room(control))
    }

    /// This end's mapping.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// Rings: the consumer declared itself asleep, and the flag has been taken back.
    pub fn ring(&self) {
        stamp(self.memory.control());
        self.shared.bell.signal();
    }

    /// Puts a record that the ring has no room for behind it, and rings if needed.
    pub fn push_overflow(&self, record: &[u8]) {
        self.shared.overflow.push(record);
        let control = self.memory.control();
        // Release: pairs with the load in `Control::is_pending`.
        control.overflowed.0.fetch_add(1, Ordering::Release);
        if control.ring_needed() {
            self.ring();
        }
    }

    /// Where payloads go that are too large for the ring.
    pub fn slab(&self) -> &Slab {
        &self.shared.slab
    }

    /// Bytes waiting in the overflow.
    pub fn overflow_bytes(&self) -> usize {
        self.shared.overflow.bytes()
    }

    /// Bytes waiting beside the ring: in the overflow, and payloads too large for the ring.
    pub fn bytes_beside(&self) -> usize {
        self.shared.bytes_beside()
    }
}

impl Receiver {
    /// The end of a lane from another process. `bell` is this process's, `room_bell` the producer's.
    pub(super) fn new(memory: Memory, bell: EventFd, room_bell: EventFd) -> Self {
        Self {
            memory: Arc::new(memory),
            shared: Shared::new(Arc::new(bell), Some(Arc::new(room_bell)), true),
        }
    }

    /// Whether the producer is another process.
    pub fn is_foreign(&self) -> bool {
        self.shared.is_foreign
    }

    /// Tells a producer that waits for it of room, between threads once there is as much as it asked for. To be
    /// called after `tail` was stored, or something was taken from beside the ring.
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

    /// Quiets the bell. True when it rang.
    pub fn clear_bell(&self) -> bool {
        self.shared.bell.clear()
    }

    /// Sleeps until the bell rings or the time is over.
    pub fn wait_for_bell(&self, limit: Duration) {
        self.shared.bell.wait(limit);
    }

    /// Sleeps until there is something to consume, the other party rings (as it does when it goes, and when it has
    /// made room), or the time is over. May return for no reason.
    pub fn park(&self, limit: Duration) {
        let control = self.memory.control();
        if !control.transition_to_asleep() {
            return;
        }
        self.wait_for_bell(limit);
        self.clear_bell();
        control.transition_to_awake();
    }

    /// Rings for itself.
    pub fn ring(&self) {
        self.shared.bell.signal();
    }

    /// Takes the oldest chunk of records from the overflow, see [`Overflow::take_into`]. The caller counts them
    /// in `taken` as it consumes them.
    pub fn take_overflow(&self, target: &mut [u8]) -> Taken {
        self.shared.overflow.take_into(target)
    }

    /// Where payloads come from that are too large for the ring.
    pub fn slab(&self) -> &Slab {
        &self.shared.slab
    }

    /// Nobody reads this lane any more: the producer may drop what it has.
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
