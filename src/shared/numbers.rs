//! Counters, histograms and rate limiters for JavaScript.

use std::cell::RefCell;
use std::rc::Rc;

use manycore_core::counter::Counter;
use manycore_core::histogram::scale::Scale;
use manycore_core::histogram::shared::Histogram;
use manycore_core::limit::limiter::{Limiter, Rules, Verdict};
use manycore_core::limit::slots::SlotError;
use napi::bindgen_prelude::{Env, Error, JsValue, Object, Result, Status};
use napi_derive::napi;

use super::keys::{KeyBuffer, ReadKey};
use super::owned::{methods, Closable};
use super::raw::{Call, Method, Value};
use super::segment::{open_error, Failure, Number, Scratch, SegmentSource};

/// A shared integer counter.
#[napi]
pub struct NativeCounter {
    counter: Rc<Closable<Counter>>,
}

#[napi]
impl NativeCounter {
    /// Opens or creates a counter.
    #[napi(factory)]
    pub fn open(source: SegmentSource, initial: f64) -> Result<Self> {
        let counter = Counter::open(initial as i64, |plan| source.open(plan)).map_err(open_error)?;
        Ok(Self {
            counter: Rc::new(Closable::new(counter)),
        })
    }

    /// An object with the methods `get`, `add`, `exchange` and `compareExchange`; they return null once the
    /// counter is closed.
    #[napi]
    pub fn methods<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        methods!(
            env,
            &self.counter,
            CounterGet,
            CounterAdd,
            CounterExchange,
            CounterCompare
        )
    }

    /// The handle by which others open it.
    #[napi(getter)]
    pub fn handle(&self) -> Result<String> {
        self.counter.with(|counter| Ok(counter.segment().handle()))
    }

    /// The handle to be sent to other threads or processes.
    #[napi(getter)]
    pub fn travel_handle(&self) -> Result<String> {
        self.counter.with(|counter| Ok(counter.segment().travel_handle()))
    }

    /// Closes the segment.
    #[napi]
    pub fn close(&self) {
        self.counter.close();
    }
}

fn counted(counter: &Closable<Counter>, call: &Call, action: impl FnOnce(&Counter) -> i64) -> Value {
    let number = counter.try_with(|counter| Ok(action(counter)));
    number.map_or_else(|_| call.null(), |number| call.double(number as f64))
}

struct CounterGet;

impl Method for CounterGet {
    type Owner = Closable<Counter>;
    const NAME: &'static str = "get";

    fn call(counter: &Closable<Counter>, call: &Call) -> Value {
        counted(counter, call, Counter::get)
    }
}

struct CounterAdd;

impl Method for CounterAdd {
    type Owner = Closable<Counter>;
    const NAME: &'static str = "add";

    #[inline]
    fn call(counter: &Closable<Counter>, call: &Call) -> Value {
        let by = call.number(0).unwrap_or(0.0) as i64;
        counted(counter, call, |counter| counter.add(by))
    }
}

struct CounterExchange;

impl Method for CounterExchange {
    type Owner = Closable<Counter>;
    const NAME: &'static str = "exchange";

    fn call(counter: &Closable<Counter>, call: &Call) -> Value {
        let value = call.number(0).unwrap_or(0.0) as i64;
        counted(counter, call, |counter| counter.swap(value))
    }
}

struct CounterCompare;

impl Method for CounterCompare {
    type Owner = Closable<Counter>;
    const NAME: &'static str = "compareExchange";

    fn call(counter: &Closable<Counter>, call: &Call) -> Value {
        let expected = call.number(0).unwrap_or(0.0) as i64;
        let value = call.number(1).unwrap_or(0.0) as i64;
        counted(counter, call, |counter| counter.compare_exchange(expected, value))
    }
}

/// Summary statistics of a histogram.
#[napi(object)]
pub struct HistogramSummary {
    /// Number of values.
    pub count: f64,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub standard_deviation: f64,
}

/// A high dynamic range histogram.
#[napi]
pub struct NativeHistogram {
    histogram: Rc<Closable<Histogram>>,
}

