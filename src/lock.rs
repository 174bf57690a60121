//! Locks for JavaScript: one class over a table of requests. Policy is in `lib/locks/`.

use std::rc::Rc;
use std::sync::Arc;

use manycore_core::liveness::OwnerId;
use manycore_core::lock::guard::Stuck;
use manycore_core::lock::host::Host;
use manycore_core::lock::layout::{self, NAME_BYTES};
use manycore_core::lock::memory::{Design, LockMemory};
use manycore_core::lock::{Kind, Mode, RequestId, Snapshot, Table};
use manycore_core::shm::OpenError;
use napi::bindgen_prelude::{i64n, Env, Error, Function, JsObjectValue, JsValue, Object, Result, Status};
use napi_derive::napi;

use crate::callback::Callback;
use crate::lane::external_buffer;
use crate::lock_calls::{Cancel, Enqueue, Leave, Look, Nothing, Owner, Release, Results, TryExclusive, Wait};
use crate::lock_thread::LockThread;
use crate::shared::raw::define;
use crate::shared::segment::{open_error, SegmentSource};

/// A table of requests.
#[napi]
pub struct LockTable {
    owner: Rc<Owner>,
}

/// A request, see `LockTable.query`.
#[napi(object)]
pub struct LockRequest {
    /// For named locks.
    pub name: String,
    /// For locks: whether it shares the lock with other shared requests.
    pub shared: bool,
    /// Whether it is granted; otherwise it waits.
    pub held: bool,
    /// Whether it blocks its thread.
    pub blocking: bool,
    /// Permits of a semaphore; for named locks, the caller's own mark.
    pub permits: u32,
    /// The kernel's id of the thread.
    pub thread: u32,
    /// The thread's process id.
    pub pid: u32,
    /// Position in the queue.
    pub ticket: f64,
    /// Ticket of the enclosing request, or 0.
    pub parent: f64,
    /// Fencing token, once granted.
    pub fence: f64,
}

#[napi]
impl LockTable {
    /// Opens or creates a table. `slots` and `limit` apply to a new one.
    #[napi(factory)]
    pub fn open(env: Env, source: SegmentSource, kind: u32, slots: u32, limit: u32) -> Result<Self> {
        let kind = Kind::from_word(kind).ok_or_else(|| Error::new(Status::InvalidArg, "no kind of lock"))?;
        let design = Design {
            kind,
            slots: slots as usize,
            limit,
        };
        let memory = LockMemory::open(design, |plan| source.open(plan)).map_err(open_error)?;
        let memory = Arc::new(memory);
        let thread = LockThread::current(env.raw());
        thread.open(&memory);
        let results = Results::default();
        let owner = Rc::new(Owner {
            memory,
            thread,
            results,
        });
        Ok(Self { owner })
    }

    /// The handle by which another thread or process opens it while this one has it open.
    #[napi(getter)]
    pub fn handle(&self) -> String {
        self.owner.memory.handle()
    }

    /// The handle to be sent to another thread or process.
    #[napi(getter)]
    pub fn travel_handle(&self) -> String {
        self.owner.memory.travel_handle()
    }

    /// Permits of a semaphore, or parties of a barrier.
    #[napi(getter)]
    pub fn limit(&self) -> Result<u32> {
        Ok(self.table()?.limit())
    }

