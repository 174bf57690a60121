//! The ends of lanes as JavaScript sees them. Encoding, publishing and decoding are JavaScript (`lib/link/`);
//! here are the memory, the bell, the overflow, and the registry through which a worker finds its link.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::c_void;
use std::ptr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use manycore_core::ring::control::offset;
use manycore_core::ring::doorbell::{Doorbell, Drained, Outcome};
use manycore_core::ring::lane::{self, Memory, Receiver, Sender};
use manycore_core::ring::overflow::{Taken, CHUNK_BYTES};
use manycore_core::ring::slab::Block;
use manycore_core::ring::spin::Latency;
use manycore_core::sys::heap;
use napi::bindgen_prelude::{
    Either, Env, Error, Function, JsValue, Object, Result, Status, Uint8Array, Unknown,
};
use napi_derive::napi;
use napi_sys as sys;

use crate::callback::Callback;
use crate::uv::{EventLoop, Handle};

/// Worker ends of links that no worker has attached to yet.
static WAITING: Mutex<Option<HashMap<u32, (Sender, Receiver)>>> = Mutex::new(None);
static NEXT_LINK: AtomicU32 = AtomicU32::new(1);

/// A number that no other link of this process has.
pub(crate) fn next_link() -> u32 {
    NEXT_LINK.fetch_add(1, Ordering::Relaxed)
}

/// Byte offsets of the control words, which `lib/link/layout.js` must agree with.
#[napi(object)]
pub struct LaneLayout {
    /// Position up to which records are published.
    pub head: u32,
    /// Position up to which they are consumed.
    pub tail: u32,
    /// 1: the consumer must be rung.
    pub asleep: u32,
    /// Records put into the overflow.
    pub overflowed: u32,
    /// Records taken from the overflow.
    pub taken: u32,
    /// 1: nobody reads any more.
    pub closed: u32,
    /// 1: the producer must be told of room.
    pub waiting: u32,
}

/// The layout compiled into the addon.
#[napi]
pub fn lane_layout() -> LaneLayout {
    LaneLayout {
        head: offset::HEAD as u32,
        tail: offset::TAIL as u32,
        asleep: offset::ASLEEP as u32,
        overflowed: offset::OVERFLOWED as u32,
        taken: offset::TAKEN as u32,
        closed: offset::CLOSED as u32,
        waiting: offset::WAITING as u32,
    }
}

/// Reports an exception as uncaught, from within a call of the event loop into JavaScript. Returns if it is
/// handled by the program.
#[napi]
pub fn report_uncaught(env: Env, error: Unknown<'_>) {
    // SAFETY: both belong to the calling environment. Fails only while the environment ends.
    let _status = unsafe { sys::napi_fatal_exception(env.raw(), error.raw()) };
}

/// Two lanes between this thread and a worker of it.
#[napi]
pub struct ThreadLink {
    id: u32,
    ends: Option<(Sender, Receiver)>,
}

#[napi]
impl ThreadLink {
    /// Makes both lanes and registers the worker's ends. Throws without memory or file descriptors.
    #[napi(constructor)]
    pub fn new(capacity_bytes: u32) -> Result<Self> {
        let (to_worker, worker_receiver) = lane::lane(capacity_bytes as usize).map_err(io_error)?;
        let (worker_sender, from_worker) = lane::lane(capacity_bytes as usize).map_err(io_error)?;
        let id = next_link();
        waiting()
            .get_or_insert_default()
            .insert(id, (worker_sender, worker_receiver));
        Ok(Self {
            id,
            ends: Some((to_worker, from_worker)),
        })
    }

    /// The worker's side of link `id`; once. Throws when there is none.
    #[napi(factory)]
    pub fn attach(id: u32) -> Result<Self> {
        let ends = waiting().as_mut().and_then(|waiting| waiting.remove(&id));
        let ends = ends.ok_or_else(|| Error::new(Status::InvalidArg, "no link waits under this id"))?;
        Ok(Self { id, ends: Some(ends) })
    }

    /// What the worker attaches by.
    #[napi(getter)]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The sending end; once.
    #[napi]
    pub fn take_sender(&self) -> Result<LaneSender> {
        let (sender, _) = self.ends.as_ref().ok_or_else(closed)?;
        Ok(LaneSender::new(sender.clone()))
    }

    /// The receiving end; once.
    #[napi]
    pub fn take_receiver(&self) -> Result<LaneReceiver> {
        let (_, receiver) = self.ends.as_ref().ok_or_else(closed)?;
        Ok(LaneReceiver::new(receiver.clone()))
    }

    /// Forgets the worker's ends if no worker attached.
    #[napi]
    pub fn close(&mut self) {
        self.ends = None;
        let forgotten = waiting().as_mut().and_then(|waiting| waiting.remove(&self.id));
        drop(forgotten);
    }
}

/// The end of a lane that publishes.
#[napi]
pub struct LaneSender {
    /// `None` once closed.
    sender: Option<Sender>,
}

