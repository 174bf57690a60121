//! What is too large for the records of a pool's queue, on its way from or to JavaScript.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::rc::Rc;

use manycore_core::queue::{Payload, Stock, Towards};
use manycore_core::ring::loans::Lender;
use napi::bindgen_prelude::{Env, JsValue, Object, Unknown};
use napi_sys as sys;

/// Copied from JavaScript while a value is encoded, until its record is handed over. Values may be encoded within one
/// another, and the inner record is handed over first: the last payloads belong to it.
#[derive(Default)]
pub struct Leaving(RefCell<Vec<Payload>>);

impl Leaving {
    /// Copies a payload. False when there is too much waiting, or the queue carries none.
    pub fn put(&self, stock: Option<&Stock>, towards: Towards, bytes: &[u8]) -> bool {
        let payload = stock.and_then(|stock| stock.hold(bytes, towards));
        payload.map(|payload| self.0.borrow_mut().push(payload)).is_some()
    }

    /// The payloads of the record that is handed over, or given up.
    pub fn take(&self, count: u32) -> Vec<Payload> {
        if count == 0 {
            return Vec::new();
        }
        let mut payloads = self.0.borrow_mut();
        let first = payloads.len().saturating_sub(count as usize);
        payloads.split_off(first)
    }
}

/// With the records that came last, in their order; each is taken once.
#[derive(Default)]
pub struct Arrived(RefCell<Vec<Option<Payload>>>);

impl Arrived {
    /// Takes the place of those before.
    pub fn replace(&self, payloads: Vec<Payload>) {
        self.0.replace(payloads.into_iter().map(Some).collect());
    }

    /// Bytes of the payload at a place; 0 when there is none.
    pub fn len_of(&self, at: u32) -> usize {
        let payloads = self.0.borrow();
        let payload = payloads.get(at as usize).and_then(Option::as_ref);
        payload.map_or(0, Payload::len)
    }

    /// Copies a payload into memory of its length, and lets go of it. False when there is none of that length.
    pub fn take(&self, at: u32, target: &mut [u8]) -> bool {
        let payload = self.0.borrow_mut().get_mut(at as usize).and_then(Option::take);
        payload.is_some_and(|payload| payload.copy_to(target))
    }

    /// The lent buffer that a payload is in; it is let go of then. `None` for one that is elsewhere.
    pub fn redeem<'env>(&self, env: &'env Env, at: u32, lent: &LentBuffers) -> Option<Object<'env>> {
        let mut payloads = self.0.borrow_mut();
        let place = payloads.get_mut(at as usize)?;
        let buffer = lent.redeem(env, place.as_ref()?)?;
        *place = None;
        Some(buffer)
    }
}

/// ArrayBuffers of this thread that are lent for payloads to come. JavaScript has nothing that leads to one until it is
/// redeemed.
pub struct LentBuffers(Rc<Lent>);

struct Lent {
    /// Goes first: the buffers stay as long as what is lent. `None` for queues without payloads, and at the end.
    lender: RefCell<Option<Lender>>,
    buffers: RefCell<HashMap<u32, Reference>>,
    /// Once something has been lent: the environment whose end takes all back.
    env: Cell<Option<sys::napi_env>>,
}

impl LentBuffers {
    /// For one that gets payloads.
    pub fn new(stock: Option<&Stock>, receiver: Towards) -> Self {
        let lender = stock.map(|stock| stock.lender(receiver));
        Self(Rc::new(Lent {
            lender: RefCell::new(lender),
            buffers: RefCell::default(),
            env: Cell::new(None),
        }))
    }

