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
use rustix::mm::{Advice, MapFlags, MremapFlags, ProtFlags};

use crate::sys::heap::HUGE_PAGE_BYTES;

/// Seals that fix the size once it has been checked.
const SIZE_SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW);

/// A mapping of a memfd. Unmapped on drop.
#[derive(Debug)]
pub struct Mapping {
    base: NonNull<u8>,
    /// Size of the address range; differs from `len` when a part is mapped twice, or not yet.
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

/// Sizes in bytes of the parts of a segment with a ring; multiples of [`page_size`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// What precedes the ring.
    pub header: usize,
    /// The part that is mapped twice.
    pub ring: usize,
    /// What follows the ring; may be 0. Mapped separately, see [`Mapping::of_store`].
    pub store: usize,
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

    /// Creates a zeroed segment with a header, a ring and a store. The ring is mapped twice in a row, so that a
    /// record that wraps around its end is contiguous in memory. Only the first page of the store is mapped,
    /// behind the mirror: [`Mapping::of_store`] maps what is needed of it.
    ///
    /// # Errors
    /// Those of [`Segment::create`].
    pub fn create_mirrored(name: &str, sizes: Sizes) -> io::Result<Self> {
        let len = sizes.total()?;
        Self::map(sealed_memfd(name, len)?, len, Some(sizes))
    }