impl LaneSender {
    pub(crate) fn new(sender: Sender) -> Self {
        Self { sender: Some(sender) }
    }

    fn open(&self) -> Result<&Sender> {
        self.sender.as_ref().ok_or_else(closed)
    }
}

#[napi]
impl LaneSender {
    /// An ArrayBuffer over the lane. It must not be transferred.
    #[napi]
    pub fn memory<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        memory_object(env, self.open()?.memory())
    }

    /// Where the ring begins in the memory.
    #[napi(getter)]
    pub fn ring_offset(&self) -> Result<u32> {
        Ok(self.open()?.memory().ring_offset() as u32)
    }

    /// Bytes of the ring, a power of two.
    #[napi(getter)]
    pub fn capacity(&self) -> Result<u32> {
        Ok(self.open()?.memory().capacity() as u32)
    }

    /// Rings the consumer, whose `asleep` flag the caller has taken back.
    #[napi]
    pub fn ring(&self) {
        if let Some(sender) = &self.sender {
            sender.ring();
        }
    }

    /// Puts a record behind a full ring.
    #[napi]
    pub fn push_overflow(&self, record: &[u8]) {
        if let Some(sender) = &self.sender {
            sender.push_overflow(record);
        }
    }

    /// Between processes: asks for a call of `onRoom`, having seen the consumer at `seenTail`. False when it has
    /// moved on meanwhile.
    #[napi]
    pub fn wait_for_room(&self, seen_tail: i32) -> bool {
        let sender = self.sender.as_ref();
        sender.is_none_or(|sender| sender.wait_for_room(seen_tail.cast_unsigned()))
    }

    /// Bytes waiting beside the ring: behind it when it is full, and payloads too large for it.
    #[napi(getter)]
    pub fn overflow_bytes(&self) -> f64 {
        let waiting = |sender: &Sender| sender.overflow_bytes() + sender.slab().bytes();
        self.sender.as_ref().map_or(0, waiting) as f64
    }

    /// Copies a payload that is too large for the ring. Returns the number by which the consumer takes it; 0 when
    /// there is too much waiting.
    #[napi]
    pub fn put_large(&self, payload: &[u8]) -> u32 {
        let number = self.sender.as_ref().and_then(|sender| sender.slab().put(payload));
        number.unwrap_or(0)
    }

    /// Takes back a payload whose number was not sent after all.
    #[napi]
    pub fn discard_large(&self, number: u32) {
        if let Some(sender) = &self.sender {
            if let Some(block) = sender.slab().take(number) {
                sender.slab().give_back(block);
            }
        }
    }

    /// Lets go of the lane; what was published stays readable for the consumer.
    #[napi]
    pub fn close(&mut self) {
        self.sender = None;
    }
}

/// The end of a lane that consumes.
#[napi]
pub struct LaneReceiver {
    /// `None` once closed.
    receiver: Option<Receiver>,
    listening: Option<(Handle, Rc<Listening>)>,
    on_room: Rc<RoomWatch>,
    views: Vec<OpenView>,
}

/// What the same bell is rung for between processes: room in the lane the other way.
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
    /// Shared with the ArrayBuffer, which keeps the memory alive should the view never be ended.
    block: Rc<RefCell<Option<Block>>>,
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
        let outcome = doorbell.answer(control, latency, || {
            self.callback.call(&[]);
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
            receiver: Some(receiver),
            listening: None,
            on_room: Rc::default(),
            views: Vec::new(),
        }
    }

    fn open(&self) -> Result<&Receiver> {
        self.receiver.as_ref().ok_or_else(closed)
    }
}

