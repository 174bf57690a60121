//! A sealed memfd and its mapping, optionally with the mirror that rings need. Segments of shared objects are
//! in `object`.
//!
//! May be called from any thread. Every process that holds the descriptor can write the memory at any time,
//! so nothing in it may be borrowed as `&T` except atomics, and every value read must be validated before
//! use. The size cannot change under the mapping: the creator seals the descriptor against growing and
//! shrinking, and an opener rejects an unsealed one, so an access never raises SIGBUS.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};

use crate::sys::heap::HUGE_PAGE_BYTES;

/// Seals that fix the size once it has been checked.
const SIZE_SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW);

/// A mapping of a memfd. Unmapped on drop.
#[derive(Debug)]
pub struct Mapping {
    base: NonNull<u8>,
    /// Size of the address range; larger than `len` when a part is mapped twice.
    mapped_len: usize,
    len: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread, and is accessed through raw pointers only.
unsafe impl Send for Mapping {}
// SAFETY: as above; shared references only give access to the address.
unsafe impl Sync for Mapping {}

/// A mapped memfd of fixed size, with the descriptor by which others can map it. Closed on drop.
#[derive(Debug)]
pub struct Segment {
    mapping: Mapping,
    fd: OwnedFd,
}

impl Segment {
    /// Creates a zeroed segment of `len` bytes. `name` is shown in `/proc/<pid>/maps` and has no other
    /// meaning.
    ///
    /// # Errors
    /// EMFILE or ENFILE without free descriptors, ENOMEM without address space, `InvalidInput` for a length
    /// of zero.
    pub fn create(name: &str, len: usize) -> io::Result<Self> {
        Self::map(sealed_memfd(name, len)?, len, None)
    }

    /// Maps a segment created elsewhere.
    ///
    /// # Errors
    /// `InvalidData` when the descriptor's size is not `len` or is not sealed.
    pub fn open(fd: OwnedFd, len: usize) -> io::Result<Self> {
        check(&fd, len)?;
        Self::map(fd, len, None)
    }

    /// Creates a zeroed segment of `header_len + ring_len` bytes, the last `ring_len` of which are mapped
    /// twice in a row, so that a record that wraps around the end of the ring is contiguous in memory. Both
    /// lengths must be multiples of [`page_size`].
    ///
    /// # Errors
    /// Those of [`Segment::create`].
    pub fn create_mirrored(name: &str, header_len: usize, ring_len: usize) -> io::Result<Self> {
        let len = mirrored_len(header_len, ring_len)?;
        Self::map(sealed_memfd(name, len)?, len, Some(header_len))
    }

    /// Maps a segment created elsewhere by [`Segment::create_mirrored`].
    ///
    /// # Errors
    /// Those of [`Segment::open`].
    pub fn open_mirrored(fd: OwnedFd, header_len: usize, ring_len: usize) -> io::Result<Self> {
        let len = mirrored_len(header_len, ring_len)?;
        check(&fd, len)?;
        Self::map(fd, len, Some(header_len))
    }

    /// The first byte, see [`Mapping::as_ptr`].
    pub fn as_ptr(&self) -> *mut u8 {
        self.mapping.as_ptr()
    }

    /// Size of the segment in bytes.
    pub fn len(&self) -> usize {
        self.mapping.len()
    }

    /// Always false: a segment has at least one byte.
    pub fn is_empty(&self) -> bool {
        self.mapping.is_empty()
    }

    /// See [`Mapping::mapped_len`].
    pub fn mapped_len(&self) -> usize {
        self.mapping.mapped_len()
    }

    /// Keeps the mapping and closes the descriptor, so that nobody else can map the segment by it.
    pub fn into_mapping(self) -> Mapping {
        self.mapping
    }

