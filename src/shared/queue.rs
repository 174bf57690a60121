//! Channels and topics for JavaScript. Values are encoded as in `map`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use manycore_core::channel::ring::{Cursor, QueueError, Taken};
use manycore_core::channel::shared::{Queue, CHANNEL, TOPIC};
use napi::bindgen_prelude::{Env, Error, JsValue, Object, Result, Status};
use napi_derive::napi;

use super::bell::BellWatcher;
use super::keys::{js_value, kind, TextBuffer};
use super::owned::{methods, Closable};
use super::raw::{Call, Method, Value};
use super::segment::{open_error, Failure, Number, Scratch, SegmentSource};

/// The number of the bell for records.
const RECORDS: u32 = 0;

/// Statistics of a queue.
#[napi(object)]
pub struct QueueStats {
    /// Number of values queued.
    pub records: f64,
    /// Bytes they occupy.
    pub bytes: f64,
    /// Capacity in bytes.
    pub capacity_bytes: f64,
    /// Number of values ever sent.
    pub sequence: f64,
    /// Whether the queue is closed.
    pub closed: bool,
}

struct Owner {
    queue: Closable<Queue>,
    is_topic: bool,
    text: RefCell<TextBuffer>,
    scratch: Rc<Scratch>,
    /// The position of a subscriber.
    cursor: Cell<Cursor>,
}

/// A channel, or a topic with a subscriber's position.
#[napi]
pub struct SharedQueue {
    owner: Rc<Owner>,
}

#[napi]
impl SharedQueue {
    /// Opens or creates a queue.
    #[napi(factory)]
    pub fn open(source: SegmentSource, is_topic: bool, bytes: f64, most: f64) -> Result<Self> {
        let kind = if is_topic { TOPIC } else { CHANNEL };
        let queue =
            Queue::open(kind, bytes as usize, most as u64, |plan| source.open(plan)).map_err(open_error)?;
        Self::of(queue, is_topic)
    }

    fn of(queue: Queue, is_topic: bool) -> Result<Self> {
        let owner = Owner {
            queue: Closable::new(queue),
            is_topic,
            text: RefCell::default(),
            scratch: Scratch::new()?,
            cursor: Cell::new(Cursor {
                position: 0,
                sequence: 0,
            }),
        };
        Ok(Self {
            owner: Rc::new(owner),
        })
    }

    /// Creates a subscriber of the topic, starting at the oldest value or at the next one.
    #[napi]
    pub fn subscribe(&self, oldest: bool) -> Result<SharedQueue> {
        let queue = self.owner.queue.with(|queue| Ok(queue.clone()))?;
        let cursor = queue.cursor(oldest).map_err(queue_error)?;
        let subscriber = Self::of(queue, true)?;
        subscriber.owner.cursor.set(cursor);
        Ok(subscriber)
    }

    /// Memory shared with the methods.
    #[napi]
    pub fn scratch<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        self.owner.scratch.buffer(env)
    }

    /// An object with the methods `send`, `sendScratch`, `sendBytes`, `receive`, `count` and `wait`.
    #[napi]
    pub fn methods<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        methods!(
            env,
            &self.owner,
            Send,
            SendScratch,
            SendBytes,
            Receive,
            Count,
            Wait
        )
    }

    /// The handle by which others open it.
    #[napi(getter)]
    pub fn handle(&self) -> Result<String> {
        self.owner.queue.with(|queue| Ok(queue.segment().handle()))
    }

    /// The handle to be sent to other threads or processes.
    #[napi(getter)]
    pub fn travel_handle(&self) -> Result<String> {
        self.owner.queue.with(|queue| Ok(queue.segment().travel_handle()))
    }

    /// A watcher of the bell that rings after values were sent (0) or room was made (1).
    #[napi]
    pub fn bell(&self, which: u32) -> Result<BellWatcher> {
        let queue = self.owner.queue.with(|queue| Ok(queue.clone()))?;
        Ok(match which {
            RECORDS => BellWatcher::new(move |action| action(queue.record_bell())),
            _ => BellWatcher::new(move |action| action(queue.room_bell())),
        })
    }

    /// Number of values a subscriber has not read yet.
    #[napi]
    pub fn lag(&self) -> Result<f64> {
        let cursor = self.owner.cursor.get();
        self.owner
            .queue
            .with(|queue| Ok(queue.lag(&cursor).map_err(queue_error)? as f64))
    }

    /// Closes the queue for all senders.
    #[napi]
    pub fn end(&self) -> Result<()> {
        self.owner.queue.with(|queue| queue.close().map_err(queue_error))
    }

    /// The statistics of the queue.
    #[napi]
    pub fn stats(&self) -> Result<QueueStats> {
        self.owner.queue.with(|queue| {
            let stats = queue.stats().map_err(queue_error)?;
            Ok(QueueStats {
                records: stats.records as f64,
                bytes: stats.bytes as f64,
                capacity_bytes: queue.capacity_bytes() as f64,
                sequence: stats.sequence as f64,
                closed: stats.closed,
            })
        })
    }

    /// Closes the segment.
    #[napi]
    pub fn release(&self) {
        self.owner.queue.close();
    }
}

fn queue_error(error: QueueError) -> Error {
    let code = match error {
        QueueError::Stuck => "STUCK",
        _ => "CORRUPT",
    };
    Error::new(Status::GenericFailure, format!("{code} 0 {error}"))
}

impl Owner {
    fn with(&self, call: &Call, action: impl FnOnce(&Queue) -> std::result::Result<Value, Failure>) -> Value {
        self.scratch.answer(call, self.queue.try_with(action))
    }

