//! Processes killed at each crash point of a critical section, and what the survivors find.
//!
//! The test program also runs as the process that dies: with `ROLE` in its environment, the one test that
//! reads it repeats the operations of that role until the crash point in `crash::VARIABLE` is reached.
#![cfg(not(loom))]
// These are tests and their helpers.
#![allow(clippy::unwrap_used)]

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::Arc;

use manycore_core::array::shared::{Array, ElementType, Elements};
use manycore_core::array::values::{NewValue as ArrayValue, Values};
use manycore_core::channel::ring::{QueueError, Taken};
use manycore_core::channel::shared::{Queue, CHANNEL};
use manycore_core::crash;
use manycore_core::limit::limiter::{Limiter, Rules};
use manycore_core::shm::object::{ObjectSegment, Plan};
use manycore_core::shm::owner_lock::System;
use manycore_core::shm::OpenError;
use manycore_core::table::entry::NewValue;
use manycore_core::table::map::{Options, Table};
use manycore_core::table::read::Read;
use manycore_core::table::shard::{Condition, Expiry};

const ROLE: &str = "MANYCORE_CRASH_ROLE";
const HANDLE: &str = "MANYCORE_CRASH_HANDLE";
const KEYS: u64 = 40;
const SIGKILL: i32 = 9;

const OPTIONS: Options = Options {
    capacity_bytes: 256 * 1024,
    shards: 1,
    entry_bytes: 64,
    evicts: false,
    ttl_ns: 0,
};
const RULES: Rules = Rules {
    slides: true,
    limit: 1000,
    window_ns: 1 << 62,
    burst: 1,
};

/// A value that shows whether it is complete.
fn value_of(key: u64, turn: u64) -> Vec<u8> {
    [key, turn]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .cycle()
        .take(16 * (1 + (turn % 7) as usize))
        .collect()
}

fn open_table(open: impl FnOnce(&Plan) -> Result<Arc<ObjectSegment>, OpenError>) -> Table {
    Table::open(&OPTIONS, open).unwrap()
}

fn set(table: &Table, key: u64, turn: u64) {
    let bytes = value_of(key, turn);
    let value = NewValue {
        kind: 0,
        bytes: &bytes,
    };
    table
        .set(&table.key(3, 8, &[key]), &value, Expiry::Never, Condition::Always)
        .unwrap();
}

/// The turn of the key's value, checked to be complete.
fn get(table: &Table, key: u64) -> Option<u64> {
    let mut words = [0; 16];
    match table.get(&table.key(3, 8, &[key]), &mut words).unwrap() {
        Read::Missing => None,
        Read::Found(found) => {
            let bytes = words.map(u64::to_le_bytes).concat();
            assert_eq!(bytes[..found.bytes], value_of(key, words[1]), "torn");
            Some(words[1])
        }
    }
}

fn use_table(table: &Table) {
    for turn in 1..5000 {
        for key in 0..KEYS {
            match (key + turn) % 5 {
                0 => drop(table.delete(&table.key(3, 8, &[key]), Condition::Always).unwrap()),
                _ => set(table, key, turn),
            }
        }
    }
}

/// Values of one length per key, so that each overwrites the one before.
fn overwrite(table: &Table) {
    for turn in (0..35_000).step_by(7) {
        for key in 0..KEYS {
            set(table, key, turn);
        }
    }
}

fn use_channel(queue: &Queue) {
    let mut words = [0; 16];
    for turn in 1..20_000 {
        let pushed = queue.push(0, &value_of(9, turn));
        assert!(matches!(pushed, Ok(()) | Err(QueueError::Full)));
        if turn % 3 > 0 {
            assert!(queue.pop(&mut words).is_ok());
        }
    }
}

fn use_limiter(limiter: &Limiter) {
    for turn in 0..20_000 {
        // More keys than there are places, so that places are reassigned.
        let _verdict = limiter.take(3, 8, &[turn], 1);
        limiter.take(3, 8, &[7], 1).unwrap();
    }
}