    fn map(fd: OwnedFd, len: usize, mirror_from: Option<usize>) -> io::Result<Self> {
        let mapped_len = match mirror_from {
            Some(start) => len.checked_add(len - start).ok_or(io::ErrorKind::InvalidInput)?,
            None => len,
        };
        let mapping = Mapping::reserve(mapped_len, len)?;
        mapping.map_over(&fd, 0, len, 0)?;
        if let Some(start) = mirror_from {
            mapping.map_over(&fd, len, len - start, start)?;
        }
        Ok(Self { mapping, fd })
    }
}

impl Mapping {
    /// The first byte. Valid for [`Mapping::mapped_len`] bytes as long as the mapping lives.
    pub fn as_ptr(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// Size of the segment in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Always false: a segment has at least one byte.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Accessible bytes from [`Mapping::as_ptr`] on: `len()`, plus the mirror if there is one.
    pub fn mapped_len(&self) -> usize {
        self.mapped_len
    }

    /// Maps the first `len` bytes of a file. If they can contain huge pages, the address is a multiple of their size, as
    /// otherwise the kernel maps huge pages piece by piece.
    ///
    /// # Errors
    /// Those of `mmap`; ENOMEM without address space.
    pub fn of_file(fd: &OwnedFd, len: usize) -> io::Result<Self> {
        let margin = if len < HUGE_PAGE_BYTES { 0 } else { HUGE_PAGE_BYTES };
        let room = len.checked_add(margin).ok_or(io::ErrorKind::InvalidInput)?;
        let mut mapping = Self::reserve(room, len)?;
        if margin > 0 {
            let start = mapping.base.addr().get();
            let before = start.next_multiple_of(HUGE_PAGE_BYTES) - start;
            mapping.cut(len.next_multiple_of(page_size()), before)?;
        }
        mapping.map_over(fd, 0, len, 0)?;
        Ok(mapping)
    }

    /// Cuts a reservation down to the `len` bytes from `before` on. Both are multiples of the page size.
    fn cut(&mut self, len: usize, before: usize) -> io::Result<()> {
        let rest = self.mapped_len.saturating_sub(before + len);
        if rest > 0 {
            let behind = self.base.as_ptr().wrapping_add(before + len);
            // SAFETY: the end of the reservation made by `reserve`, which nothing uses yet.
            unsafe { rustix::mm::munmap(behind.cast(), rest) }?;
            self.mapped_len -= rest;
        }
        if before > 0 {
            let start = self.base;
            self.base =
                NonNull::new(start.as_ptr().wrapping_add(before)).ok_or(io::ErrorKind::OutOfMemory)?;
            self.mapped_len -= before;
            // SAFETY: the beginning of the reservation, as above; it is no longer part of this mapping.
            unsafe { rustix::mm::munmap(start.as_ptr().cast(), before) }?;
        }
        Ok(())
    }

    /// Reserves the whole address range first, so that nothing else can take the mirror's place.
    fn reserve(mapped_len: usize, len: usize) -> io::Result<Self> {
        // SAFETY: a private reservation at an address chosen by the kernel touches no existing memory.
        let base = unsafe {
            rustix::mm::mmap_anonymous(
                ptr::null_mut(),
                mapped_len,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        }?;
        let base = NonNull::new(base.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self {
            base,
            mapped_len,
            len,
        })
    }

    /// Maps `len` bytes of the file, from `file_offset` on, over the reservation at offset `at`.
    fn map_over(&self, fd: &OwnedFd, at: usize, len: usize, file_offset: usize) -> io::Result<()> {
        debug_assert!(at + len <= self.mapped_len);
        let address = self.base.as_ptr().wrapping_add(at);
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::SHARED | MapFlags::FIXED;
        // SAFETY: the range lies inside the reservation made by `reserve`, which is not in use yet.
        unsafe { rustix::mm::mmap(address.cast(), len, protection, flags, fd, file_offset as u64) }?;
        Ok(())
    }
}

impl AsFd for Segment {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range was reserved by `reserve`, and users of the pointer keep the mapping alive.
        // Unmapping a mapped range cannot fail, and a failure would only leak it.
        let _unmapped = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.mapped_len) };
    }
}

/// The page size in bytes, the granularity of mappings: 4 KiB on x64, up to 64 KiB on arm64.
pub fn page_size() -> usize {
    rustix::param::page_size()
}

fn mirrored_len(header_len: usize, ring_len: usize) -> io::Result<usize> {
    let page = page_size();
    if !header_len.is_multiple_of(page) || !ring_len.is_multiple_of(page) || ring_len == 0 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a multiple of the page size",
        ));
    }
    header_len
        .checked_add(ring_len)
        .ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

fn sealed_memfd(name: &str, len: usize) -> io::Result<OwnedFd> {
    if len == 0 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a segment has at least one byte",
        ));
    }
    let fd = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    rustix::fs::ftruncate(&fd, len as u64)?;
    rustix::fs::fcntl_add_seals(&fd, SIZE_SEALS | SealFlags::SEAL)?;
    Ok(fd)
}

