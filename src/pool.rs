//! `PoolQueue`: the caller's side of a pool's queue, for `lib/pool/`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use manycore_core::queue::{
    Cancelled, Histogram, Limits, Queue, Scheduler, Summary, Target, Task, TaskKind, PERCENTILES,
};
use manycore_core::remote::Dispatch;
use manycore_core::ring::doorbell::{Doorbell, Drained, Outcome};
use manycore_core::ring::spin::Latency;
use napi::bindgen_prelude::{Env, Error, Function, JsValue, Object, Result, Status, Uint8Array};
use napi_derive::napi;

use crate::callback::Callback;
use crate::error::to_js;
use crate::fast::{function, Page};
use crate::pool_payloads::{Arrived, Leaving};
use crate::uv::{EventLoop, Handle};

/// Bytes for the words of a call, which `lib/pool/page.js` names.
pub const WORDS_BYTES: usize = 64;
/// Bytes for the record of a task that is pushed or pulled; larger ones are passed by themselves.
pub const RECORD_BYTES: usize = 64 * 1024;
/// How many payloads belong to the record.
const PAYLOADS: usize = 10;
/// How long `await` blocks.
const LIMIT_MS: usize = 11;
/// Whether the event loop looks for reports by itself for now, and is not to be told of any.
const DOZING: usize = 12;
/// Whether the queue keeps the event loop alive.
const KEPT: usize = 14;
/// How many tasks the caller waits for, which it writes.
const OUTSTANDING: usize = 15;
/// Bytes for a batch of reports.
const BATCH_BYTES: usize = 256 * 1024;

/// The queues of this process, for workers to find theirs.
static QUEUES: Mutex<Option<HashMap<u32, Weak<Queue>>>> = Mutex::new(None);
static NEXT_QUEUE: AtomicU32 = AtomicU32::new(1);

/// The queue of this number.
pub fn queue_of(id: u32) -> Option<Arc<Queue>> {
    queues().as_ref()?.get(&id)?.upgrade()
}

/// How busy a worker is.
#[napi(object)]
pub struct PoolWorkerLoad {
    /// Its number.
    pub worker: u32,
    /// Tasks it has begun.
    pub in_hand: u32,
    /// Tasks that wait for it alone.
    pub pinned: u32,
    /// Tasks it has completed.
    pub completed: f64,
    /// Milliseconds that those ran.
    pub busy_ms: f64,
}

/// A summary of durations, in microseconds.
#[derive(Default)]
#[napi(object)]
pub struct PoolTimes {
    /// Durations recorded.
    pub count: f64,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation.
    pub stddev: f64,
    /// The shortest.
    pub min: f64,
    /// The longest.
    pub max: f64,
    /// Of the core's `PERCENTILES`, whose twin is in `lib/pool/histogram.js`.
    pub percentiles: Vec<f64>,
}

/// What the fast functions work on.
struct Caller {
    queue: Rc<dyn Scheduler>,
    words: Rc<Page>,
    record: Rc<Page>,
    batch: Rc<Page>,
    /// Of the tasks that are being encoded, and of the reports taken last.
    leaving: Leaving,
    arrived: Arrived,
}

/// The caller's side of a queue. Belongs to the thread that made it.
#[napi]
pub struct PoolQueue {
    id: u32,
    caller: Rc<Caller>,
    /// The same queue, where workers are processes.
    processes: Option<Rc<Dispatch>>,
    listening: Option<Rc<Listening>>,
}

struct Listening {
    caller: Rc<Caller>,
    doorbell: RefCell<Doorbell>,
    callback: Callback,
    /// `None` once closed.
    handle: RefCell<Option<Handle>>,
}

