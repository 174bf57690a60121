//! The consumer's end of a lane, and its integration into the event loop.

use std::cell::{Cell, RefCell};
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use manycore_core::ring::cold_copy;
use manycore_core::ring::doorbell::{Doorbell, Drained, Outcome};
use manycore_core::ring::lane::{Memory, Receiver};
use manycore_core::ring::overflow::{Taken, CHUNK_BYTES};
use manycore_core::ring::slab::Block;
use manycore_core::ring::spin::Latency;
use manycore_core::ring::vicinity::Vicinity;
use napi::bindgen_prelude::{
    Either, Env, Error, Function, JsValue, Object, Result, Status, Uint8Array, Unknown,
};
use napi_derive::napi;
use napi_sys as sys;

use super::closed;
use super::handed::{detach, handed_buffer};
use super::memory::{external_buffer, in_store, store_buffer, InStore, LaneMemory};
use crate::callback::Callback;
use crate::fast;
use crate::lent_buffers::LentBuffers;
use crate::uv::{EventLoop, Handle};

/// The consumer's end of a lane.
#[napi]
pub struct LaneReceiver {
    /// `None` once closed.
    receiver: Option<Receiver>,
    listening: Option<(Handle, Rc<Listening>)>,
    on_room: Rc<RoomWatch>,
    views: Vec<OpenView>,
    lent: LentBuffers,
}

/// The other use of the same bell: notifications of room in the outgoing lane.
#[derive(Default)]
struct RoomWatch {
    callback: RefCell<Option<Rc<Callback>>>,
    watching: Cell<bool>,
}

impl RoomWatch {
    fn answer(&self) {
        if !self.watching.get() {
            return;
        }
        // Not borrowed during the call, which may close this end.
        let callback = self.callback.borrow().clone();
        if let Some(callback) = callback {
            callback.call(&[]);
        }
    }
}

/// A payload that JavaScript accesses in place.
struct OpenView {
    /// The ArrayBuffer over it.
    buffer: sys::napi_ref,
    /// Shared with the ArrayBuffer, which keeps the memory alive if the view is never ended. `None` for a
    /// view of the ring.
    block: Option<Rc<RefCell<Option<Block>>>>,
}

/// The state of a function that spins. It must not keep descriptors open, as it lives until it is
/// garbage-collected.
struct Spinning {
    memory: Arc<Memory>,
    limit: Duration,
    vicinity: Vicinity,
}

/// The state of the poll callback; it may outlive the class instance until libuv has closed the handle.
struct Listening {
    receiver: Receiver,
    doorbell: RefCell<Doorbell>,
    callback: Callback,
    paused: Cell<bool>,
    on_room: Rc<RoomWatch>,
    /// `None` follows the process-wide setting.
    latency: Cell<Option<Latency>>,
}

impl Listening {
    fn answer(&self) {
        self.receiver.clear_bell();
        self.on_room.answer();
        if self.paused.get() {
            return;
        }
        let control = self.receiver.memory().control();
        // The drain cannot re-enter this: libuv does not call a handle's callback recursively.
        let Ok(mut doorbell) = self.doorbell.try_borrow_mut() else {
            return;
        };
        let latency = self.latency.get().unwrap_or_else(Latency::of_process);
        let outcome = doorbell.answer(control, latency, |glances| {
            self.callback.call(&[f64::from(glances)]);
            match self.paused.get() {
                true => Drained::Pause,
                false => Drained::Continue,
            }
        });
        if outcome == Outcome::More {
            self.receiver.ring();
        }
    }
}

impl LaneReceiver {
    pub(crate) fn new(receiver: Receiver) -> Self {
        Self {
            lent: LentBuffers::new(Some(receiver.slab().lender())),
            receiver: Some(receiver),
            listening: None,
            on_room: Rc::default(),
            views: Vec::new(),
        }
    }

    fn open(&self) -> Result<&Receiver> {
        self.receiver.as_ref().ok_or_else(closed)
    }

    /// Keeps a reference to an ArrayBuffer that will be detached.
    fn hold_view<'env>(
        &mut self,
        env: &'env Env,
        view: Object<'env>,
        block: Option<Rc<RefCell<Option<Block>>>>,
    ) -> Result<Object<'env>> {
        let mut buffer = ptr::null_mut();
        // SAFETY: a value of this environment in the scope of this call.
        let status = unsafe { sys::napi_create_reference(env.raw(), view.raw(), 1, &mut buffer) };
        if status != sys::Status::napi_ok {
            return Err(Error::new(Status::from(status), "no reference to a view"));
        }
        self.views.push(OpenView { buffer, block });
        Ok(view)
    }
}