    /// Lends an ArrayBuffer that nothing else refers to. False when that cannot be.
    pub fn lend(&self, env: Env, buffer: &Unknown<'_>) -> bool {
        if !self.is_hooked(env.raw()) {
            return false;
        }
        let mut lender = self.0.lender.borrow_mut();
        let Some(lender) = lender.as_mut() else {
            return false;
        };
        let (mut memory, mut len) = (ptr::null_mut(), 0);
        // SAFETY: a value of this environment, in the scope of this call. Refused for anything but an ArrayBuffer.
        let status =
            unsafe { sys::napi_get_arraybuffer_info(env.raw(), buffer.raw(), &mut memory, &mut len) };
        let (sys::Status::napi_ok, Some(memory)) = (status, NonNull::new(memory.cast::<u8>())) else {
            return false;
        };
        let Some(reference) = Reference::new(env.raw(), buffer.raw()) else {
            return false;
        };
        // SAFETY: the reference keeps the buffer, and its memory stays where it is: it can be neither detached nor
        // transferred by anybody, for nobody has it. The reference goes after its number has come back or the lender has.
        let number = unsafe { lender.lend(memory, len) };
        self.0.buffers.borrow_mut().insert(number, reference);
        true
    }

    /// The buffer that a payload is in. `None` for one that is elsewhere.
    pub fn redeem<'env>(&self, env: &'env Env, payload: &Payload) -> Option<Object<'env>> {
        let number = self.0.lender.borrow_mut().as_mut()?.redeem(payload.lent()?)?;
        let reference = self.0.buffers.borrow_mut().remove(&number)?;
        Some(Object::from_raw(env.raw(), reference.value()?))
    }

    /// Takes back what is not in use.
    pub fn take_back(&self) {
        let numbers = self.0.lender.borrow_mut().as_mut().map(Lender::take_back);
        let mut buffers = self.0.buffers.borrow_mut();
        for number in numbers.unwrap_or_default() {
            buffers.remove(&number);
        }
    }

    /// Sees to it that nothing is lent any more when the environment is gone, and the buffers with it.
    fn is_hooked(&self, env: sys::napi_env) -> bool {
        if self.0.env.get().is_none() {
            let lent = Rc::as_ptr(&self.0).cast_mut().cast();
            // SAFETY: the live environment of the calling thread; `drop` removes the hook before `lent` goes.
            let status = unsafe { sys::napi_add_env_cleanup_hook(env, Some(on_env_end), lent) };
            if status == sys::Status::napi_ok {
                self.0.env.set(Some(env));
            }
        }
        self.0.env.get().is_some()
    }
}

impl Lent {
    fn end(&self) {
        // What is lent first, then the buffers it is in.
        drop(self.lender.take());
        self.buffers.take();
    }
}

impl Drop for LentBuffers {
    fn drop(&mut self) {
        self.0.end();
        if let Some(env) = self.0.env.take() {
            let lent = Rc::as_ptr(&self.0).cast_mut().cast();
            // SAFETY: added by `is_hooked` with these, on this thread; the environment has not ended, which takes `env`.
            unsafe { sys::napi_remove_env_cleanup_hook(env, Some(on_env_end), lent) };
        }
    }
}

unsafe extern "C" fn on_env_end(lent: *mut c_void) {
    // SAFETY: from `is_hooked`, on the same thread; `LentBuffers` removes the hook before this goes.
    let lent = unsafe { &*lent.cast_const().cast::<Lent>() };
    // Hooks that have been called are gone.
    lent.env.take();
    lent.end();
}

/// Keeps a value.
struct Reference {
    env: sys::napi_env,
    raw: sys::napi_ref,
}

impl Reference {
    fn new(env: sys::napi_env, value: sys::napi_value) -> Option<Self> {
        let mut raw = ptr::null_mut();
        // SAFETY: a value of this environment, in the scope of a call.
        let status = unsafe { sys::napi_create_reference(env, value, 1, &mut raw) };
        (status == sys::Status::napi_ok).then_some(Self { env, raw })
    }

    fn value(&self) -> Option<sys::napi_value> {
        let mut value = ptr::null_mut();
        // SAFETY: a reference of this environment, which is deleted only with `self`, in the scope of a call.
        unsafe { sys::napi_get_reference_value(self.env, self.raw, &mut value) };
        (!value.is_null()).then_some(value)
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        // SAFETY: made by `new` in this environment; dropped on its thread, once.
        unsafe { sys::napi_delete_reference(self.env, self.raw) };
    }
}
