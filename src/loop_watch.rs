//! Keeps an event loop spinning for a while after messages of Node's ports, as long as they arrive in close
//! succession (`lib/threads/port-watch.js`).

use std::cell::RefCell;
use std::rc::Rc;

use manycore_core::ring::polling::{Polling, Turn};
use manycore_core::ring::spin::Latency;
use manycore_core::sys::clock::monotonic_ns;
use napi::bindgen_prelude::{Env, Error, Object, Result};
use napi_derive::napi;

use crate::fast;
use crate::uv::{EventLoop, Handle};

struct Watch {
    polling: RefCell<Polling>,
    idle: RefCell<Option<Handle>>,
}

impl Watch {
    /// Reports a message, so that the loop asks before it blocks next.
    fn arrived(&self) -> i32 {
        self.polling.borrow_mut().arrived(monotonic_ns);
        if let Some(idle) = &*self.idle.borrow() {
            idle.start_turning();
        }
        0
    }

    fn turn(&self) {
        let turn = self
            .polling
            .borrow_mut()
            .turn(monotonic_ns(), Latency::of_process());
        match turn {
            // The sender may be waiting for this very processor: the scheduler often places a woken thread
            // next to its waker.
            Turn::Poll => std::thread::yield_now(),
            Turn::Sleep => {
                if let Some(idle) = &*self.idle.borrow() {
                    idle.stop_turning();
                }
            }
        }
    }
}

/// Watches the event loop of this thread. The returned function must be called for each message.
#[napi]
pub fn watch_loop(env: &Env) -> Result<Object<'_>> {
    let closing = || Error::from_reason("the event loop is closing");
    let watch = Rc::new(Watch {
        polling: RefCell::default(),
        idle: RefCell::default(),
    });
    let event_loop = EventLoop::of(env.raw()).ok_or_else(closing)?;
    let weak = Rc::downgrade(&watch);
    let idle = event_loop.idle(move || {
        if let Some(watch) = weak.upgrade() {
            watch.turn();
        }
    });
    watch.idle.replace(Some(idle.ok_or_else(closing)?));
    fast::function(env, "arrived", &watch, Watch::arrived)
}
