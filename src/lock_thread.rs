//! The state that a JavaScript thread keeps for its locks: its identity, the requests it watches, and what it
//! must clean up when it ends.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::os::fd::{AsFd, AsRawFd};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use manycore_core::liveness::OwnerId;
use manycore_core::lock::host::Host;
use manycore_core::lock::memory::LockMemory;
use manycore_core::lock::{RequestId, Standing};
use manycore_core::sys::bell::Bell;
use napi_sys as sys;

use crate::callback::{Callback, MAX_ARGUMENTS};
use crate::uv::{EventLoop, Handle};

/// Interval at which waiters look for dead owners, in milliseconds. Grants do not depend on it.
const LOOK_EVERY_MS: u64 = 25;

/// A request whose changes are reported to JavaScript.
struct Watch {
    /// JavaScript's number for it.
    number: f64,
    memory: Arc<LockMemory>,
    id: RequestId,
    /// Whether it is waiting; otherwise it is held and may be stolen.
    is_pending: bool,
}

/// The state of one JavaScript thread, used by that thread only.
pub struct LockThread {
    pub me: OwnerId,
    pub pid: u32,
    env: sys::napi_env,
    watches: RefCell<Vec<Watch>>,
    /// Tables of live lock objects.
    open: RefCell<Vec<std::sync::Weak<LockMemory>>>,
    /// Tables whose objects are gone, but in which this thread still holds something.
    retained: RefCell<Vec<Arc<LockMemory>>>,
    /// Bell and timer, created with the first watch.
    ears: RefCell<Option<Ears>>,
    callback: RefCell<Option<Callback>>,
    has_ended: Cell<bool>,
}

struct Ears {
    timer: Handle,
    _poll: Option<Handle>,
    /// Dropped after the handle that polls it.
    _bell: Option<Rc<Bell>>,
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<LockThread>>> = const { RefCell::new(None) };
}

impl LockThread {
    /// The state of the calling thread, created on first use.
    pub fn current(env: sys::napi_env) -> Rc<Self> {
        CURRENT.with_borrow_mut(|current| {
            let known = current.as_ref().filter(|thread| !thread.has_ended.get());
            if let Some(thread) = known {
                return Rc::clone(thread);
            }
            let thread = Rc::new(Self {
                me: OwnerId::current(),
                pid: std::process::id(),
                env,
                watches: RefCell::default(),
                open: RefCell::default(),
                retained: RefCell::default(),
                ears: RefCell::default(),
                callback: RefCell::default(),
                has_ended: Cell::new(false),
            });
            let shared = Rc::into_raw(Rc::clone(&thread)).cast_mut().cast::<c_void>();
            // SAFETY: the live environment of the calling thread; the hook, which runs once, takes `shared`
            // back. Without a hook, other threads detect the thread's death a little later.
            unsafe { sys::napi_add_env_cleanup_hook(env, Some(on_env_end), shared) };
            *current = Some(Rc::clone(&thread));
            thread
        })
    }

    /// Sets the function that is called with the numbers of watched requests that have changed.
    pub fn listen(&self, callback: Callback) {
        self.callback.replace(Some(callback));
    }

    /// Registers a table to be cleaned up.
    pub fn open(&self, memory: &Arc<LockMemory>) {
        let mut open = self.open.borrow_mut();
        if open.len() == open.capacity() {
            open.retain(|memory| memory.strong_count() > 0);
        }
        open.push(Arc::downgrade(memory));
    }

    /// Called when the JavaScript object of a table is gone. Locks that the thread holds there stay held
    /// until it ends.
    pub fn let_go(&self, memory: &Arc<LockMemory>) {
        if Arc::strong_count(memory) > 1 {
            return;
        }
        let Some(table) = memory.table() else { return };
        if self.has_ended.get() {
            abandon(memory, self.me);
        } else if table.has_owner(self.me) {
            self.retained.borrow_mut().push(Arc::clone(memory));
        }
    }

