//! Rendezvous of the two ends of a pair of lanes, by a number that both parties know.
//!
//! The owner allocates the number. Whichever party opens first creates both lanes; what it sends is queued
//! until the other one opens. Dropping an end, opened or not, closes its incoming lane and rings the peer, so
//! that nobody waits for a party that is gone.
//!
//! May be called from any thread of the process; each point and each end belongs to one thread at a time.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::lane::{lane_with, LaneSizes, Receiver, Sender};
use crate::sys::eventfd::EventFd;
use crate::sys::membarrier;

static MEETINGS: Mutex<BTreeMap<u32, Meeting>> = Mutex::new(BTreeMap::new());

/// The two parties of a meeting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Party {
    /// Owns the number: the meeting ends when its point is dropped.
    Owner,
    /// The other party.
    Guest,
}

#[derive(Debug, Default)]
struct Meeting {
    is_open: bool,
    is_guest_gone: bool,
    /// The ends, until they are taken.
    owner: Option<End>,
    guest: Option<End>,
}

/// A party's place in a meeting, given up on drop.
#[derive(Debug)]
pub struct Point {
    id: u32,
    party: Party,
}

/// One party's end of both lanes. Dropping it closes them.
#[derive(Debug)]
pub struct End {
    sender: Sender,
    receiver: Receiver,
}

impl Point {
    /// Takes a party's place. The owner must pass a number that no other meeting uses.
    pub fn new(id: u32, party: Party) -> Self {
        if party == Party::Owner {
            // Registration takes time; lanes are created later, if at all.
            membarrier::prepare();
            meetings().entry(id).or_default();
        }
        Self { id, party }
    }

    /// Takes this party's end, once. If the other party is gone, the end is already closed.
    ///
    /// # Errors
    /// Those of [`lane_with`] and of creating its bells; `AlreadyExists` when the end has been taken.
    pub fn open(&self, lanes: impl Into<LaneSizes>) -> io::Result<End> {
        let lanes = lanes.into();
        let mut meetings = meetings();
        let Some(meeting) = meetings.get_mut(&self.id) else {
            drop(meetings);
            let (_gone, end) = pair(lanes)?;
            return Ok(end);
        };
        if !meeting.is_open {
            let (owner, guest) = pair(lanes)?;
            meeting.owner = Some(owner);
            meeting.guest = (!meeting.is_guest_gone).then_some(guest);
            meeting.is_open = true;
        }
        let end = match self.party {
            Party::Owner => meeting.owner.take(),
            Party::Guest => meeting.guest.take(),
        };
        end.ok_or_else(|| io::ErrorKind::AlreadyExists.into())
    }
}

impl Drop for Point {
    fn drop(&mut self) {
        let mut meetings = meetings();
        let dropped = match self.party {
            Party::Owner => meetings.remove(&self.id).and_then(|meeting| meeting.guest),
            Party::Guest => meetings.get_mut(&self.id).and_then(|meeting| {
                meeting.is_guest_gone = true;
                meeting.guest.take()
            }),
        };
        drop(meetings);
        // Outside the lock, because dropping an end rings its peer.
        drop(dropped);
    }
}

impl End {
    /// The producer's end of the outgoing lane.
    pub fn sender(&self) -> &Sender {
        &self.sender
    }

    /// The consumer's end of the incoming lane.
    pub fn receiver(&self) -> &Receiver {
        &self.receiver
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.receiver.close();
        self.sender.ring();
    }
}

fn pair(lanes: LaneSizes) -> io::Result<(End, End)> {
    let (owner_bell, guest_bell) = (Arc::new(EventFd::new()?), Arc::new(EventFd::new()?));
    let (to_guest, guest_receiver) =
        lane_with(lanes, Arc::clone(&guest_bell), Some(Arc::clone(&owner_bell)))?;
    let (guest_sender, from_guest) = lane_with(lanes, owner_bell, Some(guest_bell))?;
    let owner = End {
        sender: to_guest,
        receiver: from_guest,
    };
    let guest = End {
        sender: guest_sender,
        receiver: guest_receiver,
    };
    Ok((owner, guest))
}

