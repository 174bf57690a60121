//! What a process that can write a segment may do to its users: store any bytes between any two of their
//! operations. They must return errors or wrong values and continue; they must never crash, hang, or read
//! outside the segment, which the address sanitizer detects.
//!
//! Each function takes the bytes of one attack. The fuzzer (`fuzz/`) searches for new ones, and the test
//! `corpus` replays those that it found interesting.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use manycore_core::array::numbers::{NumberType, Operation};
use manycore_core::array::shared::{Array, ElementType, Elements};
use manycore_core::array::values::{NewValue as ArrayValue, Values};
use manycore_core::channel::ring::Cursor;
use manycore_core::channel::shared::{Queue, CHANNEL, TOPIC};
use manycore_core::histogram::scale::Scale;
use manycore_core::histogram::shared::Histogram;
use manycore_core::limit::limiter::{Limiter, Rules};
use manycore_core::liveness::OwnerId;
use manycore_core::lock::host::Host;
use manycore_core::lock::layout::{Kind, Mode};
use manycore_core::lock::memory::{Design, LockMemory};
use manycore_core::lock::request::{Ask, Waiting};
use manycore_core::shm::object::ObjectSegment;
use manycore_core::shm::owner_lock::System;
use manycore_core::table::entry::NewValue;
use manycore_core::table::map::{Options, Table};
use manycore_core::table::shard::{Condition, Expiry};

/// Executes the attack encoded in some bytes.
pub type Attack = fn(&[u8]);

mod headers;
mod processes;

pub use headers::headers;
pub use processes::processes;

/// The attack targets and their functions.
pub const TARGETS: [(&str, Attack); 7] = [
    ("table", table),
    ("arrays", arrays),
    ("queue", queue),
    ("numbers", numbers),
    ("locks", locks),
    ("headers", headers),
    ("processes", processes),
];

/// Size of an encoded step: place (2 bytes), value (8), operation (1).
const STEP: usize = 11;
/// More steps only take time.
const MAX_STEPS: usize = 200;

struct Step {
    place: usize,
    value: u64,
    then: u8,
}

fn steps(data: &[u8]) -> impl Iterator<Item = Step> + '_ {
    data.chunks_exact(STEP).take(MAX_STEPS).map(|chunk| {
        let mut value = [0; 8];
        value.copy_from_slice(&chunk[2..10]);
        Step {
            place: usize::from(u16::from_le_bytes([chunk[0], chunk[1]])),
            value: u64::from_le_bytes(value),
            then: chunk[10],
        }
    })
}

/// Writes a word as the step says: to the parameters or the body; or adds to its value.
fn scribble(segment: &ObjectSegment, step: &Step) {
    let write = |words: &[AtomicU64]| {
        let Some(word) = words.get(step.place % words.len().max(1)) else {
            return;
        };
        if step.then & 0x40 == 0 {
            word.store(step.value, Ordering::Relaxed);
        } else {
            word.fetch_add(step.value & 0xff, Ordering::Relaxed);
        }
    };
    if step.then & 0x80 == 0 {
        write(segment.body());
    } else {
        write(segment.parameters());
    }
}

/// A map: reads, writes, scans and repairs; reopened with whatever its parameters say by then.
pub fn table(data: &[u8]) {
    let options = Options {
        capacity_bytes: 64 * 1024,
        shards: 1,
        entry_bytes: 64,
        evicts: data.first().is_some_and(|first| first & 1 == 1),
        ttl_ns: 0,
    };
    let Ok(table) = Table::open(&options, ObjectSegment::anonymous) else {
        return;
    };
    let value = |seed: u64| seed.to_le_bytes().repeat(1 + seed as usize % 12);
    let set = |table: &Table, name: u64| {
        let bytes = value(name);
        let value = NewValue {
            kind: 0,
            bytes: &bytes,
        };
        let _made = table.set(
            &table.key(3, 8, &[name]),
            &value,
            Expiry::Never,
            Condition::Always,
        );
    };
    for name in 0..16 {
        set(&table, name);
    }
    let mut target = [0; 64];
    for step in steps(data) {
        scribble(table.segment(), &step);
        let name = step.value % 24;
        let words = [name];
        let key = table.key(3, 8, &words);
        match step.then & 7 {
            0 => set(&table, name),
            1 => drop(table.get(&key, &mut target)),
            2 => drop(table.delete(&key, Condition::Always)),
            3 => drop(table.add(&key, 1, 1.0, Expiry::Never)),
            4 => drop(table.scan(step.place, &mut target)),
            5 => drop(table.stats()),
            6 => drop(table.clear()),
            _ => {
                if let Ok(again) = Table::over(Arc::clone(table.segment())) {
                    let key = again.key(3, 8, &words);
                    let _read = again.get(&key, &mut target);
                    set(&again, name);
                    let _scan = again.scan(step.place, &mut target);
                }
            }
        }
    }
}

