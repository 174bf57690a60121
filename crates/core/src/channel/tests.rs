//! Rings against a model, with a crash after every store, and over arbitrary bytes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use proptest::prelude::*;

use super::ring::{Cursor, QueueError, Ring, Taken, CONTROL_WORDS};
use crate::crash;
use crate::shm::owner_lock::survivor::Survivor;
use crate::shm::owner_lock::System;
use crate::shm::words::Words;
use crate::sync::AtomicU64;
use crate::testing::Watchdog;

const ONE: Survivor = Survivor(1);
const TWO: Survivor = Survivor(2);
const MANY: u64 = 1_000_000;

fn memory(words: usize) -> Vec<AtomicU64> {
    (0..CONTROL_WORDS + words).map(|_| AtomicU64::new(0)).collect()
}

fn ring(memory: &[AtomicU64]) -> Ring<'_> {
    Ring::new(Words::new(memory)).unwrap()
}

fn bytes_of(seed: usize, length: usize) -> Vec<u8> {
    (0..length).map(|index| (seed * 7 + index) as u8).collect()
}

fn pop(ring: Ring<'_>, host: Survivor) -> Option<Vec<u8>> {
    let mut target = [0; 64];
    match ring.pop(&host, &mut target).unwrap() {
        Taken::Nothing => None,
        Taken::Record { bytes, .. } => Some(target.map(u64::to_le_bytes).concat()[..bytes].to_vec()),
        Taken::NeedsWords(words) => panic!("{words}"),
    }
}

#[test]
fn records_come_in_order_until_it_is_closed() {
    let memory = memory(20);
    let ring = ring(&memory);
    ring.push(&ONE, 1, b"one", MANY).unwrap();
    ring.push(&ONE, 2, b"", MANY).unwrap();
    let mut target = [0; 4];
    assert!(matches!(ring.pop(&TWO, &mut []), Ok(Taken::NeedsWords(1))));
    let first = Taken::Record {
        kind: 1,
        bytes: 3,
        sequence: 0,
    };
    assert_eq!(ring.pop(&TWO, &mut target), Ok(first));
    ring.close(&ONE).unwrap();
    assert_eq!(ring.push(&ONE, 1, b"x", MANY), Err(QueueError::Closed));
    assert!(matches!(
        ring.pop(&TWO, &mut target),
        Ok(Taken::Record { kind: 2, .. })
    ));
    assert_eq!(ring.pop(&TWO, &mut target), Err(QueueError::Closed));
}

#[test]
fn there_is_room_for_so_many_records_and_so_many_bytes() {
    let memory = memory(20);
    let ring = ring(&memory);
    ring.push(&ONE, 0, b"a", 2).unwrap();
    ring.push(&ONE, 0, b"b", 2).unwrap();
    assert_eq!(ring.push(&ONE, 0, b"c", 2), Err(QueueError::Full));
    assert_eq!(ring.push(&ONE, 0, &[0; 120], MANY), Err(QueueError::Full));
    assert_eq!(ring.push(&ONE, 0, &[0; 160], MANY), Err(QueueError::TooLarge));
    assert_eq!(pop(ring, ONE).unwrap(), b"a");
    ring.push(&ONE, 0, &[0; 100], MANY).unwrap();
}

#[test]
fn each_subscriber_reads_all_and_is_told_what_it_missed() {
    let memory = memory(30);
    let ring = ring(&memory);
    let mut slow = ring.cursor(&ONE, false).unwrap();
    let mut fast = slow;
    let mut target = [0; 8];
    for number in 0..20u64 {
        ring.publish(&ONE, 0, &number.to_le_bytes()).unwrap();
        let read = ring.read(&mut fast, &mut target).unwrap();
        assert!(matches!(read, Taken::Record { sequence, .. } if sequence == number));
        assert_eq!(target[0], number);
    }
    assert_eq!(ring.read(&mut fast, &mut target), Ok(Taken::Nothing));
    // Ten records of three words.
    let read = ring.read(&mut slow, &mut target).unwrap();
    assert!(matches!(read, Taken::Record { sequence: 10, .. }));
    assert_eq!(target[0], 10);
    let mut late = ring.cursor(&ONE, true).unwrap();
    assert_eq!(late.sequence, 10);
    assert!(matches!(
        ring.read(&mut late, &mut target),
        Ok(Taken::Record { sequence: 10, .. })
    ));
    ring.close(&ONE).unwrap();
    assert_eq!(ring.read(&mut fast, &mut target), Err(QueueError::Closed));
    assert!(ring.read(&mut late, &mut target).is_ok());
}

