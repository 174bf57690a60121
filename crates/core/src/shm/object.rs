//! A segment that holds one shared object: a header page followed by the object's words.
//!
//! There are three kinds of segments: with a name in the user's directory, which any process of the user can
//! open; with a name known to this process only; and anonymous. The latter two are memfds, which the kernel
//! frees with their last user. Any segment can be passed to another process by a *handle*: a string that says
//! where to open it, valid as long as the process that issued it keeps the segment open. All memory is
//! allocated at creation, so an access never raises SIGBUS for lack of memory; a shortage is an error at
//! creation.
//!
//! May be called from any thread. As in `segment`, everything read from the memory must be validated before
//! use.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{FallocateFlags, MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;

use super::directory::{Directory, Name};
use super::header::{Header, Kind, HEADER_BYTES};
use super::segment::Mapping;
use super::OpenError;
use crate::sync::{AtomicU64, Ordering};
use crate::sys::heap::{collapse, HUGE_PAGE_BYTES};
use crate::sys::memory::available_bytes;

const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// Segments of this size and more are moved into huge pages.
const HUGE_FROM_BYTES: usize = 32 << 20;

/// Where a segment's name is visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In all processes of this user.
    Host,
    /// In this process only.
    Process,
}

/// How to treat a missing or existing segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Create {
    /// Open it; it must exist.
    Never,
    /// Open it, or create it if it does not exist.
    IfMissing,
    /// Create it; it must not exist.
    Always,
}

/// A mapped segment. Unmapped and closed when the last clone of its `Arc` is dropped.
#[derive(Debug)]
pub struct ObjectSegment {
    map: Mapping,
    fd: OwnedFd,
    /// The name and where it is visible.
    name: Option<(Name, Scope)>,
}

/// The parameters of a segment to be created.
pub struct Plan<'a> {
    /// The type of object.
    pub kind: Kind,
    /// Size of the object in bytes, without the header.
    pub body_bytes: usize,
    /// Initialises parameters and body, both zeroed.
    pub initialise: &'a dyn Fn(&ObjectSegment),
}

/// Segments with a name in this process only.
static OF_THIS_PROCESS: Mutex<Option<HashMap<String, Weak<ObjectSegment>>>> = Mutex::new(None);

/// Segments kept open for receivers that have not opened them yet, by identity.
static SENT: Mutex<Option<HashMap<u128, Sent>>> = Mutex::new(None);

/// Time of the last send, and the reference that keeps the segment open.
type Sent = (Instant, Arc<ObjectSegment>);

impl ObjectSegment {
    /// Creates an anonymous segment.
    ///
    /// # Errors
    /// `Io`: ENOMEM, ENOSPC, EMFILE.
    pub fn anonymous(plan: &Plan) -> Result<Arc<Self>, OpenError> {
        Ok(Self::with_huge_pages(Self::new_memfd(plan, None)?))
    }

    /// Opens or creates a named segment. An existing segment keeps its size, whatever the plan says.
    ///
    /// # Errors
    /// Any [`OpenError`].
    pub fn named(name: &Name, scope: Scope, create: Create, plan: &Plan) -> Result<Arc<Self>, OpenError> {
        match scope {
            Scope::Host => Self::of_host(name, create, plan),
            Scope::Process => Self::of_process(name, create, plan),
        }
    }

    fn of_host(name: &Name, create: Create, plan: &Plan) -> Result<Arc<Self>, OpenError> {
        let directory = Directory::open()?;
        loop {
            if create != Create::Always {
                match directory.file(name) {
                    Err(OpenError::NotFound) if create == Create::IfMissing => {}
                    file => {
                        let name = Some((name.clone(), Scope::Host));
                        return Self::open_file(file?, plan.kind, name).map(Arc::new);
                    }
                }
            }
            let file = directory.unnamed()?;
            let segment = Self::initialised(file, plan, Some((name.clone(), Scope::Host)))?;
            match directory.give_name(&segment.fd, name) {
                // Another creator was faster; use its segment.
                Err(OpenError::Exists) if create == Create::IfMissing => {}
                named => return named.map(|()| Self::with_huge_pages(segment)),
            }
        }
    }

    fn of_process(name: &Name, create: Create, plan: &Plan) -> Result<Arc<Self>, OpenError> {
        // A panic while the lock is held leaves the map consistent.
        let mut guard = OF_THIS_PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
        let known = guard.get_or_insert_default();
        if let Some(segment) = known.get(name.as_str()).and_then(Weak::upgrade) {
            if create == Create::Always {
                return Err(OpenError::Exists);
            }
            segment.header()?.check(plan.kind, segment.len() as u64)?;
            return Ok(segment);
        }
        if create == Create::Never {
            return Err(OpenError::NotFound);
        }
        known.retain(|_, segment| segment.strong_count() > 0);
        let segment = Self::with_huge_pages(Self::new_memfd(plan, Some((name.clone(), Scope::Process)))?);
        known.insert(name.as_str().to_owned(), Arc::downgrade(&segment));
        Ok(segment)
    }

