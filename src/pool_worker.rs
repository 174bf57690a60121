//! `PoolWorker`: a worker's side of a pool's queue, for `lib/pool/worker`.

use std::cell::{Cell, RefCell};
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use manycore_core::queue::{Kind, Payload, Taker, Towards, Worker};
use manycore_core::remote::{watch, RemoteWorker, PASSED};
use manycore_core::ring::doorbell::{linger, Doorbell, Drained, Outcome, LONGEST_TURN};
use manycore_core::ring::spin::Latency;
use manycore_core::sys::clock::monotonic_ns;
use napi::bindgen_prelude::{Env, Error, Function, JsValue, Object, Result, Status, Uint8Array, Unknown};
use napi_derive::napi;

use crate::callback::Callback;
use crate::error::to_js;
use crate::fast::{function, Page};
use crate::lent_buffers::LentBuffers;
use crate::pool::{no_memory, queue_of};
use crate::pool_caller::{word, RECORD_BYTES, WORDS_BYTES};
use crate::pool_payloads::Leaving;
use crate::uv::{EventLoop, Handle};

/// Number of payloads of the record being reported.
const PAYLOADS: usize = 3;
/// Time limit of `linger`.
const LIMIT_US: usize = 4;
/// Whether the task pulled last is a direct call.
const CALLED: usize = 5;
/// Returned by `pull` when there is nothing.
const NOTHING: i32 = -1;
/// Returned by `linger` when another worker was faster.
const TAKEN: i32 = -2;

/// The state of the fast functions.
struct Side {
    worker: Rc<dyn Taker>,
    words: Rc<Page>,
    /// The record of the task pulled last.
    input: Rc<Page>,
    /// A record to be reported.
    output: Rc<Page>,
    /// A record that does not fit into `input`.
    held: RefCell<Option<Box<[u8]>>>,
    /// Payloads of the task pulled last, until all have been read.
    payloads: RefCell<Option<Arc<Vec<Payload>>>>,
    /// Payloads of the value being encoded.
    leaving: Leaving,
    /// Buffers for payloads of future tasks.
    lent: LentBuffers,
    doorbell: RefCell<Doorbell>,
    turn_since_ns: Cell<u64>,
}

/// A worker's side of a queue, owned by the worker's thread. Its end is reported when that thread ends.
#[napi]
pub struct PoolWorker {
    side: Rc<Side>,
    /// The same worker if it is a process.
    remote: Option<Rc<RemoteWorker>>,
    listening: Option<Handle>,
}

#[napi]
impl PoolWorker {
    /// Takes the station with this number in the queue with this id. Throws when there is none.
    #[napi(constructor)]
    pub fn new(queue: u32, number: u32) -> Result<Self> {
        let gone = || Error::new(Status::InvalidArg, "no pool has this place");
        let queue = queue_of(queue).ok_or_else(gone)?;
        let worker = Worker::attach(queue, number).ok_or_else(gone)?;
        Self::with(Rc::new(worker), None)
    }

    /// In a pool's process: takes ownership of the inherited descriptors, which start at `first`. Throws,
    /// having closed them, when they are not those of a pool.
    #[napi(factory)]
    pub fn adopt(first: i32) -> Result<Self> {
        let last = first.checked_add(PASSED as i32 - 1).filter(|_| first > 2);
        if last.is_none() {
            return Err(Error::new(Status::InvalidArg, "not descriptors of a pool"));
        }
        // SAFETY: `lib/pool/process` passes descriptors that the process inherited for this purpose, and uses
        // them once.
        let inherited = std::array::from_fn(|at| unsafe { OwnedFd::from_raw_fd(first + at as i32) });
        let remote = Rc::new(RemoteWorker::adopt(inherited).map_err(to_js)?);
        Self::with(Rc::clone(&remote) as _, Some(remote))
    }

    /// In a pool's process: waits for the startup message. Null when it does not arrive in time.
    #[napi]
    pub fn startup(&self, limit_ms: u32) -> Option<Uint8Array> {
        let limit = Duration::from_millis(u64::from(limit_ms));
        self.remote.as_ref()?.startup(limit).map(Uint8Array::new)
    }

    /// In a pool's process: sets how many tasks may be in hand at once.
    #[napi]
    pub fn set_concurrency(&self, tasks: u32) {
        if let Some(remote) = &self.remote {
            remote.set_concurrency(tasks);
        }
    }

