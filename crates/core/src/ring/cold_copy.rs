//! Copies to memory that is in no processor's cache, with non-temporal stores.
//!
//! An ordinary store first fetches the target's cache line and evicts another, which has to be written back.
//! So a copy to memory that has not been used for long transfers its bytes three times and evicts the source
//! as well. Non-temporal stores transfer them once. The reader then fetches the bytes from memory rather than
//! from the writer's cache, at about the same cost; so this is meant only for memory that is recycled in
//! large amounts.

use std::ptr::{self, NonNull};

/// Shorter copies use ordinary stores, as data that is read soon is best left in the cache.
const MIN_LEN: usize = 64 << 10;

/// Copies `len` bytes. The copy is visible to a thread that synchronises with a later Release store or unlock of this
/// one.
///
/// # Safety
/// `source` must be valid for reads and `target` for writes of `len` bytes; they must not overlap, and nobody else may
/// access the target meanwhile. Another process may write to the source, which only affects the bytes that are copied.
pub unsafe fn copy(source: NonNull<u8>, target: NonNull<u8>, len: usize) {
    #[cfg(target_arch = "x86_64")]
    if len >= MIN_LEN {
        // SAFETY: guaranteed by the caller.
        return unsafe { stream(source.as_ptr(), target.as_ptr(), len) };
    }
    // SAFETY: guaranteed by the caller.
    unsafe { ptr::copy_nonoverlapping(source.as_ptr(), target.as_ptr(), len) };
}

/// Copies with non-temporal stores.
///
/// # Safety
/// As for [`copy`].
#[cfg(target_arch = "x86_64")]
unsafe fn stream(source: *const u8, target: *mut u8, len: usize) {
    use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_sfence, _mm_stream_si128};
    const LINE: usize = 64;
    const REGISTER: usize = size_of::<__m128i>();

    let before = target.align_offset(LINE).min(len);
    // SAFETY: the start of both ranges.
    unsafe { ptr::copy_nonoverlapping(source, target, before) };
    let mut at = before;
    while len - at >= LINE {
        for _ in 0..LINE / REGISTER {
            // SAFETY: 16 bytes that end before `len`; SSE2 is available on every x86-64 processor.
            let bytes = unsafe { _mm_loadu_si128(source.wrapping_add(at).cast()) };
            // SAFETY: within the target and 16-byte aligned, at offset 0, 16, 32 or 48 of a 64-byte line.
            unsafe { _mm_stream_si128(target.wrapping_add(at).cast(), bytes) };
            at += REGISTER;
        }
    }
    // SAFETY: the rest of both ranges.
    unsafe { ptr::copy_nonoverlapping(source.wrapping_add(at), target.wrapping_add(at), len - at) };
    // SAFETY: SSE is available. The fence keeps later stores, such as the one that publishes the copy, from
    // overtaking the non-temporal ones.
    unsafe { _mm_sfence() };
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_arrive_and_no_others_change() {
        let source: Vec<u8> = (0..MIN_LEN + 1000).map(|at| (at % 251) as u8).collect();
        for from in [0, 1, 7, 16] {
            for offset in [0, 1, 8, 15, 16, 63, 64, 100] {
                for len in [0, 1, 100, MIN_LEN - 1, MIN_LEN, MIN_LEN + 1, MIN_LEN + 130] {
                    let source = source.get(from..from + len).unwrap();
                    let first = NonNull::new(source.as_ptr().cast_mut()).unwrap();
                    let mut target = vec![255; offset + len + 64];
                    let rest = target.get_mut(offset..).unwrap();
                    let start = NonNull::new(rest.as_mut_ptr()).unwrap();
                    // SAFETY: the target has room for the source and 64 more bytes from here on.
                    unsafe { copy(first, start, len) };
                    assert_eq!(target.get(offset..offset + len), Some(source));
                    assert!(target.iter().take(offset).all(|byte| *byte == 255));
                    assert!(target.iter().skip(offset + len).all(|byte| *byte == 255));
                }
            }
        }
    }
}
