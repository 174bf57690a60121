//! What shared objects have in common: how their segments are opened, listed and removed, and the memory through
//! which a call hands over more than one value.

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

/// Where a segment is found: by a handle, by a name, or nowhere yet, without either.
#[napi(object)]
pub struct SegmentSource {
    /// From `handle` of another.
    pub handle: Option<String>,
    /// In the directory of this user, or known to this process only.
    pub name: Option<String>,
    /// Whether only this process knows the name.
    pub of_process: Option<bool>,
    /// 0: it must be there, 1: it is made if it is not, 2: it must not be there.
    pub create: Option<u32>,
}

impl SegmentSource {
    /// Opens or makes the segment.
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

/// A segment that has a name.
#[napi(object)]
pub struct ListedSegment {
    /// Its name.
    pub name: String,
    /// Whether only this process knows it.
    pub of_process: bool,
    /// What it holds.
    pub kind: String,
    /// Bytes of it.
    pub bytes: f64,
    /// Milliseconds since 1970.
    pub created_ms: f64,
    /// Whether anybody has it open.
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

/// Takes a segment's name away. False when there is none of that name.
#[napi]
pub fn unlink_segment(name: String, of_process: bool) -> Result<bool> {
    let name = Name::new(&name).map_err(open_error)?;
    object::unlink(&name, scope(Some(of_process))).map_err(open_error)
}

/// Removes a segment of this user if nobody has it open. True when it is gone.
#[napi]
pub fn unlink_unused_segment(name: String) -> Result<bool> {
    let name = Name::new(&name).map_err(open_error)?;
    object::unlink_unused(&name).map_err(open_error)
}

/// Removes this user's segments that nobody has open, and returns their names.
#[napi]
pub fn prune_segments() -> Result<Vec<String>> {
    object::prune().map_err(open_error)
}

/// Whether stand-ins of shared objects may be among what threads of this process send each other.
static HAS_STAND_INS: AtomicBool = AtomicBool::new(false);

/// From here on there may be stand-ins.
#[napi]
pub fn note_stand_in() {
    // Seen by whoever receives what is sent after this.
    HAS_STAND_INS.store(true, Ordering::Release);
}

/// A function that tells whether there may be stand-ins: 0 or 1. Asked for each message that Node delivers.
#[napi]
pub fn stand_in_flag(env: &Env) -> Result<Object<'_>> {
    fast::function(env, "hasStandIns", &Rc::new(()), |()| {
        i32::from(HAS_STAND_INS.load(Ordering::Acquire))
    })
}

/// What stand-ins made in this process begin with, which nobody else can know.
#[napi]
pub fn travel_token() -> String {
    static TOKEN: OnceLock<String> = OnceLock::new();
    let token = TOKEN.get_or_init(|| format!("{:016x}{:016x}", header::random(), header::random()));
    token.clone()
}

/// Lets go of the segments that were sent so many milliseconds ago. Returns how many are left.
#[napi]
pub fn release_sent(age_ms: u32) -> u32 {
    object::release_sent(Duration::from_millis(age_ms.into())) as u32
}

/// JavaScript makes an error of its own of it: a code, an errno (0: none), and the rest.
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

/// Memory that a shared object's methods and JavaScript both use on one thread: eight numbers, then bytes that
/// methods write and JavaScript reads, then as many bytes the other way, then a short key. They are apart since a getter may call a
/// method while JavaScript writes the object that it belongs to.
pub struct Scratch {
    address: NonNull<u8>,
}

/// Which of the numbers says what.
pub enum Number {
    /// Bytes of a value, or entries of a scan.
    Length = 0,
    /// Of the entry.
    Version = 1,
    /// Why a method returned null, see [`Failure`].
    Failure = 2,
    /// When the value expires, or whatever a method says it is.
    Extra = 3,
    /// What a value is that did not fit.
    Kind = 4,
    /// Characters of a short key.
    KeyLength = 5,
}

/// Why a method returned null. `lib/shared/failures.js` has the same numbers.
#[derive(Clone, Copy)]
pub enum Failure {
    /// No room.
    Full = 1,
    /// The value is no number.
    NotANumber = 2,
    /// A living writer does not go on.
    Stuck = 3,
    /// What cannot be.
    Corrupt = 4,
    /// Neither a string nor a number nor bytes.
    KeyType = 5,
    /// Too long a key.
    KeyLength = 6,
    /// The object was closed.
    Closed = 7,
    /// More than fits at all.
    TooLarge = 8,
    /// The queue is closed, and nothing is left in it.
    Ended = 9,
    /// The array has no such element.
    NoElement = 10,
}

const NUMBERS: usize = 8;

impl Scratch {
    /// Bytes in each direction.
    pub const BYTES: usize = 64 * 1024;

    /// Words of the longest short key.
    pub const KEY_WORDS: usize = 4;
    const KEY_AT: usize = NUMBERS * 8 + 2 * Self::BYTES;

    const LAYOUT: Layout = match Layout::from_size_align(Self::KEY_AT + Self::KEY_WORDS * 8, 64) {
        Ok(layout) => layout,
        Err(_) => panic!(),
    };

    /// Zeroed.
    pub fn new() -> Result<Rc<Self>> {
        // SAFETY: the layout has a size.
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
        // SAFETY: one of the eight numbers, and no reference to it is ever made.
        unsafe { at.write(value) };
    }

    /// The short key that JavaScript wrote, one byte a character, and how many. What is behind them is anything.
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
        // SAFETY: one of the eight numbers, which JavaScript of this thread wrote before it called.
        let length = unsafe { length.read() };
        // SAFETY: allocated, aligned, initialised, and written by JavaScript of this thread only.
        (unsafe { key.read() }, (length as usize).min(Self::KEY_WORDS * 8))
    }

    /// What JavaScript wrote, the first `length` bytes of it. JavaScript does not run while `action` does.
    #[inline]
    pub fn with_written<T>(&self, length: usize, action: impl FnOnce(&[u8]) -> T) -> T {
        let start = self.address.as_ptr().wrapping_add(NUMBERS * 8 + Self::BYTES);
        // SAFETY: allocated, initialised, and written by JavaScript of this thread only.
        action(unsafe { std::slice::from_raw_parts(start, length.min(Self::BYTES)) })
    }

    /// Runs `action` on the bytes for JavaScript as words. JavaScript does not run meanwhile, nor does another method of this
    /// thread, so nothing else refers to them.
    #[inline]
    pub fn with_words<T>(&self, action: impl FnOnce(&mut [u64]) -> T) -> T {
        let start = self.address.as_ptr().cast::<u64>().wrapping_add(NUMBERS);
        // SAFETY: aligned, allocated, initialised, and borrowed by nobody else as said above: methods take the
        // scratch memory in one place each and `action` is ours.
        action(unsafe { std::slice::from_raw_parts_mut(start, Self::BYTES / 8) })
    }
}

/// The bytes of words.
#[inline]
pub fn bytes_of(words: &[u64]) -> &[u8] {
    // SAFETY: any words are bytes, of a lesser alignment.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), words.len() * 8) }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(self.address.as_ptr(), Self::LAYOUT) };
    }
}
