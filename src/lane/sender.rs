//! The end of a lane that publishes.

use manycore_core::ring::lane::Sender;
use napi::bindgen_prelude::{Env, Result};
use napi_derive::napi;

use super::closed;
use super::memory::LaneMemory;

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
    /// The lane's memory.
    #[napi]
    pub fn memory<'env>(&self, env: &'env Env) -> Result<LaneMemory<'env>> {
        LaneMemory::new(env, self.open()?.memory())
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

    /// Between threads: asks for a call of `onRoom` once at most `limitBytes` wait. False when it is so already.
    #[napi]
    pub fn wait_for_less(&self, limit_bytes: f64) -> bool {
        let sender = self.sender.as_ref();
        sender.is_none_or(|sender| sender.wait_for_less(limit_bytes as u64))
    }

    /// Bytes waiting beside the ring: behind it when it is full, and payloads too large for it.
    #[napi(getter)]
    pub fn overflow_bytes(&self) -> f64 {
        self.sender.as_ref().map_or(0, Sender::bytes_beside) as f64
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