    /// The frequent calls as functions, and the memory for their results.
    #[napi(
        ts_return_type = "{ results: ArrayBuffer, request: (flags: number, permits: number) => number, tryExclusive: () => number, release: (index: number, serial: number) => number, leave: () => number, standing: (index: number, serial: number) => number, wait: (index: number, serial: number, sliceMs: number) => number, cancel: (index: number, serial: number) => number, nothing: (index?: number, serial?: number) => number }"
    )]
    pub fn calls<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        let address = self.owner.results.as_ptr().cast_mut().cast::<u8>();
        let keeper = Box::new(Rc::clone(&self.owner));
        let results = external_buffer(env, address, size_of::<Results>(), keeper)?;
        let mut calls = Object::new(env)?;
        calls.set_named_property("results", results)?;
        define::<Enqueue>(env.raw(), calls.raw(), &self.owner)?;
        define::<TryExclusive>(env.raw(), calls.raw(), &self.owner)?;
        define::<Release>(env.raw(), calls.raw(), &self.owner)?;
        define::<Leave>(env.raw(), calls.raw(), &self.owner)?;
        define::<Look>(env.raw(), calls.raw(), &self.owner)?;
        define::<Wait>(env.raw(), calls.raw(), &self.owner)?;
        define::<Cancel>(env.raw(), calls.raw(), &self.owner)?;
        define::<Nothing>(env.raw(), calls.raw(), &self.owner)?;
        Ok(calls)
    }

    /// The start of the lock's memory with the shortcut, in a mapping of its own.
    #[napi(ts_return_type = "ArrayBuffer")]
    pub fn memory<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        let map = self.owner.memory.map_header().map_err(open_error)?;
        let (address, len) = (map.as_mut_ptr(), map.len());
        external_buffer(env, address, len, Box::new(map))
    }

    /// The owner word of the calling thread, as stored in the shortcut.
    #[napi(getter, ts_return_type = "bigint")]
    pub fn me(&self) -> i64n {
        i64n(self.owner.thread.me.word() as i64)
    }

    /// Like `request`, for a named lock: flags, name, parent, and a number of the caller's own that `query`
    /// returns. Returns the status.
    #[napi]
    pub fn request_name(&self, flags: u32, name: String, parent: f64, mark: u32) -> Result<u32> {
        if name.len() > NAME_BYTES {
            return Err(Error::new(Status::InvalidArg, "the name is too long"));
        }
        let ask = self.owner.ask(flags, mark, name.as_bytes(), parent);
        Ok(self.owner.request(&self.table()?, &ask, &Host::default()))
    }

    /// Notifies the `count` longest waiters. Returns how many were notified.
    #[napi]
    pub fn notify(&self, count: u32) -> Result<u32> {
        self.run(|table, me, host| table.notify(count, me, host))
    }

    /// Whether the once cell is done.
    #[napi(getter)]
    pub fn is_done(&self) -> Result<bool> {
        Ok(self.table()?.is_done())
    }

    /// Marks the once cell as done.
    #[napi]
    pub fn set_done(&self) -> Result<()> {
        self.table()?.set_done();
        Ok(())
    }

    /// Whether a run has been recorded as completed.
    #[napi]
    pub fn is_run_done(&self, run: String) -> Result<bool> {
        self.run(|table, me, host| table.is_run_done(layout::hash(run.as_bytes()), me, host))
    }

    /// Records a run as completed.
    #[napi]
    pub fn note_run(&self, run: String) -> Result<()> {
        self.run(|table, me, host| table.note_run(layout::hash(run.as_bytes()), me, host))
    }

    /// All requests, oldest first, after ending those of dead owners.
    #[napi]
    pub fn query(&self) -> Result<Vec<LockRequest>> {
        let all = self.run(|table, me, host| {
            table.reap_now(me, host)?;
            table.query(me, host)
        })?;
        Ok(all.into_iter().map(LockRequest::from).collect())
    }

    /// Notifies the listener with `number` when the request is no longer waiting (`pending`) or no longer
    /// held. Returns false when the event loop has ended.
    #[napi]
    pub fn watch(&self, number: f64, index: u32, serial: u32, pending: bool) -> bool {
        let memory = Arc::clone(&self.owner.memory);
        let id = RequestId { index, serial };
        self.owner.thread.watch(number, memory, id, pending)
    }

    fn table(&self) -> Result<Table<'_>> {
        let overwritten = || open_error(OpenError::Corrupt("the lock has been overwritten"));
        self.owner.memory.table().ok_or_else(overwritten)
    }

    fn run<T>(
        &self,
        act: impl FnOnce(&Table<'_>, OwnerId, &Host) -> std::result::Result<T, Stuck>,
    ) -> Result<T> {
        // In the format of `open_error`.
        let stuck = |_| Error::new(Status::GenericFailure, "STUCK 0 the guard does not come free");
        act(&self.table()?, self.owner.thread.me, &Host::default()).map_err(stuck)
    }
}

/// Sets the function `listener(...numbers)` that is called on the event loop when requests watched by this
/// thread have changed.
#[napi]
pub fn lock_listen(env: Env, listener: Function<'_, (), ()>) -> Result<()> {
    let callback = Callback::new(env.raw(), listener.raw(), "MANYCORELOCK");
    let callback = callback.ok_or_else(|| Error::from_reason("the event loop is closing"))?;
    LockThread::current(env.raw()).listen(callback);
    Ok(())
}

/// Stops a `watch`.
#[napi]
pub fn lock_unwatch(env: Env, number: f64) {
    LockThread::current(env.raw()).unwatch(number);
}

impl From<Snapshot> for LockRequest {
    fn from(request: Snapshot) -> Self {
        Self {
            name: String::from_utf8_lossy(&request.name).into_owned(),
            shared: request.mode == Mode::Shared,
            held: request.is_held,
            blocking: request.is_blocking,
            permits: request.permits,
            thread: OwnerId::from_word(request.owner).map_or(0, OwnerId::tid),
            pid: match request.pid {
                // Acquired through the shortcut.
                0 => OwnerId::from_word(request.owner)
                    .and_then(OwnerId::pid)
                    .unwrap_or(0),
                pid => pid,
            },
            ticket: request.ticket as f64,
            parent: request.parent as f64,
            fence: request.fence as f64,
        }
    }
}
