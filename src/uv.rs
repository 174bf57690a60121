//! libuv handles on the event loop of the calling JavaScript thread.
//!
//! To be used only on the JavaScript thread that created the handle; `Handle` is neither `Send` nor `Sync`.
//! Lifetime: libuv owns one strong count of the state until its close callback has run, and the Rust owner
//! holds another. An async cleanup hook closes the handle when the environment ends first
//! (`worker.terminate()`, process exit); otherwise libuv would find an open handle when Node closes the loop,
//! and abort.

use std::alloc::Layout;
use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_void};
use std::os::fd::RawFd;
use std::ptr::{self, NonNull};
use std::rc::Rc;

use napi_sys as sys;

/// Opaque `uv_loop_t`.
#[repr(C)]
struct UvLoop {
    _opaque: [u8; 0],
}

/// Opaque `uv_handle_t`.
#[repr(C)]
struct UvHandle {
    _opaque: [u8; 0],
}

type HandleCb = unsafe extern "C" fn(*mut UvHandle);
type PollCb = unsafe extern "C" fn(*mut UvHandle, c_int, c_int);

// The stable part of libuv's C API, exported by every Node binary.
extern "C" {
    fn uv_handle_size(kind: c_int) -> usize;
    fn uv_handle_set_data(handle: *mut UvHandle, data: *mut c_void);
    fn uv_handle_get_data(handle: *const UvHandle) -> *mut c_void;
    fn uv_ref(handle: *mut UvHandle);
    fn uv_unref(handle: *mut UvHandle);
    fn uv_close(handle: *mut UvHandle, callback: Option<HandleCb>);
    fn uv_backend_fd(uv_loop: *const UvLoop) -> c_int;
    fn uv_poll_init(uv_loop: *mut UvLoop, handle: *mut UvHandle, fd: c_int) -> c_int;
    fn uv_poll_start(handle: *mut UvHandle, events: c_int, callback: PollCb) -> c_int;
    fn uv_poll_stop(handle: *mut UvHandle) -> c_int;
    fn uv_prepare_init(uv_loop: *mut UvLoop, handle: *mut UvHandle) -> c_int;
    fn uv_prepare_start(handle: *mut UvHandle, callback: HandleCb) -> c_int;
    fn uv_check_init(uv_loop: *mut UvLoop, handle: *mut UvHandle) -> c_int;
    fn uv_check_start(handle: *mut UvHandle, callback: HandleCb) -> c_int;
    fn uv_idle_init(uv_loop: *mut UvLoop, handle: *mut UvHandle) -> c_int;
    fn uv_idle_start(handle: *mut UvHandle, callback: HandleCb) -> c_int;
    fn uv_idle_stop(handle: *mut UvHandle) -> c_int;
    fn uv_timer_init(uv_loop: *mut UvLoop, handle: *mut UvHandle) -> c_int;
    fn uv_timer_start(handle: *mut UvHandle, callback: HandleCb, timeout_ms: u64, repeat_ms: u64) -> c_int;
    fn uv_timer_stop(handle: *mut UvHandle) -> c_int;
}

const UV_READABLE: c_int = 1;

/// The type of a handle. The discriminants are libuv's `uv_handle_type`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i32)]
enum Kind {
    Check = 2,
    Idle = 6,
    Poll = 8,
    Prepare = 9,
    Timer = 13,
}

/// The event loop of one JavaScript environment.
#[derive(Clone, Copy)]
pub struct EventLoop {
    env: sys::napi_env,
    raw: NonNull<UvLoop>,
}

impl EventLoop {
    /// The loop of `env`, or `None` while the environment is being torn down.
    pub fn of(env: sys::napi_env) -> Option<Self> {
        let mut raw = ptr::null_mut();
        // SAFETY: `env` is the live environment of the calling thread.
        let status = unsafe { sys::napi_get_uv_event_loop(env, &mut raw) };
        if status != sys::Status::napi_ok {
            return None;
        }
        Some(Self {
            env,
            raw: NonNull::new(raw.cast())?,
        })
    }

    /// The epoll descriptor on which the loop blocks.
    pub fn backend_fd(&self) -> RawFd {
        // SAFETY: the loop is alive as long as its environment, whose thread this is.
        unsafe { uv_backend_fd(self.raw.as_ptr()) }
    }

    /// Calls back whenever `fd` is readable. The handle does not keep the loop alive. `fd` must stay open
    /// until the handle is closed.
    pub fn poll(&self, fd: RawFd, callback: impl FnMut() + 'static) -> Option<Handle> {
        let handle = Handle::new(self, Kind::Poll, Box::new(callback), |uv_loop, raw| {
            // SAFETY: `raw` is memory of libuv's own size for a poll handle, not yet initialised.
            unsafe { uv_poll_init(uv_loop, raw, fd) }
        })?;
        handle.resume().then_some(handle)
    }

