//! The end of a lane that consumes, and its place on the event loop.

use std::cell::{Cell, RefCell};
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

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
use super::memory::{detach, external_buffer, LaneMemory};
use crate::callback::Callback;
use crate::fast;
use crate::lent_buffers::LentBuffers;
use crate::uv::{EventLoop, Handle};

/// The end of a lane that consumes.
#[napi]
pub struct LaneReceiver {
    /// `None` once closed.
    receiver: Option<Receiver>,
    listening: Option<(Handle, Rc<Listening>)>,
    on_room: Rc<RoomWatch>,
    views: Vec<OpenView>,
    lent: LentBuffers,
}

/// What the same bell is rung for as well: room in the lane the other way.
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

/// A payload that JavaScript looks at in place.
struct OpenView {
    /// The ArrayBuffer over it.
    buffer: sys::napi_ref,
    /// Shared with the ArrayBuffer, which keeps the memory alive should the view never be ended. `None` for a view of
    /// the ring.
    block: Option<Rc<RefCell<Option<Block>>>>,
}

/// What a function needs that looks on. It must not keep descriptors open, for it goes when it is collected.
struct Looking {
    memory: Arc<Memory>,
    limit: Duration,
    vicinity: Vicinity,
}

/// What the poll callback needs; it may outlive the class instance until libuv has closed the handle.
struct Listening {
    receiver: Receiver,
    doorbell: RefCell<Doorbell>,
    callback: Callback,
    paused: Cell<bool>,
    on_room: Rc<RoomWatch>,
    /// `None` follows the process.
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
        // The drain cannot come back here: the handle's callback is not re-entered.
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