/// An array of values or of numbers of each type; reopened with whatever its parameters say by then.
pub fn arrays(data: &[u8]) {
    const MOST_BYTES: usize = 40;
    let types = [
        ElementType::Value(MOST_BYTES),
        ElementType::Number(NumberType::Int32),
        ElementType::Number(NumberType::Uint32),
        ElementType::Number(NumberType::Float64),
        ElementType::Number(NumberType::Int64),
        ElementType::Number(NumberType::Uint64),
    ];
    let of = types[usize::from(data.first().copied().unwrap_or(0)) % types.len()];
    let Ok(array) = Array::open(of, 8, 4, ObjectSegment::anonymous) else {
        return;
    };
    for step in steps(data) {
        scribble(array.segment(), &step);
        let again = Array::open(of, 8, 4, |_| Ok(Arc::clone(array.segment())));
        let used = match (step.then & 0x20, &again) {
            (0, _) => &array,
            (_, Ok(again)) => again,
            (_, Err(_)) => continue,
        };
        let index = step.place % 10;
        match used.elements() {
            Ok(Elements::Values(values)) => values_attacked(values, index, &step),
            Ok(Elements::Numbers(numbers, _)) => match step.then & 7 {
                0 => drop(numbers.get(index)),
                1 => drop(numbers.change(index, Operation::Add, step.value)),
                2 => drop(numbers.change(index, Operation::Exchange, step.value)),
                3 => drop(numbers.compare_exchange(index, 0, step.value)),
                4 => drop(numbers.push(&System, step.value)),
                5 => drop(numbers.pop(&System)),
                6 => drop(numbers.clear(&System)),
                _ => drop(used.length()),
            },
            Err(_) => {}
        }
    }
}

fn values_attacked(values: Values<'_>, index: usize, step: &Step) {
    // As large as the parameters say, which may be more than the available memory.
    let mut target = vec![0; values.payload_words().min(1 << 16)];
    let bytes = step.value.to_le_bytes().repeat(1 + step.place % 7);
    let value = ArrayValue {
        kind: 1,
        bytes: &bytes,
    };
    match step.then & 7 {
        0 | 1 => drop(values.get(&System, index, &mut target)),
        2 => drop(values.set(&System, index, &value, None)),
        3 => drop(values.set(&System, index, &value, Some(step.value & 3))),
        4 => drop(values.push(&System, &value)),
        5 => drop(values.pop(&System, &mut target)),
        6 => drop(values.clear(&System)),
        _ => drop(values.length()),
    }
}

/// A channel or a topic.
pub fn queue(data: &[u8]) {
    let kind = if data.first().is_some_and(|first| first & 1 == 1) {
        TOPIC
    } else {
        CHANNEL
    };
    let Ok(queue) = Queue::open(kind, 512, 64, ObjectSegment::anonymous) else {
        return;
    };
    for number in 0..6u64 {
        let _pushed = queue.push(0, &number.to_le_bytes().repeat(3));
    }
    let mut cursor = Cursor {
        position: 0,
        sequence: 0,
    };
    let mut target = [0; 32];
    for step in steps(data) {
        scribble(queue.segment(), &step);
        let bytes = step.value.to_le_bytes().repeat(1 + step.place % 10);
        match step.then & 7 {
            0 => drop(queue.push(1, &bytes)),
            1 => drop(queue.pop(&mut target)),
            2 => drop(queue.publish(1, &bytes)),
            3 => drop(queue.read(&mut cursor, &mut target)),
            4 => {
                if let Ok(anew) = queue.cursor(step.value & 1 == 0) {
                    cursor = anew;
                }
            }
            5 => drop((queue.lag(&cursor), queue.stats())),
            6 => {
                cursor = Cursor {
                    position: step.value,
                    sequence: step.value.rotate_left(17),
                };
            }
            _ => drop(queue.close()),
        }
    }
}

