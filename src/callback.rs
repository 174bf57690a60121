//! Calls from native code into JavaScript on the JavaScript thread, outside of any JavaScript frame.

use std::ptr;

use napi_sys as sys;

/// Maximum number of arguments of a call.
pub const MAX_ARGUMENTS: usize = 40;

/// A JavaScript function to be called from the event loop.
///
/// To be used on the JavaScript thread that created it only. An exception thrown by the function is reported
/// as an uncaught exception of the process, as Node does for its own callbacks.
pub struct Callback {
    env: sys::napi_env,
    function: sys::napi_ref,
    receiver: sys::napi_ref,
    context: sys::napi_async_context,
}

impl Callback {
    /// Keeps a reference to `function`; `name` is the async_hooks type of its calls. `None` when N-API fails.
    pub fn new(env: sys::napi_env, function: sys::napi_value, name: &str) -> Option<Self> {
        let mut receiver_object = ptr::null_mut();
        // SAFETY: the live environment of the calling thread, inside a call from JavaScript.
        check(unsafe { sys::napi_create_object(env, &mut receiver_object) })?;
        let mut resource_name = ptr::null_mut();
        // SAFETY: as above; pointer and length describe `name`.
        check(unsafe {
            sys::napi_create_string_utf8(env, name.as_ptr().cast(), name.len() as isize, &mut resource_name)
        })?;
        let mut context = ptr::null_mut();
        // SAFETY: as above, with values of this environment.
        check(unsafe { sys::napi_async_init(env, receiver_object, resource_name, &mut context) })?;
        let mut receiver = ptr::null_mut();
        // SAFETY: as above.
        check(unsafe { sys::napi_create_reference(env, receiver_object, 1, &mut receiver) })?;
        let mut reference = ptr::null_mut();
        // SAFETY: as above.
        check(unsafe { sys::napi_create_reference(env, function, 1, &mut reference) })?;
        Some(Self {
            env,
            function: reference,
            receiver,
            context,
        })
    }

    /// Calls the function with numbers, at most [`MAX_ARGUMENTS`]; further ones are dropped. Runs
    /// `process.nextTick` callbacks and microtasks afterwards.
    pub fn call(&self, arguments: &[f64]) {
        let mut scope = ptr::null_mut();
        // SAFETY: the live environment of the calling thread.
        if check(unsafe { sys::napi_open_handle_scope(self.env, &mut scope) }).is_none() {
            return;
        }
        self.call_in_scope(arguments);
        // SAFETY: opened above.
        unsafe { sys::napi_close_handle_scope(self.env, scope) };
    }

    fn call_in_scope(&self, arguments: &[f64]) -> Option<()> {
        let mut function = ptr::null_mut();
        // SAFETY: a reference of this environment, alive as long as `self`.
        check(unsafe { sys::napi_get_reference_value(self.env, self.function, &mut function) })?;
        let mut receiver = ptr::null_mut();
        // SAFETY: as above.
        check(unsafe { sys::napi_get_reference_value(self.env, self.receiver, &mut receiver) })?;
        let mut values = [ptr::null_mut(); MAX_ARGUMENTS];
        let count = arguments.len().min(MAX_ARGUMENTS);
        for (value, &argument) in values.iter_mut().zip(arguments) {
            // SAFETY: inside the scope opened by `call`.
            check(unsafe { sys::napi_create_double(self.env, argument, value) })?;
        }
        let mut result = ptr::null_mut();
        // SAFETY: all values belong to this environment and the open scope.
        let status = unsafe {
            sys::napi_make_callback(
                self.env,
                self.context,
                receiver,
                function,
                count,
                values.as_ptr(),
                &mut result,
            )
        };
        if status == sys::Status::napi_pending_exception {
            self.report_exception()?;
        }
        Some(())
    }

    /// Passes a pending exception to `uncaughtException`, so that later N-API calls work again.
    fn report_exception(&self) -> Option<()> {
        let mut exception = ptr::null_mut();
        // SAFETY: the live environment of the calling thread.
        check(unsafe { sys::napi_get_and_clear_last_exception(self.env, &mut exception) })?;
        // SAFETY: as above; `exception` is a value of the open scope.
        check(unsafe { sys::napi_fatal_exception(self.env, exception) })
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        // SAFETY: created by `new` in this environment; dropped on its thread, once.
        unsafe { sys::napi_delete_reference(self.env, self.function) };
        // SAFETY: as above.
        unsafe { sys::napi_delete_reference(self.env, self.receiver) };
        // SAFETY: as above.
        unsafe { sys::napi_async_destroy(self.env, self.context) };
    }
}

fn check(status: sys::napi_status) -> Option<()> {
    (status == sys::Status::napi_ok).then_some(())
}
