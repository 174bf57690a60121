//! A segment that holds one shared object: a header page, then the object's words.
//!
//! Three ways to one: by a name in the user's directory, which any process may open; by a name that only this
//! process knows; without a name. The latter two are memfds, which the kernel frees with their last user, and
//! reach other processes by a *handle*, as do named ones: a text that says where to open the segment, valid as
//! long as the process that gave it out keeps it open. All memory is there from the beginning, so no access is
//! ever met by SIGBUS for want of memory; a lack of it is an error when the segment is made.
//!
//! Who may call: any thread. As in `segment`, whatever is read from the memory must be checked before use.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{FallocateFlags, MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;

use super::directory::{Directory, Name};
use super::header::{Header, Kind, HEADER_BYTES};
use super::OpenError;
use crate::sync::{AtomicU64, Ordering};
use crate::sys::memory::available_bytes;

const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// Who can open a segment by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All processes of this user.
    Host,
    /// The threads of this process.
    Process,
}

/// What happens when there is no segment of the name, or one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Create {
    /// It must be there.
    Never,
    /// It is made unless it is there.
    IfMissing,
    /// It must not be there.
    Always,
}

/// A mapped segment. Closed when the last clone of its `Arc` is dropped.
#[derive(Debug)]
pub struct ObjectSegment {
    map: MmapRaw,
    fd: OwnedFd,
    /// The name and who knows it.
    name: Option<(Name, Scope)>,
}

/// A segment to be made.
pub struct Plan<'a> {
    /// What it holds.
    pub kind: Kind,
    /// Bytes for the object, besides the header.
    pub body_bytes: usize,
    /// Fills in parameters and body, which are zeroed.
    pub initialise: &'a dyn Fn(&ObjectSegment),
}

/// Segments whose name only this process knows.
static OF_THIS_PROCESS: Mutex<Option<HashMap<String, Weak<ObjectSegment>>>> = Mutex::new(None);

/// Segments that are kept open for those who have not received them yet, by their numbers.
static SENT: Mutex<Option<HashMap<u128, Sent>>> = Mutex::new(None);

/// When it was sent last, and what keeps it open.
type Sent = (Instant, Arc<ObjectSegment>);

impl ObjectSegment {
    /// A new segment without a name.
    ///
    /// # Errors
    /// `Io`: ENOMEM, ENOSPC, EMFILE.
    pub fn anonymous(plan: &Plan) -> Result<Arc<Self>, OpenError> {
        Ok(Arc::new(Self::new_memfd(plan, None)?))
    }

    /// Opens or makes the segment of a name.
    ///
    /// # Errors
    /// Any [`OpenError`]. A segment that is there is not changed, whatever the plan says of its size.
    pub fn named(name: &Name, scope: Scope, create: Create, plan: &Plan) -> Result<Arc<Self>, OpenError> {
        match scope {
            Scope::Host => Self::of_host(name, create, plan).map(Arc::new),
            Scope::Process => Self::of_process(name, create, plan),
        }
    }

    fn of_host(name: &Name, create: Create, plan: &Plan) -> Result<Self, OpenError> {
        let directory = Directory::open()?;
        loop {
            if create != Create::Always {
                match directory.file(name) {
                    Err(OpenError::NotFound) if create == Create::IfMissing => {}
                    file => return Self::open_file(file?, plan.kind, Some((name.clone(), Scope::Host))),
                }
            }
            let file = directory.unnamed()?;
            let segment = Self::initialised(file, plan, Some((name.clone(), Scope::Host)))?;
            match directory.give_name(&segment.fd, name) {
                // Somebody was faster, and theirs is as good.
                Err(OpenError::Exists) if create == Create::IfMissing => {}
                named => return named.map(|()| segment),
            }
        }
    }

    fn of_process(name: &Name, create: Create, plan: &Plan) -> Result<Arc<Self>, OpenError> {
        // A panic while it was held leaves the map whole.
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
        let segment = Arc::new(Self::new_memfd(plan, Some((name.clone(), Scope::Process)))?);
        known.insert(name.as_str().to_owned(), Arc::downgrade(&segment));
        Ok(segment)
    }

    /// Forgets a name of this process; those who have the segment keep it. False when there is none.
    pub fn unlink_of_process(name: &Name) -> bool {
        let mut guard = OF_THIS_PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
        let forgotten = guard.get_or_insert_default().remove(name.as_str());
        forgotten.is_some_and(|segment| segment.strong_count() > 0)
    }

    /// The segments whose names only this process knows, by name.
    pub fn all_of_process() -> Vec<Arc<Self>> {
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
        // A memfd takes what it can get, and the kernel would kill processes to give it.
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
        let map = MmapOptions::new().len(len).map_raw(&fd)?;
        Ok(Self { map, fd, name })
    }

    /// The same segment, mapped at another address.
    ///
    /// # Errors
    /// `Io`: ENOMEM, EMFILE.
    pub fn map_again(&self) -> Result<Self, OpenError> {
        let fd = self.fd.try_clone()?;
        Self::map(fd, self.len(), self.name.clone())
    }

