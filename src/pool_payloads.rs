//! Payloads that are too large for the records of a pool's queue, on their way from or to JavaScript.

use std::cell::RefCell;

use manycore_core::queue::{Payload, Stock, Towards};
use napi::bindgen_prelude::{Env, Object};

use crate::lent_buffers::LentBuffers;

/// Payloads copied from JavaScript while a value is encoded, until its record is handed over. Encoding may
/// nest, and the inner record is handed over first: the last payloads belong to it.
#[derive(Default)]
pub struct Leaving(RefCell<Vec<Payload>>);

impl Leaving {
    /// Copies a payload. Returns false when too many bytes are queued or the queue does not support payloads.
    pub fn put(&self, stock: Option<&Stock>, towards: Towards, bytes: &[u8]) -> bool {
        let payload = stock.and_then(|stock| stock.hold(bytes, towards));
        payload.map(|payload| self.0.borrow_mut().push(payload)).is_some()
    }

    /// The last `count` payloads, for the record being handed over or given up.
    pub fn take(&self, count: u32) -> Vec<Payload> {
        if count == 0 {
            return Vec::new();
        }
        let mut payloads = self.0.borrow_mut();
        let first = payloads.len().saturating_sub(count as usize);
        payloads.split_off(first)
    }
}

/// Payloads of the records received last, in order; each can be taken once.
#[derive(Default)]
pub struct Arrived(RefCell<Vec<Option<Payload>>>);

impl Arrived {
    /// Replaces the previous payloads.
    pub fn replace(&self, payloads: Vec<Payload>) {
        self.0.replace(payloads.into_iter().map(Some).collect());
    }

    /// Length in bytes of the payload at an index; 0 when there is none.
    pub fn len_of(&self, at: u32) -> usize {
        let payloads = self.0.borrow();
        let payload = payloads.get(at as usize).and_then(Option::as_ref);
        payload.map_or(0, Payload::len)
    }

    /// Copies a payload into memory of its length and drops it. Returns false when there is none of that
    /// length.
    pub fn take(&self, at: u32, target: &mut [u8]) -> bool {
        let payload = self.0.borrow_mut().get_mut(at as usize).and_then(Option::take);
        payload.is_some_and(|payload| payload.copy_to(target))
    }

    /// The lent buffer that holds a payload, which is dropped then. `None` if the payload is elsewhere.
    pub fn redeem<'env>(&self, env: &'env Env, at: u32, lent: &LentBuffers) -> Option<Object<'env>> {
        let mut payloads = self.0.borrow_mut();
        let place = payloads.get_mut(at as usize)?;
        let buffer = lent.redeem(env, place.as_ref()?.lent()?)?;
        *place = None;
        Some(buffer)
    }
}
