//! Lanes as seen by JavaScript. Encoding, publishing and decoding records is done in JavaScript
//! (`lib/link/`). This module has the layout and the registry through which a worker finds its link; the
//! submodules have the ends.

mod handed;
mod memory;
mod receiver;
mod sender;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use manycore_core::ring::control::{offset, COPY_BYTES, STORE_BLOCKS};
use manycore_core::ring::lane::{self, LaneSizes, Receiver, Sender};
use manycore_core::ring::spin::Latency;
use manycore_core::sys::heap;
use napi::bindgen_prelude::{Env, Error, JsValue, Result, Status, Uint8Array, Unknown};
use napi_derive::napi;
use napi_sys as sys;

pub(crate) use self::memory::external_buffer;
pub use self::receiver::LaneReceiver;
pub use self::sender::LaneSender;

/// Worker ends of links to which no worker has attached yet.
static WAITING: Mutex<Option<HashMap<u32, (Sender, Receiver)>>> = Mutex::new(None);
static NEXT_LINK: AtomicU32 = AtomicU32::new(1);

/// A link id that is unique in this process.
pub(crate) fn next_link() -> u32 {
    NEXT_LINK.fetch_add(1, Ordering::Relaxed)
}

/// Byte offsets of the control words; `lib/link/layout.js` must agree with them.
#[napi(object)]
pub struct LaneLayout {
    /// Position up to which records are published.
    pub head: u32,
    /// Position up to which the producer had read the lane of the other direction.
    pub read: u32,
    /// Position behind the record that is copied next to `head`.
    pub copied: u32,
    /// That copy.
    pub copy: u32,
    /// Greatest length of a record that is copied, in bytes.
    pub copy_bytes: u32,
    /// Position up to which records are consumed.
    pub tail: u32,
    /// 1: the consumer sleeps and must be woken.
    pub asleep: u32,
    /// 1: no barrier is needed between publishing and checking `asleep`.
    pub unfenced: u32,
    /// Number of records pushed to the overflow queue.
    pub overflowed: u32,
    /// Number of records popped from the overflow queue.
    pub taken: u32,
    /// 1: the consumer has closed the lane.
    pub closed: u32,
    /// 1: the producer must be notified of room.
    pub waiting: u32,
    /// One word per block of the store: 1 once the consumer has returned it.
    pub returned: u32,
    /// Number of blocks of the store.
    pub store_blocks: u32,
}

/// The layout compiled into the addon.
#[napi]
pub fn lane_layout() -> LaneLayout {
    LaneLayout {
        head: offset::HEAD as u32,
        read: offset::READ as u32,
        copied: offset::COPIED as u32,
        copy: offset::COPY as u32,
        copy_bytes: COPY_BYTES as u32,
        tail: offset::TAIL as u32,
        asleep: offset::ASLEEP as u32,
        unfenced: offset::UNFENCED as u32,
        overflowed: offset::OVERFLOWED as u32,
        taken: offset::TAKEN as u32,
        closed: offset::CLOSED as u32,
        waiting: offset::WAITING as u32,
        returned: offset::RETURNED as u32,
        store_blocks: STORE_BLOCKS as u32,
    }
}

/// Reports an exception as uncaught, from within a callback of the event loop. Returns if the program handles
/// it.
#[napi]
pub fn report_uncaught(env: Env, error: Unknown<'_>) {
    // SAFETY: both belong to the calling environment. Fails only while the environment shuts down.
    let _status = unsafe { sys::napi_fatal_exception(env.raw(), error.raw()) };
}

/// Two lanes between this thread and one of its workers.
#[napi]
pub struct ThreadLink {
    id: u32,
    ends: Option<(Sender, Receiver)>,
}

#[napi]
impl ThreadLink {
    /// Creates both lanes and registers the worker's ends. Throws when memory or file descriptors run out.
    #[napi(constructor)]
    pub fn new(capacity_bytes: u32, store_bytes: Option<u32>) -> Result<Self> {
        let sizes = lane_sizes(capacity_bytes, store_bytes);
        let (to_worker, worker_receiver) = lane::lane(sizes).map_err(io_error)?;
        let (worker_sender, from_worker) = lane::lane(sizes).map_err(io_error)?;
        let id = next_link();
        waiting()
            .get_or_insert_default()
            .insert(id, (worker_sender, worker_receiver));
        Ok(Self {
            id,
            ends: Some((to_worker, from_worker)),
        })
    }

    /// Takes the worker's side of link `id`, once. Throws when there is none.
    #[napi(factory)]
    pub fn attach(id: u32) -> Result<Self> {
        let ends = waiting().as_mut().and_then(|waiting| waiting.remove(&id));
        let ends = ends.ok_or_else(|| Error::new(Status::InvalidArg, "no link waits under this id"))?;
        Ok(Self { id, ends: Some(ends) })
    }

    /// The id by which the worker attaches.
    #[napi(getter)]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The sending end. To be taken once.
    #[napi]
    pub fn take_sender(&self) -> Result<LaneSender> {
        let (sender, _) = self.ends.as_ref().ok_or_else(closed)?;
        Ok(LaneSender::new(sender.clone()))
    }

    /// The receiving end. To be taken once.
    #[napi]
    pub fn take_receiver(&self) -> Result<LaneReceiver> {
        let (_, receiver) = self.ends.as_ref().ok_or_else(closed)?;
        Ok(LaneReceiver::new(receiver.clone()))
    }

    /// Drops the worker's ends if no worker has attached.
    #[napi]
    pub fn close(&mut self) {
        self.ends = None;
        let forgotten = waiting().as_mut().and_then(|waiting| waiting.remove(&self.id));
        drop(forgotten);
    }
}

/// Sets the process-wide trade-off between latency and CPU time, for links without a setting of their own: 0
/// frugal, 1 balanced, 2 low.
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

/// Requests huge pages for a freshly allocated, untouched buffer, see [`heap::use_huge_pages`].
#[napi]
pub fn use_huge_pages(mut buffer: Uint8Array) {
    // SAFETY: owned by this thread's JavaScript, which does not run meanwhile; only the address is used.
    let memory = unsafe { buffer.as_mut() };
    heap::use_huge_pages(memory.as_mut_ptr(), memory.len());
}

/// Returns free memory that the C library retains to the system.
#[napi]
pub fn give_free_memory_back() {
    heap::give_free_memory_back();
}

fn waiting() -> MutexGuard<'static, Option<HashMap<u32, (Sender, Receiver)>>> {
    // A panic while the lock is held leaves the map consistent.
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sizes of a lane; without a store by default.
pub(crate) fn lane_sizes(capacity_bytes: u32, store_bytes: Option<u32>) -> LaneSizes {
    LaneSizes {
        capacity: capacity_bytes as usize,
        store: store_bytes.unwrap_or(0) as usize,
    }
}

pub(crate) fn closed() -> Error {
    Error::new(Status::Closing, "the link is closed")
}

pub(crate) fn io_error(error: std::io::Error) -> Error {
    Error::new(Status::GenericFailure, error.to_string())
}
