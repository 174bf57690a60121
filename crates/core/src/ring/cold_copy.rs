//! Copying into memory that no processor has in its caches, past them.
//!
//! An ordinary store fetches the line it goes to, and each of those displaces another, which has to be written back: a
//! copy to memory that has not been touched for long moves its bytes three times, and the source out of the cache as well.
//! Stores past the caches move them once. Whoever reads them then fetches them from memory, instead of from the caches of
//! the processor that wrote them, at about the same cost; so they are for memory that goes round in large stocks only.

use std::ptr::{self, NonNull};

/// Copies of less are ordinary ones: what is read at once is best left in the caches.
pub const MIN_LEN: usize = 256 << 10;

/// Copies bytes. They are there for whoever learns of it by a later store with Release, or a lock.
///
/// # Safety
/// The target has room for as many bytes, which nobody else touches meanwhile, and which are not part of the source.
pub unsafe fn copy(source: &[u8], target: NonNull<u8>) {
    #[cfg(target_arch = "x86_64")]
    if source.len() >= MIN_LEN {
        // SAFETY: as the caller promises.
        return unsafe { stream(source, target.as_ptr()) };
    }
    // SAFETY: as the caller promises.
    unsafe { ptr::copy_nonoverlapping(source.as_ptr(), target.as_ptr(), source.len()) };
}

/// # Safety
/// As of [`copy`].
#[cfg(target_arch = "x86_64")]
unsafe fn stream(source: &[u8], target: *mut u8) {
    use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_sfence, _mm_stream_si128};
    const LINE: usize = 64;
    const REGISTER: usize = size_of::<__m128i>();

    let before = target.align_offset(LINE).min(source.len());
    let (head, rest) = source.split_at(before);
    let lines = rest.chunks_exact(LINE);
    let tail = lines.remainder();
    // SAFETY: within the target, which has room for the whole source.
    unsafe { ptr::copy_nonoverlapping(head.as_ptr(), target, head.len()) };
    // SAFETY: within the target, or at its end.
    let mut to = unsafe { target.add(before) };
    for line in lines {
        for part in line.chunks_exact(REGISTER) {
            // SAFETY: reads the 16 bytes of the part; SSE2 is there on every x86-64.
            let bytes = unsafe { _mm_loadu_si128(part.as_ptr().cast()) };
            // SAFETY: within the target, at a multiple of 16, for it is one of 64 and 0, 16, 32 or 48.
            unsafe { _mm_stream_si128(to.cast(), bytes) };
            // SAFETY: within the target, or at its end.
            to = unsafe { to.add(REGISTER) };
        }
    }
    // SAFETY: what is left of the source, which the target has room for.
    unsafe { ptr::copy_nonoverlapping(tail.as_ptr(), to, tail.len()) };
    // SAFETY: SSE is there. No later store, like the one that tells of the copy, overtakes those above.
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
                    let mut target = vec![255; offset + len + 64];
                    let rest = target.get_mut(offset..).unwrap();
                    let start = NonNull::new(rest.as_mut_ptr()).unwrap();
                    // SAFETY: the start of what has room for the source, and 64 bytes.
                    unsafe { copy(source, start) };
                    assert_eq!(target.get(offset..offset + len), Some(source));
                    assert!(target.iter().take(offset).all(|byte| *byte == 255));
                    assert!(target.iter().skip(offset + len).all(|byte| *byte == 255));
                }
            }
        }
    }
}
