//! The C library's allocator, which JavaScript's ArrayBuffers come from.
//!
//! Glibc gives free memory at the end of a heap back to the system as soon as it exceeds a threshold. A stream of
//! buffers of a mebibyte is freed in batches, whenever garbage is collected, so each batch would go back and be
//! faulted in again page by page, at several times the cost of copying. The threshold follows the largest block
//! that was ever freed: so does every program that once had a large buffer.

/// Freed memory up to this size stays with the allocator, as after freeing any block of half the size.
#[cfg(target_env = "gnu")]
const KEPT_BYTES: usize = 64 << 20;

/// Makes the allocator keep free memory for the next large buffers. Does it once; elsewhere than on glibc, never.
pub fn keep_free_memory() {
    #[cfg(target_env = "gnu")]
    {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            // Glibc learns from blocks up to 32 MiB, the header and the padding to pages included. Memory that is
            // never touched costs two system calls.
            let block: Vec<u8> = Vec::with_capacity(KEPT_BYTES / 2 - (64 << 10));
            drop(std::hint::black_box(block));
        });
    }
}

/// Gives all free memory back to the system.
pub fn give_free_memory_back() {
    #[cfg(target_env = "gnu")]
    {
        extern "C" {
            fn malloc_trim(pad: usize) -> std::ffi::c_int;
        }
        // SAFETY: may be called at any time, from any thread.
        unsafe { malloc_trim(0) };
    }
}

/// From so many bytes on the C library maps memory for each allocation, and unmaps it when that is freed.
pub const OWN_MAPPING_BYTES: usize = 32 << 20;

/// The size of large pages, or a multiple of it, where they are not used for everything anyway.
const HUGE_PAGE_BYTES: usize = 2 << 20;

/// Asks for large pages under memory that has just been allocated, and not been touched: each page is a fault, and
/// those of the usual size take several times as long as the copy that goes there. Does nothing for memory that shares a
/// mapping with others, or where the system has no such pages.
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
    // SAFETY: within the caller's memory; the advice changes neither what is in it nor how it may be accessed.
    let _advised = unsafe { rustix::mm::madvise(memory.with_addr(start).cast(), len, advice) };
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

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
