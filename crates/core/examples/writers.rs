//! Measures how a table scales from one writer to two, depending on what the two have in common:
//!
//! ```sh
//! cargo run --release --package manycore-core --example writers
//! cargo run --release --package manycore-core --example writers -- 64
//! ```
//!
//! The argument is the number of shards. Each line shows nanoseconds per change, of both writers together,
//! and the speed-up over one writer. Values are medians of rounds in which all variants alternate.

#![allow(
    clippy::unwrap_used,
    reason = "a measurement program: there is nobody to report errors to"
)]

use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use manycore_core::shm::object::ObjectSegment;
use manycore_core::table::entry::NewValue;
use manycore_core::table::map::{Options, Table};
use manycore_core::table::shard::{Condition, Expiry};

const KEYS: usize = 10_000;
const CHANGES: usize = 500_000;
const ROUNDS: usize = 5;
const CAPACITY_BYTES: usize = 4 << 20;
/// Kind of the keys: one byte per character.
const LATIN1: u8 = 1;
const VALUE: NewValue<'static> = NewValue {
    kind: LATIN1,
    bytes: &[b'x'; 64],
};

/// Its words, and its length in bytes.
type Text = ([u64; 2], usize);

/// The table that a writer changes, and its keys.
type Writer<'a> = (&'a Table, &'a [Text]);

fn text(number: usize) -> Text {
    let text = format!("user:{number}");
    let mut bytes = [0; 16];
    bytes[..text.len()].copy_from_slice(text.as_bytes());
    let (words, _) = bytes.as_chunks::<8>();
    (
        [u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1])],
        text.len(),
    )
}

fn table(shards: usize) -> Table {
    let options = Options {
        capacity_bytes: CAPACITY_BYTES,
        shards,
        entry_bytes: 128,
        evicts: false,
        ttl_ns: 0,
    };
    Table::open(&options, ObjectSegment::anonymous).unwrap()
}

fn change(table: &Table, keys: &[Text], times: usize) {
    for (words, bytes) in keys.iter().cycle().take(times) {
        let key = table.key(LATIN1, *bytes, &words[..bytes.div_ceil(8)]);
        table.set(&key, &VALUE, Expiry::Never, Condition::Always).unwrap();
    }
}

/// Nanoseconds per change of concurrent writers, each with its table and keys.
fn measure(writers: &[Writer<'_>]) -> f64 {
    let barrier = Barrier::new(writers.len() + 1);
    thread::scope(|scope| {
        let threads: Vec<_> = writers
            .iter()
            .map(|(table, keys)| {
                let barrier = &barrier;
                scope.spawn(move || {
                    change(table, keys, keys.len());
                    barrier.wait();
                    change(table, keys, CHANGES);
                })
            })
            .collect();
        barrier.wait();
        let start = Instant::now();
        for thread in threads {
            thread.join().unwrap();
        }
        start.elapsed().as_nanos() as f64 / (CHANGES * writers.len()) as f64
    })
}

fn main() {
    let shards = std::env::args()
        .nth(1)
        .map_or(0, |number| number.parse().unwrap());
    let (table, other) = (table(shards), table(shards));
    let all: Vec<Text> = (0..KEYS).map(text).collect();
    change(&table, &all, KEYS);
    change(&other, &all, KEYS);

    let turned = [&all[KEYS / 2..], &all[..KEYS / 2]].concat();
    let shard_of = |(words, bytes): &Text| {
        let key = table.key(LATIN1, *bytes, &words[..bytes.div_ceil(8)]);
        (key.hash >> 48) as usize & (table.shards() - 1)
    };
    let is_low = |text: &Text| shard_of(text) < table.shards() / 2;
    let (low, high): (Vec<Text>, Vec<Text>) = all.iter().partition(|text| is_low(text));
    let (even, odd): (Vec<Text>, Vec<Text>) =
        all.iter().partition(|(words, _)| words[0].count_ones() % 2 == 0);

    let cases: [(&str, &[Writer<'_>]); 5] = [
        ("one writer", &[(&table, &all)]),
        ("two, each a table of its own", &[(&table, &all), (&other, &all)]),
        ("two, shards of their own", &[(&table, &low), (&table, &high)]),
        ("two, keys of their own", &[(&table, &even), (&table, &odd)]),
        ("two, the same keys", &[(&table, &all), (&table, &turned)]),
    ];
    let mut samples = vec![Vec::new(); cases.len()];
    for _ in 0..ROUNDS {
        for (samples, (_, writers)) in samples.iter_mut().zip(cases) {
            samples.push(measure(writers));
        }
    }
    let median = |samples: &mut Vec<f64>| {
        samples.sort_unstable_by(f64::total_cmp);
        samples[samples.len() / 2]
    };
    let alone = median(&mut samples[0]);
    println!("{} shards", table.shards());
    for (samples, (name, _)) in samples.iter_mut().zip(cases) {
        let each = median(samples);
        println!("{name:30} {each:6.1} ns  x {:.2}", alone / each);
    }
}
