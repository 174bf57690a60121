//! Functions and memory for calls that are made once a task: without the conversions of the derive macros, a
//! call costs some 20 ns. Arguments and results travel in a page of memory that both sides see.

use std::alloc::{self, Layout};
use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::rc::Rc;

use napi::bindgen_prelude::{Env, Error, Object, Result, Status};
use napi_sys as sys;

use crate::lane::external_buffer;

/// Memory that JavaScript of this thread sees as an ArrayBuffer, which must not be transferred.
///
/// Native code looks at it only during calls from that thread, while no JavaScript runs.
pub struct Page {
    memory: NonNull<u8>,
    layout: Layout,
}

impl Page {
    /// Zeroed memory. `None` when there is none.
    pub fn new(len: usize) -> Option<Rc<Self>> {
        let layout = Layout::from_size_align(len.max(64), 64).ok()?;
        // SAFETY: the layout's size is not zero.
        let memory = NonNull::new(unsafe { alloc::alloc_zeroed(layout) })?;
        Some(Rc::new(Self { memory, layout }))
    }

    /// Its bytes, for the time of one call.
    ///
    /// # Safety
    /// No other reference to them is alive, and no JavaScript runs meanwhile.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn bytes(&self) -> &mut [u8] {
        // SAFETY: allocated with this layout, initialised with zeros; unaliased as the caller promises.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_ptr(), self.layout.size()) }
    }

    /// The ArrayBuffer.
    pub fn buffer<'env>(self: &Rc<Self>, env: &'env Env) -> Result<Object<'env>> {
        let owner = Box::new(Rc::clone(self));
        external_buffer(env, self.memory.as_ptr(), self.layout.size(), owner)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout; the ArrayBuffer over it is gone, which held a count.
        unsafe { alloc::dealloc(self.memory.as_ptr(), self.layout) };
    }
}

/// What a fast function does: no arguments, an integer back.
pub type Body<T> = fn(&T) -> i32;

struct Bound<T> {
    state: Rc<T>,
    body: Body<T>,
}

/// A JavaScript function that calls `body` with `state`, on this thread.
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
    // SAFETY: the live environment of the calling thread; the pointer and length describe `name`, and `bound`
    // lives until the function's finalizer.
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
    // SAFETY: called by N-API with this call's own handles; unwanted results are left out.
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
    // SAFETY: the `Bound` of `function`, which lives as long as the JavaScript function being called.
    let bound = unsafe { &*data.cast_const().cast::<Bound<T>>() };
    let result = (bound.body)(&bound.state);
    let mut value = ptr::null_mut();
    // SAFETY: the live environment. On failure, `value` stays null, which JavaScript sees as undefined.
    unsafe { sys::napi_create_int32(env, result, &mut value) };
    value
}

unsafe extern "C" fn drop_bound<T>(_env: sys::napi_env, data: *mut c_void, _hint: *mut c_void) {
    // SAFETY: made by `Box::into_raw` in `function`, handed back once.
    drop(unsafe { Box::from_raw(data.cast::<Bound<T>>()) });
}

fn check(status: sys::napi_status) -> Result<()> {
    match status {
        sys::Status::napi_ok => Ok(()),
        status => Err(Error::new(Status::from(status), "N-API refuses a function")),
    }
}
