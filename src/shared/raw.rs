//! Methods that are called often: bare functions of N-API, which cost a tenth of a macro's class method.
//!
//! A method is a type with a function over its owner. The JavaScript function holds a count of the owner, which
//! is given back when the function is collected. Everything happens on the JavaScript thread that defined it.

use std::ffi::c_void;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr;
use std::rc::Rc;

use napi::bindgen_prelude::{Error, Result, Status};
use napi_sys as sys;

/// Arguments a method can have.
const MAX_ARGUMENTS: usize = 5;

/// A function of an owner.
pub trait Method {
    /// What it works on.
    type Owner;
    /// Its name in JavaScript.
    const NAME: &'static str;
    /// How many arguments it looks at.
    const ARGUMENTS: usize = MAX_ARGUMENTS;
    /// Runs it.
    fn call(owner: &Self::Owner, call: &Call) -> Value;
}

/// A value of the running call, to be returned.
#[derive(Clone, Copy)]
pub struct Value(sys::napi_value);

/// One call from JavaScript.
pub struct Call {
    env: sys::napi_env,
    arguments: [sys::napi_value; MAX_ARGUMENTS],
    count: usize,
}

/// Defines a method of `object`.
pub fn define<M: Method>(env: sys::napi_env, object: sys::napi_value, owner: &Rc<M::Owner>) -> Result<()> {
    let data = Rc::into_raw(Rc::clone(owner)).cast_mut().cast::<c_void>();
    let (name, length) = (M::NAME.as_ptr().cast(), M::NAME.len() as isize);
    let mut function = ptr::null_mut();
    // SAFETY: the live environment of the calling thread; pointer and length describe the name; the data is what
    // `run::<M>` takes it for, and lives as long as the function.
    let status = unsafe { sys::napi_create_function(env, name, length, Some(run::<M>), data, &mut function) };
    if status != sys::Status::napi_ok {
        // SAFETY: made above, not handed on.
        drop(unsafe { Rc::from_raw(data.cast::<M::Owner>()) });
        return Err(refused(status));
    }
    // SAFETY: as above; the finalizer gives the count back, once. If this fails, the owner is never freed.
    check(unsafe {
        sys::napi_add_finalizer(
            env,
            function,
            data,
            Some(release::<M::Owner>),
            ptr::null_mut(),
            ptr::null_mut(),
        )
    })?;
    let mut key = ptr::null_mut();
    // SAFETY: as above.
    check(unsafe { sys::napi_create_string_utf8(env, name, length, &mut key) })?;
    // SAFETY: values of this environment and the open scope.
    check(unsafe { sys::napi_set_property(env, object, key, function) })
}

unsafe extern "C" fn release<T>(_env: sys::napi_env, data: *mut c_void, _hint: *mut c_void) {
    // SAFETY: the count that `define` gave to the function.
    drop(unsafe { Rc::from_raw(data.cast::<T>()) });
}

unsafe extern "C" fn run<M: Method>(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let mut call = Call {
        env,
        arguments: [ptr::null_mut(); MAX_ARGUMENTS],
        count: M::ARGUMENTS.min(MAX_ARGUMENTS),
    };
    let mut data = ptr::null_mut();
    let arguments = call.arguments.as_mut_ptr();
    // SAFETY: N-API calls with its own environment and info; there is room for as many arguments as `count` says.
    let status =
        unsafe { sys::napi_get_cb_info(env, info, &mut call.count, arguments, ptr::null_mut(), &mut data) };
    if status != sys::Status::napi_ok {
        return ptr::null_mut();
    }
    // SAFETY: `define` made it of an `Rc<M::Owner>` that lives as long as the function that is running.
    let owner = unsafe { &*data.cast::<M::Owner>() };
    let result = catch_unwind(AssertUnwindSafe(|| M::call(owner, &call)));
    result.map_or_else(|_| call.panicked(), |value| value.0)
}

impl Call {
    /// How many arguments the caller gave; more than the method looks at are none of its business.
    pub fn count(&self) -> usize {
        self.count.min(MAX_ARGUMENTS)
    }

    fn argument(&self, index: usize) -> sys::napi_value {
        self.arguments.get(index).copied().unwrap_or(ptr::null_mut())
    }

    /// The argument as a number, if it is one.
    #[inline]
    pub fn number(&self, index: usize) -> Option<f64> {
        if index >= self.count() {
            return None;
        }
        let mut number = 0.0;
        // SAFETY: a value of the running call.
        let status = unsafe { sys::napi_get_value_double(self.env, self.argument(index), &mut number) };
        (status == sys::Status::napi_ok).then_some(number)
    }

    /// The 64 bits of an argument that is a bigint.
    #[inline]
    pub fn bigint(&self, index: usize) -> Option<u64> {
        if index >= self.count() {
            return None;
        }
        let mut bits = 0;
        let mut lossless = false;
        // SAFETY: a value of the running call.
        let status = unsafe {
            sys::napi_get_value_bigint_uint64(self.env, self.argument(index), &mut bits, &mut lossless)
        };
        (status == sys::Status::napi_ok).then_some(bits)
    }