fn check(fd: &OwnedFd, len: usize) -> io::Result<()> {
    let refuse = |reason| Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    // Check the seals first: once they are in place, the size read below cannot change.
    match rustix::fs::fcntl_get_seals(fd) {
        Ok(seals) if seals.contains(SIZE_SEALS) => {}
        Ok(_) => return refuse("the size of the segment is not sealed"),
        Err(_) => return refuse("not a memfd"),
    }
    if len == 0 || rustix::fs::fstat(fd)?.st_size as u64 != len as u64 {
        return refuse("the segment has another size");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clone_of(segment: &Segment) -> OwnedFd {
        segment.as_fd().try_clone_to_owned().unwrap()
    }

    fn write(segment: &Segment, at: usize, value: u8) {
        assert!(at < segment.mapped_len());
        // SAFETY: within the bounds of the mapping.
        unsafe { segment.as_ptr().wrapping_add(at).write_volatile(value) };
    }

    fn read(segment: &Segment, at: usize) -> u8 {
        assert!(at < segment.mapped_len());
        // SAFETY: within the bounds of the mapping.
        unsafe { segment.as_ptr().wrapping_add(at).read_volatile() }
    }

    #[test]
    fn two_mappings_see_the_same_bytes() {
        let one = Segment::create("test", 10_000).unwrap();
        let two = Segment::open(clone_of(&one), 10_000).unwrap();
        assert_eq!(read(&one, 9_999), 0);
        write(&one, 9_999, 7);
        assert_eq!(read(&two, 9_999), 7);
        assert_ne!(one.as_ptr(), two.as_ptr());
        assert_eq!(one.len(), 10_000);
    }

    #[test]
    fn large_files_are_mapped_where_huge_pages_can_be() {
        let page = page_size();
        for len in [
            page,
            HUGE_PAGE_BYTES,
            2 * HUGE_PAGE_BYTES + page,
            HUGE_PAGE_BYTES + 1,
        ] {
            let file = clone_of(&Segment::create("test", len).unwrap());
            let mapping = Mapping::of_file(&file, len).unwrap();
            assert_eq!(mapping.len(), len);
            let is_aligned = mapping.as_ptr().addr().is_multiple_of(HUGE_PAGE_BYTES);
            assert!(is_aligned || len < HUGE_PAGE_BYTES);
            let again = Mapping::of_file(&file, len).unwrap();
            let (end, its_end) = (mapping.as_ptr(), again.as_ptr());
            // SAFETY: the last byte of the one mapping.
            unsafe { end.wrapping_add(len - 1).write_volatile(7) };
            // SAFETY: the last byte of the other one.
            assert_eq!(unsafe { its_end.wrapping_add(len - 1).read_volatile() }, 7);
        }
    }

    #[test]
    fn the_mirror_continues_the_ring() {
        let page = page_size();
        let one = Segment::create_mirrored("test", page, 2 * page).unwrap();
        assert_eq!(one.len(), 3 * page);
        assert_eq!(one.mapped_len(), 5 * page);
        write(&one, page, 1);
        write(&one, 5 * page - 1, 2);
        assert_eq!(read(&one, 3 * page), 1);
        assert_eq!(read(&one, 3 * page - 1), 2);
        let two = Segment::open_mirrored(clone_of(&one), page, 2 * page).unwrap();
        assert_eq!(read(&two, 3 * page), 1);
    }

    #[test]
    fn other_sizes_and_unsealed_files_are_refused() {
        let one = Segment::create("test", 4096).unwrap();
        for len in [0, 1, 4095, 4097, usize::MAX] {
            let error = Segment::open(clone_of(&one), len).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
        let unsealed = rustix::fs::memfd_create("test", MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::ftruncate(&unsealed, 4096).unwrap();
        assert_eq!(
            Segment::open(unsealed, 4096).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
        let (pipe, _writer) = rustix::pipe::pipe().unwrap();
        assert_eq!(
            Segment::open(pipe, 4096).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }

    #[test]
    fn the_size_cannot_be_changed_any_more() {
        let one = Segment::create("test", 4096).unwrap();
        assert!(rustix::fs::ftruncate(&one, 0).is_err());
        assert!(rustix::fs::ftruncate(&one, 8192).is_err());
    }

    #[test]
    fn impossible_lengths_are_errors() {
        assert_eq!(
            Segment::create("test", 0).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
        assert!(Segment::create("test", usize::MAX).is_err());
        let page = page_size();
        for (header, ring) in [(1, page), (page, 1), (page, 0), (usize::MAX - page + 1, page)] {
            let error = Segment::create_mirrored("test", header, ring).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }
}
