//! Plain shared memory: a SharedArrayBuffer where Node supports one over external memory (from late version
//! 22 on), otherwise an ArrayBuffer.

use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::Arc;

use manycore_core::shm::header::Kind;
use manycore_core::shm::object::{ObjectSegment, Plan};
use manycore_core::shm::OpenError;
use manycore_core::sync::Ordering;
use napi::bindgen_prelude::{Env, Error, Object, Result, Status};
use napi_derive::napi;
use napi_sys as sys;

use super::segment::{open_error, SegmentSource};
use crate::lane::external_buffer;

const KIND: Kind = Kind {
    name: "buffer",
    layout: 1,
};

type Finalize = unsafe extern "C" fn(*mut c_void, *mut c_void);
type CreateShared = unsafe extern "C" fn(
    sys::napi_env,
    *mut c_void,
    usize,
    Option<Finalize>,
    *mut c_void,
    *mut sys::napi_value,
) -> sys::napi_status;

extern "C" {
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// A segment of bytes.
#[napi]
pub struct SharedMemory {
    /// `None` once closed.
    segment: Option<Arc<ObjectSegment>>,
    length: usize,
}

#[napi]
impl SharedMemory {
    /// Opens or creates a segment of `bytes` bytes. An existing one keeps its size.
    #[napi(factory)]
    pub fn open(source: SegmentSource, bytes: f64) -> Result<Self> {
        let segment = source
            .open(&Plan {
                kind: KIND,
                body_bytes: bytes as usize,
                initialise: &|segment| {
                    if let Some(word) = segment.parameters().first() {
                        word.store(bytes as u64, Ordering::Relaxed);
                    }
                },
            })
            .map_err(open_error)?;
        let length = segment
            .parameters()
            .first()
            .map_or(0, |word| word.load(Ordering::Relaxed));
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > segment.body().len() * 8 {
            return Err(open_error(OpenError::Corrupt("it is shorter than it says")));
        }
        Ok(Self {
            segment: Some(segment),
            length,
        })
    }

    /// A buffer over a mapping of its own, as engines reject two buffers over one address.
    #[napi]
    pub fn buffer<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        let segment = self.segment()?.map_again().map_err(open_error)?;
        let address = segment.body_ptr();
        match create_shared() {
            Some(create) => shared_buffer(env, create, address, self.length, Box::new(segment)),
            None => external_buffer(env, address, self.length, Box::new(segment)),
        }
    }

    /// The handle by which others open it.
    #[napi(getter)]
    pub fn handle(&self) -> Result<String> {
        Ok(self.segment()?.handle())
    }

    /// The handle to be sent to other threads or processes.
    #[napi(getter)]
    pub fn travel_handle(&self) -> Result<String> {
        Ok(self.segment()?.travel_handle())
    }

    /// Size of the buffer in bytes.
    #[napi(getter)]
    pub fn length(&self) -> f64 {
        self.length as f64
    }

    /// Closes the segment. Existing buffers stay valid.
    #[napi]
    pub fn close(&mut self) {
        self.segment = None;
    }
}

impl SharedMemory {
    fn segment(&self) -> Result<&Arc<ObjectSegment>> {
        self.segment
            .as_ref()
            .ok_or_else(|| Error::new(Status::Closing, "CLOSED 0 closed"))
    }
}

fn create_shared() -> Option<CreateShared> {
    // SAFETY: a null handle means the program itself; the name is null-terminated.
    let symbol = unsafe {
        dlsym(
            ptr::null_mut(),
            c"node_api_create_external_sharedarraybuffer".as_ptr(),
        )
    };
    if symbol.is_null() {
        return None;
    }
    // SAFETY: this is the function's type in every version of Node that has it.
    Some(unsafe { std::mem::transmute::<*mut c_void, CreateShared>(symbol) })
}

fn shared_buffer<'env>(
    env: &'env Env,
    create: CreateShared,
    address: *mut u8,
    length: usize,
    segment: Box<ObjectSegment>,
) -> Result<Object<'env>> {
    let owner = Box::into_raw(segment);
    let mut value = ptr::null_mut();
    // SAFETY: the memory stays mapped until `unmap` runs, once, on any thread.
    let status = unsafe {
        create(
            env.raw(),
            address.cast(),
            length,
            Some(unmap),
            owner.cast(),
            &mut value,
        )
    };
    if status != sys::Status::napi_ok {
        // SAFETY: on failure the finalizer is not called, so the owner is still ours.
        drop(unsafe { Box::from_raw(owner) });
        return Err(Error::new(
            Status::from(status),
            "IO 22 this runtime refuses external memory",
        ));
    }
    Ok(Object::from_raw(env.raw(), value))
}

unsafe extern "C" fn unmap(_data: *mut c_void, owner: *mut c_void) {
    // SAFETY: from `Box::into_raw` in `shared_buffer`; passed back once.
    drop(unsafe { Box::from_raw(owner.cast::<ObjectSegment>()) });
}
