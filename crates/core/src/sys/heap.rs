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
