//! A loom model of the lane's protocol under every interleaving and every reordering that the memory model
//! allows: no record is read before it is written, none is lost, and no consumer sleeps while one is
//! published.
#![cfg(loom)]
// Loom's own cell, as this test runs under loom only.
#![allow(clippy::disallowed_types)]

use std::collections::VecDeque;

use loom::cell::UnsafeCell;
use loom::sync::{Arc, Notify};
use loom::thread;

use manycore_core::ring::control::Control;
use manycore_core::ring::overflow::{Overflow, Taken};
use manycore_core::sync::{AtomicU32, Ordering};

mod models;
use models::explore;

/// A ring of this many one-byte records: positions are record numbers.
const SLOTS: usize = 2;

/// Stands for the addon's memory, overflow queue and eventfd.
struct Lane {
    control: Control,
    slots: [UnsafeCell<u8>; SLOTS],
    /// Stands for the copy next to `head`.
    copy: UnsafeCell<u8>,
    overflow: Overflow,
    bell: Notify,
    /// The producer's own `head` and the consumer's own `tail`, which they do not read from shared memory. Not loom's
    /// atomics: loom forgets that another thread has read a word when its writer reads it, too.
    own_head: std::sync::atomic::AtomicU32,
    own_tail: std::sync::atomic::AtomicU32,
    /// Number of rings, to check that a polling consumer is not woken.
    rings: AtomicU32,
}

impl Lane {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            control: Control::default(),
            slots: [UnsafeCell::new(0), UnsafeCell::new(0)],
            copy: UnsafeCell::new(0),
            overflow: Overflow::default(),
            bell: Notify::new(),
            own_head: std::sync::atomic::AtomicU32::new(0),
            own_tail: std::sync::atomic::AtomicU32::new(0),
            rings: AtomicU32::new(0),
        })
    }

    fn ring_if_needed(&self) {
        if self.control.ring_needed() {
            self.rings.fetch_add(1, Ordering::Relaxed);
            self.bell.notify();
        }
    }

    /// Producer. Returns false when the ring is full.
    fn send(&self, record: u8) -> bool {
        let head = self.head();
        // Acquire: pairs with the store in `receive`, after which the consumer no longer uses the slot.
        let tail = self.control.tail.0.load(Ordering::Acquire);
        if head.wrapping_sub(tail) as usize == SLOTS {
            return false;
        }
        // SAFETY: loom checks that the consumer does not read meanwhile.
        self.slots[head as usize % SLOTS].with_mut(|slot| unsafe { *slot = record });
        self.control.publish(head.wrapping_add(1));
        self.own_head.fetch_add(1, Ordering::Relaxed);
        self.ring_if_needed();
        true
    }

    /// Producer: its position.
    fn head(&self) -> u32 {
        self.own_head.load(Ordering::Relaxed)
    }

    /// Consumer: its position.
    fn tail(&self) -> u32 {
        self.own_tail.load(Ordering::Relaxed)
    }

    /// Consumer: is done with the record at its position.
    fn advance(&self) {
        let tail = self.own_tail.fetch_add(1, Ordering::Relaxed);
        self.control.tail.0.store(tail.wrapping_add(1), Ordering::Release);
    }

    /// Producer: sends through the overflow queue.
    fn send_behind(&self, record: u8) {
        self.overflow.push(&[record]);
        self.control.overflowed.0.fetch_add(1, Ordering::Release);
        self.ring_if_needed();
    }

    /// Consumer: receives from the ring if it sees a record there, otherwise from the overflow queue.
    fn receive(&self, chunk: &mut VecDeque<u8>) -> Option<u8> {
        let tail = self.tail();
        if self.control.head.0.load(Ordering::Acquire) != tail {
            // SAFETY: loom checks that the producer does not write meanwhile.
            let record = self.slots[tail as usize % SLOTS].with(|slot| unsafe { *slot });
            self.advance();
            return Some(record);
        }
        if chunk.is_empty() {
            let mut target = [0; 4];
            let Taken::Copied(len) = self.overflow.take_into(&mut target) else {
                unreachable!()
            };
            chunk.extend(&target[..len]);
        }
        let record = chunk.pop_front()?;
        self.control.taken.0.fetch_add(1, Ordering::Relaxed);
        Some(record)
    }

    /// Consumer: receives `count` records and sleeps whenever it finds none.
    fn receive_all(&self, count: usize) -> Vec<u8> {
        let mut received = Vec::new();
        let mut chunk = VecDeque::new();
        while received.len() < count {
            match self.receive(&mut chunk) {
                Some(record) => received.push(record),
                None => {
                    if self.control.transition_to_asleep() {
                        self.bell.wait();
                        self.control.transition_to_awake();
                    } else {
                        thread::yield_now();
                    }
                }
            }
        }
        received
    }
}