    /// Removes a name of this process; open segments stay usable. Returns false when there is no such name.
    fn unlink_of_process(name: &Name) -> bool {
        let mut guard = OF_THIS_PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
        let forgotten = guard.get_or_insert_default().remove(name.as_str());
        forgotten.is_some_and(|segment| segment.strong_count() > 0)
    }

    /// All segments with a name in this process only, sorted by name.
    fn all_of_process() -> Vec<Arc<Self>> {
        let mut guard = OF_THIS_PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
        let mut segments: Vec<_> = guard.get_or_insert_default().iter().collect();
        segments.sort_unstable_by_key(|(name, _)| name.as_str());
        segments
            .into_iter()
            .filter_map(|(_, segment)| segment.upgrade())
            .collect()
    }

    fn new_memfd(plan: &Plan, name: Option<(Name, Scope)>) -> Result<Self, OpenError> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let fd = rustix::fs::memfd_create(format!("manycore-{}", plan.kind.name), flags)?;
        let segment = Self::initialised(fd, plan, name)?;
        rustix::fs::fcntl_add_seals(&segment.fd, SEALS)?;
        Ok(segment)
    }

    fn initialised(fd: OwnedFd, plan: &Plan, name: Option<(Name, Scope)>) -> Result<Self, OpenError> {
        let too_large = || OpenError::Io(Errno::NOMEM.into());
        let len = plan.body_bytes.checked_add(HEADER_BYTES).ok_or_else(too_large)?;
        let len = len.checked_next_multiple_of(HEADER_BYTES).ok_or_else(too_large)?;
        // A memfd may overcommit, and the kernel would then kill processes to provide the memory.
        if len as u64 > available_bytes() {
            return Err(too_large());
        }
        rustix::io::retry_on_intr(|| rustix::fs::fallocate(&fd, FallocateFlags::empty(), 0, len as u64))?;
        let segment = Self::map(fd, len, name)?;
        let header = segment.header()?;
        header.describe(plan.kind, len as u64);
        (plan.initialise)(&segment);
        header.publish(plan.kind);
        Ok(segment)
    }

    /// Moves a new segment that is large into huge pages, on a thread of its own: creating it takes no longer, and what is
    /// stored meanwhile moves along. Random accesses to large memory mostly wait for the tables of small pages. Without
    /// huge pages, or a thread, everything works as well.
    fn with_huge_pages(segment: Self) -> Arc<Self> {
        let segment = Arc::new(segment);
        if segment.len() >= HUGE_FROM_BYTES {
            let moving = Arc::downgrade(&segment);
            let _started = thread::Builder::new()
                .name("manycore-pages".into())
                .stack_size(64 * 1024)
                .spawn(move || {
                    let mut at = 0;
                    // A reference for one page at a time: the segment is closed when its users close it.
                    while moving.upgrade().is_some_and(|segment| segment.collapse_at(at)) {
                        at += HUGE_PAGE_BYTES;
                    }
                });
        }
        segment
    }

    /// Moves the memory at `at` into a huge page. Returns false at the end, and when the kernel does not.
    fn collapse_at(&self, at: usize) -> bool {
        at + HUGE_PAGE_BYTES <= self.len() && collapse(self.map.as_ptr().wrapping_add(at))
    }

    fn open_file(fd: OwnedFd, kind: Kind, name: Option<(Name, Scope)>) -> Result<Self, OpenError> {
        let len = usize::try_from(rustix::fs::fstat(&fd)?.st_size).unwrap_or(0);
        if len < HEADER_BYTES || !len.is_multiple_of(HEADER_BYTES) {
            return Err(OpenError::Corrupt("it has no size that a segment can have"));
        }
        let segment = Self::map(fd, len, name)?;
        segment.header()?.check(kind, len as u64)?;
        Ok(segment)
    }

    fn map(fd: OwnedFd, len: usize, name: Option<(Name, Scope)>) -> Result<Self, OpenError> {
        let map = Mapping::of_file(&fd, len)?;
        Ok(Self { map, fd, name })
    }

    /// Maps the same segment once more, at another address.
    ///
    /// # Errors
    /// `Io`: ENOMEM, EMFILE.
    pub fn map_again(&self) -> Result<Self, OpenError> {
        let fd = self.fd.try_clone()?;
        Self::map(fd, self.len(), self.name.clone())
    }

    /// Maps the first `bytes` bytes of the object once more, at another address.
    ///
    /// # Errors
    /// `Io`: ENOMEM.
    pub fn map_body(&self, bytes: usize) -> Result<MmapRaw, OpenError> {
        let bytes = bytes.min(self.body().len() * 8);
        let at = HEADER_BYTES as u64;
        Ok(MmapOptions::new().offset(at).len(bytes).map_raw(&self.fd)?)
    }

    /// Identifies the segment, however it was opened.
    pub fn identity(&self) -> u128 {
        self.header().map_or(0, Header::identity)
    }

    /// The handle by which another thread or process of this user can open the segment: its name, or a
    /// descriptor of this process, which must keep it open until then.
    pub fn handle(&self) -> String {
        match &self.name {
            Some((name, Scope::Host)) => format!("name/{}", name.as_str()),
            _ => {
                let (pid, fd) = (std::process::id(), self.fd.as_raw_fd());
                let identity = self.identity();
                format!("fd/{pid}/{fd}/{identity:032x}")
            }
        }
    }

    /// Like [`ObjectSegment::handle`], for a receiver that opens the segment later: a segment without a
    /// public name is kept open until [`release_sent`] drops it. A public name is combined with the segment's
    /// identity, so that a later segment of that name is not mistaken for it.
    pub fn travel_handle(self: &Arc<Self>) -> String {
        let identity = self.identity();
        if let Some((name, Scope::Host)) = &self.name {
            return format!("name/{}/{identity:032x}", name.as_str());
        }
        let mut guard = SENT.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = guard.get_or_insert_default();
        sent.insert(identity, (Instant::now(), Arc::clone(self)));
        self.handle()
    }

    /// Opens the segment of a handle.
    ///
    /// # Errors
    /// `NotFound` when the issuing process has ended or closed the segment, `InvalidName` for a malformed
    /// handle, or any other [`OpenError`].
    pub fn from_handle(handle: &str, kind: Kind) -> Result<Arc<Self>, OpenError> {
        if let Some(name) = handle.strip_prefix("name/") {
            let (name, identity) = match name.split_once('/') {
                Some((name, identity)) => (name, Some(parse_identity(identity)?)),
                None => (name, None),
            };
            let name = Name::new(name)?;
            let file = Directory::open()?.file(&name)?;
            let segment = Self::open_file(file, kind, Some((name, Scope::Host)))?;
            if identity.is_some_and(|identity| segment.identity() != identity) {
                return Err(OpenError::NotFound);
            }
            return Ok(Arc::new(segment));
        }
        let mut parts = handle
            .strip_prefix("fd/")
            .ok_or(OpenError::InvalidName)?
            .split('/');
        let mut part = || parts.next().ok_or(OpenError::InvalidName);
        let pid: u32 = part()?.parse().map_err(|_| OpenError::InvalidName)?;
        let fd: u32 = part()?.parse().map_err(|_| OpenError::InvalidName)?;
        let identity = parse_identity(part()?)?;
        let path = format!("/proc/{pid}/fd/{fd}");
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = match rustix::fs::open(path, flags, Mode::empty()) {
            // The descriptor has been closed, and its number may have been reused.
            Err(Errno::NOENT | Errno::NXIO | Errno::ISDIR | Errno::LOOP) => return Err(OpenError::NotFound),
            opened => opened?,
        };
        if !rustix::fs::fcntl_get_seals(&file).is_ok_and(|seals| seals.contains(SEALS)) {
            return Err(OpenError::NotFound);
        }
        let segment = Self::open_file(file, kind, None)?;
        if segment.identity() != identity {
            return Err(OpenError::NotFound);
        }
        Ok(Arc::new(segment))
    }

    /// The name and where it is visible.
    pub fn name(&self) -> Option<(&Name, Scope)> {
        self.name.as_ref().map(|(name, scope)| (name, *scope))
    }

    /// The header.
    ///
    /// # Errors
    /// Never in practice, as every mapping includes the header.
    pub fn header(&self) -> Result<Header<'_>, OpenError> {
        Header::of(self.all_words()).ok_or(OpenError::Corrupt("it is too short"))
    }

    /// The object's parameters.
    pub fn parameters(&self) -> &[AtomicU64] {
        self.header().map_or(&[], Header::parameters)
    }

    /// The parameter at `index`, or 0 when it is out of bounds.
    pub fn parameter(&self, index: usize) -> u64 {
        self.parameters()
            .get(index)
            .map_or(0, |word| word.load(Ordering::Relaxed))
    }

    /// Creator: sets the first parameters.
    pub fn set_parameters<const COUNT: usize>(&self, values: [u64; COUNT]) {
        for (word, value) in self.parameters().iter().zip(values) {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// The object's words.
    pub fn body(&self) -> &[AtomicU64] {
        self.all_words().get(HEADER_BYTES / 8..).unwrap_or(&[])
    }

    /// The object's first byte. Valid for `body().len() * 8` bytes as long as the segment is mapped.
    pub fn body_ptr(&self) -> *mut u8 {
        self.map.as_ptr().wrapping_add(HEADER_BYTES)
    }

    /// Size of the segment in bytes, including the header.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Always false.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn all_words(&self) -> &[AtomicU64] {
        let words = self.map.as_ptr().cast::<AtomicU64>().cast_const();
        // SAFETY: the mapping is page-aligned, `len` bytes long and lives as long as `self`; it is only
        // accessed as atomics, for which any bit pattern is valid.
        unsafe { std::slice::from_raw_parts(words, self.map.len() / 8) }
    }
}

