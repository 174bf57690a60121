//! What shared objects have in common: opening, listing and removing segments, and the scratch memory through
//! which a call passes more than one value.

use std::alloc::{alloc_zeroed, dealloc, Layout};
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use manycore_core::shm::directory::Name;
use manycore_core::shm::header;
use manycore_core::shm::object::{self, Create, ObjectSegment, Plan, Scope};
use manycore_core::shm::OpenError;
use napi::bindgen_prelude::{Env, Error, Object, Result, Status};
use napi_derive::napi;

use crate::fast;
use crate::lane::external_buffer;

/// Where to find a segment: by handle or by name. With neither, a new anonymous one is created.
#[napi(object)]
pub struct SegmentSource {
    /// The `handle` of an open segment.
    pub handle: Option<String>,
    /// A name, in this user's directory or known to this process only.
    pub name: Option<String>,
    /// Whether the name is known to this process only.
    pub of_process: Option<bool>,
    /// 0: it must exist; 1: it is created if missing; 2: it must not exist.
    pub create: Option<u32>,
}

impl SegmentSource {
    /// Opens or creates the segment.
    pub fn open(&self, plan: &Plan) -> std::result::Result<Arc<ObjectSegment>, OpenError> {
        if let Some(handle) = &self.handle {
            return ObjectSegment::from_handle(handle, plan.kind);
        }
        let Some(name) = &self.name else {
            return ObjectSegment::anonymous(plan);
        };
        let create = match self.create {
            Some(0) => Create::Never,
            Some(2) => Create::Always,
            _ => Create::IfMissing,
        };
        ObjectSegment::named(&Name::new(name)?, scope(self.of_process), create, plan)
    }
}

fn scope(of_process: Option<bool>) -> Scope {
    match of_process {
        Some(true) => Scope::Process,
        _ => Scope::Host,
    }
}

/// A named segment.
#[napi(object)]
pub struct ListedSegment {
    /// Its name.
    pub name: String,
    /// Whether the name is known to this process only.
    pub of_process: bool,
    /// The kind of its object.
    pub kind: String,
    /// Its size in bytes.
    pub bytes: f64,
    /// Unix time of creation in milliseconds.
    pub created_ms: f64,
    /// Whether any process has it open.
    pub used: bool,
}

/// The named segments that this process can open.
#[napi]
pub fn list_segments() -> Result<Vec<ListedSegment>> {
    let listed = object::list().map_err(open_error)?.into_iter();
    Ok(listed
        .map(|segment| ListedSegment {
            name: segment.name,
            of_process: segment.scope == Scope::Process,
            kind: segment.kind,
            bytes: segment.bytes as f64,
            created_ms: segment.created_ms as f64,
            used: segment.used,
        })
        .collect())
}

/// Removes a segment's name. Returns false when there is no such name.
#[napi]
pub fn unlink_segment(name: String, of_process: bool) -> Result<bool> {
    let name = Name::new(&name).map_err(open_error)?;
    object::unlink(&name, scope(Some(of_process))).map_err(open_error)
}

/// Removes a segment of this user unless it is in use. Returns whether it was removed.
#[napi]
pub fn unlink_unused_segment(name: String) -> Result<bool> {
    let name = Name::new(&name).map_err(open_error)?;
    object::unlink_unused(&name).map_err(open_error)
}

/// Removes all unused segments of this user and returns their names.
#[napi]
pub fn prune_segments() -> Result<Vec<String>> {
    object::prune().map_err(open_error)
}

/// Whether messages between threads of this process may contain stand-ins of shared objects.
static HAS_STAND_INS: AtomicBool = AtomicBool::new(false);

/// Records that messages may contain stand-ins from here on.
#[napi]
pub fn note_stand_in() {
    // Visible to the receiver of anything sent after this.
    HAS_STAND_INS.store(true, Ordering::Release);
}

/// A function that returns 1 if messages may contain stand-ins, otherwise 0. Called for each message that
/// Node delivers.
#[napi]
pub fn stand_in_flag(env: &Env) -> Result<Object<'_>> {
    fast::function(env, "hasStandIns", &Rc::new(()), |()| {
        i32::from(HAS_STAND_INS.load(Ordering::Acquire))
    })
}

/// The prefix of stand-ins created in this process, which cannot be guessed.
#[napi]
pub fn travel_token() -> String {
    static TOKEN: OnceLock<String> = OnceLock::new();
    let token = TOKEN.get_or_init(|| format!("{:016x}{:016x}", header::random(), header::random()));
    token.clone()
}

/// Drops the segments that were last sent at least `ageMs` milliseconds ago. Returns how many are left.
#[napi]
pub fn release_sent(age_ms: u32) -> u32 {
    object::release_sent(Duration::from_millis(age_ms.into())) as u32
}

/// Converts an error to the form that JavaScript parses: a code, an errno (0: none), and a message.
pub fn open_error(error: OpenError) -> Error {
    let (code, errno) = match &error {
        OpenError::NotFound => ("NOT_FOUND", 0),
        OpenError::Exists => ("EXISTS", 0),
        OpenError::NotInitialised => ("NOT_READY", 0),
        OpenError::OtherVersion(_) => ("VERSION", 0),
        OpenError::OtherKind(_) => ("KIND", 0),
        OpenError::OtherNamespace | OpenError::OtherUser => ("FOREIGN", 0),
        OpenError::Corrupt(_) => ("CORRUPT", 0),
        OpenError::InvalidName => ("NAME", 0),
        OpenError::Io(error) => ("IO", error.raw_os_error().unwrap_or(22)),
        _ => ("IO", 22),
    };
    Error::new(Status::GenericFailure, format!("{code} {errno} {error}"))
}

