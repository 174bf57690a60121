//! Waiting for a bell in shared memory without blocking JavaScript: a thread waits and notifies the event
//! loop.

use std::io;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use manycore_core::shm::bell::Bell;
use manycore_core::sys::eventfd::EventFd;
use napi::bindgen_prelude::{Env, Error, Function, JsValue, Result, Status};
use napi_derive::napi;

use crate::callback::Callback;
use crate::uv::{EventLoop, Handle};

/// A process may die between a change and its ring, so JavaScript also checks at this interval.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Calls a function with the bell, whose memory it keeps mapped.
type WithBell = dyn Fn(&mut dyn FnMut(Bell<'_>)) + Send + Sync;

struct Shared {
    with_bell: Box<WithBell>,
    told: EventFd,
    stopped: AtomicBool,
}

/// Calls back on the event loop after a bell was rung, and periodically.
#[napi]
pub struct BellWatcher {
    with_bell: Option<Box<WithBell>>,
    running: Option<Running>,
}

struct Running {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    _handle: Handle,
}

impl BellWatcher {
    /// Watches the bell provided by `with_bell`.
    pub fn new(with_bell: impl Fn(&mut dyn FnMut(Bell<'_>)) + Send + Sync + 'static) -> Self {
        Self {
            with_bell: Some(Box::new(with_bell)),
            running: None,
        }
    }
}

#[napi]
impl BellWatcher {
    /// Starts calling back; can be called once. Does not keep the event loop alive. Throws when descriptors
    /// or threads run out.
    #[napi]
    pub fn listen(&mut self, env: Env, callback: Function<'_, (), ()>) -> Result<()> {
        let used = || Error::new(Status::InvalidArg, "IO 22 it listens already");
        let with_bell = self.with_bell.take().ok_or_else(used)?;
        let shared = Arc::new(Shared {
            with_bell,
            told: EventFd::new().map_err(io_error)?,
            stopped: AtomicBool::new(false),
        });
        let ended = || Error::new(Status::Closing, "CLOSED 0 the environment is ending");
        let event_loop = EventLoop::of(env.raw()).ok_or_else(ended)?;
        let callback = Callback::new(env.raw(), callback.raw(), "MANYCOREBELL").ok_or_else(ended)?;
        let callback = Rc::new(callback);
        let on_told = Arc::clone(&shared);
        let handle = event_loop.poll(shared.told.as_raw_fd(), move || {
            on_told.told.clear();
            // Cloned for the duration of the call, in which JavaScript may close this.
            let callback = Rc::clone(&callback);
            callback.call(&[]);
        });
        let handle = handle.ok_or_else(ended)?;
        let waiting = Arc::clone(&shared);
        // Read before the thread starts, so that every ring from here on is noticed.
        let mut seen = 0;
        (shared.with_bell)(&mut |bell| seen = bell.count());
        let builder = thread::Builder::new().name("manycore-bell".to_owned());
        let thread = builder.spawn(move || waiting.run(seen)).map_err(io_error)?;
        self.running = Some(Running {
            shared,
            thread: Some(thread),
            _handle: handle,
        });
        Ok(())
    }

    /// Stops calling back.
    #[napi]
    pub fn close(&mut self) {
        self.running = None;
        self.with_bell = None;
    }
}

impl Shared {
    /// Waits for rings after the count `seen`.
    fn run(&self, mut seen: u32) {
        while !self.stopped.load(Ordering::Acquire) {
            (self.with_bell)(&mut |bell| {
                // A ring since the last wait may be reported twice, but never missed.
                let waited = bell.wait(seen, Some(LOOK_EVERY));
                if waited.is_err() {
                    thread::sleep(LOOK_EVERY);
                }
                seen = bell.count();
            });
            self.told.signal();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        // Wakes all waiters, as a single one cannot be reached otherwise.
        (self.shared.with_bell)(&mut |bell| bell.ring());
        if let Some(thread) = self.thread.take() {
            // It does not panic, and nothing could be done if it did.
            let _ended = thread.join();
        }
    }
}

fn io_error(error: io::Error) -> Error {
    let errno = error.raw_os_error().unwrap_or(22);
    Error::new(Status::GenericFailure, format!("IO {errno} {error}"))
}
