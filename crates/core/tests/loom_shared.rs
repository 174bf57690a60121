//! Loom models of shared tables, queues, rate limiters, arrays and their lock: the critical steps under every
//! interleaving with up to two preemptions and every reordering that the memory model allows.
#![cfg(loom)]
// These are tests and their helpers.
#![allow(clippy::unwrap_used)]

use std::sync::OnceLock;

use loom::sync::Arc;
use loom::thread;

use manycore_core::array::values::{NewValue as ArrayValue, Values};
use manycore_core::array::CONTROL_WORDS as ARRAY_WORDS;
use manycore_core::channel::ring::{Cursor, Ring, Taken, CONTROL_WORDS};
use manycore_core::limit::slots::{Meaning, Slots, PLACES, SET_WORDS};
use manycore_core::shm::header::{Header, Kind, HEADER_BYTES};
use manycore_core::shm::owner_lock::{Acquired, Host, OwnerLock, Patience};
use manycore_core::shm::words::Words;
use manycore_core::shm::OpenError;
use manycore_core::sync::{AtomicU64, Ordering};
use manycore_core::table::entry::{hash, Key, NewValue};
use manycore_core::table::read::Read;
use manycore_core::table::shard::{Change, Condition, Expiry, Geometry, Shard};

mod models;
use models::explore;

/// Thread 9 is dead, all others are alive.
#[derive(Clone, Copy)]
struct Thread(u64);

impl Host for Thread {
    fn me(&self) -> u64 {
        self.0
    }
    fn is_alive(&self, owner: u64) -> bool {
        owner != 9
    }
    fn pause(&self, _attempt: u32) -> Patience {
        thread::yield_now();
        Patience::Doubt
    }
}

/// Explores executions with at most two preemptions; more would take hours.
fn model(check: impl Fn() + Sync + Send + 'static) {
    explore(Some(2), check);
}

fn memory(words: usize) -> Arc<Vec<AtomicU64>> {
    Arc::new((0..words).map(|_| AtomicU64::new(0)).collect())
}

#[test]
fn one_heir_at_a_time_and_one_is_told_that_the_owner_died() {
    model(|| {
        let words = memory(2);
        words[0].store(9, Ordering::Relaxed);
        let take = |words: &[AtomicU64], me: u64| {
            let lock = OwnerLock::new(&words[0]);
            let acquired = lock.acquire(&Thread(me)).unwrap();
            let before = words[1].load(Ordering::Relaxed);
            words[1].store(before + 1, Ordering::Relaxed);
            lock.release();
            u32::from(acquired == Acquired::OwnerDied)
        };
        let theirs = Arc::clone(&words);
        let other = thread::spawn(move || take(&theirs, 1));
        let told = take(&words, 2) + other.join().unwrap();
        assert_eq!(told, 1);
        assert_eq!(words[1].load(Ordering::Relaxed), 2);
    });
}

#[test]
fn an_opener_finds_a_whole_header_or_that_it_is_not_ready() {
    const KIND: Kind = Kind {
        name: "model",
        layout: 1,
    };
    const BYTES: u64 = HEADER_BYTES as u64;
    model(|| {
        let words = memory(HEADER_BYTES / 8);
        let theirs = Arc::clone(&words);
        let creator = thread::spawn(move || {
            let header = Header::of(&theirs).unwrap();
            header.describe(KIND, BYTES);
            header.parameters()[0].store(7, Ordering::Relaxed);
            header.publish(KIND);
        });
        let header = Header::of(&words).unwrap();
        match header.check(KIND, BYTES) {
            Ok(()) => {
                assert_eq!(header.parameters()[0].load(Ordering::Relaxed), 7);
                assert_ne!(header.created_ms(), 0);
            }
            Err(reason) => assert!(matches!(reason, OpenError::NotInitialised), "{reason}"),
        }
        creator.join().unwrap();
        assert!(header.check(KIND, BYTES).is_ok());
    });
}

const TABLE_WORDS: usize = 292;
const SEEDS: [u64; 2] = [3, 5];

fn shard(memory: &[AtomicU64]) -> Shard<'_> {
    static GEOMETRY: OnceLock<Geometry> = OnceLock::new();
    let geometry = GEOMETRY.get_or_init(|| Geometry::new(TABLE_WORDS, 2, false).unwrap());
    Shard::new(Words::new(memory), geometry).unwrap()
}

fn put(memory: &[AtomicU64], me: u64, name: u64, value: u64) {
    // Twice the same value, so that a torn read is detected.
    put_times(memory, me, name, value, 2);
}

fn put_times(memory: &[AtomicU64], me: u64, name: u64, value: u64, times: usize) {
    let words = [name];
    let key = Key {
        kind: 0,
        bytes: 8,
        words: &words,
        hash: hash(SEEDS, 0, 8, &words),
    };
    let bytes = value.to_le_bytes().repeat(times);
    let value = NewValue {
        kind: 0,
        bytes: &bytes,
    };
    let change = shard(memory).set(&Thread(me), &key, &value, Expiry::Never, Condition::Always, || 0);
    assert!(matches!(change, Ok(Change::Made(_))));
}