    /// Copies the code units of a string argument. Returns how many there were room for; a full buffer says that
    /// there may be more. `None` if it is no string.
    #[inline]
    pub fn utf16(&self, index: usize, target: &mut [u16]) -> Option<usize> {
        let mut length = 0;
        let room = target.len();
        // SAFETY: a value of the running call, and memory of that many units, the last of which is for a zero.
        let status = unsafe {
            sys::napi_get_value_string_utf16(
                self.env,
                self.argument(index),
                target.as_mut_ptr(),
                room,
                &mut length,
            )
        };
        (status == sys::Status::napi_ok).then_some(length)
    }

    /// The code units that a string argument has.
    pub fn utf16_length(&self, index: usize) -> Option<usize> {
        let mut length = 0;
        // SAFETY: a value of the running call; without memory, only the length is told.
        let status = unsafe {
            sys::napi_get_value_string_utf16(self.env, self.argument(index), ptr::null_mut(), 0, &mut length)
        };
        (status == sys::Status::napi_ok).then_some(length)
    }

    /// Runs `read` on the bytes of an argument that is a Buffer or another view. JavaScript does not run meanwhile.
    pub fn bytes<T>(&self, index: usize, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let mut data = ptr::null_mut();
        let mut length = 0;
        // SAFETY: a value of the running call.
        let status =
            unsafe { sys::napi_get_buffer_info(self.env, self.argument(index), &mut data, &mut length) };
        if status != sys::Status::napi_ok {
            return None;
        }
        if length == 0 || data.is_null() {
            return Some(read(&[]));
        }
        // SAFETY: memory of a value of the running call, which keeps it. It may be shared with other threads, which
        // then race with this read as they would with one in JavaScript.
        Some(read(unsafe {
            std::slice::from_raw_parts(data.cast::<u8>(), length)
        }))
    }

    /// `undefined`.
    #[inline]
    pub fn undefined(&self) -> Value {
        // Also what a null pointer is to N-API.
        Value(ptr::null_mut())
    }

    /// `null`.
    pub fn null(&self) -> Value {
        let mut value = ptr::null_mut();
        // SAFETY: the environment of the running call.
        unsafe { sys::napi_get_null(self.env, &mut value) };
        Value(value)
    }

    /// A boolean.
    #[inline]
    pub fn boolean(&self, boolean: bool) -> Value {
        let mut value = ptr::null_mut();
        // SAFETY: the environment of the running call.
        unsafe { sys::napi_get_boolean(self.env, boolean, &mut value) };
        Value(value)
    }

    /// A number.
    #[inline]
    pub fn double(&self, number: f64) -> Value {
        let mut value = ptr::null_mut();
        // SAFETY: the environment of the running call.
        unsafe { sys::napi_create_double(self.env, number, &mut value) };
        Value(value)
    }

    /// A bigint of 64 bits with a sign.
    pub fn signed_bigint(&self, number: i64) -> Value {
        let mut value = ptr::null_mut();
        // SAFETY: the environment of the running call.
        unsafe { sys::napi_create_bigint_int64(self.env, number, &mut value) };
        Value(value)
    }

    /// A bigint of 64 bits without one.
    pub fn unsigned_bigint(&self, number: u64) -> Value {
        let mut value = ptr::null_mut();
        // SAFETY: the environment of the running call.
        unsafe { sys::napi_create_bigint_uint64(self.env, number, &mut value) };
        Value(value)
    }

    /// A string of one-byte characters.
    #[inline]
    pub fn latin1(&self, bytes: &[u8]) -> Value {
        let mut value = ptr::null_mut();
        // SAFETY: the environment of the running call; pointer and length describe the bytes.
        unsafe {
            sys::napi_create_string_latin1(self.env, bytes.as_ptr().cast(), bytes.len() as isize, &mut value)
        };
        Value(value)
    }

    /// A string of code units.
    pub fn string(&self, units: &[u16]) -> Value {
        let mut value = ptr::null_mut();
        // SAFETY: as in `latin1`.
        unsafe { sys::napi_create_string_utf16(self.env, units.as_ptr(), units.len() as isize, &mut value) };
        Value(value)
    }

    /// An ArrayBuffer with these bytes.
    pub fn array_buffer(&self, bytes: &[u8]) -> Value {
        let mut data = ptr::null_mut();
        let mut value = ptr::null_mut();
        // SAFETY: the environment of the running call.
        let status = unsafe { sys::napi_create_arraybuffer(self.env, bytes.len(), &mut data, &mut value) };
        if status == sys::Status::napi_ok && !bytes.is_empty() {
            // SAFETY: fresh memory of that many bytes, which nothing else knows yet.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), data.cast::<u8>(), bytes.len()) };
        }
        Value(value)
    }

    fn panicked(&self) -> sys::napi_value {
        let message = c"manycore met a state that it does not know";
        // SAFETY: the environment of the running call, and a text that ends with a zero.
        unsafe { sys::napi_throw_error(self.env, ptr::null(), message.as_ptr()) };
        ptr::null_mut()
    }
}

fn check(status: sys::napi_status) -> Result<()> {
    match status {
        sys::Status::napi_ok => Ok(()),
        status => Err(refused(status)),
    }
}

fn refused(status: sys::napi_status) -> Error {
    Error::new(Status::from(status), "N-API refuses to define a method")
}
