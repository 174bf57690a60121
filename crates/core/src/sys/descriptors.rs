//! How many more descriptors this process can open.
//!
//! The kernel assigns the lowest free number below the limit, so the highest free numbers are used last. `poll`
//! tells which numbers are free, for many of them in one system call; newer kernels also tell how many are open.
//!
//! May be called from any thread; the answer is outdated as soon as another one opens something.

use std::ffi::{c_int, c_ulong};

use rustix::fs::stat;
use rustix::process::{getrlimit, Resource};

/// Bit in [`Entry::found`] for a number that is not open.
const POLLNVAL: i16 = 0x20;

/// Numbers examined per system call.
const CHUNK: u32 = 1024;

/// The kernel's `struct pollfd`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Entry {
    number: c_int,
    wanted: i16,
    found: i16,
}

extern "C" {
    fn poll(entries: *mut Entry, count: c_ulong, timeout_ms: c_int) -> c_int;
}

/// The process's current limit: the lowest number that no new descriptor can have.
pub fn limit() -> u32 {
    let limit = getrlimit(Resource::Nofile).current;
    limit.map_or(i32::MAX as u32, |limit| limit.min(i32::MAX as u64) as u32)
}

/// How many descriptors the process has open. `None` if the kernel does not tell (before Linux 6.2).
pub fn open_count() -> Option<u32> {
    let directory = stat("/proc/self/fd").ok()?;
    u32::try_from(directory.st_size).ok().filter(|&count| count > 0)
}

/// Whether `count` descriptors can be opened now.
pub fn are_left(count: usize) -> bool {
    FreeNumbers::find(limit(), count).len() == count
}

/// Descriptor numbers that were free.
#[derive(Debug, Default)]
pub struct FreeNumbers(Vec<Entry>);

impl FreeNumbers {
    /// The `count` highest free numbers below `limit`, or all if there are fewer. Takes time in proportion to the
    /// number of open descriptors above them.
    pub fn find(limit: u32, count: usize) -> Self {
        let mut free = Vec::with_capacity(count);
        // Most often those at the top are all free.
        let mut chunk = CHUNK.min(u32::try_from(count).unwrap_or(CHUNK)).max(1);
        let mut top = limit;
        while top > 0 && free.len() < count {
            let bottom = top.saturating_sub(chunk);
            let mut entries: Vec<Entry> = (bottom..top).rev().map(entry).collect();
            ask(&mut entries);
            let missing = count - free.len();
            free.extend(entries.into_iter().filter(is_free).take(missing));
            (top, chunk) = (bottom, CHUNK);
        }
        Self(free)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all of them are still free.
    pub fn are_still_free(&mut self) -> bool {
        ask(&mut self.0);
        self.0.iter().all(is_free)
    }
}

fn entry(number: u32) -> Entry {
    Entry {
        // Below the limit, which is at most `i32::MAX`.
        number: number as c_int,
        wanted: 0,
        found: 0,
    }
}

fn is_free(entry: &Entry) -> bool {
    entry.found & POLLNVAL != 0
}

/// Fills in `found`. If the kernel has no memory for it, all numbers count as open.
fn ask(entries: &mut [Entry]) {
    for entry in entries.iter_mut() {
        entry.found = 0;
    }
    // SAFETY: the kernel reads and writes `entries.len()` entries there. Numbers that are not open are no error.
    let _reported = unsafe { poll(entries.as_mut_ptr(), entries.len() as c_ulong, 0) };
}