fn parse_identity(text: &str) -> Result<u128, OpenError> {
    u128::from_str_radix(text, 16).map_err(|_| OpenError::InvalidName)
}

/// Drops the segments that were last sent at least `age` ago. Returns how many are left.
pub fn release_sent(age: Duration) -> usize {
    let mut guard = SENT.lock().unwrap_or_else(PoisonError::into_inner);
    let sent = guard.get_or_insert_default();
    let mut released = Vec::new();
    sent.retain(|_, (at, segment)| {
        let stays = at.elapsed() < age;
        if !stays {
            released.push(Arc::clone(segment));
        }
        stays
    });
    let left = sent.len();
    // Unlock first: the segments are unmapped outside the lock.
    drop(guard);
    left
}

impl AsFd for ObjectSegment {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A description of a segment that need not be opened as an object.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Where the name is visible.
    pub scope: Scope,
    /// The kind of its object; empty when it is not a valid segment.
    pub kind: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Unix time of creation in milliseconds.
    pub created_ms: u64,
    /// Whether any process has it open.
    pub used: bool,
}

/// Lists the named segments that this process can open. Segments that vanish meanwhile are left out.
///
/// # Errors
/// `Io` and `OtherUser`, from the directory.
pub fn list() -> Result<Vec<Listed>, OpenError> {
    let directory = Directory::open()?;
    let mut listed = Vec::new();
    for name in directory.names()? {
        let Ok(used) = directory.is_used(&name) else {
            continue;
        };
        let Ok(file) = directory.file(&name) else { continue };
        let bytes = rustix::fs::fstat(&file)?.st_size.unsigned_abs();
        let (kind, created_ms) = described(file).unwrap_or_default();
        listed.push(Listed {
            name: name.as_str().to_owned(),
            scope: Scope::Host,
            kind,
            bytes,
            created_ms,
            used,
        });
    }
    for segment in ObjectSegment::all_of_process() {
        let (Some((name, scope)), Ok(header)) = (segment.name(), segment.header()) else {
            continue;
        };
        listed.push(Listed {
            name: name.as_str().to_owned(),
            scope,
            kind: header.kind(),
            bytes: segment.len() as u64,
            created_ms: header.created_ms(),
            used: true,
        });
    }
    Ok(listed)
}

