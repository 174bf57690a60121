//! The ends of lanes as JavaScript sees them. Encoding, publishing and decoding are JavaScript (`lib/link/`);
//! here are the layout, and the registry through which a worker finds its link; below are the ends.

mod memory;
mod receiver;
mod sender;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use manycore_core::ring::control::offset;
use manycore_core::ring::lane::{self, Receiver, Sender};
use manycore_core::ring::spin::Latency;
use manycore_core::sys::heap;
use napi::bindgen_prelude::{Env, Error, JsValue, Result, Status, Uint8Array, Unknown};
use napi_derive::napi;
use napi_sys as sys;

pub(crate) use self::memory::external_buffer;
pub use self::receiver::LaneReceiver;
pub use self::sender::LaneSender;

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

/// Asks for large pages under a buffer that has just been made and not been touched, see [`heap::use_huge_pages`].
#[napi]
pub fn use_huge_pages(mut buffer: Uint8Array) {
    // SAFETY: memory of this thread's JavaScript, which does not run meanwhile; only its place is used.
    let memory = unsafe { buffer.as_mut() };
    heap::use_huge_pages(memory.as_mut_ptr(), memory.len());
}

/// Gives memory back that the C library keeps for buffers to come.
#[napi]
pub fn give_free_memory_back() {
    heap::give_free_memory_back();
}

fn waiting() -> MutexGuard<'static, Option<HashMap<u32, (Sender, Receiver)>>> {
    // A panic while it was held leaves the map whole.
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn closed() -> Error {
    Error::new(Status::Closing, "the link is closed")
}

pub(crate) fn io_error(error: std::io::Error) -> Error {
    Error::new(Status::GenericFailure, error.to_string())
}