#[test]
fn whoever_uses_it_may_die_between_any_two_stores() {
    type Action = fn(Ring<'_>, Survivor);
    let actions: [(&str, Action, bool); 3] = [
        (
            "push",
            |ring, host| ring.push(&host, 0, &bytes_of(9, 50), MANY).unwrap(),
            true,
        ),
        ("pop", |ring, host| drop(pop(ring, host)), false),
        (
            "publish",
            |ring, host| ring.publish(&host, 0, &bytes_of(9, 100)).unwrap(),
            true,
        ),
    ];
    for (name, action, adds) in actions {
        let mut deaths = 0;
        loop {
            let memory = memory(32);
            let ring = ring(&memory);
            // Start mid-ring, so that records wrap around its end.
            for seed in 0..3 {
                ring.publish(&ONE, 0, &bytes_of(seed, 40)).unwrap();
            }
            let done = crash::run_until(deaths, || action(ring, ONE));
            let stats = ring.stats(&TWO).unwrap();
            let mut left = VecDeque::new();
            while let Some(bytes) = pop(ring, TWO) {
                left.push_back(bytes);
            }
            assert_eq!(stats.records, left.len() as u64, "{name} at {deaths}");
            let new = if name == "publish" {
                bytes_of(9, 100)
            } else {
                bytes_of(9, 50)
            };
            if adds && left.back() == Some(&new) {
                left.pop_back();
            } else if adds && done.is_ok() {
                panic!("{name}: nothing was added");
            }
            // What is left must be the newest records, complete and in order.
            let expected: Vec<_> = (0..3).map(|seed| bytes_of(seed, 40)).collect();
            assert!(
                expected.ends_with(left.make_contiguous()),
                "{name} at {deaths}: {left:?}"
            );
            ring.push(&TWO, 0, b"next", MANY).unwrap();
            assert_eq!(pop(ring, TWO).unwrap(), b"next");
            if done.is_ok() {
                break;
            }
            deaths += 1;
        }
        assert!(deaths >= 2, "{name} has too few places to die at: {deaths}");
    }
}

#[test]
fn many_producers_and_consumers_lose_and_repeat_nothing() {
    let memory = memory(64);
    let ring = ring(&memory);
    let total = AtomicU64::new(0);
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let producers: Vec<_> = (1..=3u64)
            .map(|producer| {
                scope.spawn(move || {
                    let watchdog = Watchdog::start();
                    for number in 0..3000 {
                        let bytes = (producer * 10_000 + number).to_le_bytes();
                        while ring.push(&System, 0, &bytes, 8) == Err(QueueError::Full) {
                            watchdog.check("room");
                            thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        for _ in 0..2 {
            scope.spawn(|| {
                let mut target = [0; 2];
                let mut newest = [0; 4];
                let watchdog = Watchdog::start();
                loop {
                    watchdog.check("the last record");
                    let was_ended = ended.load(Ordering::Acquire);
                    match ring.pop(&System, &mut target).unwrap() {
                        Taken::Record { .. } => {
                            let producer = (target[0] / 10_000) as usize;
                            assert!(newest[producer] < target[0], "out of order");
                            newest[producer] = target[0];
                            total.fetch_add(target[0], Ordering::Relaxed);
                        }
                        _ if was_ended => return,
                        _ => thread::yield_now(),
                    }
                }
            });
        }
        for producer in producers {
            producer.join().unwrap();
        }
        ended.store(true, Ordering::Release);
    });
    let expected: u64 = (1..=3)
        .map(|producer| (0..3000).map(|n| producer * 10_000 + n).sum::<u64>())
        .sum();
    assert_eq!(total.load(Ordering::Relaxed), expected);
}

#[test]
fn a_reader_that_is_overtaken_reads_nothing_torn() {
    let memory = memory(40);
    let ring = ring(&memory);
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..20_000u64 {
                ring.publish(&System, 0, &number.to_le_bytes().repeat(1 + number as usize % 9))
                    .unwrap();
            }
            ended.store(true, Ordering::Release);
        });
        let mut cursor = Cursor {
            position: 0,
            sequence: 0,
        };
        let mut target = [0; 16];
        let watchdog = Watchdog::start();
        loop {
            watchdog.check("the last record");
            let was_ended = ended.load(Ordering::Acquire);
            match ring.read(&mut cursor, &mut target).unwrap() {
                Taken::Record { bytes, sequence, .. } => {
                    assert_eq!(bytes, 8 * (1 + sequence as usize % 9));
                    assert!(target[..bytes / 8].iter().all(|word| *word == sequence));
                }
                _ if was_ended => break,
                _ => {}
            }
        }
        assert_eq!(cursor.sequence, 20_000);
    });
}

proptest! {
    #[test]
    fn it_is_what_a_queue_is(actions in prop::collection::vec((any::<bool>(), 0usize..90), 1..200)) {
        let memory = memory(40);
        let ring = ring(&memory);
        let mut model = VecDeque::new();
        for (turn, (pushes, length)) in actions.into_iter().enumerate() {
            if pushes {
                let bytes = bytes_of(turn, length);
                match ring.push(&ONE, 0, &bytes, 6) {
                    Ok(()) => model.push_back(bytes),
                    Err(error) => prop_assert_eq!(error, QueueError::Full),
                }
            } else {
                prop_assert_eq!(pop(ring, ONE), model.pop_front());
            }
            prop_assert_eq!(ring.stats(&ONE).unwrap().records, model.len() as u64);
        }
    }

    #[test]
    fn any_bytes_are_an_error_at_most(
        damage in prop::collection::vec((0usize..CONTROL_WORDS + 40, any::<u64>(), any::<bool>()), 1..20),
    ) {
        let memory = memory(40);
        let ring = ring(&memory);
        for seed in 0..4 {
            ring.publish(&ONE, 0, &bytes_of(seed, 40)).unwrap();
        }
        for (index, value, small) in damage {
            memory[index].store(if small { value & 0x3ff } else { value }, Ordering::Relaxed);
        }
        let mut target = [0; 16];
        for _ in 0..6 {
            let _pushed = ring.push(&TWO, 0, &bytes_of(1, 30), MANY);
            let _published = ring.publish(&TWO, 0, &bytes_of(1, 30));
            let _popped = ring.pop(&TWO, &mut target);
            let mut cursor = ring.cursor(&TWO, true).unwrap_or(Cursor { position: 3, sequence: 0 });
            let _read = ring.read(&mut cursor, &mut target);
            let _stats = ring.stats(&TWO);
        }
    }
}