    /// Calls back right before the loop polls for events.
    pub fn prepare(&self, callback: impl FnMut() + 'static) -> Option<Handle> {
        let handle = Handle::new(self, Kind::Prepare, Box::new(callback), |uv_loop, raw| {
            // SAFETY: as in `poll`.
            unsafe { uv_prepare_init(uv_loop, raw) }
        })?;
        // SAFETY: the handle is initialised and open.
        let status = unsafe { uv_prepare_start(handle.0.raw.as_ptr(), on_event) };
        (status == 0).then_some(handle)
    }

    /// Calls back right after the loop has polled for events.
    pub fn check(&self, callback: impl FnMut() + 'static) -> Option<Handle> {
        let handle = Handle::new(self, Kind::Check, Box::new(callback), |uv_loop, raw| {
            // SAFETY: as in `poll`.
            unsafe { uv_check_init(uv_loop, raw) }
        })?;
        // SAFETY: the handle is initialised and open.
        let status = unsafe { uv_check_start(handle.0.raw.as_ptr(), on_event) };
        (status == 0).then_some(handle)
    }

    /// Between [`Handle::start_turning`] and [`Handle::stop_turning`], keeps the loop from blocking and calls
    /// back on each turn.
    pub fn idle(&self, callback: impl FnMut() + 'static) -> Option<Handle> {
        Handle::new(self, Kind::Idle, Box::new(callback), |uv_loop, raw| {
            // SAFETY: as in `poll`.
            unsafe { uv_idle_init(uv_loop, raw) }
        })
    }

    /// A timer, stopped until [`Handle::arm`].
    pub fn timer(&self, callback: impl FnMut() + 'static) -> Option<Handle> {
        Handle::new(self, Kind::Timer, Box::new(callback), |uv_loop, raw| {
            // SAFETY: as in `poll`.
            unsafe { uv_timer_init(uv_loop, raw) }
        })
    }
}

/// An open libuv handle; closed on drop.
pub struct Handle(Rc<Inner>);

struct Inner {
    raw: NonNull<UvHandle>,
    layout: Layout,
    kind: Kind,
    closing: Cell<bool>,
    hook: Cell<sys::napi_async_cleanup_hook_handle>,
    callback: RefCell<Box<dyn FnMut()>>,
}

impl Handle {
    fn new(
        event_loop: &EventLoop,
        kind: Kind,
        callback: Box<dyn FnMut()>,
        init: impl FnOnce(*mut UvLoop, *mut UvHandle) -> c_int,
    ) -> Option<Self> {
        // SAFETY: any number is a valid argument; libuv returns the size of its struct.
        let size = unsafe { uv_handle_size(kind as c_int) };
        let layout = Layout::from_size_align(size, 16).ok()?;
        // SAFETY: the layout's size is not zero: each libuv handle has fields.
        let memory = unsafe { std::alloc::alloc_zeroed(layout) };
        let raw = NonNull::new(memory.cast::<UvHandle>())?;
        if init(event_loop.raw.as_ptr(), raw.as_ptr()) != 0 {
            // SAFETY: allocated above with this layout; libuv rejected it and keeps no pointer to it.
            unsafe { std::alloc::dealloc(memory, layout) };
            return None;
        }
        let inner = Rc::new(Inner {
            raw,
            layout,
            kind,
            closing: Cell::new(false),
            hook: Cell::new(ptr::null_mut()),
            callback: RefCell::new(callback),
        });
        let shared = Rc::into_raw(Rc::clone(&inner)).cast_mut().cast::<c_void>();
        // SAFETY: the handle is initialised. `on_closed` releases the count behind `shared`.
        unsafe { uv_handle_set_data(raw.as_ptr(), shared) };
        // SAFETY: as above.
        unsafe { uv_unref(raw.as_ptr()) };
        let mut hook = ptr::null_mut();
        // SAFETY: `shared` stays valid until `on_closed`, which removes the hook first.
        let status =
            unsafe { sys::napi_add_async_cleanup_hook(event_loop.env, Some(on_env_end), shared, &mut hook) };
        if status == sys::Status::napi_ok {
            inner.hook.set(hook);
        }
        Some(Self(inner))
    }

    /// Sets whether the handle keeps the loop alive while it is active. By default it does not.
    pub fn keep_alive(&self, keep: bool) {
        if self.0.closing.get() {
            return;
        }
        if keep {
            // SAFETY: an open handle; repeated calls are harmless.
            unsafe { uv_ref(self.0.raw.as_ptr()) };
        } else {
            // SAFETY: as above.
            unsafe { uv_unref(self.0.raw.as_ptr()) };
        }
    }

    /// Resumes watching after [`Handle::pause`]. Returns false when libuv fails.
    pub fn resume(&self) -> bool {
        debug_assert_eq!(self.0.kind, Kind::Poll);
        // SAFETY: an open poll handle; a closing one is not started.
        !self.0.closing.get() && unsafe { uv_poll_start(self.0.raw.as_ptr(), UV_READABLE, on_poll) } == 0
    }

