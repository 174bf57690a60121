//! The producer's end of a lane.

use std::rc::Rc;
use std::sync::Arc;

use manycore_core::ring::control::STORE_BLOCKS;
use manycore_core::ring::lane::Sender;
use manycore_core::shm::segment::Mapping;
use napi::bindgen_prelude::{Env, Error, JsValue, Object, Result, Status, Uint8Array, Unknown};
use napi_derive::napi;

use super::handed::{detach_value, handed_buffer};
use super::memory::{in_store, store_buffer, InStore, LaneMemory};
use super::{closed, io_error};
use crate::fast::Page;

/// The producer's end of a lane.
#[napi]
pub struct LaneSender {
    /// `None` once closed.
    sender: Option<Sender>,
    /// One word per block of the store, see `gone_words`; created with the first use.
    gone: Option<Rc<Page>>,
}

/// Keeps the memory of a block alive while JavaScript can access it, and then notes that it no longer can.
struct BlockAccess {
    _store: Arc<Mapping>,
    gone: Rc<Page>,
    number: usize,
    turn: u32,
}

impl Drop for BlockAccess {
    fn drop(&mut self) {
        // SAFETY: finalizers run on the thread of their environment while no JavaScript does, and the reference ends
        // with this call.
        let words = unsafe { self.gone.bytes() };
        let at = self.number * size_of::<u32>();
        let Some(word) = words.get_mut(at..at + size_of::<u32>()) else {
            return;
        };
        let mut latest = [0; size_of::<u32>()];
        latest.copy_from_slice(word);
        // Finalizers run in any order, and an earlier turn says nothing about a later one.
        if self.turn.wrapping_sub(u32::from_ne_bytes(latest)).cast_signed() > 0 {
            word.copy_from_slice(&self.turn.to_ne_bytes());
        }
    }
}

impl LaneSender {
    pub(crate) fn new(sender: Sender) -> Self {
        Self {
            sender: Some(sender),
            gone: None,
        }
    }

    fn gone(&mut self) -> Result<Rc<Page>> {
        if let Some(page) = &self.gone {
            return Ok(Rc::clone(page));
        }
        let page = Page::new(STORE_BLOCKS * size_of::<u32>())
            .ok_or_else(|| Error::new(Status::GenericFailure, "out of memory"))?;
        Ok(Rc::clone(self.gone.insert(page)))
    }

    fn open(&self) -> Result<&Sender> {
        self.sender.as_ref().ok_or_else(closed)
    }
}

#[napi]
impl LaneSender {
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

    /// Wakes the consumer. To be called after the caller has reset the `asleep` flag.
    #[napi]
    pub fn ring(&self) {
        if let Some(sender) = &self.sender {
            sender.ring();
        }
    }

    /// Appends a record to the overflow queue, when the ring is full.
    #[napi]
    pub fn push_overflow(&self, record: &[u8]) {
        if let Some(sender) = &self.sender {
            sender.push_overflow(record);
        }
    }

    /// Between processes: requests a call of `onRoom`; `seenTail` is the last observed consumer position.
    /// Returns false when the position has changed since.
    #[napi]
    pub fn wait_for_room(&self, seen_tail: i32) -> bool {
        let sender = self.sender.as_ref();
        sender.is_none_or(|sender| sender.wait_for_room(seen_tail.cast_unsigned()))
    }

    /// Between threads: requests a call of `onRoom` once at most `limitBytes` bytes are queued. Returns false
    /// when that is already the case.
    #[napi]
    pub fn wait_for_less(&self, limit_bytes: f64) -> bool {
        let sender = self.sender.as_ref();
        sender.is_none_or(|sender| sender.wait_for_less(limit_bytes as u64))
    }

    /// Bytes queued outside the ring: in the overflow queue, and payloads too large for the ring.
    #[napi(getter)]
    pub fn overflow_bytes(&self) -> f64 {
        self.sender.as_ref().map_or(0, Sender::bytes_beside) as f64
    }

    /// Copies a payload that is too large for the ring. Returns the number by which the consumer takes it, or
    /// 0 when too many bytes are queued.
    #[napi]
    pub fn put_large(&self, payload: &[u8]) -> u32 {
        let number = self.sender.as_ref().and_then(|sender| sender.slab().put(payload));
        number.unwrap_or(0)
    }

    /// Discards a payload whose number was not sent after all.
    #[napi]
    pub fn discard_large(&self, number: u32) {
        if let Some(sender) = &self.sender {
            if let Some(block) = sender.slab().take(number) {
                sender.slab().give_back(block);
            }
        }
    }

    /// Takes back a payload whose number was not sent after all: copies it into `target`. Returns false when there is none
    /// of that length.
    #[napi]
    pub fn take_back_large(&self, number: u32, mut target: Uint8Array) -> bool {
        let Some(sender) = &self.sender else {
            return false;
        };
        let Some(block) = sender.slab().take(number) else {
            return false;
        };
        // SAFETY: owned by this thread's JavaScript, which does not run meanwhile.
        let target = unsafe { target.as_mut() };
        let is_whole = target.len() == block.len();
        if is_whole {
            target.copy_from_slice(block.bytes());
        }
        sender.slab().give_back(block);
        is_whole
    }

    /// An ArrayBuffer of one u32 per block of the store: the `turn` of the last ArrayBuffer over the block that was
    /// garbage-collected.
    #[napi(ts_return_type = "ArrayBuffer")]
    pub fn gone_words<'env>(&mut self, env: &'env Env) -> Result<Object<'env>> {
        self.gone()?.buffer(env)
    }

    /// An ArrayBuffer over `length` bytes of the store from `at` on, for block `number`. Throws when the range is not in
    /// the store.
    #[napi(ts_return_type = "ArrayBuffer")]
    pub fn open_block<'env>(
        &mut self,
        env: &'env Env,
        at: u32,
        length: u32,
        number: u32,
        turn: u32,
    ) -> Result<Object<'env>> {
        let gone = self.gone()?;
        let memory = self.open()?.memory();
        let InStore { address, len, store } = in_store(memory, at, length)?;
        let access = BlockAccess {
            _store: store,
            gone,
            number: number as usize,
            turn,
        };
        handed_buffer(env, address, len, access)
    }

    /// Maps the first `length` bytes of the store, unless they are mapped already. Returns false when they cannot be.
    #[napi]
    pub fn map_store(&self, length: u32) -> bool {
        let sender = self.sender.as_ref();
        sender.is_some_and(|sender| sender.memory().store(length as usize).is_ok())
    }

    /// Detaches an ArrayBuffer. Returns whether it did; false if the buffer was detached before.
    #[napi(ts_args_type = "buffer: ArrayBuffer")]
    pub fn detach(&self, env: Env, buffer: Unknown<'_>) -> bool {
        detach_value(env.raw(), buffer.raw())
    }

    /// Returns pages of the store that no block uses to the system. Throws when the range is not in the store.
    #[napi]
    pub fn discard_in_store(&self, at: u32, length: u32) -> Result<()> {
        let memory = self.open()?.memory();
        memory
            .discard_in_store(at as usize, length as usize)
            .map_err(io_error)
    }

    /// Releases the lane; published records stay readable for the consumer.
    #[napi]
    pub fn close(&mut self) {
        self.sender = None;
    }
}
