//! A link between two processes: one lane in each direction and one bell per side.
//!
//! The parent creates the link and passes its descriptors to the child it spawns, which adopts them. Each
//! side maps both lanes and holds both bells and needs nothing else of the other, so either may die at any
//! time: published records stay readable, and the memory is freed with its last mapping. A side's bell
//! signals both incoming records and room for outgoing ones.
//!
//! May be called from any thread; each end belongs to one thread at a time.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use rustix::io::FdFlags;

use super::lane::{LaneSizes, Memory, Receiver, Sender, MAX_CAPACITY};
use crate::shm::segment::{page_size, Segment, Sizes};
use crate::sys::eventfd::EventFd;

/// Number of descriptors that a child adopts.
pub const PASSED: usize = 4;

/// One side's ends of the link.
#[derive(Debug)]
pub struct Ends {
    /// Of the outgoing lane.
    pub sender: Sender,
    /// Of the incoming lane.
    pub receiver: Receiver,
}

/// The descriptors for the child: its incoming lane, its outgoing lane, its bell and the parent's bell.
#[derive(Debug)]
pub struct Passed([OwnedFd; PASSED]);

impl Passed {
    /// The descriptor numbers, in the order that [`adopt`] expects.
    pub fn numbers(&self) -> [RawFd; PASSED] {
        self.0.each_ref().map(AsRawFd::as_raw_fd)
    }

    /// The descriptors themselves, for tests with both sides in one process.
    #[cfg(test)]
    pub(crate) fn into_fds(self) -> [OwnedFd; PASSED] {
        self.0
    }
}

/// Creates a link; the capacity of its rings must be a power of two of at least one page. Returns the parent's ends
/// and the descriptors for the child.
///
/// # Errors
/// `InvalidInput` for any other capacity, EMFILE or ENFILE without free descriptors, ENOMEM without address
/// space.
pub fn create(lanes: impl Into<LaneSizes>) -> io::Result<(Ends, Passed)> {
    create_with(lanes, page_size(), EventFd::new()?)
}

/// Like [`create`], with a header of `header_len` bytes (a multiple of the page size) and a given bell for
/// the parent, which several links may share.
///
/// # Errors
/// Those of [`create`].
pub fn create_with(
    lanes: impl Into<LaneSizes>,
    header_len: usize,
    own_bell: EventFd,
) -> io::Result<(Ends, Passed)> {
    let sizes = sizes_of(lanes.into(), header_len)?;
    let outgoing = Segment::create_mirrored("manycore-link", sizes)?;
    let incoming = Segment::create_mirrored("manycore-link", sizes)?;
    let peer_bell = EventFd::new()?;
    let passed = Passed([
        outgoing.as_fd().try_clone_to_owned()?,
        incoming.as_fd().try_clone_to_owned()?,
        peer_bell.as_fd().try_clone_to_owned()?,
        own_bell.as_fd().try_clone_to_owned()?,
    ]);
    let ends = ends(outgoing, incoming, own_bell, peer_bell, sizes)?;
    Ok((ends, passed))
}

/// The child's ends, from inherited descriptors.
///
/// # Errors
/// `InvalidInput` or `InvalidData` when a lane is not a sealed memfd of these sizes.
pub fn adopt(inherited: [OwnedFd; PASSED], lanes: impl Into<LaneSizes>) -> io::Result<Ends> {
    adopt_with(inherited, lanes, page_size())
}

/// Like [`adopt`], for a link with a header of `header_len` bytes.
///
/// # Errors
/// Those of [`adopt`].
pub fn adopt_with(
    [incoming, outgoing, own_bell, peer_bell]: [OwnedFd; PASSED],
    lanes: impl Into<LaneSizes>,
    header_len: usize,
) -> io::Result<Ends> {
    let sizes = sizes_of(lanes.into(), header_len)?;
    for bell in [&own_bell, &peer_bell] {
        // Not to be inherited by processes that this one spawns.
        rustix::io::fcntl_setfd(bell, FdFlags::CLOEXEC)?;
    }
    let outgoing = Segment::open_mirrored(outgoing, sizes)?;
    let incoming = Segment::open_mirrored(incoming, sizes)?;
    ends(
        outgoing,
        incoming,
        EventFd::from_owned(own_bell),
        EventFd::from_owned(peer_bell),
        sizes,
    )
}

fn ends(
    outgoing: Segment,
    incoming: Segment,
    own_bell: EventFd,
    peer_bell: EventFd,
    sizes: Sizes,
) -> io::Result<Ends> {
    let room_bell = EventFd::from_owned(peer_bell.as_fd().try_clone_to_owned()?);
    let memory = |segment: Segment| Memory::new(segment.into_mapping(), sizes);
    Ok(Ends {
        sender: Sender::new(memory(outgoing), peer_bell),
        receiver: Receiver::new(memory(incoming), own_bell, room_bell),
    })
}

fn sizes_of(LaneSizes { capacity, store }: LaneSizes, header: usize) -> io::Result<Sizes> {
    let fits = capacity.is_power_of_two() && (page_size()..=MAX_CAPACITY).contains(&capacity);
    let sizes = Sizes {
        header,
        ring: capacity,
        store,
    };
    fits.then_some(sizes)
        .ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Ordering;

    fn link() -> (Ends, Ends) {
        let capacity = page_size() * 2;
        let (parent, passed) = create(capacity).unwrap();
        (parent, adopt(passed.into_fds(), capacity).unwrap())
    }

    #[test]
    fn each_side_reads_what_the_other_publishes() {
        let (parent, child) = link();
        parent.sender.memory().control().publish(8);
        child.sender.memory().control().publish(16);
        let head = |ends: &Ends| ends.receiver.memory().control().head.0.load(Ordering::Acquire);
        assert_eq!((head(&child), head(&parent)), (8, 16));
        assert!(parent.receiver.is_foreign());
    }

    #[test]
    fn bells_ring_on_the_other_side() {
        let (parent, child) = link();
        parent.sender.ring();
        assert!(child.receiver.clear_bell() && !parent.receiver.clear_bell());
        child.sender.ring();
        assert!(parent.receiver.clear_bell());
    }

    #[test]
    fn a_waiting_producer_is_told_of_room_once() {
        let (parent, child) = link();
        child.receiver.give_room();
        assert!(!parent.receiver.clear_bell());
        assert!(parent.sender.wait_for_room(0));
        child
            .receiver
            .memory()
            .control()
            .tail
            .0
            .store(8, Ordering::Release);
        child.receiver.give_room();
        assert!(parent.receiver.clear_bell());
        child.receiver.give_room();
        assert!(!parent.receiver.clear_bell());
        assert!(!parent.sender.wait_for_room(0));
    }

    #[test]
    fn what_is_not_such_a_lane_is_refused() {
        let capacity = page_size();
        let (_parent, passed) = create(capacity).unwrap();
        assert!(adopt(passed.into_fds(), capacity * 2).is_err());
        let (_parent, passed) = create(capacity).unwrap();
        let [incoming, _, own_bell, peer_bell] = passed.into_fds();
        let other = own_bell.try_clone().unwrap();
        assert!(adopt([incoming, other, own_bell, peer_bell], capacity).is_err());
        assert!(create(capacity + 1).is_err());
        assert!(create(MAX_CAPACITY * 2).is_err());
    }
}