    /// Reports `number` to JavaScript when the request is no longer pending or no longer held. Returns false
    /// without an event loop.
    pub fn watch(
        self: &Rc<Self>,
        number: f64,
        memory: Arc<LockMemory>,
        id: RequestId,
        is_pending: bool,
    ) -> bool {
        if self.ears.borrow().is_none() {
            let Some(ears) = self.prick_up() else {
                return false;
            };
            self.ears.replace(Some(ears));
        }
        self.watches.borrow_mut().push(Watch {
            number,
            memory,
            id,
            is_pending,
        });
        self.set_timer();
        true
    }

    /// Stops watching.
    pub fn unwatch(&self, number: f64) {
        self.watches.borrow_mut().retain(|watch| watch.number != number);
        self.set_timer();
    }

    fn prick_up(self: &Rc<Self>) -> Option<Ears> {
        let event_loop = EventLoop::of(self.env)?;
        let on_time = Rc::downgrade(self);
        let timer = event_loop.timer(move || with(&on_time, |thread| thread.look(true)))?;
        // Without a bell, for instance for lack of descriptors, the timer has to do.
        let bell = Bell::of(self.me).ok().map(Rc::new);
        let poll = bell.as_ref().and_then(|bell| {
            let (on_ring, heard) = (Rc::downgrade(self), Rc::clone(bell));
            event_loop.poll(bell.as_fd().as_raw_fd(), move || {
                heard.clear();
                with(&on_ring, |thread| thread.look(false));
            })
        });
        Some(Ears {
            timer,
            _poll: poll,
            _bell: bell,
        })
    }

    /// The timer runs, and keeps the event loop alive, while a request is pending.
    fn set_timer(&self) {
        let waits = self.watches.borrow().iter().any(|watch| watch.is_pending);
        if let Some(ears) = self.ears.borrow().as_ref() {
            ears.timer.keep_alive(waits);
            if waits {
                ears.timer.arm(LOOK_EVERY_MS, LOOK_EVERY_MS);
            } else {
                ears.timer.disarm();
            }
        }
    }

    fn look(&self, looks_for_dead: bool) {
        let host = Host::default();
        let mut changed = Vec::new();
        {
            let mut watches = self.watches.borrow_mut();
            if looks_for_dead {
                // Rate-limited by each table, however many threads ask.
                for watch in watches.iter().filter(|watch| watch.is_pending) {
                    if let Some(table) = watch.memory.table() {
                        let _may_be_stuck = table.reap(self.me, &host);
                    }
                }
            }
            watches.retain(|watch| {
                let stays = watch.stays(self.me);
                if !stays {
                    changed.push(watch.number);
                }
                stays
            });
        }
        if changed.is_empty() {
            return;
        }
        self.set_timer();
        if let Some(callback) = self.callback.borrow().as_ref() {
            for numbers in changed.chunks(MAX_ARGUMENTS) {
                callback.call(numbers);
            }
        }
    }

    fn end(&self) {
        self.has_ended.set(true);
        self.watches.borrow_mut().clear();
        self.ears.replace(None);
        self.callback.replace(None);
        for memory in self.open.take().iter().filter_map(std::sync::Weak::upgrade) {
            abandon(&memory, self.me);
        }
        for memory in self.retained.take() {
            abandon(&memory, self.me);
        }
    }
}

impl Watch {
    fn stays(&self, me: OwnerId) -> bool {
        let Some(table) = self.memory.table() else {
            return false;
        };
        match table.standing(self.id, me) {
            Standing::Pending => self.is_pending,
            Standing::Held(_) => !self.is_pending,
            Standing::Lost | Standing::Gone => false,
        }
    }
}

fn abandon(memory: &LockMemory, me: OwnerId) {
    if let Some(table) = memory.table() {
        // If the guard is stuck, others will notice that the thread is gone.
        let _may_be_stuck = table.abandon(me, &Host::default());
    }
}

fn with(thread: &Weak<LockThread>, use_it: impl FnOnce(&LockThread)) {
    if let Some(thread) = thread.upgrade() {
        use_it(&thread);
    }
}

unsafe extern "C" fn on_env_end(shared: *mut c_void) {
    // SAFETY: from `Rc::into_raw` in `current`; passed back once.
    let thread = unsafe { Rc::from_raw(shared.cast_const().cast::<LockThread>()) };
    thread.end();
}
