//! ArrayBuffers over native memory that are handed to the program. It may move their memory to another ArrayBuffer
//! (`transfer()`), and that one to another thread. The memory can then be in use after the environment that created
//! it has ended, although Node finalizes all external memory at the end of an environment.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::mem::ManuallyDrop;
use std::ptr;
use std::rc::Rc;

use napi::bindgen_prelude::{Env, Error, JsValue, Object, Result, Status};
use napi_sys as sys;

use super::memory::external_buffer;

thread_local! {
    /// The buffers of this thread that this module has not detached, by address. Not dropped with the thread: whatever
    /// is left belongs to an environment that the process exits without ending.
    static HANDED: ManuallyDrop<RefCell<HashMap<usize, Rc<Watch>>>> = ManuallyDrop::default();
}

/// Observes whether a buffer still has its memory.
struct Watch {
    env: sys::napi_env,
    address: usize,
    /// A weak reference to the buffer.
    buffer: sys::napi_ref,
    /// Whether another ArrayBuffer may have the memory until the process ends.
    is_elsewhere: Cell<bool>,
}

/// What keeps the memory of a buffer alive.
struct Keeper<T> {
    owner: ManuallyDrop<T>,
    /// `None` only until the buffer exists.
    watch: Rc<RefCell<Option<Rc<Watch>>>>,
}

impl<T> Drop for Keeper<T> {
    fn drop(&mut self) {
        let watch = self.watch.take();
        if let Some(watch) = &watch {
            watch.forget();
        }
        if watch.is_none_or(|watch| !watch.is_elsewhere.get()) {
            // SAFETY: not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.owner) };
        }
    }
}

/// Like [`external_buffer`], for a program. If the memory is in another ArrayBuffer when the environment ends, `owner`
/// is never dropped, as nothing tells when that one is collected.
pub(super) fn handed_buffer<T>(env: &Env, address: *mut u8, len: usize, owner: T) -> Result<Object<'_>> {
    let place = Rc::default();
    let keeper = Box::new(Keeper {
        owner: ManuallyDrop::new(owner),
        watch: Rc::clone(&place),
    });
    let buffer = external_buffer(env, address, len, keeper)?;
    let mut reference = ptr::null_mut();
    // SAFETY: a value of this live environment, in the scope of the call.
    let status = unsafe { sys::napi_create_reference(env.raw(), buffer.raw(), 0, &mut reference) };
    if status != sys::Status::napi_ok {
        // The program does not get the buffer.
        return Err(Error::new(Status::from(status), "no reference to a buffer"));
    }
    let watch = Rc::new(Watch {
        env: env.raw(),
        address: address.addr(),
        buffer: reference,
        is_elsewhere: Cell::new(false),
    });
    HANDED.with(|handed| handed.borrow_mut().insert(watch.address, Rc::clone(&watch)));
    place.replace(Some(watch));
    Ok(buffer)
}

impl Watch {
    /// Removes it from the map, in which a later buffer may have taken its place.
    fn forget(self: &Rc<Self>) {
        HANDED.with(|handed| {
            let mut handed = handed.borrow_mut();
            if handed
                .get(&self.address)
                .is_some_and(|watch| Rc::ptr_eq(watch, self))
            {
                handed.remove(&self.address);
            }
        });
    }

    /// Whether the buffer exists and still has its memory. To be called in a handle scope.
    fn has_memory(&self) -> bool {
        let mut buffer = ptr::null_mut();
        // SAFETY: a reference of this environment, deleted only with `self`.
        unsafe { sys::napi_get_reference_value(self.env, self.buffer, &mut buffer) };
        !buffer.is_null() && address_of(self.env, buffer) == Some(self.address)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // SAFETY: created by `handed_buffer` in this environment; dropped on its thread, by a finalizer at the latest.
        unsafe { sys::napi_delete_reference(self.env, self.buffer) };
    }
}

/// Must be called before any finalizer of external memory does its work. When the environment ends, Node detaches and
/// finalizes one buffer after the other: the first of these calls sees which buffers were without their memory before.
/// The buffer whose finalizer makes that call counts as such, because it has been detached already.
pub(super) fn before_finalizer(env: sys::napi_env) {
    let was_used = HANDED.with(|handed| handed.borrow().capacity() > 0);
    if !was_used || !is_ending(env) {
        return;
    }
    for watch in HANDED.with(|handed| handed.take()).into_values() {
        watch.is_elsewhere.set(!watch.has_memory());
    }
}

/// Whether an environment is ending: it then refuses whatever could run JavaScript. To be called in a handle scope.
fn is_ending(env: sys::napi_env) -> bool {
    let mut date = ptr::null_mut();
    // SAFETY: called by a finalizer of this environment, which is live until all of them have run.
    let status = unsafe { sys::napi_create_date(env, 0.0, &mut date) };
    status != sys::Status::napi_ok
}

/// Detaches the ArrayBuffer behind a reference and deletes the reference, see [`detach_value`].
pub(super) fn detach(env: sys::napi_env, reference: sys::napi_ref) -> bool {
    let mut buffer = ptr::null_mut();
    // SAFETY: a reference of this environment, deleted only below.
    unsafe { sys::napi_get_reference_value(env, reference, &mut buffer) };
    // SAFETY: as above; deleted once.
    unsafe { sys::napi_delete_reference(env, reference) };
    !buffer.is_null() && detach_value(env, buffer)
}

/// Detaches an ArrayBuffer, a value of this environment in the scope of the call. Returns whether it did; if the buffer
/// was detached before, another one may have its memory.
pub(super) fn detach_value(env: sys::napi_env, buffer: sys::napi_value) -> bool {
    let Some(address) = address_of(env, buffer) else {
        return false;
    };
    // SAFETY: as stated by the caller. Fails if it cannot be detached.
    unsafe { sys::napi_detach_arraybuffer(env, buffer) };
    if address_of(env, buffer).is_some() {
        return false;
    }
    let _watch = HANDED.with(|handed| handed.borrow_mut().remove(&address));
    true
}

/// The address of an ArrayBuffer's memory; `None` if it has none, as when it is detached.
fn address_of(env: sys::napi_env, buffer: sys::napi_value) -> Option<usize> {
    let (mut memory, mut len) = (ptr::null_mut(), 0);
    // SAFETY: a value of this environment in the scope of the call. Fails for anything but an ArrayBuffer.
    let status = unsafe { sys::napi_get_arraybuffer_info(env, buffer, &mut memory, &mut len) };
    (status == sys::Status::napi_ok && !memory.is_null() && len > 0).then(|| memory.addr())
}