fn open_array(open: impl FnOnce(&Plan) -> Result<Arc<ObjectSegment>, OpenError>) -> Array {
    Array::open(ElementType::Value(128), 20, 0, open).unwrap()
}

fn values(array: &Array) -> Values<'_> {
    match array.elements().unwrap() {
        Elements::Values(values) => values,
        _ => panic!("an array of numbers"),
    }
}

fn use_array(array: &Array) {
    let values = values(array);
    let mut words = [0; 16];
    for turn in 1..20_000 {
        let bytes = value_of(9, turn);
        let value = ArrayValue {
            kind: 0,
            bytes: &bytes,
        };
        let index = turn as usize % 20;
        if values.set(&System, index, &value, None).is_err() {
            values.push(&System, &value).unwrap();
        }
        if turn % 5 == 0 {
            values.pop(&System, &mut words).unwrap();
        }
    }
}

/// Not a test by itself: the body of the process that dies.
#[test]
fn the_dying_process() {
    let (Ok(role), Ok(handle)) = (std::env::var(ROLE), std::env::var(HANDLE)) else {
        return;
    };
    let open = |plan: &Plan| ObjectSegment::from_handle(&handle, plan.kind);
    match role.as_str() {
        "table" => use_table(&open_table(open)),
        "overwriting" => overwrite(&open_table(open)),
        "channel" => use_channel(&Queue::open(CHANNEL, 4096, 20, open).unwrap()),
        "array" => use_array(&open_array(open)),
        "limiter" => use_limiter(&Limiter::open(RULES, 10, open).unwrap()),
        _ => panic!("no such role"),
    }
    // If it is not killed, the parent test sees the exit code.
}

/// Runs the role in a process that dies at the crash point.
fn die(role: &str, handle: &str, point: &str) {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_dying_process", "--test-threads", "1"])
        .env(ROLE, role)
        .env(HANDLE, handle)
        .env(crash::VARIABLE, point)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(
        status.signal(),
        Some(SIGKILL),
        "{role} did not die at {point}: {status}"
    );
}

#[test]
fn a_table_survives_a_writer_killed_at_any_named_point() {
    let table = open_table(ObjectSegment::anonymous);
    let handle = table.segment().handle();
    let points = [
        "store",
        "publish",
        "copy",
        "table.written",
        "table.linked",
        "table.retired",
        "table.removing",
    ];
    for point in points {
        for count in [1, 57, 333] {
            for key in 0..KEYS {
                set(&table, key, 0);
            }
            die("table", &handle, &format!("{point}:{count}"));
            // Readers do not wait for a repair, and every value they find is one that was set.
            let found = (0..KEYS).filter_map(|key| get(&table, key)).count();
            assert!(found as u64 >= KEYS * 3 / 5, "{point}: only {found}");
            // The next writer repairs the table, and then all of the memory is available again.
            set(&table, 1000, 1);
            let stats = table.stats().unwrap();
            assert_eq!(stats.entries, found as u64 + 1, "{point}");
            table.clear().unwrap();
            let stats = table.stats().unwrap();
            assert_eq!(
                (stats.entries, stats.block_bytes, stats.payload_bytes),
                (0, 0, 0),
                "{point}"
            );
        }
    }
}

#[test]
fn a_value_survives_one_killed_while_it_is_overwritten() {
    let table = open_table(ObjectSegment::anonymous);
    let handle = table.segment().handle();
    let points = [
        "store",
        "publish",
        "copy",
        "table.recorded",
        "table.named",
        "table.overwritten",
    ];
    let found = || (0..KEYS).map(|key| get(&table, key)).collect::<Vec<_>>();
    for point in points {
        for count in [1, 2, 3, 4, 5, 333] {
            for key in 0..KEYS {
                set(&table, key, 0);
            }
            die("overwriting", &handle, &format!("{point}:{count}"));
            // Readers do not wait for a repair, and what they have seen stays.
            let seen = found();
            assert!(seen.iter().all(Option::is_some), "{point}");
            set(&table, 1000, 1);
            assert_eq!(found(), seen, "{point}");
            assert_eq!(table.stats().unwrap().entries, KEYS + 1);
        }
    }
}