    /// Keeps an ArrayBuffer that is to be detached.
    fn hold_view<'env>(
        &mut self,
        env: &'env Env,
        view: Object<'env>,
        block: Option<Rc<RefCell<Option<Block>>>>,
    ) -> Result<Object<'env>> {
        let mut buffer = ptr::null_mut();
        // SAFETY: a value of this environment, in the scope of this call.
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

    /// Bytes that a chunk of records behind the ring has at most, unless a single record is larger.
    #[napi(getter)]
    pub fn overflow_chunk_bytes(&self) -> u32 {
        CHUNK_BYTES as u32
    }

    /// Calls `drain(glances)` on the event loop whenever there is something to consume, after `resume()`. Does not
    /// keep the event loop alive. `glances` is how often it may look for more, for a moment, before it returns: not
    /// at all unless traffic is dense.
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

    /// Calls `callback` from the event loop whenever the bell rings while room is watched for, paused or not.
    #[napi]
    pub fn on_room(&self, env: Env, callback: Function<'_, (), ()>) -> Result<()> {
        let callback = Callback::new(env.raw(), callback.raw(), "MANYCORELANE").ok_or_else(closed)?;
        self.on_room.callback.replace(Some(Rc::new(callback)));
        Ok(())
    }

    /// Starts or stops watching for room in the lane the other way.
    #[napi]
    pub fn watch_room(&self, watching: bool) {
        self.on_room.watching.set(watching);
    }

    /// Tells the producer of room that it waits for.
    #[napi]
    pub fn give_room(&self) {
        if let Some(receiver) = &self.receiver {
            receiver.give_room();
        }
    }

    /// Whether the producer is another process.
    #[napi(getter)]
    pub fn is_foreign(&self) -> Result<bool> {
        Ok(self.open()?.is_foreign())
    }

    /// No calls until `resume()`, not even when the bell rings.
    #[napi]
    pub fn pause(&self) {
        if let Some((_, listening)) = &self.listening {
            listening.paused.set(true);
        }
    }

    /// Calls again, on a later turn of the event loop, if there is something.
    #[napi]
    pub fn resume(&self) {
        if let Some((_, listening)) = &self.listening {
            listening.paused.set(false);
            listening.receiver.ring();
        }
    }

    /// Whether listening keeps the event loop alive. It does not at first.
    #[napi]
    pub fn set_ref(&self, on: bool) {
        if let Some((handle, _)) = &self.listening {
            handle.set_ref(on);
        }
    }

    /// A function that looks on for a record, at most so many microseconds, and returns 1 when there is one, else 0;
    /// and 2 more when the other side needs this very processor.
    #[napi(ts_return_type = "() => number")]
    pub fn looker<'env>(&self, env: &'env Env, limit_us: u32) -> Result<Object<'env>> {
        let looking = Rc::new(Looking {
            memory: Arc::clone(self.open()?.memory()),
            limit: Duration::from_micros(limit_us.into()),
            vicinity: Vicinity::default(),
        });
        fast::function(env, "look", &looking, |looking| {
            let found = looking.memory.look_on(looking.limit, &looking.vicinity);
            i32::from(found) | i32::from(looking.vicinity.is_shared()) << 1
        })
    }

    /// Blocks the thread until something comes, the other side rings, or the time is over. May return for no
    /// reason. A thread that blocks here cannot be terminated: the limit is to be short.
    #[napi]
    pub fn park(&self, limit_ms: u32) {
        if let Some(receiver) = &self.receiver {
            receiver.park(Duration::from_millis(limit_ms.into()));
        }
    }

    /// Copies the oldest chunk of records behind the ring into `target`, which has `overflowChunkBytes`, and
    /// returns how many bytes it has, 0 for none. A record larger than that comes as an ArrayBuffer of its own.
    #[napi]
    pub fn take_overflow<'env>(
        &self,
        env: &'env Env,
        mut target: Uint8Array,
    ) -> Result<Either<u32, Object<'env>>> {
        // SAFETY: memory of this thread's JavaScript, which does not run meanwhile.
        let chunk = match self.open()?.take_overflow(unsafe { target.as_mut() }) {
            Taken::Copied(len) => return Ok(Either::A(len as u32)),
            Taken::Whole(chunk) => chunk,
        };
        let (address, len) = (chunk.as_ptr().cast_mut(), chunk.len());
        external_buffer(env, address, len, Box::new(chunk)).map(Either::B)
    }

    /// Bytes of payload `number`; 0 when there is none.
    #[napi]
    pub fn payload_length(&self, number: u32) -> f64 {
        let len = |receiver: &Receiver| receiver.slab().len_of(number);
        self.receiver.as_ref().and_then(len).unwrap_or(0) as f64
    }

    /// Copies payload `number` into `target`, which has its length, and lets go of it. False when there is none.
    #[napi]
    pub fn take_payload(&self, number: u32, mut target: Uint8Array) -> Result<bool> {
        let slab = self.open()?.slab();
        let Some(block) = slab.take(number) else {
            return Ok(false);
        };
        // SAFETY: memory of this thread's JavaScript, which does not run meanwhile.
        let target = unsafe { target.as_mut() };
        let fits = target.len() == block.len();
        if fits {
            target.copy_from_slice(block.bytes());
        }
        slab.give_back(block);
        Ok(fits)
    }

    /// The lent ArrayBuffer that payload `number` is in; once. Null when it is to be copied.
    #[napi(ts_return_type = "ArrayBuffer | null")]
    pub fn redeem_payload<'env>(&self, env: &'env Env, number: u32) -> Option<Object<'env>> {
        let slab = self.receiver.as_ref()?.slab();
        slab.take_lent(number, |filled| self.lent.redeem(env, filled))
    }

    /// Lends an ArrayBuffer, which nothing else may refer to, for a payload of its length. False when that cannot be.
    #[napi(ts_args_type = "buffer: ArrayBuffer")]
    pub fn lend(&self, env: Env, buffer: Unknown<'_>) -> bool {
        self.receiver.is_some() && self.lent.lend(env, &buffer)
    }

    /// Takes back what is lent and not in use.
    #[napi]
    pub fn take_back_lent(&self) {
        self.lent.take_back();
    }

    /// An ArrayBuffer over payload `number` itself, until `endViews()`. Null when there is none.
    #[napi]
    pub fn view_payload<'env>(&mut self, env: &'env Env, number: u32) -> Result<Option<Object<'env>>> {
        let Some(mut block) = self.open()?.slab().take(number) else {
            return Ok(None);
        };
        let (address, len) = (block.as_mut_ptr(), block.len());
        let block = Rc::new(RefCell::new(Some(block)));
        let buffer = external_buffer(env, address, len, Box::new(Rc::clone(&block)))?;
        self.hold_view(env, buffer, Some(block)).map(Some)
    }

    /// An ArrayBuffer over `length` bytes of the lane's memory from `start` on, until `endViews()`. The producer must
    /// not be told before that they have been consumed. Throws for what is not in the ring.
    #[napi(ts_return_type = "ArrayBuffer")]
    pub fn view_ring<'env>(&mut self, env: &'env Env, start: u32, length: u32) -> Result<Object<'env>> {
        let memory = Arc::clone(self.open()?.memory());
        let (start, length) = (start as usize, length as usize);
        if start < memory.ring_offset() || start + length > memory.mapped_len() {
            return Err(Error::new(Status::InvalidArg, "not in the ring"));
        }
        // Within the mapping, as was just checked.
        let address = memory.as_ptr().wrapping_add(start);
        let buffer = external_buffer(env, address, length, Box::new(memory))?;
        self.hold_view(env, buffer, None)
    }

    /// Detaches the ArrayBuffers of all views: their memory serves the next payloads.
    #[napi]
    pub fn end_views(&mut self, env: Env) {
        for view in self.views.drain(..) {
            let is_detached = detach(env.raw(), view.buffer);
            // What could not be detached lives on until it is collected.
            let block = view.block.filter(|_| is_detached).and_then(|block| block.take());
            if let (Some(block), Some(receiver)) = (block, &self.receiver) {
                receiver.slab().give_back(block);
            }
        }
    }

    /// Chooses between latency and CPU time for this link: 0 frugal, 1 balanced, 2 low; anything else follows the
    /// process.
    #[napi]
    pub fn set_latency(&self, level: u32) {
        if let Some((_, listening)) = &self.listening {
            listening.latency.set(Latency::from_level(level));
        }
    }

    /// Stops for good: the producer drops what it has for this end.
    #[napi]
    pub fn close(&mut self) {
        self.pause();
        self.listening = None;
        // It refers to who holds this end.
        self.on_room.callback.replace(None);
        if let Some(receiver) = self.receiver.take() {
            receiver.close();
        }
        self.lent.end();
    }
}