#[napi]
impl LaneReceiver {
    /// The lane's memory.
    #[napi]
    pub fn memory<'env>(&self, env: &'env Env) -> Result<LaneMemory<'env>> {
        LaneMemory::new(env, self.open()?.memory())
    }

    /// An ArrayBuffer over what is mapped of the store, the first `length` bytes at least. It must not be transferred.
    /// Throws when there are fewer, or when they cannot be mapped.
    #[napi(ts_return_type = "ArrayBuffer")]
    pub fn store_buffer<'env>(&self, env: &'env Env, length: u32) -> Result<Object<'env>> {
        store_buffer(env, self.open()?.memory(), length)
    }

    /// Maximum size in bytes of a chunk of the overflow queue, unless it is a single larger record.
    #[napi(getter)]
    pub fn overflow_chunk_bytes(&self) -> u32 {
        CHUNK_BYTES as u32
    }

    /// Calls `drain(glances)` on the event loop whenever there is something to consume, once `resume()` has
    /// been called. Does not keep the event loop alive. `glances` is the number of times that `drain` may
    /// briefly re-check for more records before it returns: 0 unless traffic is dense.
    #[napi]
    pub fn listen(&mut self, env: Env, drain: Function<'_, f64, ()>) -> Result<()> {
        let receiver = self.open()?.clone();
        let event_loop = EventLoop::of(env.raw()).ok_or_else(closed)?;
        let callback = Callback::new(env.raw(), drain.raw(), "MANYCORELANE").ok_or_else(closed)?;
        let listening = Rc::new(Listening {
            receiver: receiver.clone(),
            doorbell: RefCell::default(),
            callback,
            paused: Cell::new(true),
            on_room: Rc::clone(&self.on_room),
            latency: Cell::new(None),
        });
        let on_bell = Rc::clone(&listening);
        let handle = event_loop
            .poll(receiver.bell_fd(), move || on_bell.answer())
            .ok_or_else(closed)?;
        self.listening = Some((handle, listening));
        Ok(())
    }

    /// Calls `callback` on the event loop whenever the bell rings while room is being watched, paused or not.
    #[napi]
    pub fn on_room(&self, env: Env, callback: Function<'_, (), ()>) -> Result<()> {
        let callback = Callback::new(env.raw(), callback.raw(), "MANYCORELANE").ok_or_else(closed)?;
        self.on_room.callback.replace(Some(Rc::new(callback)));
        Ok(())
    }

    /// Starts or stops watching for room in the outgoing lane.
    #[napi]
    pub fn watch_room(&self, watching: bool) {
        self.on_room.watching.set(watching);
    }

    /// Notifies a waiting producer of room.
    #[napi]
    pub fn give_room(&self) {
        if let Some(receiver) = &self.receiver {
            receiver.give_room();
        }
    }

    /// Whether the producer is in another process.
    #[napi(getter)]
    pub fn is_foreign(&self) -> Result<bool> {
        Ok(self.open()?.is_foreign())
    }

    /// Stops calling `drain` until `resume()`, even when the bell rings.
    #[napi]
    pub fn pause(&self) {
        if let Some((_, listening)) = &self.listening {
            listening.paused.set(true);
        }
    }

    /// Lets the producer ring the bell again, after JavaScript has polled. Returns false when there is something to
    /// consume.
    #[napi]
    pub fn allow_sleep(&self) -> bool {
        self.receiver.as_ref().is_none_or(Receiver::allow_sleep)
    }

    /// Resumes calling `drain`, on a later turn of the event loop, if there is something to consume.
    #[napi]
    pub fn resume(&self) {
        if let Some((_, listening)) = &self.listening {
            listening.paused.set(false);
            listening.receiver.ring();
        }
    }

    /// Sets whether listening keeps the event loop alive. By default it does not.
    #[napi]
    pub fn set_ref(&self, on: bool) {
        if let Some((handle, _)) = &self.listening {
            handle.set_ref(on);
        }
    }

    /// A function that spins for a record for up to `limitUs` microseconds. It returns a bit field: 1 when
    /// there is a record, 2 when the peer shares this processor.
    #[napi(ts_return_type = "() => number")]
    pub fn spinner<'env>(&self, env: &'env Env, limit_us: u32) -> Result<Object<'env>> {
        let spinning = Rc::new(Spinning {
            memory: Arc::clone(self.open()?.memory()),
            limit: Duration::from_micros(limit_us.into()),
            vicinity: Vicinity::default(),
        });
        fast::function(env, "spin", &spinning, |spinning| {
            let found = spinning.memory.spin(spinning.limit, &spinning.vicinity);
            i32::from(found) | i32::from(spinning.vicinity.is_shared()) << 1
        })
    }

    /// Blocks the thread until a record arrives, the peer rings or the limit has elapsed. May wake up
    /// spuriously. A thread blocked here cannot be terminated, so the limit should be short.
    #[napi]
    pub fn park(&self, limit_ms: u32) {
        if let Some(receiver) = &self.receiver {
            receiver.park(Duration::from_millis(limit_ms.into()));
        }
    }

    /// Copies the oldest chunk of the overflow queue into `target`, which must have `overflowChunkBytes`
    /// bytes, and returns its length, 0 for none. A larger record is returned as an ArrayBuffer.
    #[napi]
    pub fn take_overflow<'env>(
        &self,
        env: &'env Env,
        mut target: Uint8Array,
    ) -> Result<Either<u32, Object<'env>>> {
        // SAFETY: owned by this thread's JavaScript, which does not run meanwhile.
        let chunk = match self.open()?.take_overflow(unsafe { target.as_mut() }) {
            Taken::Copied(len) => return Ok(Either::A(len as u32)),
            Taken::Whole(chunk) => chunk,
        };
        let (address, len) = (chunk.as_ptr().cast_mut(), chunk.len());
        external_buffer(env, address, len, Box::new(chunk)).map(Either::B)
    }

    /// Length in bytes of payload `number`; 0 when there is none.
    #[napi]
    pub fn payload_length(&self, number: u32) -> f64 {
        let len = |receiver: &Receiver| receiver.slab().len_of(number);
        self.receiver.as_ref().and_then(len).unwrap_or(0) as f64
    }

    /// Copies payload `number` into `target`, which must have its length, and releases it. Returns false when
    /// there is none.
    #[napi]
    pub fn take_payload(&self, number: u32, mut target: Uint8Array) -> Result<bool> {
        let slab = self.open()?.slab();
        let Some(block) = slab.take(number) else {
            return Ok(false);
        };
        // SAFETY: owned by this thread's JavaScript, which does not run meanwhile.
        let target = unsafe { target.as_mut() };
        let fits = target.len() == block.len();
        if fits {
            target.copy_from_slice(block.bytes());
        }
        slab.give_back(block);
        Ok(fits)
    }

    /// The lent ArrayBuffer that holds payload `number`, once. Null when the payload has to be copied.
    #[napi(ts_return_type = "ArrayBuffer | null")]
    pub fn redeem_payload<'env>(&self, env: &'env Env, number: u32) -> Option<Object<'env>> {
        let slab = self.receiver.as_ref()?.slab();
        slab.take_lent(number, |filled| self.lent.redeem(env, filled))
    }

    /// Lends an ArrayBuffer, to which there must be no other reference, for a payload of its length. Returns
    /// false on failure.
    #[napi(ts_args_type = "buffer: ArrayBuffer")]
    pub fn lend(&self, env: Env, buffer: Unknown<'_>) -> bool {
        self.receiver.is_some() && self.lent.lend(env, &buffer)
    }

    /// Takes back all lent buffers that are free.
    #[napi]
    pub fn take_back_lent(&self) {
        self.lent.take_back();
    }

    /// An ArrayBuffer over payload `number` in place, valid until `endViews()`. Null when there is none.
    #[napi]
    pub fn view_payload<'env>(&mut self, env: &'env Env, number: u32) -> Result<Option<Object<'env>>> {
        let Some(mut block) = self.open()?.slab().take(number) else {
            return Ok(None);
        };
        let (address, len) = (block.as_mut_ptr(), block.len());
        let block = Rc::new(RefCell::new(Some(block)));
        let buffer = handed_buffer(env, address, len, Rc::clone(&block))?;
        self.hold_view(env, buffer, Some(block)).map(Some)
    }

    /// An ArrayBuffer over `length` bytes of the lane's memory from `start` on, valid until `endViews()`. The
    /// bytes must not be released to the producer before that. Throws when the range is not in the ring.
    #[napi(ts_return_type = "ArrayBuffer")]
    pub fn view_ring<'env>(&mut self, env: &'env Env, start: u32, length: u32) -> Result<Object<'env>> {
        let memory = Arc::clone(self.open()?.memory());
        let (start, length) = (start as usize, length as usize);
        if start < memory.ring_offset() || start + length > memory.mapped_len() {
            return Err(not_in_the_ring());
        }
        // Within the mapping, as checked above.
        let address = memory.as_ptr().wrapping_add(start);
        let buffer = handed_buffer(env, address, length, memory)?;
        self.hold_view(env, buffer, None)
    }

    /// An ArrayBuffer over `length` bytes of the store from `at` on, valid until `endViews()`. The block must not be
    /// returned to the producer before that. Throws when the range is not in the store, or the store cannot be mapped.
    #[napi(ts_return_type = "ArrayBuffer")]
    pub fn view_store<'env>(&mut self, env: &'env Env, at: u32, length: u32) -> Result<Object<'env>> {
        let InStore { address, len, store } = in_store(self.open()?.memory(), at, length)?;
        let buffer = handed_buffer(env, address, len, store)?;
        self.hold_view(env, buffer, None)
    }

    /// Copies bytes of the lane's memory from `start` on into `target`, past the caches if they are many. Throws when
    /// the range is not in the ring.
    #[napi]
    pub fn copy_from_ring(&self, start: u32, target: Uint8Array) -> Result<()> {
        let memory = self.open()?.memory();
        let start = start as usize;
        if start < memory.ring_offset() || start + target.len() > memory.mapped_len() {
            return Err(not_in_the_ring());
        }
        // SAFETY: within the mapping, as checked above, which lives as long as `memory`.
        unsafe { copy_out(memory.as_ptr().wrapping_add(start), target) };
        Ok(())
    }

    /// Copies bytes of the store from `at` on into `target`, past the caches if they are many. Throws when the range
    /// is not in the store, or the store cannot be mapped.
    #[napi]
    pub fn copy_from_store(&self, at: u32, target: Uint8Array) -> Result<()> {
        let memory = self.open()?.memory();
        let source = in_store(memory, at, u32::try_from(target.len()).unwrap_or(u32::MAX))?;
        // SAFETY: the range is inside the mapping, which lives as long as `source`.
        unsafe { copy_out(source.address, target) };
        Ok(())
    }

    /// Detaches the ArrayBuffers of all views, so that their memory can be reused.
    #[napi]
    pub fn end_views(&mut self, env: Env) {
        for view in self.views.drain(..) {
            let is_detached = detach(env.raw(), view.buffer);
            // The memory of a buffer that could not be detached, or has been transferred, lives until it is
            // garbage-collected.
            let block = view.block.filter(|_| is_detached).and_then(|block| block.take());
            if let (Some(block), Some(receiver)) = (block, &self.receiver) {
                receiver.slab().give_back(block);
            }
        }
    }

    /// Sets the trade-off between latency and CPU time for this link: 0 frugal, 1 balanced, 2 low; any other
    /// value follows the process-wide setting.
    #[napi]
    pub fn set_latency(&self, level: u32) {
        if let Some((_, listening)) = &self.listening {
            listening.latency.set(Latency::from_level(level));
        }
    }

    /// Closes this end: the producer discards what it still has for it.
    #[napi]
    pub fn close(&mut self) {
        self.pause();
        self.listening = None;
        // It keeps the holder of this end alive.
        self.on_room.callback.replace(None);
        if let Some(receiver) = self.receiver.take() {
            receiver.close();
        }
        self.lent.end();
    }
}

/// Copies bytes of a lane into a buffer of JavaScript, which comes from the garbage collector, so it is in no cache.
///
/// # Safety
/// `source` must be valid for reads of the target's length, and not part of the target. Another process may write to it
/// meanwhile, which only affects the bytes that are copied.
unsafe fn copy_out(source: *mut u8, mut target: Uint8Array) {
    // SAFETY: owned by this thread's JavaScript, which does not run meanwhile.
    let target = unsafe { target.as_mut() };
    if let Some(source) = NonNull::new(source) {
        // SAFETY: the target has this length and is exclusively borrowed; the rest is guaranteed by the caller.
        unsafe { cold_copy::copy(source, NonNull::from(&mut *target).cast(), target.len()) };
    }
}

fn not_in_the_ring() -> Error {
    Error::new(Status::InvalidArg, "not in the ring")
}
