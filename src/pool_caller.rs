//! The implementation of `PoolQueue`'s per-task calls and of its drain.

use std::cell::RefCell;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use manycore_core::queue::{Called, Payload, Scheduler, Target, Task, TaskKind, Towards};
use manycore_core::ring::doorbell::{Doorbell, Drained, Outcome};
use manycore_core::ring::spin::Latency;
use napi::bindgen_prelude::{Env, Error, Function, JsValue, Result, Status};

use crate::callback::Callback;
use crate::fast::Page;
use crate::lent_buffers::LentBuffers;
use crate::pool_payloads::{Arrived, Leaving};
use crate::uv::{EventLoop, Handle};

/// Size in bytes of the words of a call, which `lib/pool/page.js` names.
pub const WORDS_BYTES: usize = 64;
/// Size in bytes of the buffer for the record of a task; larger records are passed separately.
pub const RECORD_BYTES: usize = 64 * 1024;
/// Number of payloads of the record.
const PAYLOADS: usize = 10;
/// Time limit of `await`.
const LIMIT_MS: usize = 11;
/// Whether the event loop currently polls for reports and must not be notified.
const DOZING: usize = 12;
/// Whether the queue keeps the event loop alive.
const KEPT: usize = 14;
/// Number of tasks that the caller waits for, written by the caller.
const OUTSTANDING: usize = 15;
/// Size in bytes of the buffer for a batch of reports.
const BATCH_BYTES: usize = 256 * 1024;

/// An open queue, and the memory through which JavaScript uses it.
pub struct Caller {
    pub queue: Rc<dyn Scheduler>,
    pub words: Rc<Page>,
    pub record: Rc<Page>,
    pub batch: Rc<Page>,
    /// Payloads of the tasks being encoded, and of the reports taken last.
    leaving: Leaving,
    arrived: Arrived,
    /// Buffers for payloads of future reports.
    lent: LentBuffers,
}

impl Caller {
    /// `None` when an allocation fails.
    pub fn new(queue: Rc<dyn Scheduler>) -> Option<Self> {
        let lent = LentBuffers::new(queue.stock().map(|stock| stock.lender(Towards::Caller)));
        Some(Self {
            lent,
            queue,
            words: Page::new(WORDS_BYTES)?,
            record: Page::new(RECORD_BYTES)?,
            batch: Page::new(BATCH_BYTES)?,
            leaving: Leaving::default(),
            arrived: Arrived::default(),
        })
    }

    /// Queues the task described by the words, with the record in the page.
    pub fn push(&self) -> i32 {
        // SAFETY: called by JavaScript of this thread.
        self.push_with(unsafe { self.record.bytes() })
    }