fn look(memory: &[AtomicU64], me: u64, name: u64) -> Option<u64> {
    look_versioned(memory, me, name).map(|(value, _)| value)
}

fn look_versioned(memory: &[AtomicU64], me: u64, name: u64) -> Option<(u64, u64)> {
    let words = [name];
    let key = Key {
        kind: 0,
        bytes: 8,
        words: &words,
        hash: hash(SEEDS, 0, 8, &words),
    };
    let mut target = [0; 2];
    match shard(memory).get(&Thread(me), &key, &mut target, || 0).unwrap() {
        Read::Missing => None,
        Read::Found(value) => {
            assert_eq!(target[0], target[1], "torn");
            Some((target[0], value.version))
        }
    }
}

#[test]
fn a_reader_finds_the_old_value_or_the_new_one_whole() {
    model(|| {
        let words = memory(TABLE_WORDS);
        shard(&words).initialise().unwrap();
        put(&words, 1, 1, 10);
        let theirs = Arc::clone(&words);
        let writer = thread::spawn(move || {
            // A longer value takes another block; the second entry reuses that of the first.
            put_times(&theirs, 1, 1, 11, 3);
            put(&theirs, 1, 2, 12);
        });
        let found = look(&words, 2, 1);
        assert!(matches!(found, Some(10 | 11)), "{found:?}");
        writer.join().unwrap();
        assert_eq!((look(&words, 2, 1), look(&words, 2, 2)), (Some(11), Some(12)));
    });
}

/// Models a reader of an entry of value 10 and version 1 beside a writer. The reader must find this or one of `later`
/// (value, version), and the last of them in the end.
fn model_reader_beside(write: fn(&[AtomicU64]), later: &'static [(u64, u64)]) {
    model(move || {
        let words = memory(TABLE_WORDS);
        shard(&words).initialise().unwrap();
        put(&words, 1, 1, 10);
        let theirs = Arc::clone(&words);
        let writer = thread::spawn(move || write(&theirs));
        let found = look_versioned(&words, 2, 1).unwrap();
        assert!(found == (10, 1) || later.contains(&found), "{found:?}");
        writer.join().unwrap();
        assert_eq!(look_versioned(&words, 2, 1).as_ref(), later.last());
    });
}

#[test]
fn a_reader_of_a_value_that_is_overwritten_finds_one_of_them_whole() {
    // The second time, the record is written again that the reader may be reading.
    let write = |words: &[AtomicU64]| {
        put(words, 1, 1, 11);
        put(words, 1, 1, 12);
    };
    model_reader_beside(write, &[(11, 2), (12, 3)]);
}

#[test]
fn a_reader_of_the_record_does_not_find_the_version_of_the_next_change() {
    let write = |words: &[AtomicU64]| {
        put(words, 1, 1, 11);
        // Takes a version without writing a record.
        put(words, 1, 2, 12);
        assert_eq!(look_versioned(words, 1, 2), Some((12, 3)));
    };
    model_reader_beside(write, &[(11, 2)]);
}

#[test]
fn two_that_overwrite_a_value_do_so_one_after_the_other() {
    model(|| {
        let words = memory(TABLE_WORDS);
        shard(&words).initialise().unwrap();
        put(&words, 1, 1, 10);
        let theirs = Arc::clone(&words);
        let writer = thread::spawn(move || {
            put(&theirs, 1, 1, 11);
            look(&theirs, 1, 1)
        });
        put(&words, 2, 1, 12);
        let mine = look(&words, 2, 1);
        let found = writer.join().unwrap();
        assert!(matches!(mine, Some(11 | 12)) && matches!(found, Some(11 | 12)));
        assert!(matches!(look(&words, 2, 1), Some(11 | 12)));
    });
}

#[test]
fn a_topic_is_read_whole_or_what_is_left_of_it() {
    model(|| {
        let words = memory(CONTROL_WORDS + 8);
        let publish = |words: &[AtomicU64], value: u64| {
            let bytes = [value.to_le_bytes(), value.to_le_bytes()].concat();
            Ring::new(Words::new(words))
                .unwrap()
                .publish(&Thread(1), 0, &bytes)
                .unwrap();
        };
        publish(&words, 1);
        publish(&words, 2);
        let theirs = Arc::clone(&words);
        // Overwrites the first record.
        let publisher = thread::spawn(move || publish(&theirs, 3));
        let mut cursor = Cursor {
            position: 0,
            sequence: 0,
        };
        let mut target = [0; 2];
        let read = Ring::new(Words::new(&words))
            .unwrap()
            .read(&mut cursor, &mut target)
            .unwrap();
        let Taken::Record { sequence, .. } = read else {
            panic!("{read:?}");
        };
        assert_eq!(target, [sequence + 1; 2]);
        publisher.join().unwrap();
    });
}