#[test]
fn no_record_is_lost_and_no_wake_up() {
    explore(None, || {
        let lane = Lane::new();
        let producer = Arc::clone(&lane);
        let thread = thread::spawn(move || {
            assert!(producer.send(1));
            assert!(producer.send(2));
        });
        assert_eq!(lane.receive_all(2), [1, 2]);
        thread.join().unwrap();
    });
}

#[test]
fn a_slot_is_used_again_only_after_it_was_read() {
    explore(None, || {
        let lane = Lane::new();
        let producer = Arc::clone(&lane);
        let thread = thread::spawn(move || {
            // A full ring ends this execution; loom explores others.
            (1..=3).take_while(|record| producer.send(*record)).count()
        });
        let mut chunk = VecDeque::new();
        let mut received = Vec::new();
        for _ in 0..2 {
            received.extend(lane.receive(&mut chunk));
        }
        let sent = thread.join().unwrap();
        received.extend(lane.receive_all(sent - received.len()));
        assert_eq!(received, (1..=sent as u8).collect::<Vec<_>>());
    });
}

#[test]
fn the_overflow_wakes_as_the_ring_does() {
    explore(None, || {
        let lane = Lane::new();
        let producer = Arc::clone(&lane);
        let thread = thread::spawn(move || {
            assert!(producer.send(1));
            producer.send_behind(2);
        });
        // Their order is determined by records in the lane, not by this model.
        let mut received = lane.receive_all(2);
        received.sort_unstable();
        assert_eq!(received, [1, 2]);
        thread.join().unwrap();
    });
}

#[test]
fn an_awake_consumer_is_not_rung() {
    explore(None, || {
        let lane = Lane::new();
        let producer = Arc::clone(&lane);
        let thread = thread::spawn(move || producer.send(1));
        let mut chunk = VecDeque::new();
        let early = lane.receive(&mut chunk);
        assert!(thread.join().unwrap());
        assert_eq!(early.or_else(|| lane.receive(&mut chunk)), Some(1));
        assert_eq!(lane.rings.load(Ordering::Relaxed), 0);
    });
}

#[test]
fn one_sleep_is_rung_once() {
    explore(None, || {
        let lane = Lane::new();
        assert!(lane.control.transition_to_asleep());
        let producer = Arc::clone(&lane);
        let thread = thread::spawn(move || {
            assert!(producer.send(1));
            assert!(producer.send(2));
        });
        lane.bell.wait();
        let mut chunk = VecDeque::new();
        for expected in [1, 2] {
            let received = loop {
                match lane.receive(&mut chunk) {
                    Some(record) => break record,
                    None => thread::yield_now(),
                }
            };
            assert_eq!(received, expected);
        }
        thread.join().unwrap();
        assert_eq!(lane.rings.load(Ordering::Relaxed), 1);
    });
}

/// Producer: like `send`, but sleeps while the ring is full until the consumer makes room.
fn send_patiently(lane: &Lane, room_bell: &Notify, record: u8) {
    while !lane.send(record) {
        let tail = lane.control.tail.0.load(Ordering::Acquire);
        if lane.head().wrapping_sub(tail) as usize == SLOTS && lane.control.transition_to_waiting(tail) {
            room_bell.wait();
        }
    }
}