    /// Maps a segment created elsewhere by [`Segment::create_mirrored`].
    ///
    /// # Errors
    /// Those of [`Segment::open`].
    pub fn open_mirrored(fd: OwnedFd, sizes: Sizes) -> io::Result<Self> {
        let len = sizes.total()?;
        check(&fd, len)?;
        Self::map(fd, len, Some(sizes))
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

    fn map(fd: OwnedFd, len: usize, mirrored: Option<Sizes>) -> io::Result<Self> {
        let Some(Sizes { header, ring, store }) = mirrored else {
            let mapping = Mapping::reserve(len, len)?;
            mapping.map_over(&fd, 0, len, 0)?;
            return Ok(Self { mapping, fd });
        };
        let first_of_store = store.min(page_size());
        let mapped_len = ring
            .checked_mul(2)
            .and_then(|both| both.checked_add(header + first_of_store))
            .ok_or(io::ErrorKind::InvalidInput)?;
        let mapping = Mapping::reserve(mapped_len, len)?;
        mapping.map_over(&fd, 0, header + ring, 0)?;
        mapping.map_over(&fd, header + ring, ring, header)?;
        if store > 0 {
            mapping.map_over(&fd, header + 2 * ring, first_of_store, header + ring)?;
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

    /// Accessible bytes from [`Mapping::as_ptr`] on: `len()`, or the header, the ring, its mirror and the first page
    /// of the store.
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

    /// Maps the first `len` bytes of the store of a segment that `self` is a mirrored mapping of, from its first page, so
    /// that no descriptor has to be kept open for it.
    ///
    /// # Errors
    /// `InvalidInput` for sizes other than the segment's, or if `len` is 0 or more than the store has; those of `mremap`,
    /// ENOMEM without address space.
    pub fn of_store(&self, sizes: Sizes, len: usize) -> io::Result<Self> {
        let at = self.mapped_len.saturating_sub(page_size());
        let is_ours = sizes.total()? == self.len && sizes.header + 2 * sizes.ring == at;
        if len == 0 || len > sizes.store || !is_ours {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let first = self.base.as_ptr().wrapping_add(at);
        // SAFETY: with an old size of 0, the kernel leaves the shared mapping as it is and maps the same file from the
        // same page on, at an address of its choice. The file has `len` bytes there, and its size is sealed.
        let base = unsafe { rustix::mm::mremap(first.cast(), 0, len, MremapFlags::MAYMOVE) }?;
        let base = NonNull::new(base.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self {
            base,
            mapped_len: len,
            len,
        })
    }

    /// Returns the pages of a range to the system; they read as zeros afterwards, in all mappings of the segment. Offset and
    /// length are in bytes of the address range and multiples of [`page_size`].
    ///
    /// # Errors
    /// `InvalidInput` for any other range; those of `madvise`.
    pub fn discard(&self, at: usize, len: usize) -> io::Result<()> {
        let is_inside = at.checked_add(len).is_some_and(|end| end <= self.mapped_len);
        if !is_inside || !at.is_multiple_of(page_size()) || !len.is_multiple_of(page_size()) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let address = self.base.as_ptr().wrapping_add(at);
        // SAFETY: checked to lie inside the mapping, whose users expect it to change at any time.
        unsafe { rustix::mm::madvise(address.cast(), len, Advice::LinuxRemove) }?;
        Ok(())
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
        // SAFETY: the range was reserved by `reserve` or mapped by `of_store`, and users of the pointer keep the mapping alive.
        // Unmapping a mapped range cannot fail, and a failure would only leak it.
        let _unmapped = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.mapped_len) };
    }
}

/// The page size in bytes, the granularity of mappings: 4 KiB on x64, up to 64 KiB on arm64.
pub fn page_size() -> usize {
    rustix::param::page_size()
}

impl Sizes {
    /// Size of the segment.
    fn total(&self) -> io::Result<usize> {
        let parts = [self.header, self.ring, self.store];
        if self.ring == 0 || !parts.iter().all(|len| len.is_multiple_of(page_size())) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a multiple of the page size",
            ));
        }
        let total = self.header.checked_add(self.ring);
        total
            .and_then(|len| len.checked_add(self.store))
            .ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }
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
        let sizes = |store| Sizes {
            header: page,
            ring: 2 * page,
            store,
        };
        let one = Segment::create_mirrored("test", sizes(0)).unwrap();
        assert_eq!(one.len(), 3 * page);
        assert_eq!(one.mapped_len(), 5 * page);
        write(&one, page, 1);
        write(&one, 5 * page - 1, 2);
        assert_eq!(read(&one, 3 * page), 1);
        assert_eq!(read(&one, 3 * page - 1), 2);
        let two = Segment::open_mirrored(clone_of(&one), sizes(0)).unwrap();
        assert_eq!(read(&two, 3 * page), 1);
        assert!(Segment::open_mirrored(clone_of(&one), sizes(page)).is_err());
    }

    #[test]
    fn the_store_is_mapped_on_its_own_and_can_be_emptied() {
        let page = page_size();
        let sizes = Sizes {
            header: page,
            ring: page,
            store: 4 * page,
        };
        let one = Segment::create_mirrored("test", sizes).unwrap();
        let two = Segment::open_mirrored(clone_of(&one), sizes).unwrap();
        assert_eq!((one.len(), one.mapped_len()), (6 * page, 4 * page));
        let (mapping, its_mapping) = (one.into_mapping(), two.into_mapping());
        let store = its_mapping.of_store(sizes, 4 * page).unwrap();
        let its_store = mapping.of_store(sizes, 4 * page).unwrap();
        drop(its_mapping);
        // They outlive the mappings that they were made from.
        drop(mapping);
        assert_eq!((store.len(), store.mapped_len()), (4 * page, 4 * page));
        let (last, its_last) = (
            store.as_ptr().wrapping_add(4 * page - 1),
            its_store.as_ptr().wrapping_add(4 * page - 1),
        );
        // SAFETY: the last byte of the one mapping.
        unsafe { last.write_volatile(3) };
        // SAFETY: the last byte of the other one.
        assert_eq!(unsafe { its_last.read_volatile() }, 3);
        store.discard(0, 3 * page).unwrap();
        // SAFETY: as above.
        assert_eq!(unsafe { its_last.read_volatile() }, 3);
        store.discard(3 * page, page).unwrap();
        // SAFETY: as above.
        assert_eq!(unsafe { its_last.read_volatile() }, 0);
        for (at, len) in [
            (3 * page, 2 * page),
            (1, page),
            (page, 1),
            (usize::MAX - page + 1, page),
        ] {
            assert_eq!(
                store.discard(at, len).unwrap_err().kind(),
                io::ErrorKind::InvalidInput
            );
        }
    }

    #[test]
    fn a_store_is_mapped_with_its_own_sizes_only() {
        let page = page_size();
        let sizes = |ring, store| Sizes {
            header: page,
            ring: ring * page,
            store: store * page,
        };
        let mapping = Segment::create_mirrored("test", sizes(1, 2))
            .unwrap()
            .into_mapping();
        for len in [page, 2 * page] {
            assert_eq!(mapping.of_store(sizes(1, 2), len).unwrap().mapped_len(), len);
        }
        for (other, len) in [
            (sizes(1, 2), 0),
            (sizes(1, 2), 3 * page),
            (sizes(1, 0), page),
            (sizes(1, 3), page),
            (sizes(2, 1), page),
        ] {
            let error = mapping.of_store(other, len).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
        let without = Segment::create_mirrored("test", sizes(1, 0))
            .unwrap()
            .into_mapping();
        assert!(without.of_store(sizes(1, 0), page).is_err());
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
        let most = usize::MAX - page + 1;
        for (header, ring, store) in [
            (1, page, 0),
            (page, 1, 0),
            (page, 0, page),
            (most, page, 0),
            (page, page, 1),
            (page, page, most),
        ] {
            let error = Segment::create_mirrored("test", Sizes { header, ring, store }).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }
}