#[napi]
impl LaneReceiver {
    /// An ArrayBuffer over the lane. It must not be transferred.
    #[napi]
    pub fn memory<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        memory_object(env, self.open()?.memory())
    }

    /// Where the ring begins in the memory.
    #[napi(getter)]
    pub fn ring_offset(&self) -> Result<u32> {
        Ok(self.open()?.memory().ring_offset() as u32)
    }

    /// Bytes of the ring, a power of two.
    #[napi(getter)]
    pub fn capacity(&self) -> Result<u32> {
        Ok(self.open()?.memory().capacity() as u32)
    }

    /// Bytes that a chunk of records behind the ring has at most, unless a single record is larger.
    #[napi(getter)]
    pub fn overflow_chunk_bytes(&self) -> u32 {
        CHUNK_BYTES as u32
    }

    /// Calls `drain` on the event loop whenever there is something to consume, after `resume()`. Does not keep
    /// the event loop alive.
    #[napi]
    pub fn listen(&mut self, env: Env, drain: Function<'_, (), ()>) -> Result<()> {
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

    /// Tells the producer, if another process, of room that it waits for.
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
    pub fn large_length(&self, number: u32) -> f64 {
        let len = |receiver: &Receiver| receiver.slab().len_of(number);
        self.receiver.as_ref().and_then(len).unwrap_or(0) as f64
    }

    /// Copies payload `number` into `target`, which has its length, and lets go of it. False when there is none.
    #[napi]
    pub fn take_large(&self, number: u32, mut target: Uint8Array) -> Result<bool> {
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

    /// An ArrayBuffer over payload `number` itself, until `endViews()`. Null when there is none.
    #[napi]
    pub fn view_large<'env>(&mut self, env: &'env Env, number: u32) -> Result<Option<Object<'env>>> {
        let Some(mut block) = self.open()?.slab().take(number) else {
            return Ok(None);
        };
        let (address, len) = (block.as_mut_ptr(), block.len());
        let block = Rc::new(RefCell::new(Some(block)));
        let buffer = external_buffer(env, address, len, Box::new(Rc::clone(&block)))?;
        let mut reference = ptr::null_mut();
        // SAFETY: a value of this environment, in the scope of this call.
        let status = unsafe { sys::napi_create_reference(env.raw(), buffer.raw(), 1, &mut reference) };
        if status != sys::Status::napi_ok {
            return Err(Error::new(Status::from(status), "no reference to a view"));
        }
        self.views.push(OpenView {
            buffer: reference,
            block,
        });
        Ok(Some(buffer))
    }

    /// Detaches the ArrayBuffers of all views: their memory serves the next payloads.
    #[napi]
    pub fn end_views(&mut self, env: Env) {
        for view in self.views.drain(..) {
            let is_detached = detach(env.raw(), view.buffer);
            // What could not be detached lives on until it is collected.
            let block = if is_detached { view.block.take() } else { None };
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
    }
}

/// Chooses between latency and CPU time for all links of the process that have no setting of their own: 0 frugal,
/// 1 balanced, 2 low.
#[napi]
pub fn set_process_latency(level: u32) {
    if let Some(latency) = Latency::from_level(level) {
        latency.set_for_process();
    }
}

/// Prepares the C library for a stream of large buffers, see [`heap::keep_free_memory`].
#[napi]
pub fn keep_free_memory() {
    heap::keep_free_memory();
}

/// Gives memory back that the C library keeps for buffers to come.
#[napi]
pub fn give_free_memory_back() {
    heap::give_free_memory_back();
}

/// Detaches the ArrayBuffer behind a reference, and gives the reference up. False when it is still attached.
fn detach(env: sys::napi_env, reference: sys::napi_ref) -> bool {
    let mut buffer = ptr::null_mut();
    // SAFETY: a reference of this environment that is deleted only below.
    unsafe { sys::napi_get_reference_value(env, reference, &mut buffer) };
    // SAFETY: as above, given up once.
    unsafe { sys::napi_delete_reference(env, reference) };
    if buffer.is_null() {
        return false;
    }
    // SAFETY: a value of this environment, in the scope of this call. Fails for what cannot be detached.
    unsafe { sys::napi_detach_arraybuffer(env, buffer) };
    let mut is_detached = false;
    // SAFETY: as above.
    let status = unsafe { sys::napi_is_detached_arraybuffer(env, buffer, &mut is_detached) };
    status == sys::Status::napi_ok && is_detached
}

fn waiting() -> MutexGuard<'static, Option<HashMap<u32, (Sender, Receiver)>>> {
    // A panic while it was held leaves the map whole.
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn memory_object<'env>(env: &'env Env, memory: &Arc<Memory>) -> Result<Object<'env>> {
    external_buffer(
        env,
        memory.as_ptr(),
        memory.mapped_len(),
        Box::new(Arc::clone(memory)),
    )
}

/// An ArrayBuffer over memory that `owner` keeps alive and nothing else on the JavaScript side refers to.
pub(crate) fn external_buffer<'env, T>(
    env: &'env Env,
    address: *mut u8,
    len: usize,
    owner: Box<T>,
) -> Result<Object<'env>> {
    let owner = Box::into_raw(owner);
    let mut value = ptr::null_mut();
    // SAFETY: the memory stays valid until `drop_owner::<T>` runs, which N-API calls once.
    let status = unsafe {
        sys::napi_create_external_arraybuffer(
            env.raw(),
            address.cast(),
            len,
            Some(drop_owner::<T>),
            owner.cast(),
            &mut value,
        )
    };
    if status != sys::Status::napi_ok {
        // SAFETY: on failure the finalizer is not called, and the owner is still ours.
        drop(unsafe { Box::from_raw(owner) });
        return Err(Error::new(
            Status::from(status),
            "this runtime refuses external memory",
        ));
    }
    Ok(Object::from_raw(env.raw(), value))
}

unsafe extern "C" fn drop_owner<T>(_env: sys::napi_env, _data: *mut c_void, owner: *mut c_void) {
    // SAFETY: made by `Box::into_raw` in `external_buffer`, handed back once.
    drop(unsafe { Box::from_raw(owner.cast::<T>()) });
}

pub(crate) fn closed() -> Error {
    Error::new(Status::Closing, "the link is closed")
}

pub(crate) fn io_error(error: std::io::Error) -> Error {
    Error::new(Status::GenericFailure, error.to_string())
}
