//! What `PoolQueue` works on: the calls that are made once a task, and the drain.

use std::cell::RefCell;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use manycore_core::queue::{Payload, Scheduler, Target, Task, TaskKind, Towards};
use manycore_core::ring::doorbell::{Doorbell, Drained, Outcome};
use manycore_core::ring::spin::Latency;
use napi::bindgen_prelude::{Env, Error, Function, JsValue, Result, Status};

use crate::callback::Callback;
use crate::fast::Page;
use crate::lent_buffers::LentBuffers;
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

/// An open queue, and the memory through which JavaScript uses it.
pub struct Caller {
    pub queue: Rc<dyn Scheduler>,
    pub words: Rc<Page>,
    pub record: Rc<Page>,
    pub batch: Rc<Page>,
    /// Of the tasks that are being encoded, and of the reports taken last.
    leaving: Leaving,
    arrived: Arrived,
    /// For those of reports to come.
    lent: LentBuffers,
}

impl Caller {
    /// `None` without memory.
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

    /// Queues the task described by the words, with the record of the page.
    pub fn push(&self) -> i32 {
        // SAFETY: a call from JavaScript of this thread.
        self.push_with(unsafe { self.record.bytes() })
    }

    /// As `push`, with another record. 0 when its worker is gone.
    pub fn push_with(&self, record: &[u8]) -> i32 {
        // SAFETY: a call from JavaScript of this thread; another page than that of the record.
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

    /// Copies reports into the page for batches.
    pub fn take(&self) -> i32 {
        // SAFETY: a call from JavaScript of this thread.
        self.take_into(unsafe { self.batch.bytes() })
    }

    /// Copies reports. Returns the bytes copied, 0 for none, or the negative size of a report that needs more room.
    pub fn take_into(&self, target: &mut [u8]) -> i32 {
        let mut payloads = Vec::new();
        let taken = self.queue.take(target, &mut payloads);
        self.arrived.replace(payloads);
        match taken {
            Ok(bytes) => bytes as i32,
            Err(size) => -(size as i32),
        }
    }

    /// Blocks for as long as a word says, or until there is something, and takes that.
    pub fn wait(&self) -> i32 {
        // SAFETY: a call from JavaScript of this thread.
        let limit_ms = word(unsafe { self.words.bytes() }, LIMIT_MS);
        match self.queue.wait(Duration::from_millis(limit_ms.into())) {
            true => self.take(),
            false => 0,
        }
    }

    /// Leaves waiting to the event loop.
    pub fn rest(&self) -> i32 {
        self.queue.rest();
        0
    }

    /// Copies a payload of the task that is being encoded. False when there is too much waiting.
    pub fn put_payload(&self, payload: &[u8]) -> bool {
        self.leaving.put(self.queue.stock(), Towards::Workers, payload)
    }

    /// Lets go of the last payloads.
    pub fn discard_payloads(&self, count: u32) {
        drop::<Vec<Payload>>(self.leaving.take(count));
    }

    /// Those that came with the reports taken last.
    pub fn arrived(&self) -> &Arrived {
        &self.arrived
    }

    /// Buffers for those to come.
    pub fn lent(&self) -> &LentBuffers {
        &self.lent
    }
}

/// The event loop waiting for reports.
pub struct Listening {
    caller: Rc<Caller>,
    doorbell: RefCell<Doorbell>,
    callback: Callback,
    /// `None` once closed.
    handle: RefCell<Option<Handle>>,
}

impl Listening {
    /// Calls `drain` whenever there is something to take.
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
        // Goes to sleep properly, so that reports ring.
        bell.signal();
        Ok(listening)
    }

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

    /// Lets it keep the event loop alive, or not.
    pub fn keep_alive(&self, on: bool) {
        if let Some(handle) = self.handle.borrow().as_ref() {
            handle.keep_alive(on);
        }
        // SAFETY: as in `answer`, or a call from JavaScript.
        let words = unsafe { self.caller.words.bytes() };
        words[KEPT * 4..KEPT * 4 + 4].copy_from_slice(&u32::from(on).to_le_bytes());
    }

    /// No more calls of the drain.
    pub fn close(&self) {
        drop(self.handle.take());
    }
}

/// A little-endian word of a page.
pub fn word(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at * 4..at * 4 + 4]);
    u32::from_le_bytes(word)
}
