//! Tuning of the C library's allocator, from which JavaScript's ArrayBuffers come.
//!
//! Glibc returns free memory at the top of a heap to the system once it exceeds a threshold. A stream of
//! buffers of 1 MiB is freed in batches, one per garbage collection, so each batch would be returned and then
//! faulted in again page by page, at several times the cost of the copy. The threshold adapts to the largest
//! block ever freed, as it does in any program that has once freed a large buffer.

use std::ffi::{c_int, c_void};

/// Free memory of up to this size stays with the allocator, as after freeing any block of half the size.
#[cfg(target_env = "gnu")]
const KEPT_BYTES: usize = 64 << 20;

/// Makes the allocator retain free memory for the next large buffers. Takes effect once; does nothing without
/// glibc.
pub fn keep_free_memory() {
    #[cfg(target_env = "gnu")]
    {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            // Glibc adapts to blocks of up to 32 MiB, including the header and page padding. The block is
            // never touched, so this costs two system calls.
            let block: Vec<u8> = Vec::with_capacity(KEPT_BYTES / 2 - (64 << 10));
            drop(std::hint::black_box(block));
        });
    }
}

/// Returns all free memory to the system.
pub fn give_free_memory_back() {
    #[cfg(target_env = "gnu")]
    {
        extern "C" {
            fn malloc_trim(pad: usize) -> std::ffi::c_int;
        }
        // SAFETY: may be called at any time from any thread.
        unsafe { malloc_trim(0) };
    }
}

/// From this size on, the C library maps each allocation separately and unmaps it when it is freed.
pub const OWN_MAPPING_BYTES: usize = 32 << 20;

/// Size of a huge page, or a multiple of it.
pub const HUGE_PAGE_BYTES: usize = 2 << 20;

/// Requests huge pages for freshly allocated, untouched memory: faulting in pages of the usual size takes
/// several times as long as the copy into them. Does nothing for memory that may share a mapping with other
/// allocations, or where the system has no huge pages.
pub fn use_huge_pages(memory: *mut u8, len: usize) {
    if len < OWN_MAPPING_BYTES {
        return;
    }
    let start = memory.addr().next_multiple_of(HUGE_PAGE_BYTES);
    let end = (memory.addr() + len) & !(HUGE_PAGE_BYTES - 1);
    let Some(len) = end.checked_sub(start).filter(|len| *len > 0) else {
        return;
    };
    let advice = rustix::mm::Advice::LinuxHugepage;
    // SAFETY: within the caller's memory; the advice changes neither its contents nor its protection.
    let _advised = unsafe { rustix::mm::madvise(memory.with_addr(start).cast(), len, advice) };
}

/// Moves `HUGE_PAGE_BYTES` of mapped shared memory into a huge page. Returns false when the kernel does not (before
/// Linux 6.1, or without a free huge page). Takes some 100 us, in which accesses to this memory wait.
pub fn collapse(memory: *mut u8) -> bool {
    const MADV_COLLAPSE: c_int = 25;
    extern "C" {
        fn madvise(address: *mut c_void, length: usize, advice: c_int) -> c_int;
    }
    // SAFETY: changes neither the contents of memory nor its protection; unmapped memory is an error.
    unsafe { madvise(memory.cast(), HUGE_PAGE_BYTES, MADV_COLLAPSE) == 0 }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_not_mapped_is_not_collapsed() {
        assert!(!collapse(std::ptr::null_mut::<u8>().with_addr(HUGE_PAGE_BYTES)));
    }

    #[test]
    fn advised_memory_is_what_it_was() {
        for len in [1, OWN_MAPPING_BYTES, OWN_MAPPING_BYTES + (5 << 20) + 1] {
            let mut memory: Vec<u8> = Vec::with_capacity(len);
            use_huge_pages(memory.as_mut_ptr(), memory.capacity());
            memory.resize(len, 7);
            assert!(memory.iter().all(|byte| *byte == 7));
        }
    }
}