    /// The object's first bytes, mapped at another address.
    ///
    /// # Errors
    /// `Io`: ENOMEM.
    pub fn map_body(&self, bytes: usize) -> Result<MmapRaw, OpenError> {
        let bytes = bytes.min(self.body().len() * 8);
        let at = HEADER_BYTES as u64;
        Ok(MmapOptions::new().offset(at).len(bytes).map_raw(&self.fd)?)
    }

    /// Tells the segment from all others, whichever way it was opened.
    pub fn identity(&self) -> u128 {
        self.header().map_or(0, Header::identity)
    }

    /// A text by which another thread or process of this user opens the segment: by name, or by the descriptor of
    /// this process, which therefore must keep it open until then.
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

    /// As [`ObjectSegment::handle`], for whoever may open it a little later: without a public name, the segment stays
    /// open until [`release_sent`] lets go of it. A name goes with the segment's own number, so that another segment of
    /// that name is not taken for this one.
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
    /// `NotFound` when the process that gave the handle out has ended or closed the segment, `InvalidName` for
    /// what is no handle, and others of [`OpenError`].
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
            // Something else has the descriptor's number by now, if anything.
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

    /// The name and who knows it.
    pub fn name(&self) -> Option<(&Name, Scope)> {
        self.name.as_ref().map(|(name, scope)| (name, *scope))
    }

    /// The header.
    ///
    /// # Errors
    /// Never, as the mapping is longer than that.
    pub fn header(&self) -> Result<Header<'_>, OpenError> {
        Header::of(self.all_words()).ok_or(OpenError::Corrupt("it is too short"))
    }

    /// The object's parameters in the header.
    pub fn parameters(&self) -> &[AtomicU64] {
        self.header().map_or(&[], Header::parameters)
    }

    /// One of them; 0 for what there is no room for.
    pub fn parameter(&self, index: usize) -> u64 {
        self.parameters()
            .get(index)
            .map_or(0, |word| word.load(Ordering::Relaxed))
    }

    /// Maker: sets them, from the first on.
    pub fn set_parameters<const COUNT: usize>(&self, values: [u64; COUNT]) {
        for (word, value) in self.parameters().iter().zip(values) {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// The object's words.
    pub fn body(&self) -> &[AtomicU64] {
        self.all_words().get(HEADER_BYTES / 8..).unwrap_or(&[])
    }

    /// The first byte of the object. Valid for `body().len() * 8` bytes as long as the segment is mapped.
    pub fn body_ptr(&self) -> *mut u8 {
        self.map.as_mut_ptr().wrapping_add(HEADER_BYTES)
    }

    /// Bytes of the segment, header and all.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Never: there is a header.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn all_words(&self) -> &[AtomicU64] {
        let words = self.map.as_ptr().cast::<AtomicU64>();
        // SAFETY: the mapping is page-aligned, `len` bytes long, lives as long as `self`, and is only accessed as
        // atomics, for which any bytes are valid.
        unsafe { std::slice::from_raw_parts(words, self.map.len() / 8) }
    }
}

fn parse_identity(text: &str) -> Result<u128, OpenError> {
    u128::from_str_radix(text, 16).map_err(|_| OpenError::InvalidName)
}

/// Lets go of the segments that were sent so long ago. Returns how many are left.
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
    // Unmapped without the lock.
    drop(guard);
    left
}

impl AsFd for ObjectSegment {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What is known of a segment without opening it as an object.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Who knows the name.
    pub scope: Scope,
    /// What it holds; empty when it is not a segment of ours.
    pub kind: String,
    /// Bytes of it.
    pub bytes: u64,
    /// Milliseconds since 1970.
    pub created_ms: u64,
    /// Whether anybody has it open.
    pub used: bool,
}

/// The named segments that this process can open.
///
/// # Errors
/// `Io` and `OtherUser` of the directory. Segments that vanish meanwhile are left out.
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

/// Removes the names of this user's segments that nobody has open, and returns them.
///
/// # Errors
/// `Io` and `OtherUser` of the directory.
pub fn prune() -> Result<Vec<String>, OpenError> {
    let directory = Directory::open()?;
    let names = directory.names()?.into_iter();
    let removed = names.filter(|name| directory.unlink_unused(name).unwrap_or(false));
    Ok(removed.map(|name| name.as_str().to_owned()).collect())
}

/// Removes a segment if nobody has it open, whatever is in it. True when it is gone.
///
/// # Errors
/// `Io` and `OtherUser` of the directory, `NotFound`.
pub fn unlink_unused(name: &Name) -> Result<bool, OpenError> {
    Directory::open()?.unlink_unused(name)
}

/// Takes a name away, so that the next one to open it makes a new segment. Those who have the old one keep it.
/// False when there is none.
///
/// # Errors
/// `Io` and `OtherUser` of the directory.
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