#[napi]
impl NativeHistogram {
    /// Opens or creates a histogram. Throws `SCALE` for invalid parameters.
    #[napi(factory)]
    pub fn open(source: SegmentSource, lowest: f64, highest: f64, digits: u32) -> Result<Self> {
        let scale = Scale::new(lowest as u64, highest as u64, digits);
        let scale = scale.ok_or_else(|| Error::new(Status::InvalidArg, "SCALE 0 no such scale"))?;
        let histogram = Histogram::open(scale, |plan| source.open(plan)).map_err(open_error)?;
        Ok(Self {
            histogram: Rc::new(Closable::new(histogram)),
        })
    }

    /// An object with the method `record(value, times?, interval?)`, which returns false when the value is
    /// too large and null once the histogram is closed.
    #[napi]
    pub fn methods<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        methods!(env, &self.histogram, Record)
    }

    /// Summary statistics of all values.
    #[napi]
    pub fn summary(&self) -> Result<HistogramSummary> {
        let summary = self.histogram.with(|histogram| Ok(histogram.summary()))?;
        Ok(HistogramSummary {
            count: summary.count as f64,
            min: summary.min as f64,
            max: summary.max as f64,
            mean: summary.mean,
            standard_deviation: summary.standard_deviation,
        })
    }

    /// The value that `percent` percent of all values do not exceed.
    #[napi]
    pub fn percentile(&self, percent: f64) -> Result<f64> {
        self.histogram
            .with(|histogram| Ok(histogram.percentile(percent) as f64))
    }

    /// Lowest value, highest value and count of each non-empty bucket.
    #[napi]
    pub fn buckets(&self) -> Result<Vec<Vec<f64>>> {
        let buckets = self
            .histogram
            .with(|histogram| Ok(histogram.buckets()))?
            .into_iter();
        Ok(buckets
            .map(|(lowest, highest, count)| vec![lowest as f64, highest as f64, count as f64])
            .collect())
    }

    /// Adds the counts of another histogram. Returns false when their scales differ.
    #[napi]
    pub fn merge(&self, other: &NativeHistogram) -> Result<bool> {
        self.histogram
            .with(|histogram| other.histogram.with(|other| Ok(histogram.add(other))))
    }

    /// Removes all values.
    #[napi]
    pub fn reset(&self) -> Result<()> {
        self.histogram.with(|histogram| {
            histogram.reset();
            Ok(())
        })
    }

    /// The handle by which others open it.
    #[napi(getter)]
    pub fn handle(&self) -> Result<String> {
        self.histogram.with(|histogram| Ok(histogram.segment().handle()))
    }

    /// The handle to be sent to other threads or processes.
    #[napi(getter)]
    pub fn travel_handle(&self) -> Result<String> {
        self.histogram
            .with(|histogram| Ok(histogram.segment().travel_handle()))
    }

    /// Closes the segment.
    #[napi]
    pub fn close(&self) {
        self.histogram.close();
    }
}

struct Record;

impl Method for Record {
    type Owner = Closable<Histogram>;
    const NAME: &'static str = "record";

    #[inline]
    fn call(histogram: &Closable<Histogram>, call: &Call) -> Value {
        let value = call.number(0).unwrap_or(f64::INFINITY);
        let recorded = histogram.try_with(|histogram| {
            if !(0.0..=histogram.highest() as f64).contains(&value) {
                return Ok(false);
            }
            Ok(match call.number(2) {
                Some(interval) => histogram.record_corrected(value as u64, interval as u64),
                None => histogram.record(value as u64, call.number(1).map_or(1, |times| times as u64)),
            })
        });
        recorded.map_or_else(|_| call.null(), |recorded| call.boolean(recorded))
    }
}

/// The rules of a limiter.
#[napi(object)]
pub struct LimiterRules {
    /// Sliding windows if true, token buckets otherwise.
    pub slides: bool,
    /// Amount per window.
    pub limit: f64,
    /// Length of a window in milliseconds.
    pub window_ms: f64,
    /// Capacity of a bucket.
    pub burst: f64,
}

struct LimiterOwner {
    limiter: Closable<Limiter>,
    key: RefCell<KeyBuffer>,
    scratch: Rc<Scratch>,
}

/// A rate limiter.
#[napi]
pub struct NativeLimiter {
    owner: Rc<LimiterOwner>,
}

