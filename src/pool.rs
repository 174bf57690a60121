//! `PoolQueue`: the caller's side of a pool's queue, for `lib/pool/`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use manycore_core::queue::{
    Cancelled, Histogram, Limits, Queue, Scheduler, Summary, Task, TaskKind, PERCENTILES,
};
use manycore_core::remote::Dispatch;
use napi::bindgen_prelude::{Env, Error, Function, Object, Result, Status, Uint8Array, Unknown};
use napi_derive::napi;

use crate::error::to_js;
use crate::fast::{function, Body};
use crate::pool_caller::{Caller, Listening};

/// The queues of this process, by which workers find theirs.
static QUEUES: Mutex<Option<HashMap<u32, Weak<Queue>>>> = Mutex::new(None);
static NEXT_QUEUE: AtomicU32 = AtomicU32::new(1);

/// The queue with this id.
pub fn queue_of(id: u32) -> Option<Arc<Queue>> {
    queues().as_ref()?.get(&id)?.upgrade()
}

/// The load of a worker.
#[napi(object)]
pub struct PoolWorkerLoad {
    /// Its number.
    pub worker: u32,
    /// Number of tasks it has begun.
    pub in_hand: u32,
    /// Number of tasks queued for it in particular.
    pub pinned: u32,
    /// Number of tasks it has completed.
    pub completed: f64,
    /// Total run time of those in milliseconds.
    pub busy_ms: f64,
}

/// Statistics of durations, in microseconds.
#[derive(Default)]
#[napi(object)]
pub struct PoolTimes {
    /// Number of durations.
    pub count: f64,
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub stddev: f64,
    /// Shortest duration.
    pub min: f64,
    /// Longest duration.
    pub max: f64,
    /// At the core's `PERCENTILES`, duplicated in `lib/pool/histogram.js`.
    pub percentiles: Vec<f64>,
}

/// A queue until it is closed. Closing frees its memory and descriptors without waiting for the garbage
/// collector, which owns the fast functions.
struct Gate(RefCell<Option<Rc<Caller>>>);

/// The caller's side of a queue, owned by the thread that created it. Once closed, it has no tasks and no
/// workers.
#[napi]
pub struct PoolQueue {
    id: u32,
    gate: Rc<Gate>,
    /// The same queue if the workers are processes.
    processes: Option<Rc<Dispatch>>,
    listening: Option<Rc<Listening>>,
}

#[napi]
impl PoolQueue {
    /// Creates a queue for threads or processes that have up to `concurrency` tasks in hand and retire after
    /// `tasks` (0: never). Throws when memory or file descriptors run out.
    #[napi(constructor)]
    pub fn new(concurrency: u32, tasks: u32, for_processes: bool) -> Result<Self> {
        let limits = Limits {
            concurrency: concurrency.max(1),
            tasks,
        };
        let id = NEXT_QUEUE.fetch_add(1, Ordering::Relaxed);
        let (queue, processes): (Rc<dyn Scheduler>, _) = if for_processes {
            let queue = Rc::new(Dispatch::new(limits).map_err(to_js)?);
            (Rc::clone(&queue) as _, Some(queue))
        } else {
            let queue = Arc::new(Queue::new(limits).map_err(to_js)?);
            queues()
                .get_or_insert_default()
                .insert(id, Arc::downgrade(&queue));
            (Rc::new(queue), None)
        };
        let caller = Caller::new(queue).ok_or_else(no_memory)?;
        Ok(Self {
            id,
            gate: Rc::new(Gate(RefCell::new(Some(Rc::new(caller))))),
            processes,
            listening: None,
        })
    }

