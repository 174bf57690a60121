//! The memory and bells shared by the caller and a worker's process, based on [`crate::ring::process`].

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use super::cells::{Cell, CELLS};
use crate::ring::lane::Memory;
use crate::ring::process::{self, Ends, Passed};
use crate::shm::segment::page_size;
use crate::sys::eventfd::EventFd;

pub use crate::ring::process::PASSED;

/// Capacity of each ring in bytes. Longer frames pass through it in pieces.
const CAPACITY: usize = 1 << 20;

/// The control words followed by the cells; only the cells of the lane to the worker are used.
fn header_len() -> usize {
    let page = page_size();
    page + (CELLS * size_of::<Cell>()).next_multiple_of(page)
}

/// The caller's ends, and the descriptors for the worker. `bell` rings for reports of any worker.
///
/// # Errors
/// EMFILE or ENFILE without free descriptors, ENOMEM without address space.
pub fn create(bell: &EventFd) -> io::Result<(Ends, Passed)> {
    let bell = EventFd::from_owned(bell.as_fd().try_clone_to_owned()?);
    process::create_with(CAPACITY, header_len(), bell)
}

/// The worker's ends, from inherited descriptors.
///
/// # Errors
/// `InvalidData` when they do not belong to such a link.
pub fn adopt(inherited: [OwnedFd; PASSED]) -> io::Result<Ends> {
    process::adopt_with(inherited, CAPACITY, header_len())
}

/// The cells in the memory of a lane to a worker.
pub struct Cells(Arc<Memory>);

impl Cells {
    /// The cells in a lane's memory.
    pub fn new(memory: &Arc<Memory>) -> Self {
        Self(Arc::clone(memory))
    }

    /// The cell with this number, if there is one.
    pub fn get(&self, number: u32) -> Option<&Cell> {
        let number = number as usize;
        let offset = page_size() + number * size_of::<Cell>();
        if number >= CELLS || self.0.ring_offset() < offset + size_of::<Cell>() {
            return None;
        }
        let address = self.0.as_ptr().wrapping_add(offset).cast::<Cell>();
        // SAFETY: checked to be within the lane's header, aligned because pages and cells are, and alive as
        // long as `self`; a cell consists of atomics, for which any bit pattern is valid.
        Some(unsafe { &*address })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_see_the_cells() {
        let (caller, passed) = create(&EventFd::new().unwrap()).unwrap();
        let worker = adopt(passed.into_fds()).unwrap();
        let (mine, theirs) = (
            Cells::new(caller.sender.memory()),
            Cells::new(worker.receiver.memory()),
        );
        for number in [0, 1, CELLS as u32 - 1] {
            mine.get(number).unwrap().transition_to_offered();
            assert!(theirs.get(number).unwrap().transition_to_claimed(5));
            assert_eq!(mine.get(number).unwrap().running_since(), Some(5));
        }
        assert!(mine.get(CELLS as u32).is_none());
    }
}