#[napi]
impl PoolQueue {
    /// A queue for threads, or processes, that have up to `concurrency` tasks in hand and retire after `tasks`
    /// (0: never). Throws without memory or file descriptors.
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
        let page = |len| Page::new(len).ok_or_else(no_memory);
        Ok(Self {
            id,
            caller: Rc::new(Caller {
                queue,
                words: page(WORDS_BYTES)?,
                record: page(RECORD_BYTES)?,
                batch: page(BATCH_BYTES)?,
                leaving: Leaving::default(),
                arrived: Arrived::default(),
            }),
            processes,
            listening: None,
        })
    }

    /// What workers attach by.
    #[napi(getter)]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The words of calls, as an ArrayBuffer. It must not be transferred, nor the two below.
    #[napi]
    pub fn words<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        self.caller.words.buffer(env)
    }

    /// Where the record of `push()` is read from.
    #[napi]
    pub fn record<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        self.caller.record.buffer(env)
    }

    /// Where `take()` copies reports to.
    #[napi]
    pub fn batch<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        self.caller.batch.buffer(env)
    }

    /// A function that queues the task described by the words. It returns 0 when its worker is gone.
    #[napi(ts_return_type = "() => number")]
    pub fn push_function<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        function(env, "push", &self.caller, |caller| {
            // SAFETY: a call from JavaScript of this thread.
            let record = unsafe { caller.record.bytes() };
            caller.push(record)
        })
    }

    /// Queues the task described by the words, with a record of any size.
    #[napi]
    pub fn push_large(&self, record: Uint8Array) -> i32 {
        self.caller.push(&record)
    }

    /// A function that copies reports. It returns the bytes copied, 0 for none, or the negative size of a report
    /// that needs a buffer of its own.
    #[napi(ts_return_type = "() => number")]
    pub fn take_function<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        function(env, "take", &self.caller, |caller| {
            // SAFETY: a call from JavaScript of this thread.
            let batch = unsafe { caller.batch.bytes() };
            caller.take(batch)
        })
    }

    /// As the function, into a buffer.
    #[napi]
    pub fn take_large(&self, mut target: Uint8Array) -> i32 {
        // SAFETY: memory of this thread's JavaScript, which does not run meanwhile.
        self.caller.take(unsafe { target.as_mut() })
    }

    /// Copies a payload of the task that is being encoded. False when there is too much waiting.
    #[napi]
    pub fn put_large(&self, payload: &[u8]) -> bool {
        self.caller.leaving.put(self.caller.queue.slab(), payload)
    }

    /// Lets go of the last payloads, whose task is not queued after all.
    #[napi]
    pub fn discard_large(&self, count: u32) {
        drop(self.caller.leaving.take(count));
    }

    /// Bytes of a payload that came with the reports taken last, by its place among them; 0 when there is none.
    #[napi]
    pub fn payload_length(&self, at: u32) -> f64 {
        self.caller.arrived.len_of(at) as f64
    }

    /// Copies that payload into memory of its length; once. False when there is none.
    #[napi]
    pub fn take_payload(&self, at: u32, mut target: Uint8Array) -> bool {
        // SAFETY: memory of this thread's JavaScript, which does not run meanwhile.
        self.caller.arrived.take(at, unsafe { target.as_mut() })
    }

    /// Takes a task out that no worker has begun: -1 when it worked, -2 when the task is over, else its worker.
    #[napi]
    pub fn cancel(&self, slot: u32) -> i32 {
        match self.caller.queue.cancel(slot) {
            Cancelled::Queued => -1,
            Cancelled::Over => -2,
            Cancelled::Running(worker) => worker as i32,
        }
    }

    /// Asks the worker of a task to abort it. The worker's number, or -1 when none has begun it.
    #[napi]
    pub fn abort(&self, slot: u32) -> i32 {
        self.caller.queue.abort(slot).map_or(-1, |worker| worker as i32)
    }

    /// Sends a notice to a worker about a task. False when it is gone.
    #[napi]
    pub fn notify(&self, worker: u32, kind: u32, slot: u32) -> bool {
        TaskKind::from_number(kind)
            .is_some_and(|kind| self.caller.queue.notify(worker, Task::new(kind, slot, &[])))
    }

    /// Makes room for a worker. Its number. Throws without file descriptors.
    #[napi]
    pub fn add_worker(&self) -> Result<u32> {
        self.caller.queue.add_worker().map_err(to_js)
    }

    /// The descriptors that a worker's process is to inherit, one after the other; `startup` is what it is told
    /// first. Empty when there is no such worker.
    #[napi]
    pub fn passed(&self, worker: u32, startup: Uint8Array) -> Vec<i32> {
        let passed = self
            .processes
            .as_ref()
            .and_then(|queue| queue.passed(worker, &startup));
        passed.map_or_else(Vec::new, |passed| passed.to_vec())
    }

    /// A worker's process has been spawned. Throws without file descriptors.
    #[napi]
    pub fn spawned(&self, worker: u32, pid: u32) -> Result<()> {
        match &self.processes {
            Some(queue) => queue.spawned(worker, pid).map_err(to_js),
            None => Ok(()),
        }
    }

    /// Lets a worker take no more tasks. False when it has some, unless `force`.
    #[napi]
    pub fn retire(&self, worker: u32, force: bool) -> bool {
        self.caller.queue.retire(worker, force)
    }

    /// Gives what an ended worker had not begun to others. The tasks it had begun.
    #[napi]
    pub fn abandon(&self, worker: u32) -> Vec<u32> {
        self.caller.queue.abandon(worker)
    }

    /// Sends a task of an ended worker once more. False when it was not kept.
    #[napi]
    pub fn retry(&self, slot: u32) -> bool {
        self.caller.queue.retry(slot)
    }

    /// Lets go of a task of an ended worker.
    #[napi]
    pub fn forget(&self, slot: u32) {
        self.caller.queue.forget(slot);
    }

    /// The tasks that a worker has begun.
    #[napi]
    pub fn begun(&self, worker: u32) -> Vec<u32> {
        self.caller.queue.begun(worker)
    }

    /// For how many milliseconds a task has been running; -1 when no worker has begun it.
    #[napi]
    pub fn running_ms(&self, slot: u32) -> f64 {
        let elapsed = self.caller.queue.running_for(slot);
        elapsed.map_or(-1.0, |elapsed| elapsed.as_secs_f64() * 1000.0)
    }

    /// Lets a worker take up to so many tasks at once, while very many very short ones wait.
    #[napi]
    pub fn batch_size(&self, tasks: u32) {
        self.caller.queue.set_batch(tasks);
    }

    /// Adds something that workers must know to read later records. How many there are now.
    #[napi]
    pub fn define(&self, definition: Uint8Array) -> u32 {
        self.caller.queue.define(&definition)
    }

    /// Tasks that wait for any worker.
    #[napi(getter)]
    pub fn waiting(&self) -> u32 {
        self.caller.queue.waiting()
    }

    /// How busy each worker is.
    #[napi]
    pub fn loads(&self) -> Vec<PoolWorkerLoad> {
        let loads = self.caller.queue.loads().into_iter();
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

    /// How long tasks waited.
    #[napi]
    pub fn wait_times(&self) -> PoolTimes {
        self.with_times(|wait, _| times_of(wait))
    }

    /// How long tasks ran.
    #[napi]
    pub fn run_times(&self) -> PoolTimes {
        self.with_times(|_, run| times_of(run))
    }

    /// Forgets how long tasks waited.
    #[napi]
    pub fn reset_wait_times(&self) {
        self.with_times(|wait, _| wait.reset());
    }

    /// Forgets how long tasks ran.
    #[napi]
    pub fn reset_run_times(&self) {
        self.with_times(|_, run| run.reset());
    }

    /// A function that blocks until there is something to take, at most as many milliseconds as a word says, and
    /// takes it, as `take()`. Nobody rings for the event loop until `rest()`.
    #[napi(ts_return_type = "() => number")]
    pub fn await_function<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        function(env, "await", &self.caller, |caller| {
            // SAFETY: a call from JavaScript of this thread.
            let limit_ms = word(unsafe { caller.words.bytes() }, LIMIT_MS);
            if !caller.queue.wait(Duration::from_millis(limit_ms.into())) {
                return 0;
            }
            // SAFETY: as above; another page.
            caller.take(unsafe { caller.batch.bytes() })
        })
    }

    /// How many microseconds each worker has work for, as far as the last tasks can tell.
    #[napi]
    pub fn backlog_us(&self) -> f64 {
        self.caller.queue.backlog_us()
    }

    /// A function that leaves waiting to the event loop again, after `await()` or dozing.
    #[napi(ts_return_type = "() => number")]
    pub fn rest_function<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        function(env, "rest", &self.caller, |caller| {
            caller.queue.rest();
            0
        })
    }

    /// Calls `drain` on the event loop whenever there is something to take.
    #[napi]
    pub fn listen(&mut self, env: Env, drain: Function<'_, (), ()>) -> Result<()> {
        let closing = || Error::new(Status::Closing, "the environment is closing");
        let event_loop = EventLoop::of(env.raw()).ok_or_else(closing)?;
        let callback = Callback::new(env.raw(), drain.raw(), "MANYCOREPOOL").ok_or_else(closing)?;
        let listening = Rc::new(Listening {
            caller: Rc::clone(&self.caller),
            doorbell: RefCell::default(),
            callback,
            handle: RefCell::default(),
        });
        let on_bell = Rc::clone(&listening);
        let bell = self.caller.queue.bell();
        let handle = event_loop
            .poll(bell.as_raw_fd(), move || on_bell.answer())
            .ok_or_else(closing)?;
        listening.handle.replace(Some(handle));
        self.listening = Some(listening);
        // Goes to sleep properly, so that reports ring.
        bell.signal();
        Ok(())
    }

    /// Lets the queue keep the event loop alive, or not.
    #[napi]
    pub fn keep_alive(&self, on: bool) {
        if let Some(listening) = &self.listening {
            listening.keep_alive(on);
        }
    }

    /// No more calls of `drain`.
    #[napi]
    pub fn close(&mut self) {
        if let Some(listening) = self.listening.take() {
            drop(listening.handle.take());
        }
        if let Some(queues) = queues().as_mut() {
            queues.remove(&self.id);
        }
    }
}