    /// The id by which workers attach.
    #[napi(getter)]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The words of calls, as an ArrayBuffer. Neither this one nor the two below must be transferred.
    #[napi]
    pub fn words<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        self.caller()?.words.buffer(env)
    }

    /// The buffer from which `push()` reads the record.
    #[napi]
    pub fn record<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        self.caller()?.record.buffer(env)
    }

    /// The buffer to which `take()` copies reports.
    #[napi]
    pub fn batch<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        self.caller()?.batch.buffer(env)
    }

    /// A function that queues the task described by the words. It returns 0 when the target worker is gone.
    #[napi(ts_return_type = "() => number")]
    pub fn push_function<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        self.fast(env, "push", |gate| gate.with(Caller::push))
    }

    /// A function that has a spinning worker run the task described by the words, which asks for no worker,
    /// priority or retry, and copies the report like `take()`. It returns 0 when the task is in hand or queued.
    #[napi(ts_return_type = "() => number")]
    pub fn call_function<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        self.fast(env, "call", |gate| gate.with(Caller::call))
    }

    /// Queues the task described by the words, with a record of any size.
    #[napi]
    pub fn push_large(&self, record: Uint8Array) -> i32 {
        self.gate.with(|caller| caller.push_with(&record))
    }

    /// A function that copies reports. It returns the number of bytes copied, 0 for none, or the negated size
    /// of a report that needs a larger buffer.
    #[napi(ts_return_type = "() => number")]
    pub fn take_function<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        self.fast(env, "take", |gate| gate.with(Caller::take))
    }

    /// Like that function, into a given buffer.
    #[napi]
    pub fn take_large(&self, mut target: Uint8Array) -> i32 {
        // SAFETY: owned by this thread's JavaScript, which does not run meanwhile.
        let target = unsafe { target.as_mut() };
        self.gate.with(|caller| caller.take_into(target))
    }

    /// Copies a payload of the task being encoded. Returns false when too many bytes are queued.
    #[napi]
    pub fn put_large(&self, payload: &[u8]) -> bool {
        self.gate.with(|caller| caller.put_payload(payload))
    }

    /// Drops the last `count` payloads, whose task is not queued after all.
    #[napi]
    pub fn discard_large(&self, count: u32) {
        self.gate.with(|caller| caller.discard_payloads(count));
    }

    /// Length in bytes of a payload of the reports taken last, by index; 0 when there is none.
    #[napi]
    pub fn payload_length(&self, at: u32) -> f64 {
        self.gate.with(|caller| caller.arrived().len_of(at)) as f64
    }

    /// Copies such a payload into memory of its length, once. Returns false when there is none.
    #[napi]
    pub fn take_payload(&self, at: u32, mut target: Uint8Array) -> bool {
        // SAFETY: owned by this thread's JavaScript, which does not run meanwhile.
        let target = unsafe { target.as_mut() };
        self.gate.with(|caller| caller.arrived().take(at, target))
    }

    /// The lent ArrayBuffer that holds such a payload, once. Null when the payload has to be copied.
    #[napi(ts_return_type = "ArrayBuffer | null")]
    pub fn redeem_payload<'env>(&self, env: &'env Env, at: u32) -> Option<Object<'env>> {
        self.gate
            .with(|caller| caller.arrived().redeem(env, at, caller.lent()))
    }

    /// Lends an ArrayBuffer, to which there must be no other reference, for a payload of its length. Returns
    /// false on failure.
    #[napi(ts_args_type = "buffer: ArrayBuffer")]
    pub fn lend(&self, env: Env, buffer: Unknown<'_>) -> bool {
        self.gate.with(|caller| caller.lent().lend(env, &buffer))
    }

    /// Takes back all lent buffers that are free.
    #[napi]
    pub fn take_back_lent(&self) {
        self.gate.with(|caller| caller.lent().take_back());
    }

    /// Cancels a task that no worker has begun. Returns -1 on success, -2 when the task is over, otherwise
    /// its worker.
    #[napi]
    pub fn cancel(&self, slot: u32) -> i32 {
        match self.queue(|queue| Some(queue.cancel(slot))) {
            Some(Cancelled::Queued) => -1,
            Some(Cancelled::Running(worker)) => worker as i32,
            Some(Cancelled::Over) | None => -2,
        }
    }

    /// Whether a task is queued and not begun by a worker.
    #[napi]
    pub fn is_queued(&self, slot: u32) -> bool {
        self.queue(|queue| queue.is_queued(slot))
    }

    /// Asks the worker of a task to abort it. Returns the worker's number, or -1 when none has begun it.
    #[napi]
    pub fn abort(&self, slot: u32) -> i32 {
        let worker = self.queue(|queue| queue.abort(slot));
        worker.map_or(-1, |worker| worker as i32)
    }

    /// Sends a worker a notice about a task. Returns false when the worker is gone.
    #[napi]
    pub fn notify(&self, worker: u32, kind: u32, slot: u32) -> bool {
        TaskKind::from_number(kind)
            .is_some_and(|kind| self.queue(|queue| queue.notify(worker, Task::new(kind, slot, &[]))))
    }

    /// Registers a new worker and returns its number. Throws when file descriptors run out.
    #[napi]
    pub fn add_worker(&self) -> Result<u32> {
        self.caller()?.queue.add_worker().map_err(to_js)
    }

    /// The descriptors that a worker's process must inherit, in order; `startup` is its startup message.
    /// Empty when there is no such worker.
    #[napi]
    pub fn passed(&self, worker: u32, startup: Uint8Array) -> Vec<i32> {
        let passed = self
            .processes
            .as_ref()
            .and_then(|queue| queue.passed(worker, &startup));
        passed.map_or_else(Vec::new, |passed| passed.to_vec())
    }

    /// Records that a worker's process has been spawned. Throws when file descriptors run out.
    #[napi]
    pub fn spawned(&self, worker: u32, pid: u32) -> Result<()> {
        match &self.processes {
            Some(queue) => queue.spawned(worker, pid).map_err(to_js),
            None => Ok(()),
        }
    }

    /// Stops a worker from taking further tasks. Returns false, without effect, when it has some, unless
    /// `force` is set.
    #[napi]
    pub fn retire(&self, worker: u32, force: bool) -> bool {
        self.queue(|queue| queue.retire(worker, force))
    }

    /// Removes an ended worker and reassigns the tasks it had not begun. Returns those it had begun.
    #[napi]
    pub fn abandon(&self, worker: u32) -> Vec<u32> {
        self.queue(|queue| queue.abandon(worker))
    }

    /// Requeues a task of an ended worker. Returns false when it was not kept.
    #[napi]
    pub fn retry(&self, slot: u32) -> bool {
        self.queue(|queue| queue.retry(slot))
    }

    /// Discards a task of an ended worker.
    #[napi]
    pub fn forget(&self, slot: u32) {
        self.queue(|queue| queue.forget(slot));
    }

    /// The tasks that a worker has begun.
    #[napi]
    pub fn begun(&self, worker: u32) -> Vec<u32> {
        self.queue(|queue| queue.begun(worker))
    }

    /// How long a task has been running, in milliseconds; -1 when no worker has begun it.
    #[napi]
    pub fn running_ms(&self, slot: u32) -> f64 {
        let elapsed = self.queue(|queue| queue.running_for(slot));
        elapsed.map_or(-1.0, |elapsed| elapsed.as_secs_f64() * 1000.0)
    }

    /// Sets how many tasks a worker may take at once while a large number of very short ones is queued.
    #[napi]
    pub fn batch_size(&self, tasks: u32) {
        self.queue(|queue| queue.set_batch(tasks));
    }

    /// Adds a definition that workers need to decode later records. Returns the number of definitions.
    #[napi]
    pub fn define(&self, definition: Uint8Array) -> u32 {
        self.queue(|queue| queue.define(&definition))
    }

    /// Number of tasks queued for any worker.
    #[napi(getter)]
    pub fn waiting(&self) -> u32 {
        self.queue(|queue| queue.waiting())
    }

    /// The load of each worker.
    #[napi]
    pub fn loads(&self) -> Vec<PoolWorkerLoad> {
        let loads = self.queue(|queue| queue.loads()).into_iter();
        loads
            .map(|load| PoolWorkerLoad {
                worker: load.worker,
                in_hand: load.in_hand,
                pinned: load.pinned,
                completed: load.completed as f64,
                busy_ms: load.busy_us as f64 / 1000.0,
            })
            .collect()
    }

    /// Statistics of the wait times of tasks.
    #[napi]
    pub fn wait_times(&self) -> PoolTimes {
        self.with_times(|wait, _| times_of(wait))
    }

    /// Statistics of the run times of tasks.
    #[napi]
    pub fn run_times(&self) -> PoolTimes {
        self.with_times(|_, run| times_of(run))
    }

    /// Resets the statistics of wait times.
    #[napi]
    pub fn reset_wait_times(&self) {
        self.with_times(|wait, _| wait.reset());
    }

    /// Resets the statistics of run times.
    #[napi]
    pub fn reset_run_times(&self) {
        self.with_times(|_, run| run.reset());
    }

    /// A function that blocks until there are reports, for at most as many milliseconds as a word says, and
    /// takes them like `take()`. The event loop is not woken until `rest()`.
    #[napi(ts_return_type = "() => number")]
    pub fn await_function<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        self.fast(env, "await", |gate| gate.with(Caller::wait))
    }

    /// Estimated time, in microseconds, for which each worker has work, based on recent run times.
    #[napi]
    pub fn backlog_us(&self) -> f64 {
        self.queue(|queue| queue.backlog_us())
    }

    /// A function that resumes waiting in the event loop after `await()` or dozing.
    #[napi(ts_return_type = "() => number")]
    pub fn rest_function<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        self.fast(env, "rest", |gate| gate.with(Caller::rest))
    }

    /// Calls `drain` on the event loop whenever there are reports.
    #[napi]
    pub fn listen(&mut self, env: Env, drain: Function<'_, (), ()>) -> Result<()> {
        self.listening = Some(Listening::begin(env, self.caller()?, drain)?);
        Ok(())
    }

    /// Sets whether the queue keeps the event loop alive.
    #[napi]
    pub fn keep_alive(&self, on: bool) {
        if let Some(listening) = &self.listening {
            listening.keep_alive(on);
        }
    }

    /// Stops calling `drain` and frees memory and descriptors. All workers must be gone.
    #[napi]
    pub fn close(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.close();
        }
        if let Some(queues) = queues().as_mut() {
            queues.remove(&self.id);
        }
        self.processes = None;
        drop(self.gate.0.take());
    }
}