#[test]
fn a_producer_that_waits_for_room_is_told_of_it() {
    explore(None, || {
        let lane = Lane::new();
        assert!(lane.send(1) && lane.send(2));
        let room_bell = Arc::new(Notify::new());
        let (producer, room) = (Arc::clone(&lane), Arc::clone(&room_bell));
        let thread = thread::spawn(move || send_patiently(&producer, &room, 3));
        let mut chunk = VecDeque::new();
        for expected in [1, 2] {
            assert_eq!(lane.receive(&mut chunk), Some(expected));
            if lane.control.room_needed() {
                room_bell.notify();
            }
        }
        thread.join().unwrap();
        assert_eq!(lane.receive(&mut chunk), Some(3));
    });
}

/// Producer: sends one record through the overflow queue and sleeps until it has been taken. It may be woken
/// too early by a consumer that looked before the record was there.
fn send_and_wait_until_taken(lane: &Lane, room_bell: &Notify) {
    lane.send_behind(7);
    let is_taken = || lane.overflow.bytes() == 0;
    while !is_taken() {
        if lane.control.transition_to_waiting_unless(is_taken) {
            room_bell.wait();
        }
    }
}

#[test]
fn a_producer_that_waits_for_what_is_beside_the_ring_to_be_taken_is_told_of_it() {
    explore(None, || {
        let lane = Lane::new();
        let room_bell = Arc::new(Notify::new());
        let (producer, room) = (Arc::clone(&lane), Arc::clone(&room_bell));
        let thread = thread::spawn(move || send_and_wait_until_taken(&producer, &room));
        let mut chunk = VecDeque::new();
        loop {
            let received = lane.receive(&mut chunk);
            if lane.overflow.bytes() == 0 && lane.control.room_needed() {
                room_bell.notify();
            }
            if received == Some(7) {
                break;
            }
            thread::yield_now();
        }
        thread.join().unwrap();
    });
}

/// Sends a record that may answer one of `opposite`, which has been read up to `read`. Copies it if all earlier ones
/// have been read.
fn send_with_copy(lane: &Lane, opposite: &Lane, record: u8, read: u32) {
    let head = lane.head();
    let copies = &lane.control.head.1;
    // Release: pairs with the load below, in the other thread.
    copies.read.store(read, Ordering::Release);
    if opposite.control.head.1.read.load(Ordering::Acquire) == head {
        // SAFETY: loom checks that the consumer does not read meanwhile.
        lane.copy.with_mut(|copy| unsafe { *copy = record });
        copies.copied.store(head.wrapping_add(1), Ordering::Relaxed);
    } else {
        copies.copied.store(u32::MAX, Ordering::Relaxed);
    }
    assert!(lane.send(record));
}

/// Receives a record, waiting for it; from its copy if that holds it.
fn receive_with_copy(lane: &Lane) -> u8 {
    let tail = lane.tail();
    loop {
        let head = lane.control.head.0.load(Ordering::Acquire);
        if head == tail {
            thread::yield_now();
            continue;
        }
        let is_copied = lane.control.head.1.copied.load(Ordering::Relaxed) == head;
        if !is_copied || head.wrapping_sub(tail) != 1 {
            return lane.receive(&mut VecDeque::new()).unwrap();
        }
        // SAFETY: loom checks that the producer does not write meanwhile.
        let record = lane.copy.with(|copy| unsafe { *copy });
        lane.advance();
        return record;
    }
}

#[test]
fn a_copy_is_replaced_only_after_it_was_read() {
    // More preemptions would take many minutes.
    explore(Some(2), || {
        let (there, back) = (Lane::new(), Lane::new());
        let (requests, answers) = (Arc::clone(&there), Arc::clone(&back));
        let thread = thread::spawn(move || {
            // Before it has read anything, and perhaps after it was sent something.
            send_with_copy(&answers, &requests, 1, 0);
            assert_eq!(receive_with_copy(&requests), 3);
            send_with_copy(&answers, &requests, 2, 1);
        });
        send_with_copy(&there, &back, 3, 0);
        assert_eq!(receive_with_copy(&back), 1);
        send_with_copy(&there, &back, 4, 1);
        assert_eq!(receive_with_copy(&back), 2);
        thread.join().unwrap();
        assert_eq!(receive_with_copy(&there), 4);
    });
}