impl PoolQueue {
    fn with_times<T: Default>(&self, read: impl Fn(&mut Histogram, &mut Histogram) -> T) -> T {
        let mut result = T::default();
        self.caller
            .queue
            .look_at_times(&mut |wait, run| result = read(wait, run));
        result
    }
}

impl Drop for PoolQueue {
    fn drop(&mut self) {
        self.close();
    }
}

impl Caller {
    fn push(&self, record: &[u8]) -> i32 {
        // SAFETY: a call from JavaScript of this thread.
        let bytes = unsafe { self.words.bytes() };
        let word = |at: usize| word(bytes, at);
        let Some(kind) = TaskKind::from_number(word(0)) else {
            return 0;
        };
        let mut task = Task::new(kind, word(1), record.get(..word(6) as usize).unwrap_or(record));
        task.handler = word(2);
        task.definitions = word(3);
        task.keep = word(7) != 0;
        let payloads = self.leaving.take(word(PAYLOADS));
        if !payloads.is_empty() {
            task.payloads = Some(Arc::new(payloads));
        }
        let target = match word(4) {
            0 => Target::Any,
            1 => Target::Alone,
            _ => Target::Worker(word(5)),
        };
        let mut priority = [0; 8];
        priority.copy_from_slice(&bytes[32..40]);
        i32::from(self.queue.push(task, target, f64::from_le_bytes(priority)))
    }

