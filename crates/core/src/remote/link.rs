//! The memory and bells that the caller and a worker's process share, made on top of [`crate::ring::process`].

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use super::cells::{Cell, CELLS};
use crate::ring::lane::Memory;
use crate::ring::process::{self, Ends, Passed};
use crate::shm::segment::page_size;
use crate::sys::eventfd::EventFd;

pub use crate::ring::process::PASSED;

/// Room each way. Longer frames go through it bit by bit.
const CAPACITY: usize = 1 << 20;

/// The control words, then the cells; only those of the lane to the worker are used.
fn header_len() -> usize {
    let page = page_size();
    page + (CELLS * size_of::<Cell>()).next_multiple_of(page)
}

/// The caller's ends, and what the worker adopts. `bell` rings for reports of any worker.
///
/// # Errors
/// EMFILE and ENFILE without descriptors left, ENOMEM without address space.
pub fn create(bell: &EventFd) -> io::Result<(Ends, Passed)> {
    let bell = EventFd::from_owned(bell.as_fd().try_clone_to_owned()?);
    process::create_with(CAPACITY, header_len(), bell)
}

/// The worker's ends, from inherited descriptors.
///
/// # Errors
/// `InvalidData` when they are not those of such a link.
pub fn adopt(inherited: [OwnedFd; PASSED]) -> io::Result<Ends> {
    process::adopt_with(inherited, CAPACITY, header_len())
}

/// The cells in the memory of a lane to a worker.
pub struct Cells(Arc<Memory>);

impl Cells {
    /// Of the lane's memory.
    pub fn new(memory: &Arc<Memory>) -> Self {
        Self(Arc::clone(memory))
    }

    /// The cell of this number. `None` when there is none.
    pub fn get(&self, number: u32) -> Option<&Cell> {
        let number = number as usize;
        let offset = page_size() + number * size_of::<Cell>();
        if number >= CELLS || self.0.ring_offset() < offset + size_of::<Cell>() {
            return None;
        }
        let address = self.0.as_ptr().wrapping_add(offset).cast::<Cell>();
        // SAFETY: within the lane's header as was checked, aligned since pages and cells are, alive as long as
        // `self`; a cell is made of atomics, for which any bytes are valid.
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