    /// Like `push`, with a given record. Returns 0 when the target worker is gone.
    pub fn push_with(&self, record: &[u8]) -> i32 {
        // SAFETY: called by JavaScript of this thread; a different page than that of the record.
        let bytes = unsafe { self.words.bytes() };
        let word = |at: usize| word(bytes, at);
        let Some(mut task) = task_of(bytes, record) else {
            return 0;
        };
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

    /// Calls a worker that spins with the task described by the words, which asks for nothing special, and copies
    /// the report. Returns its length, or 0 when the task is in hand or has been queued.
    pub fn call(&self) -> i32 {
        // SAFETY: called by JavaScript of this thread.
        let words = unsafe { self.words.bytes() };
        // SAFETY: as above; a different page.
        let record = unsafe { self.record.bytes() };
        let Some(task) = task_of(words, record) else {
            return 0;
        };
        // SAFETY: as above; a different page.
        match self.queue.call(&task, unsafe { self.batch.bytes() }) {
            Called::Answered(bytes) => bytes as i32,
            Called::Begun => 0,
            Called::Refused => {
                // Succeeds: the only task's number is in range, and any worker may take it.
                self.queue.push(task, Target::Any, 0.0);
                0
            }
        }
    }

    /// Copies reports into the batch page.
    pub fn take(&self) -> i32 {
        // SAFETY: called by JavaScript of this thread.
        self.take_into(unsafe { self.batch.bytes() })
    }

    /// Copies reports. Returns the number of bytes copied, 0 for none, or the negated size of a report that
    /// needs more room.
    pub fn take_into(&self, target: &mut [u8]) -> i32 {
        let mut payloads = Vec::new();
        let taken = self.queue.take(target, &mut payloads);
        self.arrived.replace(payloads);
        match taken {
            Ok(bytes) => bytes as i32,
            Err(size) => -(size as i32),
        }
    }

    /// Blocks until there are reports, for at most the time in a word, and takes them.
    pub fn wait(&self) -> i32 {
        // SAFETY: called by JavaScript of this thread.
        let limit_ms = word(unsafe { self.words.bytes() }, LIMIT_MS);
        match self.queue.wait(Duration::from_millis(limit_ms.into())) {
            true => self.take(),
            false => 0,
        }
    }

    /// Resumes waiting in the event loop.
    pub fn rest(&self) -> i32 {
        self.queue.rest();
        0
    }

    /// Copies a payload of the task being encoded. Returns false when too many bytes are queued.
    pub fn put_payload(&self, payload: &[u8]) -> bool {
        self.leaving.put(self.queue.stock(), Towards::Workers, payload)
    }

    /// Drops the last `count` payloads.
    pub fn discard_payloads(&self, count: u32) {
        drop::<Vec<Payload>>(self.leaving.take(count));
    }

    /// The payloads of the reports taken last.
    pub fn arrived(&self) -> &Arrived {
        &self.arrived
    }

    /// The buffers lent for payloads of reports.
    pub fn lent(&self) -> &LentBuffers {
        &self.lent
    }
}

/// The event loop, waiting for reports.
pub struct Listening {
    caller: Rc<Caller>,
    doorbell: RefCell<Doorbell>,
    callback: Callback,
    /// `None` once closed.
    handle: RefCell<Option<Handle>>,
}

impl Listening {
    /// Calls `drain` whenever there are reports.
    pub fn begin(env: Env, caller: Rc<Caller>, drain: Function<'_, (), ()>) -> Result<Rc<Self>> {
        let closing = || Error::new(Status::Closing, "the environment is closing");
        let event_loop = EventLoop::of(env.raw()).ok_or_else(closing)?;
        let callback = Callback::new(env.raw(), drain.raw(), "MANYCOREPOOL").ok_or_else(closing)?;
        let listening = Rc::new(Self {
            caller,
            doorbell: RefCell::default(),
            callback,
            handle: RefCell::default(),
        });
        let on_bell = Rc::clone(&listening);
        let bell = listening.caller.queue.bell();
        let handle = event_loop
            .poll(bell.as_raw_fd(), move || on_bell.answer())
            .ok_or_else(closing)?;
        listening.handle.replace(Some(handle));
        // Runs `answer` once, which announces that the caller sleeps, so that reports ring.
        bell.signal();
        Ok(listening)
    }

    fn answer(&self) {
        let queue = &self.caller.queue;
        queue.bell().clear();
        queue.on_bell();
        // The drain cannot re-enter this: libuv does not call a handle's callback recursively.
        let Ok(mut doorbell) = self.doorbell.try_borrow_mut() else {
            return;
        };
        let outcome = doorbell.answer(&**queue, Latency::of_process(), |_| {
            self.callback.call(&[]);
            // SAFETY: called by the event loop; no JavaScript runs.
            let is_dozing = word(unsafe { self.caller.words.bytes() }, DOZING) == 1;
            match self.handle.borrow().is_some() && !is_dozing {
                true => Drained::Continue,
                false => Drained::Pause,
            }
        });
        if outcome == Outcome::More {
            queue.bell().signal();
        }
        // SAFETY: called by the event loop; no JavaScript runs.
        let words = unsafe { self.caller.words.bytes() };
        if outcome == Outcome::Asleep && word(words, KEPT) == 1 && word(words, OUTSTANDING) == 0 {
            self.keep_alive(false);
        }
    }

    /// Sets whether the queue keeps the event loop alive.
    pub fn keep_alive(&self, on: bool) {
        if let Some(handle) = self.handle.borrow().as_ref() {
            handle.keep_alive(on);
        }
        // SAFETY: as in `answer`, or called by JavaScript.
        let words = unsafe { self.caller.words.bytes() };
        words[KEPT * 4..KEPT * 4 + 4].copy_from_slice(&u32::from(on).to_le_bytes());
    }

    /// Stops calling `drain`.
    pub fn close(&self) {
        drop(self.handle.take());
    }
}

/// The task that the words describe.
fn task_of(words: &[u8], record: &[u8]) -> Option<Task> {
    let word = |at: usize| word(words, at);
    let kind = TaskKind::from_number(word(0))?;
    let mut task = Task::new(kind, word(1), record.get(..word(6) as usize).unwrap_or(record));
    task.handler = word(2);
    task.definitions = word(3);
    Some(task)
}

/// A little-endian word of a page.
pub fn word(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at * 4..at * 4 + 4]);
    u32::from_le_bytes(word)
}