/// Memory used by a shared object's methods and by JavaScript on the same thread: eight numbers, bytes
/// written by methods for JavaScript, as many bytes in the other direction, and a short key. The directions
/// are separate because a getter may call a method while JavaScript is writing the object that contains it.
pub struct Scratch {
    address: NonNull<u8>,
}

/// The meaning of each number.
pub enum Number {
    /// Length of a value in bytes, or number of entries of a scan.
    Length = 0,
    /// The entry's version.
    Version = 1,
    /// Why a method returned null, see [`Failure`].
    Failure = 2,
    /// Time left of a value, or another result specific to the method.
    Extra = 3,
    /// Kind of a value that did not fit.
    Kind = 4,
    /// Length of a short key in characters.
    KeyLength = 5,
}

/// Why a method returned null. `lib/shared/failures.js` has the same numbers.
#[derive(Clone, Copy)]
pub enum Failure {
    /// There is no room.
    Full = 1,
    /// The value is not a number.
    NotANumber = 2,
    /// A writer is alive but makes no progress.
    Stuck = 3,
    /// The memory holds impossible values.
    Corrupt = 4,
    /// The key is neither a string nor a number nor bytes.
    KeyType = 5,
    /// The key is too long.
    KeyLength = 6,
    /// The object is closed.
    Closed = 7,
    /// The value can never fit.
    TooLarge = 8,
    /// The queue is closed and empty.
    Ended = 9,
    /// There is no element at this index.
    NoElement = 10,
}

const NUMBERS: usize = 8;

impl Scratch {
    /// Size of each direction in bytes.
    pub const BYTES: usize = 64 * 1024;

    /// Maximum length of a short key in words.
    pub const KEY_WORDS: usize = 4;
    const KEY_AT: usize = NUMBERS * 8 + 2 * Self::BYTES;

    const LAYOUT: Layout = match Layout::from_size_align(Self::KEY_AT + Self::KEY_WORDS * 8, 64) {
        Ok(layout) => layout,
        Err(_) => panic!(),
    };

    /// Allocates zeroed memory.
    pub fn new() -> Result<Rc<Self>> {
        // SAFETY: the layout's size is not zero.
        let address = NonNull::new(unsafe { alloc_zeroed(Self::LAYOUT) });
        let address = address.ok_or_else(|| Error::new(Status::GenericFailure, "IO 12 no memory"))?;
        Ok(Rc::new(Self { address }))
    }

    /// An ArrayBuffer over all of it.
    pub fn buffer<'env>(self: &Rc<Self>, env: &'env Env) -> Result<Object<'env>> {
        external_buffer(
            env,
            self.address.as_ptr(),
            Self::LAYOUT.size(),
            Box::new(Rc::clone(self)),
        )
    }

    /// Sets one of the numbers.
    #[inline]
    pub fn note(&self, which: Number, value: f64) {
        let at = self.address.as_ptr().cast::<f64>().wrapping_add(which as usize);
        // SAFETY: one of the eight numbers, to which no reference is ever created.
        unsafe { at.write(value) };
    }

    /// The short key written by JavaScript, one byte per character, and its length. The bytes after it are
    /// arbitrary.
    #[inline]
    pub fn short_key(&self) -> ([u64; Self::KEY_WORDS], usize) {
        let length = self
            .address
            .as_ptr()
            .cast::<f64>()
            .wrapping_add(Number::KeyLength as usize);
        let key = self
            .address
            .as_ptr()
            .wrapping_add(Self::KEY_AT)
            .cast::<[u64; Self::KEY_WORDS]>();
        // SAFETY: one of the eight numbers, written by JavaScript of this thread before the call.
        let length = unsafe { length.read() };
        // SAFETY: allocated, aligned, initialised, and written by JavaScript of this thread only.
        (unsafe { key.read() }, (length as usize).min(Self::KEY_WORDS * 8))
    }

    /// Calls `action` with the first `length` bytes written by JavaScript, which does not run meanwhile.
    #[inline]
    pub fn with_written<T>(&self, length: usize, action: impl FnOnce(&[u8]) -> T) -> T {
        let start = self.address.as_ptr().wrapping_add(NUMBERS * 8 + Self::BYTES);
        // SAFETY: allocated, initialised, and written by JavaScript of this thread only.
        action(unsafe { std::slice::from_raw_parts(start, length.min(Self::BYTES)) })
    }

    /// Calls `action` with the bytes for JavaScript, as words. Neither JavaScript nor another method of this
    /// thread runs meanwhile, so nothing else refers to them.
    #[inline]
    pub fn with_words<T>(&self, action: impl FnOnce(&mut [u64]) -> T) -> T {
        let start = self.address.as_ptr().cast::<u64>().wrapping_add(NUMBERS);
        // SAFETY: aligned, allocated, initialised, and not borrowed elsewhere, as stated above: each method
        // borrows the scratch memory in one place only, and `action` is our own.
        action(unsafe { std::slice::from_raw_parts_mut(start, Self::BYTES / 8) })
    }
}

/// The bytes of a slice of words.
#[inline]
pub fn bytes_of(words: &[u64]) -> &[u8] {
    // SAFETY: any words are valid bytes, with a smaller alignment.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), words.len() * 8) }
}

/// Like [`bytes_of`], for writing.
#[inline]
pub fn bytes_of_mut(words: &mut [u64]) -> &mut [u8] {
    // SAFETY: as in `bytes_of`, and any bytes are valid words.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), words.len() * 8) }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(self.address.as_ptr(), Self::LAYOUT) };
    }
}
