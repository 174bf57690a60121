//! A pool's caller and a worker's process, and an attacker that writes into the two lanes between them:
//! control words, cells and frames.

use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU32, Ordering};

use manycore_core::queue::{Kind, Limits, Scheduler, Target, Task, TaskKind};
use manycore_core::remote::{Dispatch, RemoteWorker, CELLS, PASSED};
use manycore_core::ring::doorbell::Consumer;
use manycore_core::ring::lane::Memory;
use manycore_core::ring::process::{adopt_with, Ends};
use manycore_core::shm::segment::page_size;

use super::{steps, Step};

/// The layout of a pool's link: cells of 16 bytes after the control words, and a ring of 1 MiB.
const CELL_BYTES: usize = CELLS * 16;
const RING_BYTES: usize = 1 << 20;
/// The control words: head, tail, asleep, overflowed, taken, closed, waiting.
const CONTROL: [usize; 7] = [0, 128, 256, 384, 512, 640, 768];
/// Maximum number of tasks, and of ring words that are overwritten.
const SLOTS: u64 = 16;
const RING_WORDS: usize = 256;

fn inherited(numbers: [RawFd; PASSED]) -> Option<[OwnedFd; PASSED]> {
    let copies = numbers.map(|number| {
        // SAFETY: the caller keeps it open, as its worker has yet to inherit it.
        let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
        borrowed.try_clone_to_owned()
    });
    let [a, b, c, d] = copies;
    Some([a.ok()?, b.ok()?, c.ok()?, d.ok()?])
}

/// The words of a lane, as seen by another process.
fn words(memory: &Memory) -> &[AtomicU32] {
    // SAFETY: the mapping is page-aligned, of that length and lives as long as `memory`; any bit pattern is
    // valid for atomics.
    unsafe { std::slice::from_raw_parts(memory.as_ptr().cast::<AtomicU32>(), memory.mapped_len() / 4) }
}

fn scribble(attacker: &Ends, step: &Step) {
    let memory = if step.then & 0x80 == 0 {
        attacker.sender.memory()
    } else {
        attacker.receiver.memory()
    };
    let place = step.place >> 2;
    let at = match step.place & 3 {
        0 => CONTROL[place % CONTROL.len()],
        1 => page_size() + place % CELL_BYTES / 4 * 4,
        _ => memory.ring_offset() + place % RING_WORDS * 4,
    };
    let Some(word) = words(memory).get(at / 4) else {
        return;
    };
    if step.then & 0x40 == 0 {
        word.store(step.value as u32, Ordering::Relaxed);
    } else {
        word.fetch_add(step.value as u32 & 0xff, Ordering::Relaxed);
    }
}

/// Whatever the attacker writes, the caller gets reports or learns that the worker's process wrote invalid
/// data.
pub fn processes(data: &[u8]) {
    let limits = Limits {
        concurrency: 2,
        tasks: 0,
    };
    let Ok(caller) = Dispatch::new(limits) else { return };
    let Ok(number) = caller.add_worker() else { return };
    let header = page_size() + CELL_BYTES.next_multiple_of(page_size());
    let both = caller.passed(number, b"startup!").and_then(|numbers| {
        let worker = RemoteWorker::adopt(inherited(numbers)?).ok()?;
        let attacker = adopt_with(inherited(numbers)?, RING_BYTES, header).ok()?;
        Some((worker, attacker))
    });
    let Some((worker, attacker)) = both else {
        panic!("the link of a pool is made in another way");
    };
    worker.tell(Kind::Ready, 0, &[]);
    let mut target = vec![0; 4096];
    for step in steps(data) {
        scribble(&attacker, &step);
        let slot = (step.value % SLOTS) as u32;
        match step.then & 7 {
            0 => {
                let body = step.value.to_le_bytes().repeat(1 + step.place % 40);
                let _pushed = caller.push(Task::new(TaskKind::Call, slot, &body), Target::Any, 0.0);
            }
            1 => drop(worker.pull()),
            2 => drop(worker.complete(Kind::Result, slot, &step.value.to_le_bytes())),
            3 => {
                // A long frame may have arrived completely, piece by piece.
                if let Err(needed) = caller.take(&mut target, &mut Vec::new()) {
                    target.resize(needed.min(RING_BYTES), 0);
                }
            }
            4 => drop((caller.cancel(slot), caller.abort(slot), caller.running_for(slot))),
            5 => drop(worker.tell(Kind::Event, slot, &[1, 2, 3])),
            6 => drop((caller.begun(number), caller.loads(), caller.waiting())),
            _ => {
                worker.begin_sleep();
                let _seen = (
                    worker.is_pending(),
                    worker.is_aborted(slot),
                    worker.signalled_at(),
                );
                worker.transition_to_awake();
                worker.clear_bell();
            }
        }
    }
    drop(caller.abandon(number));
}
