//! Native memory exposed to JavaScript in place.

use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

use manycore_core::ring::lane::Memory;
use napi::bindgen_prelude::{Env, Error, Object, Result, Status};
use napi_derive::napi;
use napi_sys as sys;

/// A lane's memory as mapped by one of its ends.
#[napi(object, object_from_js = false)]
pub struct LaneMemory<'env> {
    /// An ArrayBuffer over the control words, the ring and its mirror. It must not be transferred.
    #[napi(ts_type = "ArrayBuffer")]
    pub buffer: Object<'env>,
    /// Byte offset of the ring.
    pub ring_offset: u32,
    /// Size of the ring in bytes, a power of two.
    pub capacity: u32,
    /// Size of the store in bytes; 0 if the lane has none.
    pub store_bytes: u32,
}

impl<'env> LaneMemory<'env> {
    pub(super) fn new(env: &'env Env, memory: &Arc<Memory>) -> Result<Self> {
        let (address, len) = (memory.as_ptr(), memory.store_offset());
        Ok(Self {
            buffer: external_buffer(env, address, len, Box::new(Arc::clone(memory)))?,
            ring_offset: memory.ring_offset() as u32,
            capacity: memory.capacity() as u32,
            store_bytes: memory.store_len() as u32,
        })
    }
}

/// Address of a range of the store. Throws when it is not in the store.
pub(super) fn in_store(memory: &Memory, at: u32, length: u32) -> Result<*mut u8> {
    let (at, length) = (at as usize, length as usize);
    if at + length > memory.store_len() {
        return Err(Error::new(Status::InvalidArg, "not in the store"));
    }
    Ok(memory.as_ptr().wrapping_add(memory.store_offset() + at))
}

/// An ArrayBuffer over memory that `owner` keeps alive. No other ArrayBuffer may refer to the same memory.
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
        // SAFETY: on failure the finalizer is not called, so the owner is still ours.
        drop(unsafe { Box::from_raw(owner) });
        return Err(Error::new(
            Status::from(status),
            "this runtime refuses external memory",
        ));
    }
    Ok(Object::from_raw(env.raw(), value))
}

unsafe extern "C" fn drop_owner<T>(_env: sys::napi_env, _data: *mut c_void, owner: *mut c_void) {
    // SAFETY: from `Box::into_raw` in `external_buffer`; passed back once.
    drop(unsafe { Box::from_raw(owner.cast::<T>()) });
}

/// Detaches the ArrayBuffer behind a reference and deletes the reference. Returns whether it is detached.
pub(super) fn detach(env: sys::napi_env, reference: sys::napi_ref) -> bool {
    let mut buffer = ptr::null_mut();
    // SAFETY: a reference of this environment, deleted only below.
    unsafe { sys::napi_get_reference_value(env, reference, &mut buffer) };
    // SAFETY: as above; deleted once.
    unsafe { sys::napi_delete_reference(env, reference) };
    !buffer.is_null() && detach_value(env, buffer)
}

/// Detaches an ArrayBuffer, a value of this environment in the scope of the call. Returns whether it is detached.
pub(super) fn detach_value(env: sys::napi_env, buffer: sys::napi_value) -> bool {
    // SAFETY: as stated by the caller. Fails if it cannot be detached.
    unsafe { sys::napi_detach_arraybuffer(env, buffer) };
    let mut is_detached = false;
    // SAFETY: as above.
    let status = unsafe { sys::napi_is_detached_arraybuffer(env, buffer, &mut is_detached) };
    status == sys::Status::napi_ok && is_detached
}
