//! Native memory exposed to JavaScript in place.

use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

use manycore_core::ring::lane::Memory;
use manycore_core::shm::segment::Mapping;
use napi::bindgen_prelude::{Env, Error, Object, Result, Status};
use napi_derive::napi;
use napi_sys as sys;

use super::handed::before_finalizer;
use super::io_error;

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
        let (address, len) = (memory.as_ptr(), memory.mapped_len());
        Ok(Self {
            buffer: external_buffer(env, address, len, Box::new(Arc::clone(memory)))?,
            ring_offset: memory.ring_offset() as u32,
            capacity: memory.capacity() as u32,
            store_bytes: memory.store_len() as u32,
        })
    }
}

/// A range of the store.
pub(super) struct InStore {
    pub address: *mut u8,
    pub len: usize,
    /// Keeps the memory alive.
    pub store: Arc<Mapping>,
}

/// The `length` bytes of the store from `at` on. Throws when they are not in the store, or when it cannot be mapped.
pub(super) fn in_store(memory: &Memory, at: u32, length: u32) -> Result<InStore> {
    let (at, len) = (at as usize, length as usize);
    if at + len > memory.store_len() {
        return Err(Error::new(Status::InvalidArg, "not in the store"));
    }
    let store = memory.store(at + len).map_err(io_error)?;
    let address = store.as_ptr().wrapping_add(at);
    Ok(InStore { address, len, store })
}

/// An ArrayBuffer over what is mapped of the store, the first `length` bytes at least. Throws when there are fewer, or
/// when they cannot be mapped.
pub(super) fn store_buffer<'env>(env: &'env Env, memory: &Memory, length: u32) -> Result<Object<'env>> {
    let InStore { address, store, .. } = in_store(memory, 0, length)?;
    external_buffer(env, address, store.len(), Box::new(store))
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

unsafe extern "C" fn drop_owner<T>(env: sys::napi_env, _data: *mut c_void, owner: *mut c_void) {
    before_finalizer(env);
    // SAFETY: from `Box::into_raw` in `external_buffer`; passed back once.
    drop(unsafe { Box::from_raw(owner.cast::<T>()) });
}