fn described(file: OwnedFd) -> Result<(String, u64), OpenError> {
    if rustix::fs::fstat(&file)?.st_size < HEADER_BYTES as i64 {
        return Err(OpenError::NotInitialised);
    }
    let segment = ObjectSegment::map(file, HEADER_BYTES, None)?;
    let header = segment.header()?;
    Ok((header.kind(), header.created_ms()))
}

/// Removes all unused segments of this user and returns their names.
///
/// # Errors
/// `Io` and `OtherUser`, from the directory.
pub fn prune() -> Result<Vec<String>, OpenError> {
    let directory = Directory::open()?;
    let names = directory.names()?.into_iter();
    let removed = names.filter(|name| directory.unlink_unused(name).unwrap_or(false));
    Ok(removed.map(|name| name.as_str().to_owned()).collect())
}

/// Removes a segment unless it is in use, whatever its contents. Returns whether it was removed.
///
/// # Errors
/// `Io` and `OtherUser`, from the directory; `NotFound`.
pub fn unlink_unused(name: &Name) -> Result<bool, OpenError> {
    Directory::open()?.unlink_unused(name)
}

/// Removes a name, so that the next process to open it creates a new segment. Segments already open stay
/// usable. Returns false when there is no such name.
///
/// # Errors
/// `Io` and `OtherUser`, from the directory.
pub fn unlink(name: &Name, scope: Scope) -> Result<bool, OpenError> {
    match scope {
        Scope::Host => Directory::open()?.unlink(name),
        Scope::Process => Ok(ObjectSegment::unlink_of_process(name)),
    }
}

impl From<OpenError> for io::Error {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Io(error) => error,
            other => io::Error::other(other.to_string()),
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "object_tests.rs"]
mod tests;