impl PoolQueue {
    fn caller(&self) -> Result<Rc<Caller>> {
        let closed = || Error::new(Status::Closing, "the pool is closed");
        self.gate.0.borrow().clone().ok_or_else(closed)
    }

    /// Calls `ask` with the queue; returns the default once it is closed.
    fn queue<T: Default>(&self, ask: impl FnOnce(&dyn Scheduler) -> T) -> T {
        self.gate.with(|caller| ask(&*caller.queue))
    }

    fn fast<'env>(&self, env: &'env Env, name: &str, body: Body<Gate>) -> Result<Object<'env>> {
        function(env, name, &self.gate, body)
    }

    fn with_times<T: Default>(&self, read: impl Fn(&mut Histogram, &mut Histogram) -> T) -> T {
        let mut result = T::default();
        self.queue(|queue| queue.look_at_times(&mut |wait, run| result = read(wait, run)));
        result
    }
}

impl Gate {
    /// Calls `ask` with the caller's side; returns the default once it is closed.
    fn with<T: Default>(&self, ask: impl FnOnce(&Caller) -> T) -> T {
        self.0.borrow().as_deref().map(ask).unwrap_or_default()
    }
}

impl Drop for PoolQueue {
    fn drop(&mut self) {
        self.close();
    }
}

fn times_of(histogram: &Histogram) -> PoolTimes {
    let summary: Summary = histogram.summary();
    PoolTimes {
        count: summary.count as f64,
        mean: summary.mean,
        stddev: summary.standard_deviation,
        min: summary.min as f64,
        max: summary.max as f64,
        percentiles: PERCENTILES
            .iter()
            .map(|p| histogram.percentile(*p) as f64)
            .collect(),
    }
}

fn queues() -> MutexGuard<'static, Option<HashMap<u32, Weak<Queue>>>> {
    // A panic while the lock is held leaves the map consistent.
    QUEUES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The error for a failed allocation.
pub fn no_memory() -> Error {
    Error::new(Status::GenericFailure, "out of memory")
}