    /// Stops watching; events stay pending in the kernel.
    pub fn pause(&self) {
        debug_assert_eq!(self.0.kind, Kind::Poll);
        if !self.0.closing.get() {
            // SAFETY: an open poll handle. Stopping never fails.
            unsafe { uv_poll_stop(self.0.raw.as_ptr()) };
        }
    }

    /// Sets whether the handle keeps its loop alive. By default it does not.
    pub fn set_ref(&self, on: bool) {
        let change = if on { uv_ref } else { uv_unref };
        if !self.0.closing.get() {
            // SAFETY: an open handle; both may be called repeatedly.
            unsafe { change(self.0.raw.as_ptr()) };
        }
    }

    /// Keeps the loop turning from here on, without blocking.
    pub fn start_turning(&self) {
        debug_assert_eq!(self.0.kind, Kind::Idle);
        if !self.0.closing.get() {
            // SAFETY: an open idle handle; starting twice is harmless. Fails only for a null callback.
            unsafe { uv_idle_start(self.0.raw.as_ptr(), on_event) };
        }
    }

    /// Allows the loop to block again.
    pub fn stop_turning(&self) {
        debug_assert_eq!(self.0.kind, Kind::Idle);
        if !self.0.closing.get() {
            // SAFETY: an open idle handle. Stopping never fails.
            unsafe { uv_idle_stop(self.0.raw.as_ptr()) };
        }
    }

    /// Fires the timer after `delay_ms` and then every `repeat_ms` (0: once).
    pub fn arm(&self, delay_ms: u64, repeat_ms: u64) {
        debug_assert_eq!(self.0.kind, Kind::Timer);
        if !self.0.closing.get() {
            // SAFETY: an open timer handle. Fails only for a closing handle or a null callback.
            unsafe { uv_timer_start(self.0.raw.as_ptr(), on_event, delay_ms, repeat_ms) };
        }
    }

    /// Stops the timer.
    pub fn disarm(&self) {
        debug_assert_eq!(self.0.kind, Kind::Timer);
        if !self.0.closing.get() {
            // SAFETY: an open timer handle. Stopping never fails.
            unsafe { uv_timer_stop(self.0.raw.as_ptr()) };
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Inner {
    fn close(&self) {
        if !self.closing.replace(true) {
            // SAFETY: open until here, and `closing` makes this the only close.
            unsafe { uv_close(self.raw.as_ptr(), Some(on_closed)) };
        }
    }

    fn fire(&self) {
        if self.closing.get() {
            return;
        }
        // A callback that ran the loop recursively (none does) would find it borrowed and be skipped.
        if let Ok(mut callback) = self.callback.try_borrow_mut() {
            callback();
        }
    }
}

/// The state behind an open handle.
///
/// # Safety
/// `raw` must be a handle created by [`Handle::new`] whose close callback has not run.
unsafe fn inner_of(raw: *const UvHandle) -> Rc<Inner> {
    // SAFETY: initialised by `Handle::new`, as guaranteed by the caller.
    let shared = unsafe { uv_handle_get_data(raw) }.cast_const().cast::<Inner>();
    // SAFETY: libuv's own count keeps the state alive until `on_closed`.
    unsafe { Rc::increment_strong_count(shared) };
    // SAFETY: takes over the count added above.
    unsafe { Rc::from_raw(shared) }
}

unsafe extern "C" fn on_poll(raw: *mut UvHandle, _status: c_int, _events: c_int) {
    // SAFETY: libuv calls back for open handles only.
    unsafe { inner_of(raw) }.fire();
}

unsafe extern "C" fn on_event(raw: *mut UvHandle) {
    // SAFETY: libuv calls back for open handles only.
    unsafe { inner_of(raw) }.fire();
}

unsafe extern "C" fn on_closed(raw: *mut UvHandle) {
    // SAFETY: set by `Handle::new`; this is the only close callback.
    let shared = unsafe { uv_handle_get_data(raw) }.cast_const().cast::<Inner>();
    // SAFETY: releases libuv's count.
    let inner = unsafe { Rc::from_raw(shared) };
    let hook = inner.hook.replace(ptr::null_mut());
    if !hook.is_null() {
        // SAFETY: added by `Handle::new`, removed once. An environment waiting for it can then continue.
        unsafe { sys::napi_remove_async_cleanup_hook(hook) };
    }
    // SAFETY: allocated by `Handle::new` with this layout; libuv no longer uses it.
    unsafe { std::alloc::dealloc(raw.cast(), inner.layout) };
}

unsafe extern "C" fn on_env_end(_hook: sys::napi_async_cleanup_hook_handle, shared: *mut c_void) {
    // SAFETY: the hook is removed before the state is freed, so libuv's count still exists.
    let inner = unsafe { &*shared.cast_const().cast::<Inner>() };
    inner.close();
}