    /// The words of calls, as an ArrayBuffer. Neither this one nor the two below must be transferred.
    #[napi]
    pub fn words<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        self.side.words.buffer(env)
    }

    /// The buffer to which `pull()` copies the record.
    #[napi]
    pub fn input<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        self.side.input.buffer(env)
    }

    /// The buffer from which `report()` reads the record.
    #[napi]
    pub fn output<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        self.side.output.buffer(env)
    }

    /// A function that takes the next task or notice. It returns the length of the record, or -1 for nothing.
    #[napi(ts_return_type = "() => number")]
    pub fn pull_function<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        function(env, "pull", &self.side, Side::pull)
    }

    /// A function that spins for something to pull, for as many microseconds as a word says, and pulls it. It
    /// returns what `pull()` does, or -2 when another worker was faster.
    #[napi(ts_return_type = "() => number")]
    pub fn linger_function<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        function(env, "linger", &self.side, |side| {
            // SAFETY: called by JavaScript of this thread.
            let limit_us = word(unsafe { side.words.bytes() }, LIMIT_US);
            let limit = Duration::from_micros(limit_us.into()).min(Latency::of_process().limit());
            if side.is_turn_over(side.worker.now_ns()) || !linger(&*side.worker, limit) {
                return NOTHING;
            }
            match side.take_next() {
                NOTHING => TAKEN,
                length => length,
            }
        })
    }

    /// Copies the record that did not fit in the last pull.
    #[napi]
    pub fn take_held(&self, mut target: Uint8Array) {
        if let Some(record) = self.side.held.take() {
            // SAFETY: owned by this thread's JavaScript, which does not run meanwhile.
            let target = unsafe { target.as_mut() };
            if let Some(target) = target.get_mut(..record.len()) {
                target.copy_from_slice(&record);
            }
        }
    }

    /// Length in bytes of a payload of the task pulled last, by index; 0 when there is none.
    #[napi]
    pub fn payload_length(&self, at: u32) -> f64 {
        let payloads = self.side.payloads.borrow();
        let payload = payloads.as_ref().and_then(|payloads| payloads.get(at as usize));
        payload.map_or(0, Payload::len) as f64
    }

    /// Copies such a payload into memory of its length. Returns false when there is none. The last one must
    /// be copied last.
    #[napi]
    pub fn take_payload(&self, at: u32, mut target: Uint8Array) -> bool {
        // SAFETY: owned by this thread's JavaScript, which does not run meanwhile.
        self.side.take_payload(at as usize, unsafe { target.as_mut() })
    }

    /// The lent ArrayBuffer that holds such a payload, once. Null when the payload has to be copied.
    #[napi(ts_return_type = "ArrayBuffer | null")]
    pub fn redeem_payload<'env>(&self, env: &'env Env, at: u32) -> Option<Object<'env>> {
        let mut held = self.side.payloads.borrow_mut();
        let payloads = held.as_ref()?;
        // A task that is kept for a retry needs it again.
        if Arc::strong_count(payloads) > 1 {
            return None;
        }
        let buffer = self.side.lent.redeem(env, payloads.get(at as usize)?.lent()?)?;
        if at as usize + 1 == payloads.len() {
            *held = None;
        }
        Some(buffer)
    }

    /// Lends an ArrayBuffer, to which there must be no other reference, for a payload of its length. Returns
    /// false on failure.
    #[napi(ts_args_type = "buffer: ArrayBuffer")]
    pub fn lend(&self, env: Env, buffer: Unknown<'_>) -> bool {
        self.side.lent.lend(env, &buffer)
    }

    /// Takes back all lent buffers that are free.
    #[napi]
    pub fn take_back_lent(&self) {
        self.side.lent.take_back();
    }

    /// Copies a payload of the value being encoded. Returns false when too many bytes are queued.
    #[napi]
    pub fn put_large(&self, payload: &[u8]) -> bool {
        let stock = self.side.worker.stock();
        self.side.leaving.put(stock, Towards::Caller, payload)
    }

    /// Drops the last `count` payloads, which are not reported after all.
    #[napi]
    pub fn discard_large(&self, count: u32) {
        drop(self.side.leaving.take(count));
    }

    /// A function that sends the report described by the words.
    #[napi(ts_return_type = "() => number")]
    pub fn report_function<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        function(env, "report", &self.side, |side| {
            // SAFETY: called by JavaScript of this thread.
            let record = unsafe { side.output.bytes() };
            side.report(record)
        })
    }

    /// Like that function, with a record of any size.
    #[napi]
    pub fn report_large(&self, record: Uint8Array) -> i32 {
        self.side.report(&record)
    }

    /// The definition with this number, or null when there is none.
    #[napi]
    pub fn definition(&self, number: u32) -> Option<Uint8Array> {
        let definition = self.side.worker.definition(number)?;
        Some(Uint8Array::new(definition.to_vec()))
    }

    /// Whether a task in hand is to be aborted.
    #[napi]
    pub fn is_aborted(&self, slot: u32) -> bool {
        self.side.worker.is_aborted(slot)
    }

    /// Takes no more tasks.
    #[napi]
    pub fn retire(&self) {
        self.side.worker.retire();
    }

    /// Calls `drain` on the event loop whenever there is something to pull. Keeps the event loop alive.
    #[napi]
    pub fn listen(&mut self, env: Env, drain: Function<'_, (), ()>) -> Result<()> {
        let closing = || Error::new(Status::Closing, "the environment is closing");
        let event_loop = EventLoop::of(env.raw()).ok_or_else(closing)?;
        let callback = Callback::new(env.raw(), drain.raw(), "MANYCOREPOOL").ok_or_else(closing)?;
        let side = Rc::clone(&self.side);
        let handle = event_loop
            .poll(self.side.worker.bell_fd(), move || side.answer(&callback))
            .ok_or_else(closing)?;
        handle.keep_alive(true);
        self.listening = Some(handle);
        self.wake();
        Ok(())
    }

    /// Makes the event loop call `drain` on a later turn if there is something to pull.
    #[napi]
    pub fn wake(&self) {
        self.side.worker.ring_bell();
    }

    /// Stops listening, so that the event loop is no longer kept alive.
    #[napi]
    pub fn close(&mut self) {
        self.listening = None;
    }
}

