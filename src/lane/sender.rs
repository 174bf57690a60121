//! The producer's end of a lane.

use manycore_core::ring::lane::Sender;
use napi::bindgen_prelude::{Env, Result};
use napi_derive::napi;

use super::closed;
use super::memory::LaneMemory;

/// The producer's end of a lane.
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
    /// The lane's memory.
    #[napi]
    pub fn memory<'env>(&self, env: &'env Env) -> Result<LaneMemory<'env>> {
        LaneMemory::new(env, self.open()?.memory())
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

    /// Releases the lane; published records stay readable for the consumer.
    #[napi]
    pub fn close(&mut self) {
        self.sender = None;
    }
}