    fn take(&self, target: &mut [u8]) -> i32 {
        let mut payloads = Vec::new();
        let taken = self.queue.take(target, &mut payloads);
        self.arrived.replace(payloads);
        match taken {
            Ok(bytes) => bytes as i32,
            Err(size) => -(size as i32),
        }
    }
}

impl Listening {
    fn answer(&self) {
        let queue = &self.caller.queue;
        queue.bell().clear();
        queue.on_bell();
        // The drain cannot come back here: the handle's callback is not re-entered.
        let Ok(mut doorbell) = self.doorbell.try_borrow_mut() else {
            return;
        };
        let outcome = doorbell.answer(&**queue, Latency::of_process(), |_| {
            self.callback.call(&[]);
            // SAFETY: a call from the event loop; no JavaScript runs.
            let is_dozing = word(unsafe { self.caller.words.bytes() }, DOZING) == 1;
            match self.handle.borrow().is_some() && !is_dozing {
                true => Drained::Continue,
                false => Drained::Pause,
            }
        });
        if outcome == Outcome::More {
            queue.bell().signal();
        }
        // SAFETY: a call from the event loop; no JavaScript runs.
        let words = unsafe { self.caller.words.bytes() };
        if outcome == Outcome::Asleep && word(words, KEPT) == 1 && word(words, OUTSTANDING) == 0 {
            self.keep_alive(false);
        }
    }

    fn keep_alive(&self, on: bool) {
        if let Some(handle) = self.handle.borrow().as_ref() {
            handle.keep_alive(on);
        }
        // SAFETY: as in `answer`, or a call from JavaScript.
        let words = unsafe { self.caller.words.bytes() };
        words[KEPT * 4..KEPT * 4 + 4].copy_from_slice(&u32::from(on).to_le_bytes());
    }
}

/// A little-endian word of a page.
pub fn word(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at * 4..at * 4 + 4]);
    u32::from_le_bytes(word)
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
    // A panic while it was held leaves the map whole.
    QUEUES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// There is no memory for a page.
pub fn no_memory() -> Error {
    Error::new(Status::GenericFailure, "out of memory")
}