    /// Returns true if the value was sent, false if there is no room at present.
    fn send(&self, call: &Call, kind: u8, bytes: &[u8]) -> Value {
        self.with(call, |queue| {
            let sent = match self.is_topic {
                true => queue.publish(kind, bytes),
                false => queue.push(kind, bytes),
            };
            match sent {
                Ok(()) => Ok(call.boolean(true)),
                Err(QueueError::Full) => Ok(call.boolean(false)),
                Err(error) => Err(failure(error)),
            }
        })
    }

    fn take(&self, queue: &Queue, words: &mut [u64]) -> std::result::Result<Taken, Failure> {
        if !self.is_topic {
            return queue.pop(words).map_err(failure);
        }
        let mut cursor = self.cursor.get();
        let before = cursor.sequence;
        let taken = queue.read(&mut cursor, words).map_err(failure)?;
        if let Taken::Record { sequence, .. } = taken {
            self.scratch
                .note(Number::Extra, sequence.saturating_sub(before) as f64);
            self.cursor.set(cursor);
        }
        Ok(taken)
    }
}

fn failure(error: QueueError) -> Failure {
    match error {
        QueueError::Full => Failure::Full,
        QueueError::TooLarge => Failure::TooLarge,
        QueueError::Closed => Failure::Ended,
        QueueError::Stuck => Failure::Stuck,
        _ => Failure::Corrupt,
    }
}

/// `send(value)` for a string or a number: whether there was room. Undefined for any other value.
struct Send;

impl Method for Send {
    type Owner = Owner;
    const NAME: &'static str = "send";

    fn call(owner: &Owner, call: &Call) -> Value {
        if let Some(number) = call.number(0) {
            return owner.send(call, kind::NUMBER, &number.to_bits().to_le_bytes());
        }
        let Ok(mut text) = owner.text.try_borrow_mut() else {
            return call.undefined();
        };
        let sent = text.with(call, 0, |kind, bytes| owner.send(call, kind, bytes));
        sent.unwrap_or_else(|| call.undefined())
    }
}

/// `sendScratch(bytes)`: sends a record of `bytes` bytes from the scratch memory.
struct SendScratch;

impl Method for SendScratch {
    type Owner = Owner;
    const NAME: &'static str = "sendScratch";

    fn call(owner: &Owner, call: &Call) -> Value {
        let length = call.number(0).unwrap_or(0.0) as usize;
        owner
            .scratch
            .with_written(length, |bytes| owner.send(call, kind::RECORD, bytes))
    }
}

/// `sendBytes(bytes, kind)`.
struct SendBytes;

impl Method for SendBytes {
    type Owner = Owner;
    const NAME: &'static str = "sendBytes";

    fn call(owner: &Owner, call: &Call) -> Value {
        let kind = call.number(1).map_or(kind::BYTES, |kind| kind as u8 & 15);
        let sent = call.bytes(0, |bytes| owner.send(call, kind, bytes));
        sent.unwrap_or_else(|| call.undefined())
    }
}

/// `receive()`: undefined if there is no value, otherwise as for `get` of a table. For a topic, notes how
/// many values were missed.
struct Receive;

impl Method for Receive {
    type Owner = Owner;
    const NAME: &'static str = "receive";

    fn call(owner: &Owner, call: &Call) -> Value {
        owner.with(call, |queue| {
            let needed = owner
                .scratch
                .with_words(|words| match owner.take(queue, words)? {
                    Taken::Nothing => Ok(Err(call.undefined())),
                    Taken::Record { kind, bytes, .. } => {
                        Ok(Err(js_value(call, &owner.scratch, kind, bytes, words, true)))
                    }
                    Taken::NeedsWords(needed) => Ok(Ok(needed)),
                })?;
            let mut needed = match needed {
                Err(value) => return Ok(value),
                Ok(needed) => needed,
            };
            // Another consumer may have taken that record, and the next one may be longer.
            loop {
                let mut words = vec![0; needed];
                match owner.take(queue, &mut words)? {
                    Taken::Nothing => return Ok(call.undefined()),
                    Taken::Record { kind, bytes, .. } => {
                        return Ok(js_value(call, &owner.scratch, kind, bytes, &words, false));
                    }
                    Taken::NeedsWords(now) => needed = now,
                }
            }
        })
    }
}

/// `count(which)`: the number of rings of a bell.
struct Count;

impl Method for Count {
    type Owner = Owner;
    const NAME: &'static str = "count";

    fn call(owner: &Owner, call: &Call) -> Value {
        owner.with(
            call,
            |queue| Ok(call.double(f64::from(bell(queue, call).count()))),
        )
    }
}

/// `wait(which, count, ms)`: blocks until a bell's count differs from `count`, for at most `ms` milliseconds.
struct Wait;

impl Method for Wait {
    type Owner = Owner;
    const NAME: &'static str = "wait";

    fn call(owner: &Owner, call: &Call) -> Value {
        owner.with(call, |queue| {
            let seen = call.number(1).unwrap_or(0.0) as u32;
            let timeout = Duration::from_millis(call.number(2).unwrap_or(0.0) as u64);
            let woken = bell(queue, call).wait(seen, Some(timeout));
            Ok(call.boolean(woken.is_ok()))
        })
    }
}

fn bell<'q>(queue: &'q Queue, call: &Call) -> manycore_core::shm::bell::Bell<'q> {
    match call.number(0) {
        Some(0.0) => queue.record_bell(),
        _ => queue.room_bell(),
    }
}