#[test]
fn each_record_of_a_channel_is_taken_once() {
    model(|| {
        let words = memory(CONTROL_WORDS + 8);
        let theirs = Arc::clone(&words);
        let producer = thread::spawn(move || {
            let ring = Ring::new(Words::new(&theirs)).unwrap();
            ring.push(&Thread(1), 0, &7u64.to_le_bytes(), 10).unwrap();
        });
        let pop = |words: &[AtomicU64], me: u64| {
            let mut target = [0; 1];
            let taken = Ring::new(Words::new(words))
                .unwrap()
                .pop(&Thread(me), &mut target)
                .unwrap();
            if let Taken::Record { .. } = taken {
                assert_eq!(target, [7]);
            }
            usize::from(taken != Taken::Nothing)
        };
        let early = pop(&words, 2);
        producer.join().unwrap();
        assert_eq!(early + pop(&words, 2), 1);
    });
}

/// Even states are idle.
struct Even;

impl Meaning for Even {
    fn is_idle(&self, state: u64) -> bool {
        state.is_multiple_of(2)
    }
    fn fresh(&self, before: u64) -> u64 {
        if before == 4 {
            6
        } else {
            4
        }
    }
}

#[test]
fn a_place_that_changes_hands_takes_nothing_with_it() {
    model(|| {
        let words = memory(SET_WORDS);
        // All places but one are in use, and that one is idle: key 3 is about to lose its place to key 101.
        for place in 0..PLACES {
            words[2 + place * 2].store(3 + 2 * place as u64, Ordering::Relaxed);
            words[3 + place * 2].store(if place == 0 { 4 } else { 1 }, Ordering::Relaxed);
        }
        let theirs = Arc::clone(&words);
        let other = thread::spawn(move || {
            let slots = Slots::new(Words::new(&theirs)).unwrap();
            slots.change(&Thread(1), 101, &Even, |state| (Some(state + 1), ()))
        });
        let slots = Slots::new(Words::new(&words)).unwrap();
        let mine = slots.change(&Thread(2), 3, &Even, |state| (Some(state + 1), ()));
        let theirs = other.join().unwrap();
        // One of the two has the place, with what it took; the other found none, or the place was no longer
        // idle.
        let states = [slots.peek(3).unwrap(), slots.peek(101).unwrap()];
        match (mine, theirs) {
            (Ok(()), Err(_)) => assert_eq!(states, [Some(5), None]),
            (Err(_), Ok(())) => assert!(states[0].is_none() && matches!(states[1], Some(5 | 7))),
            outcome => panic!("{outcome:?} {states:?}"),
        }
    });
}

const ELEMENT_BYTES: usize = 16;

fn array(memory: &[AtomicU64]) -> Values<'_> {
    Values::new(Words::new(memory), 2, ELEMENT_BYTES).unwrap()
}

fn array_memory() -> Arc<Vec<AtomicU64>> {
    memory(ARRAY_WORDS + 2 * Values::element_words(ELEMENT_BYTES))
}

/// Twice the same value, so that a torn read is detected.
fn twice(number: u64) -> [u8; ELEMENT_BYTES] {
    let mut bytes = [0; ELEMENT_BYTES];
    for half in bytes.chunks_mut(8) {
        half.copy_from_slice(&number.to_le_bytes());
    }
    bytes
}

fn element(memory: &[AtomicU64], me: u64, index: usize) -> Option<u64> {
    let mut target = [0; 2];
    array(memory).get(&Thread(me), index, &mut target).unwrap()?;
    assert_eq!(target[0], target[1], "torn");
    Some(target[0])
}

#[test]
fn a_reader_of_an_element_finds_the_old_value_or_the_new_one() {
    model(|| {
        let memory = array_memory();
        let set = |memory: &[AtomicU64], number| {
            let value = ArrayValue {
                kind: 0,
                bytes: &twice(number),
            };
            array(memory).set(&Thread(1), 0, &value, None).unwrap();
        };
        let first = ArrayValue {
            kind: 0,
            bytes: &twice(1),
        };
        array(&memory).push(&Thread(2), &first).unwrap();
        let theirs = Arc::clone(&memory);
        let writer = thread::spawn(move || {
            // The second write goes to the buffer that the reader may be reading.
            set(&theirs, 2);
            set(&theirs, 3);
        });
        let early = element(&memory, 2, 0).unwrap();
        let late = element(&memory, 2, 0).unwrap();
        assert!((1..=3).contains(&early) && (early..=3).contains(&late));
        writer.join().unwrap();
        assert_eq!(element(&memory, 2, 0), Some(3));
    });
}

#[test]
fn an_element_that_is_counted_is_written_and_popped_once() {
    model(|| {
        let memory = array_memory();
        let theirs = Arc::clone(&memory);
        let writer = thread::spawn(move || {
            let value = ArrayValue {
                kind: 0,
                bytes: &twice(7),
            };
            array(&theirs).push(&Thread(1), &value).unwrap();
            let mut target = [0; 2];
            array(&theirs).pop(&Thread(1), &mut target).unwrap()
        });
        let seen = element(&memory, 2, 0);
        assert!(matches!(seen, None | Some(7)));
        let mut target = [0; 2];
        let ours = array(&memory).pop(&Thread(2), &mut target).unwrap();
        let popped = u32::from(ours.is_some()) + u32::from(writer.join().unwrap().is_some());
        assert_eq!(popped, 1);
    });
}