#[napi]
impl NativeLimiter {
    /// Opens or creates a limiter with room for about `keys` concurrent keys.
    #[napi(factory)]
    pub fn open(source: SegmentSource, rules: LimiterRules, keys: f64) -> Result<Self> {
        let rules = Rules {
            slides: rules.slides,
            limit: rules.limit as u64,
            window_ns: (rules.window_ms * 1e6) as u64,
            burst: rules.burst as u64,
        };
        let limiter = Limiter::open(rules, keys as usize, |plan| source.open(plan)).map_err(open_error)?;
        let owner = LimiterOwner {
            limiter: Closable::new(limiter),
            key: RefCell::new(KeyBuffer::new()),
            scratch: Scratch::new()?,
        };
        Ok(Self {
            owner: Rc::new(owner),
        })
    }

    /// Memory shared with the methods.
    #[napi]
    pub fn scratch<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        self.owner.scratch.buffer(env)
    }

    /// An object with the methods `consume(key, cost)`, `peek(key, cost)` and `reset(key)`. The first two
    /// return whether the amount is allowed, and note what remains and after how many milliseconds to retry.
    #[napi]
    pub fn methods<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        methods!(env, &self.owner, Consume, Peek, Reset)
    }

    /// The rules of the limiter.
    #[napi(getter)]
    pub fn rules(&self) -> Result<LimiterRules> {
        self.owner.limiter.with(|limiter| {
            let rules = limiter.rules();
            Ok(LimiterRules {
                slides: rules.slides,
                limit: rules.limit as f64,
                window_ms: rules.window_ns as f64 / 1e6,
                burst: rules.burst as f64,
            })
        })
    }

    /// The handle by which others open it.
    #[napi(getter)]
    pub fn handle(&self) -> Result<String> {
        self.owner.limiter.with(|limiter| Ok(limiter.segment().handle()))
    }

    /// The handle to be sent to other threads or processes.
    #[napi(getter)]
    pub fn travel_handle(&self) -> Result<String> {
        self.owner
            .limiter
            .with(|limiter| Ok(limiter.segment().travel_handle()))
    }

    /// Closes the segment.
    #[napi]
    pub fn close(&self) {
        self.owner.limiter.close();
    }
}

impl LimiterOwner {
    #[inline]
    fn with_key(
        &self,
        call: &Call,
        action: impl FnOnce(&Limiter, ReadKey<'_>) -> std::result::Result<Value, SlotError>,
    ) -> Value {
        let outcome = self.limiter.try_with(|limiter| {
            let mut buffer = self.key.try_borrow_mut().map_err(|_| Failure::Closed)?;
            let key = buffer.read(call, 0)?;
            action(limiter, key).map_err(|error| match error {
                SlotError::Full => Failure::Full,
                SlotError::Stuck => Failure::Stuck,
                _ => Failure::Corrupt,
            })
        });
        self.scratch.answer(call, outcome)
    }

    #[inline]
    fn tell(&self, call: &Call, verdict: Verdict) -> Value {
        self.scratch.note(Number::Length, verdict.remaining as f64);
        self.scratch
            .note(Number::Extra, verdict.retry_after_ns as f64 / 1e6);
        call.boolean(verdict.allowed)
    }
}

struct Consume;

impl Method for Consume {
    type Owner = LimiterOwner;
    const NAME: &'static str = "consume";

    #[inline]
    fn call(owner: &LimiterOwner, call: &Call) -> Value {
        owner.with_key(call, |limiter, key| {
            let cost = call.number(1).map_or(1, |cost| cost as u64);
            Ok(owner.tell(call, limiter.take(key.kind, key.bytes, key.words, cost)?))
        })
    }
}

struct Peek;

impl Method for Peek {
    type Owner = LimiterOwner;
    const NAME: &'static str = "peek";

    fn call(owner: &LimiterOwner, call: &Call) -> Value {
        owner.with_key(call, |limiter, key| {
            let cost = call.number(1).map_or(1, |cost| cost as u64);
            Ok(owner.tell(call, limiter.peek(key.kind, key.bytes, key.words, cost)?))
        })
    }
}

struct Reset;

impl Method for Reset {
    type Owner = LimiterOwner;
    const NAME: &'static str = "reset";

    fn call(owner: &LimiterOwner, call: &Call) -> Value {
        owner.with_key(call, |limiter, key| {
            limiter.reset(key.kind, key.bytes, key.words)?;
            Ok(call.undefined())
        })
    }
}
