//! Segments whose headers were overwritten, opened as the same or another kind of object.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use manycore_core::array::numbers::NumberType;
use manycore_core::array::shared::{Array, ElementType};
use manycore_core::channel::shared::{Queue, CHANNEL};
use manycore_core::counter::Counter;
use manycore_core::histogram::scale::Scale;
use manycore_core::histogram::shared::Histogram;
use manycore_core::limit::limiter::{Limiter, Rules};
use manycore_core::lock::layout::Kind;
use manycore_core::lock::memory::{Design, LockMemory};
use manycore_core::shm::object::{ObjectSegment, Plan};
use manycore_core::shm::OpenError;
use manycore_core::table::map::{Options, Table};

use super::steps;

/// Number of header words with a meaning: its own, and the object's parameters.
const WORDS: usize = 80;
const KINDS: u8 = 7;

type Open<'a> = &'a dyn Fn(&Plan) -> Result<Arc<ObjectSegment>, OpenError>;

/// Creates a segment and opens it by its handle after each write.
pub fn headers(data: &[u8]) {
    let kind = data.first().copied().unwrap_or(0) % KINDS;
    let Some(segment) = open(kind, &ObjectSegment::anonymous) else {
        return;
    };
    let handle = segment.handle();
    let number = handle.split('/').nth(2).unwrap_or_default();
    // Any process that can open the segment can write it.
    let Ok(file) = OpenOptions::new()
        .write(true)
        .open(format!("/proc/self/fd/{number}"))
    else {
        return;
    };
    for step in steps(data) {
        let at = (step.place % WORDS * 8) as u64;
        let mut word = [0; 8];
        if step.then & 0x40 != 0 {
            // Values near the original are more likely to be accepted.
            let _read = OpenOptions::new()
                .read(true)
                .open(format!("/proc/self/fd/{number}"))
                .and_then(|file| file.read_exact_at(&mut word, at));
            word = (u64::from_le_bytes(word).wrapping_add(step.value & 0xff)).to_le_bytes();
        } else {
            word = step.value.to_le_bytes();
        }
        let _written = file.write_all_at(&word, at);
        let asked = if step.then & 0x80 == 0 {
            kind
        } else {
            step.then % KINDS
        };
        let _opened = open(asked, &|plan| ObjectSegment::from_handle(&handle, plan.kind));
    }
}

/// Opens an object and performs operations that touch most of it.
fn open(kind: u8, by: Open) -> Option<Arc<ObjectSegment>> {
    let segment = match kind {
        0 => {
            let options = Options {
                capacity_bytes: 64 * 1024,
                shards: 1,
                entry_bytes: 64,
                evicts: false,
                ttl_ns: 0,
            };
            let table = Table::open(&options, by).ok()?;
            let mut target = [0; 16];
            let _read = table.get(&table.key(3, 8, &[7]), &mut target);
            let _scanned = table.scan(0, &mut target);
            let _stats = table.stats();
            Arc::clone(table.segment())
        }
        1 => {
            let array = Array::open(ElementType::Number(NumberType::Float64), 8, 4, by).ok()?;
            let _length = array.length();
            Arc::clone(array.segment())
        }
        2 => {
            let queue = Queue::open(CHANNEL, 512, 64, by).ok()?;
            let _pushed = queue.push(0, &[1; 24]);
            let _popped = queue.pop(&mut [0; 32]);
            Arc::clone(queue.segment())
        }
        3 => Arc::clone(Counter::open(5, by).ok()?.segment()),
        4 => {
            let histogram = Histogram::open(Scale::new(1, 100_000, 2)?, by).ok()?;
            let _recorded = histogram.record(50, 1);
            let _buckets = histogram.buckets();
            Arc::clone(histogram.segment())
        }
        5 => {
            let rules = Rules {
                slides: false,
                limit: 10,
                window_ns: 1_000_000,
                burst: 10,
            };
            let limiter = Limiter::open(rules, 16, by).ok()?;
            let _taken = limiter.take(3, 8, &[1], 1);
            Arc::clone(limiter.segment())
        }
        _ => {
            let design = Design {
                kind: Kind::Lock,
                slots: 8,
                limit: 2,
            };
            let mut opened = None;
            let memory = LockMemory::open(design, |plan| {
                let segment = by(plan)?;
                opened = Some(Arc::clone(&segment));
                Ok(segment)
            })
            .ok()?;
            let _table = memory.table();
            opened?
        }
    };
    Some(segment)
}
