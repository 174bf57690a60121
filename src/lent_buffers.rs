//! ArrayBuffers that a thread lends to those who send to it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::rc::Rc;

use manycore_core::ring::loans::{Filled, Lender};
use napi::bindgen_prelude::{Env, JsValue, Object, Unknown};
use napi_sys as sys;

/// ArrayBuffers of this thread lent for incoming payloads. JavaScript has no reference to a buffer until it
/// is redeemed.
pub struct LentBuffers(Rc<Lent>);

struct Lent {
    /// Dropped first, so that the buffers outlive the loans. `None` for queues without payloads, and at the
    /// end.
    lender: RefCell<Option<Lender>>,
    buffers: RefCell<HashMap<u32, Reference>>,
    /// Set by the first loan: the environment whose shutdown takes everything back.
    env: Cell<Option<sys::napi_env>>,
}

impl LentBuffers {
    /// Creates the buffers of a receiver; `lender` is `None` if it gets no payloads.
    pub fn new(lender: Option<Lender>) -> Self {
        Self(Rc::new(Lent {
            lender: RefCell::new(lender),
            buffers: RefCell::default(),
            env: Cell::new(None),
        }))
    }

    /// Lends an ArrayBuffer to which there is no other reference. Returns false on failure.
    pub fn lend(&self, env: Env, buffer: &Unknown<'_>) -> bool {
        if !self.is_hooked(env.raw()) {
            return false;
        }
        let mut lender = self.0.lender.borrow_mut();
        let Some(lender) = lender.as_mut() else {
            return false;
        };
        let (mut memory, mut len) = (ptr::null_mut(), 0);
        // SAFETY: a value of this environment in the scope of this call. Fails for anything but an
        // ArrayBuffer.
        let status =
            unsafe { sys::napi_get_arraybuffer_info(env.raw(), buffer.raw(), &mut memory, &mut len) };
        let (sys::Status::napi_ok, Some(memory)) = (status, NonNull::new(memory.cast::<u8>())) else {
            return false;
        };
        let Some(reference) = Reference::new(env.raw(), buffer.raw()) else {
            return false;
        };
        // SAFETY: the reference keeps the buffer alive, and its memory does not move: nobody else has the
        // buffer, so it can be neither detached nor transferred. The reference is dropped after its number
        // has been returned or the lender has been dropped.
        let number = unsafe { lender.lend(memory, len) };
        self.0.buffers.borrow_mut().insert(number, reference);
        true
    }

    /// The buffer that holds a payload. `None` if the payload is elsewhere.
    pub fn redeem<'env>(&self, env: &'env Env, payload: &Filled) -> Option<Object<'env>> {
        let number = self.0.lender.borrow_mut().as_mut()?.redeem(payload)?;
        let reference = self.0.buffers.borrow_mut().remove(&number)?;
        Some(Object::from_raw(env.raw(), reference.value()?))
    }

    /// Takes back all free buffers.
    pub fn take_back(&self) {
        let numbers = self.0.lender.borrow_mut().as_mut().map(Lender::take_back);
        let mut buffers = self.0.buffers.borrow_mut();
        for number in numbers.unwrap_or_default() {
            buffers.remove(&number);
        }
    }

    /// Takes back all buffers, in use or not, and lends none from here on.
    pub fn end(&self) {
        self.0.end();
    }

    /// Installs a cleanup hook, so that all loans end before the environment and its buffers do.
    fn is_hooked(&self, env: sys::napi_env) -> bool {
        if self.0.env.get().is_none() {
            let lent = Rc::as_ptr(&self.0).cast_mut().cast();
            // SAFETY: the live environment of the calling thread; `drop` removes the hook before `lent` is
            // freed.
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
        // The loans first, then the buffers.
        drop(self.lender.take());
        self.buffers.take();
    }
}

impl Drop for LentBuffers {
    fn drop(&mut self) {
        self.0.end();
        if let Some(env) = self.0.env.take() {
            let lent = Rc::as_ptr(&self.0).cast_mut().cast();
            // SAFETY: added by `is_hooked` with these arguments, on this thread; the environment has not
            // ended, as that would have cleared `env`.
            unsafe { sys::napi_remove_env_cleanup_hook(env, Some(on_env_end), lent) };
        }
    }
}

unsafe extern "C" fn on_env_end(lent: *mut c_void) {
    // SAFETY: from `is_hooked`, on the same thread; `LentBuffers` removes the hook before this is freed.
    let lent = unsafe { &*lent.cast_const().cast::<Lent>() };
    // A hook is removed by being called.
    lent.env.take();
    lent.end();
}

/// A strong reference to a value.
struct Reference {
    env: sys::napi_env,
    raw: sys::napi_ref,
}

impl Reference {
    fn new(env: sys::napi_env, value: sys::napi_value) -> Option<Self> {
        let mut raw = ptr::null_mut();
        // SAFETY: a value of this environment in the scope of a call.
        let status = unsafe { sys::napi_create_reference(env, value, 1, &mut raw) };
        (status == sys::Status::napi_ok).then_some(Self { env, raw })
    }

    fn value(&self) -> Option<sys::napi_value> {
        let mut value = ptr::null_mut();
        // SAFETY: a reference of this environment, deleted only with `self`; used in the scope of a call.
        unsafe { sys::napi_get_reference_value(self.env, self.raw, &mut value) };
        (!value.is_null()).then_some(value)
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        // SAFETY: created by `new` in this environment; dropped on its thread, once.
        unsafe { sys::napi_delete_reference(self.env, self.raw) };
    }
}
