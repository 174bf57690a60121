//! Functions and memory for calls made once per task: without the conversions of the derive macros, a call
//! costs about 20 ns. Arguments and results are passed in a page of memory visible to both sides.

use std::alloc::{self, Layout};
use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::rc::Rc;

use napi::bindgen_prelude::{Env, Error, Object, Result, Status};
use napi_sys as sys;

use crate::lane::external_buffer;

/// Memory that JavaScript of this thread sees as an ArrayBuffer, which must not be transferred.
///
/// Native code accesses it only during calls from that thread, while no JavaScript runs.
pub struct Page {
    memory: NonNull<u8>,
    layout: Layout,
}

impl Page {
    /// Allocates zeroed memory. `None` when the allocation fails.
    pub fn new(len: usize) -> Option<Rc<Self>> {
        let layout = Layout::from_size_align(len.max(64), 64).ok()?;
        // SAFETY: the layout's size is not zero.
        let memory = NonNull::new(unsafe { alloc::alloc_zeroed(layout) })?;
        Some(Rc::new(Self { memory, layout }))
    }

    /// Its bytes, for the duration of one call.
    ///
    /// # Safety
    /// No other reference to them may be alive, and no JavaScript may run meanwhile.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn bytes(&self) -> &mut [u8] {
        // SAFETY: allocated with this layout, zero-initialised; unaliased as guaranteed by the caller.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_ptr(), self.layout.size()) }
    }

    /// The ArrayBuffer over it.
    pub fn buffer<'env>(self: &Rc<Self>, env: &'env Env) -> Result<Object<'env>> {
        let owner = Box::new(Rc::clone(self));
        external_buffer(env, self.memory.as_ptr(), self.layout.size(), owner)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout; the ArrayBuffer over it held a reference count, so it is gone.
        unsafe { alloc::dealloc(self.memory.as_ptr(), self.layout) };
    }
}

/// The body of a fast function: no arguments, an integer result.
pub type Body<T> = fn(&T) -> i32;

struct Bound<T> {
    state: Rc<T>,
    body: Body<T>,
}

/// Creates a JavaScript function that calls `body` with `state`, on this thread.
pub fn function<'env, T: 'static>(
    env: &'env Env,
    name: &str,
    state: &Rc<T>,
    body: Body<T>,
) -> Result<Object<'env>> {
    let bound = Box::into_raw(Box::new(Bound {
        state: Rc::clone(state),
        body,
    }));
    let mut value = ptr::null_mut();
    // SAFETY: the live environment of the calling thread; pointer and length describe `name`, and `bound`
    // lives until the function's finalizer runs.
    let status = unsafe {
        sys::napi_create_function(
            env.raw(),
            name.as_ptr().cast(),
            name.len() as isize,
            Some(call::<T>),
            bound.cast(),
            &mut value,
        )
    };
    check(status)?;
    // SAFETY: as above; from here on the finalizer owns `bound`.
    let status = unsafe {
        sys::napi_add_finalizer(
            env.raw(),
            value,
            bound.cast(),
            Some(drop_bound::<T>),
            ptr::null_mut(),
            ptr::null_mut(),
        )
    };
    check(status)?;
    Ok(Object::from_raw(env.raw(), value))
}

unsafe extern "C" fn call<T>(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let mut data = ptr::null_mut();
    // SAFETY: called by N-API with this call's own handles; unused results are omitted.
    unsafe {
        sys::napi_get_cb_info(
            env,
            info,
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
            &mut data,
        )
    };
    // SAFETY: the `Bound` from `function`, which lives as long as the JavaScript function being called.
    let bound = unsafe { &*data.cast_const().cast::<Bound<T>>() };
    let result = (bound.body)(&bound.state);
    let mut value = ptr::null_mut();
    // SAFETY: the live environment. On failure `value` stays null, which JavaScript sees as undefined.
    unsafe { sys::napi_create_int32(env, result, &mut value) };
    value
}

unsafe extern "C" fn drop_bound<T>(_env: sys::napi_env, data: *mut c_void, _hint: *mut c_void) {
    // SAFETY: from `Box::into_raw` in `function`; passed back once.
    drop(unsafe { Box::from_raw(data.cast::<Bound<T>>()) });
}

fn check(status: sys::napi_status) -> Result<()> {
    match status {
        sys::Status::napi_ok => Ok(()),
        status => Err(Error::new(Status::from(status), "N-API refuses a function")),
    }
}