impl PoolWorker {
    fn with(worker: Rc<dyn Taker>, remote: Option<Rc<RemoteWorker>>) -> Result<Self> {
        let page = |len| Page::new(len).ok_or_else(no_memory);
        Ok(Self {
            side: Rc::new(Side {
                lent: LentBuffers::new(worker.stock().map(|stock| stock.lender(Towards::Workers))),
                worker,
                words: page(WORDS_BYTES)?,
                input: page(RECORD_BYTES)?,
                output: page(RECORD_BYTES)?,
                held: RefCell::default(),
                payloads: RefCell::default(),
                leaving: Leaving::default(),
                doorbell: RefCell::default(),
                turn_since_ns: Cell::new(0),
            }),
            remote,
            listening: None,
        })
    }
}

impl Side {
    fn is_turn_over(&self, now_ns: u64) -> bool {
        now_ns.saturating_sub(self.turn_since_ns.get()) > LONGEST_TURN.as_nanos() as u64
    }

    fn pull(&self) -> i32 {
        if self.is_turn_over(self.worker.now_ns()) {
            return NOTHING;
        }
        self.take_next()
    }

    fn take_next(&self) -> i32 {
        let Some(task) = self.worker.pull() else {
            return NOTHING;
        };
        // SAFETY: called by JavaScript of this thread.
        let words = unsafe { self.words.bytes() };
        let mut put = |at: usize, value: u32| words[at * 4..at * 4 + 4].copy_from_slice(&value.to_le_bytes());
        let values = [task.kind as u32, task.slot, task.handler, task.definitions];
        for (at, value) in values.into_iter().enumerate() {
            put(at, value);
        }
        put(CALLED, self.worker.is_called().into());
        self.payloads.replace(task.payloads.clone());
        let record = task.record();
        // SAFETY: as above; a different page.
        let input = unsafe { self.input.bytes() };
        match input.get_mut(..record.len()) {
            Some(input) => input.copy_from_slice(record),
            None => drop(self.held.replace(Some(record.into()))),
        }
        record.len() as i32
    }

    fn take_payload(&self, at: usize, target: &mut [u8]) -> bool {
        let mut held = self.payloads.borrow_mut();
        let Some(payloads) = held.as_ref() else {
            return false;
        };
        let is_there = payloads.get(at).is_some_and(|payload| payload.copy_to(target));
        if at + 1 == payloads.len() {
            // Frees the memory for others while the task runs.
            *held = None;
        }
        is_there
    }

    fn report(&self, record: &[u8]) -> i32 {
        // SAFETY: called by JavaScript of this thread.
        let words = unsafe { self.words.bytes() };
        let Some(kind) = Kind::from_number(word(words, 0)) else {
            return 0;
        };
        let slot = word(words, 1);
        let record = record.get(..word(words, 2) as usize).unwrap_or(record);
        let payloads = self.leaving.take(word(words, PAYLOADS));
        if kind.is_final() {
            return i32::from(self.worker.complete(kind, slot, record, payloads));
        }
        i32::from(self.worker.tell(kind, slot, record, payloads))
    }

    fn answer(&self, callback: &Callback) {
        self.worker.clear_bell();
        // The drain cannot re-enter this: libuv does not call a handle's callback recursively.
        let Ok(mut doorbell) = self.doorbell.try_borrow_mut() else {
            return;
        };
        self.turn_since_ns.set(monotonic_ns());
        let outcome = doorbell.answer(&*self.worker, Latency::of_process(), |_| {
            callback.call(&[]);
            Drained::Continue
        });
        if outcome == Outcome::More {
            self.worker.ring_bell();
        }
    }
}

/// Adds to the nice value of the calling thread and returns the new value. Throws without the privilege.
#[napi]
pub fn pool_nice(increment: i32) -> Result<i32> {
    manycore_core::sys::nice::add(increment).map_err(to_js)
}

/// In a pool's process: kills the process `graceMs` milliseconds after the other end of a socket was closed.
#[napi]
pub fn pool_watch(socket: i32, grace_ms: u32) -> Result<()> {
    if socket < 0 {
        return Err(Error::new(Status::InvalidArg, "not a descriptor"));
    }
    // SAFETY: `lib/pool/process` passes the channel to its parent, which is open during the call.
    let socket = unsafe { BorrowedFd::borrow_raw(socket) };
    watch::kill_after_hangup(socket, Duration::from_millis(u64::from(grace_ms))).map_err(to_js)
}