/// A limiter and a histogram.
pub fn numbers(data: &[u8]) {
    let rules = Rules {
        slides: data.first().is_some_and(|first| first & 1 == 1),
        limit: 10,
        window_ns: 1_000_000,
        burst: 10,
    };
    let Ok(limiter) = Limiter::open(rules, 16, ObjectSegment::anonymous) else {
        return;
    };
    let Some(Ok(histogram)) =
        Scale::new(1, 100_000, 2).map(|scale| Histogram::open(scale, ObjectSegment::anonymous))
    else {
        return;
    };
    for step in steps(data) {
        scribble(limiter.segment(), &step);
        scribble(histogram.segment(), &step);
        let key = [step.value % 20];
        match step.then & 7 {
            0 => drop(limiter.take(3, 8, &key, step.value)),
            1 => drop(limiter.peek(3, 8, &key, 1)),
            2 => drop(limiter.reset(3, 8, &key)),
            3 => {
                let _recorded = histogram.record(step.value, 1);
            }
            4 => {
                let _summary = histogram.summary();
            }
            5 => {
                let _percentile = histogram.percentile((step.value % 101) as f64);
            }
            6 => drop(histogram.buckets()),
            _ => histogram.reset(),
        }
    }
}

/// A lock of each kind: requests that do not wait, and all operations on them.
pub fn locks(data: &[u8]) {
    let kinds = [
        Kind::Lock,
        Kind::Semaphore,
        Kind::Condition,
        Kind::Barrier,
        Kind::Names,
    ];
    let kind = kinds[usize::from(data.first().copied().unwrap_or(0)) % kinds.len()];
    let mut segment = None;
    let opened = LockMemory::open(
        Design {
            kind,
            slots: 8,
            limit: 2,
        },
        |plan| {
            let made = ObjectSegment::anonymous(plan)?;
            segment = Some(Arc::clone(&made));
            Ok(made)
        },
    );
    let (Ok(memory), Some(segment)) = (opened, segment) else {
        return;
    };
    let me = OwnerId::current();
    let host = Host::default();
    let mut made = Vec::new();
    for step in steps(data) {
        scribble(&segment, &step);
        // A guard that seems to be held by a live thread would be waited for, a second each time, as it
        // should be.
        if segment
            .body()
            .iter()
            .take(16)
            .any(|word| word.load(Ordering::Relaxed) == me.word())
        {
            return;
        }
        let Some(table) = memory.table() else { return };
        let name = [step.value as u8 & 3];
        match step.then & 7 {
            0 | 1 => {
                let ask = Ask {
                    me,
                    pid: std::process::id(),
                    mode: if step.value & 1 == 0 {
                        Mode::Exclusive
                    } else {
                        Mode::Shared
                    },
                    permits: 1,
                    name: if kind == Kind::Names { &name } else { b"" },
                    waiting: if step.then & 1 == 0 {
                        Waiting::Never
                    } else {
                        Waiting::Bell
                    },
                    steal: step.value & 2 == 2,
                    parent: 0,
                };
                made.extend(table.request(&ask, &host).ok().map(|request| request.id));
            }
            2 => drop(made.pop().map(|id| table.release(id, me, &host))),
            3 => drop(made.pop().map(|id| table.cancel(id, me, &host))),
            4 => drop(table.notify(step.place as u32 & 7, me, &host)),
            5 => drop(table.query(me, &host)),
            6 => drop(table.reap_now(me, &host)),
            _ => drop((table.note_run(u128::from(step.value), me, &host), table.is_done())),
        }
    }
}