fn meetings() -> MutexGuard<'static, BTreeMap<u32, Meeting>> {
    // A panic while the lock is held leaves the map consistent.
    MEETINGS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ring::vicinity::Vicinity;
    use crate::sync::Ordering;
    use crate::testing::{Watchdog, WATCHDOG};

    const CAPACITY: usize = 4096;

    fn is_closed(end: &End) -> bool {
        end.sender().memory().control().closed.0.load(Ordering::Acquire) == 1
    }

    #[test]
    fn what_was_sent_before_the_other_opens_waits_for_it() {
        let owner = Point::new(1_000_001, Party::Owner);
        let guest = Point::new(1_000_001, Party::Guest);
        let first = guest.open(CAPACITY).unwrap();
        first.sender().push_overflow(&[1; 16]);
        let second = owner.open(CAPACITY).unwrap();
        assert!(second.receiver().memory().control().is_pending());
        assert!(!is_closed(&first) && !is_closed(&second));
    }

    #[test]
    fn an_end_is_taken_once() {
        let owner = Point::new(1_000_002, Party::Owner);
        let _end = owner.open(CAPACITY).unwrap();
        assert_eq!(
            owner.open(CAPACITY).unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
    }

    #[test]
    fn an_end_that_goes_closes_and_wakes_the_other() {
        let owner = Point::new(1_000_003, Party::Owner);
        let guest = Point::new(1_000_003, Party::Guest);
        let waiting = owner.open(CAPACITY).unwrap();
        let going = guest.open(CAPACITY).unwrap();
        let waiter = std::thread::spawn(move || {
            let watchdog = Watchdog::start();
            while !is_closed(&waiting) {
                watchdog.check("the close");
                waiting.receiver().park(WATCHDOG);
            }
        });
        drop(going);
        waiter.join().unwrap();
    }

    #[test]
    fn a_guest_that_goes_before_it_opens_is_gone() {
        let owner = Point::new(1_000_004, Party::Owner);
        drop(Point::new(1_000_004, Party::Guest));
        assert!(is_closed(&owner.open(CAPACITY).unwrap()));
        let owner = Point::new(1_000_005, Party::Owner);
        let guest = Point::new(1_000_005, Party::Guest);
        let end = owner.open(CAPACITY).unwrap();
        assert!(!is_closed(&end));
        drop(guest);
        assert!(is_closed(&end));
    }

    #[test]
    fn with_the_owner_the_meeting_ends() {
        let owner = Point::new(1_000_006, Party::Owner);
        let guest = Point::new(1_000_006, Party::Guest);
        let end = owner.open(CAPACITY).unwrap();
        drop(owner);
        drop(end);
        assert!(is_closed(&guest.open(CAPACITY).unwrap()));
        assert!(!meetings().contains_key(&1_000_006));
    }

    #[test]
    fn a_party_is_told_of_room_by_its_own_bell() {
        let owner = Point::new(1_000_008, Party::Owner);
        let guest = Point::new(1_000_008, Party::Guest);
        let (owner, guest) = (owner.open(CAPACITY).unwrap(), guest.open(CAPACITY).unwrap());
        owner.sender().push_overflow(&[1; 16]);
        assert!(owner.sender().wait_for_less(0));
        guest.receiver().take_overflow(&mut [0; 64]);
        guest.receiver().give_room();
        assert!(owner.receiver().clear_bell() && !guest.receiver().clear_bell());
        // Dropping an end notifies a waiting peer by the same bell.
        owner.sender().push_overflow(&[1; 16]);
        assert!(owner.sender().wait_for_less(0));
        drop(guest);
        assert!(owner.receiver().clear_bell() && is_closed(&owner));
    }

    #[test]
    fn parking_ends_when_a_record_comes_and_when_the_time_is_over() {
        let owner = Point::new(1_000_007, Party::Owner);
        let guest = Point::new(1_000_007, Party::Guest);
        let (consumer, producer) = (owner.open(CAPACITY).unwrap(), guest.open(CAPACITY).unwrap());
        consumer.receiver().park(Duration::from_millis(1));
        assert!(!consumer
            .receiver()
            .memory()
            .spin(Duration::from_micros(1), &Vicinity::default()));
        let sending = std::thread::spawn(move || {
            producer.sender().push_overflow(&[1; 16]);
            producer
        });
        let watchdog = Watchdog::start();
        while !consumer.receiver().memory().control().is_pending() {
            watchdog.check("the overflow");
            consumer.receiver().park(WATCHDOG);
        }
        assert!(consumer
            .receiver()
            .memory()
            .spin(Duration::ZERO, &Vicinity::default()));
        sending.join().unwrap();
    }
}