#[test]
fn a_table_survives_one_that_is_killed_while_it_cleans_up() {
    let table = open_table(ObjectSegment::anonymous);
    let handle = table.segment().handle();
    for key in 0..KEYS {
        set(&table, key, 3);
    }
    die("table", &handle, "table.linked:5");
    die("table", &handle, "table.repairing");
    for key in 0..KEYS {
        let turn = get(&table, key);
        assert!(matches!(turn, None | Some(1 | 3)), "{key}: {turn:?}");
    }
    set(&table, 1, 9);
    assert_eq!(get(&table, 1), Some(9));
}

#[test]
fn a_channel_survives_users_killed_at_any_named_point() {
    let queue = Queue::open(CHANNEL, 4096, 20, ObjectSegment::anonymous).unwrap();
    let handle = queue.segment().handle();
    for point in [
        "store",
        "publish",
        "copy",
        "queue.written",
        "queue.published",
        "queue.copied",
        "queue.taken",
    ] {
        for count in [1, 40, 111] {
            die("channel", &handle, &format!("{point}:{count}"));
            let records = queue.stats().unwrap().records;
            let mut words = [0; 16];
            let mut taken = 0;
            let mut newest = 0;
            while let Taken::Record { bytes, .. } = queue.pop(&mut words).unwrap() {
                let turn = words[1];
                assert_eq!(
                    words.map(u64::to_le_bytes).concat()[..bytes],
                    value_of(9, turn),
                    "torn"
                );
                assert!(turn > newest, "out of order");
                newest = turn;
                taken += 1;
            }
            assert_eq!(taken, records, "{point}");
            queue.push(0, &[]).unwrap();
            assert!(matches!(
                queue.pop(&mut words),
                Ok(Taken::Record { bytes: 0, .. })
            ));
        }
    }
}

#[test]
fn an_array_survives_users_killed_at_any_named_point() {
    let array = open_array(ObjectSegment::anonymous);
    let handle = array.segment().handle();
    let values = values(&array);
    for point in [
        "store",
        "publish",
        "copy",
        "array.written",
        "array.published",
        "array.counting",
        "array.counted",
    ] {
        for count in [1, 40, 111] {
            die("array", &handle, &format!("{point}:{count}"));
            let length = values.length().unwrap();
            let mut words = [0; 16];
            for index in 0..length {
                let found = values.get(&System, index, &mut words).unwrap().unwrap();
                assert_eq!(
                    words.map(u64::to_le_bytes).concat()[..found.bytes],
                    value_of(9, words[1]),
                    "torn"
                );
                let value = ArrayValue { kind: 0, bytes: &[] };
                values.set(&System, index, &value, None).unwrap();
            }
            for _ in 0..length {
                assert_eq!(values.pop(&System, &mut words).unwrap().unwrap().bytes, 0);
            }
            assert_eq!(values.pop(&System, &mut words), Ok(None), "{point}");
        }
    }
}

#[test]
fn a_limiter_survives_users_killed_at_any_named_point() {
    for point in [
        "publish",
        "limit.swap",
        "limit.claim",
        "limit.claimed",
        "limit.named",
    ] {
        let limiter = Limiter::open(RULES, 10, ObjectSegment::anonymous).unwrap();
        let handle = limiter.segment().handle();
        let mut allowed = 0;
        for count in [1, 4, 9] {
            die("limiter", &handle, &format!("{point}:{count}"));
            let verdict = limiter.take(3, 8, &[7], 1).unwrap();
            allowed += u64::from(verdict.allowed);
            assert!(verdict.remaining + allowed <= RULES.limit);
        }
        // Every place is usable.
        while limiter.take(3, 8, &[7], 1).unwrap().allowed {
            allowed += 1;
        }
        assert!(
            (RULES.limit - 60..=RULES.limit).contains(&allowed),
            "{point}: {allowed}"
        );
    }
}
