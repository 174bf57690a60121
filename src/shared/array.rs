//! Shared arrays for JavaScript. Values are encoded as in `map`; numbers are JavaScript numbers or, for
//! 64-bit types, bigints.

use std::cell::RefCell;
use std::rc::Rc;

use manycore_core::array::numbers::{NumberType, Numbers, Operation};
use manycore_core::array::shared::{Array, ElementType, Elements};
use manycore_core::array::values::{Found, NewValue, Values};
use manycore_core::array::ArrayError;
use manycore_core::shm::owner_lock::System;
use napi::bindgen_prelude::{Env, Error, JsValue, Object, Result, Status};
use napi_derive::napi;

use super::keys::{js_value, kind, TextBuffer};
use super::owned::{methods, Closable};
use super::raw::{Call, Method, Value};
use super::segment::{open_error, Failure, Number, Scratch, SegmentSource};

/// Element types by their number in `lib/shared/array.js`.
const TYPES: [NumberType; 5] = [
    NumberType::Int32,
    NumberType::Uint32,
    NumberType::Float64,
    NumberType::Int64,
    NumberType::Uint64,
];
/// Operations by their number in `lib/shared/array.js`.
const OPERATIONS: [Operation; 6] = [
    Operation::Add,
    Operation::Subtract,
    Operation::And,
    Operation::Or,
    Operation::Xor,
    Operation::Exchange,
];

type Outcome = std::result::Result<Value, Failure>;

struct Owner {
    array: Closable<Array>,
    text: RefCell<TextBuffer>,
    scratch: Rc<Scratch>,
}

/// The parameters of an array.
#[napi(object)]
pub struct ArrayOptions {
    /// 0: values; otherwise, the type of numbers.
    pub of: u32,
    /// Maximum size of a value in bytes.
    pub value_bytes: u32,
    /// Maximum number of elements.
    pub capacity: f64,
    /// Initial number of elements.
    pub length: f64,
}

/// An array in a segment.
#[napi]
pub struct NativeArray {
    owner: Rc<Owner>,
}

#[napi]
impl NativeArray {
    /// Opens or creates an array.
    #[napi(factory)]
    pub fn open(source: SegmentSource, options: ArrayOptions) -> Result<Self> {
        let number = (options.of as usize)
            .checked_sub(1)
            .and_then(|index| TYPES.get(index));
        let of = match number {
            Some(number) => ElementType::Number(*number),
            None => ElementType::Value(options.value_bytes as usize),
        };
        let (capacity, length) = (options.capacity as usize, options.length as usize);
        let array = Array::open(of, capacity, length, |plan| source.open(plan)).map_err(open_error)?;
        let owner = Owner {
            array: Closable::new(array),
            text: RefCell::default(),
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

    /// An object with the methods `get`, `set`, `setScratch`, `setBytes`, `pop`, `change`, `compare` and
    /// `length`.
    #[napi]
    pub fn methods<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        methods!(
            env,
            &self.owner,
            Get,
            Set,
            SetScratch,
            SetBytes,
            Pop,
            Change,
            Compare,
            Length
        )
    }

    /// The parameters of the array, with its current length.
    #[napi(getter)]
    pub fn options(&self) -> Result<ArrayOptions> {
        self.owner.array.with(|array| {
            let (of, value_bytes) = match array.element_type() {
                ElementType::Value(bytes) => (0, bytes as u32),
                ElementType::Number(number) => {
                    let index = TYPES.iter().position(|each| *each == number).unwrap_or(0);
                    (index as u32 + 1, 8)
                }
            };
            Ok(ArrayOptions {
                of,
                value_bytes,
                capacity: array.capacity() as f64,
                length: array.length().map_err(array_error)? as f64,
            })
        })
    }

    /// Removes all elements.
    #[napi]
    pub fn clear(&self) -> Result<()> {
        self.owner.array.with(|array| {
            let cleared = array.elements().and_then(|elements| match elements {
                Elements::Values(values) => values.clear(&System),
                Elements::Numbers(numbers, _) => numbers.clear(&System),
            });
            cleared.map_err(array_error)
        })
    }

    /// The handle by which others open it.
    #[napi(getter)]
    pub fn handle(&self) -> Result<String> {
        self.owner.array.with(|array| Ok(array.segment().handle()))
    }

    /// Identifies its memory.
    #[napi(getter)]
    pub fn identity(&self) -> Result<String> {
        self.owner
            .array
            .with(|array| Ok(format!("{:032x}", array.segment().identity())))
    }

    /// The handle to be sent to other threads or processes.
    #[napi(getter)]
    pub fn travel_handle(&self) -> Result<String> {
        self.owner.array.with(|array| Ok(array.segment().travel_handle()))
    }

    /// Closes the segment.
    #[napi]
    pub fn close(&self) {
        self.owner.array.close();
    }
}

fn array_error(error: ArrayError) -> Error {
    let code = match error {
        ArrayError::Stuck => "STUCK",
        _ => "CORRUPT",
    };
    Error::new(Status::GenericFailure, format!("{code} 0 {error}"))
}

fn failure(error: ArrayError) -> Failure {
    match error {
        ArrayError::Full => Failure::Full,
        ArrayError::TooLarge => Failure::TooLarge,
        ArrayError::NoElement => Failure::NoElement,
        ArrayError::Stuck => Failure::Stuck,
        _ => Failure::Corrupt,
    }
}

/// The index argument, if it is valid.
#[inline]
fn index(call: &Call) -> Option<usize> {
    let number = call.number(0)?;
    let index = number as usize;
    (index as f64 == number).then_some(index)
}

/// The word for a number argument.
#[inline]
fn word(of: NumberType, call: &Call, argument: usize) -> std::result::Result<u64, Failure> {
    let number = || call.number(argument).ok_or(Failure::NotANumber);
    Ok(match of {
        NumberType::Int32 => i64::from(number()? as i32) as u64,
        NumberType::Uint32 => u64::from(number()? as u32),
        NumberType::Float64 => number()?.to_bits(),
        NumberType::Int64 | NumberType::Uint64 => call.bigint(argument).ok_or(Failure::NotANumber)?,
    })
}

#[inline]
fn js_number(of: NumberType, call: &Call, word: u64) -> Value {
    match of {
        NumberType::Int32 => call.double(f64::from(word as i32)),
        NumberType::Uint32 => call.double(f64::from(word as u32)),
        NumberType::Float64 => call.double(f64::from_bits(word)),
        NumberType::Int64 => call.signed_bigint(word as i64),
        NumberType::Uint64 => call.unsigned_bigint(word),
    }
}

impl Owner {
    #[inline]
    fn with(&self, call: &Call, action: impl FnOnce(Elements<'_>) -> Outcome) -> Value {
        let outcome = self
            .array
            .try_with(|array| action(array.elements().map_err(failure)?));
        self.scratch.answer(call, outcome)
    }

    /// Like [`Owner::with`], for an array of numbers.
    #[inline]
    fn with_numbers(&self, call: &Call, action: impl FnOnce(Numbers<'_>, NumberType) -> Outcome) -> Value {
        self.with(call, |elements| match elements {
            Elements::Numbers(numbers, of) => action(numbers, of),
            Elements::Values(_) => Err(Failure::NotANumber),
        })
    }

    #[inline]
    fn found(&self, call: &Call, found: Option<Found>, words: &[u64]) -> Value {
        let Some(found) = found else {
            return call.undefined();
        };
        self.scratch.note(Number::Version, found.version as f64);
        // Records are never empty, so nothing was ever stored here.
        if found.bytes == 0 && found.kind == kind::RECORD {
            return call.undefined();
        }
        js_value(call, &self.scratch, found.kind, found.bytes, words, true)
    }

    /// Stores a value. The first argument is the index, or -1 to append. Returns true when it was stored,
    /// false when the version differs.
    fn set(&self, call: &Call, values: Values<'_>, value: &NewValue<'_>, version: Option<f64>) -> Outcome {
        let Some(index) = index(call) else {
            let length = values.push(&System, value).map_err(failure)?;
            self.scratch.note(Number::Length, length as f64);
            return Ok(call.boolean(true));
        };
        let expected = version.map(|version| version as u64);
        let version = values.set(&System, index, value, expected).map_err(failure)?;
        self.scratch.note(Number::Version, version as f64);
        Ok(call.boolean(version != 0))
    }

    fn set_record(&self, call: &Call, kind: u8, bytes: &[u8], version: Option<f64>) -> Value {
        self.with(call, |elements| match elements {
            Elements::Values(values) => self.set(call, values, &NewValue { kind, bytes }, version),
            Elements::Numbers(..) => Err(Failure::NotANumber),
        })
    }

    fn set_number(&self, call: &Call, numbers: Numbers<'_>, of: NumberType) -> Outcome {
        let word = word(of, call, 1)?;
        match index(call) {
            Some(index) => {
                let changed = numbers.change(index, Operation::Exchange, word);
                changed.map_err(failure)?;
            }
            None => {
                let length = numbers.push(&System, word).map_err(failure)?;
                self.scratch.note(Number::Length, length as f64);
            }
        }
        Ok(call.boolean(true))
    }
}

/// `get(index)`: undefined if there is no value, otherwise as for a table; notes the version of a value.
struct Get;

impl Method for Get {
    type Owner = Owner;
    const NAME: &'static str = "get";

    #[inline]
    fn call(owner: &Owner, call: &Call) -> Value {
        owner.with(call, |elements| {
            let Some(index) = index(call) else {
                return Ok(call.undefined());
            };
            match elements {
                Elements::Numbers(numbers, of) => {
                    let word = numbers.get(index).map_err(failure)?;
                    Ok(word.map_or_else(|| call.undefined(), |word| js_number(of, call, word)))
                }
                Elements::Values(values) => owner.scratch.with_words(|words| {
                    let found = values.get(&System, index, words).map_err(failure)?;
                    Ok(owner.found(call, found, words))
                }),
            }
        })
    }
}

/// `pop()`: like `get` of the last element, which is removed.
struct Pop;

impl Method for Pop {
    type Owner = Owner;
    const NAME: &'static str = "pop";

    fn call(owner: &Owner, call: &Call) -> Value {
        owner.with(call, |elements| match elements {
            Elements::Numbers(numbers, of) => {
                let word = numbers.pop(&System).map_err(failure)?;
                Ok(word.map_or_else(|| call.undefined(), |word| js_number(of, call, word)))
            }
            Elements::Values(values) => owner.scratch.with_words(|words| {
                let found = values.pop(&System, words).map_err(failure)?;
                Ok(owner.found(call, found, words))
            }),
        })
    }
}

/// `set(index, value, version?)` for a number, or for a string or number in an array of values; see
/// [`Owner::set`].
struct Set;

impl Method for Set {
    type Owner = Owner;
    const NAME: &'static str = "set";

    #[inline]
    fn call(owner: &Owner, call: &Call) -> Value {
        owner.with(call, |elements| {
            let values = match elements {
                Elements::Numbers(numbers, of) => return owner.set_number(call, numbers, of),
                Elements::Values(values) => values,
            };
            let version = call.number(2);
            if let Some(number) = call.number(1) {
                let bytes = number.to_bits().to_le_bytes();
                let value = NewValue {
                    kind: kind::NUMBER,
                    bytes: &bytes,
                };
                return owner.set(call, values, &value, version);
            }
            let mut text = owner.text.try_borrow_mut().map_err(|_| Failure::Closed)?;
            let set = text.with(call, 1, |kind, bytes| {
                owner.set(call, values, &NewValue { kind, bytes }, version)
            });
            set.unwrap_or(Err(Failure::NotANumber))
        })
    }
}

/// `setScratch(index, bytes, version?)`: stores a record of `bytes` bytes from the scratch memory.
struct SetScratch;

impl Method for SetScratch {
    type Owner = Owner;
    const NAME: &'static str = "setScratch";

    fn call(owner: &Owner, call: &Call) -> Value {
        let length = call.number(1).unwrap_or(0.0) as usize;
        owner.scratch.with_written(length, |bytes| {
            owner.set_record(call, kind::RECORD, bytes, call.number(2))
        })
    }
}

/// `setBytes(index, bytes, kind, version?)`.
struct SetBytes;

impl Method for SetBytes {
    type Owner = Owner;
    const NAME: &'static str = "setBytes";

    fn call(owner: &Owner, call: &Call) -> Value {
        let kind = call.number(2).map_or(kind::BYTES, |kind| kind as u8 & 15);
        let set = call.bytes(1, |bytes| owner.set_record(call, kind, bytes, call.number(3)));
        set.unwrap_or_else(|| owner.scratch.fail(call, Failure::NotANumber))
    }
}

/// `change(index, operation, operand)`: returns the previous number.
struct Change;

impl Method for Change {
    type Owner = Owner;
    const NAME: &'static str = "change";

    #[inline]
    fn call(owner: &Owner, call: &Call) -> Value {
        owner.with_numbers(call, |numbers, of| {
            let index = index(call).ok_or(Failure::NoElement)?;
            let operation = call.number(1).unwrap_or(0.0) as usize;
            let operation = OPERATIONS.get(operation).copied().unwrap_or(Operation::Exchange);
            let operand = word(of, call, 2)?;
            let before = numbers.change(index, operation, operand).map_err(failure)?;
            Ok(js_number(of, call, before))
        })
    }
}

/// `compare(index, expected, value)`: returns the previous number.
struct Compare;

impl Method for Compare {
    type Owner = Owner;
    const NAME: &'static str = "compare";

    fn call(owner: &Owner, call: &Call) -> Value {
        owner.with_numbers(call, |numbers, of| {
            let index = index(call).ok_or(Failure::NoElement)?;
            let (expected, number) = (word(of, call, 1)?, word(of, call, 2)?);
            let before = numbers
                .compare_exchange(index, expected, number)
                .map_err(failure)?;
            Ok(js_number(of, call, before))
        })
    }
}

/// `length()`: the number of elements.
struct Length;

impl Method for Length {
    type Owner = Owner;
    const NAME: &'static str = "length";

    #[inline]
    fn call(owner: &Owner, call: &Call) -> Value {
        let length = owner.array.try_with(|array| array.length().map_err(failure));
        let value = length.map(|length| call.double(length as f64));
        owner.scratch.answer(call, value)
    }
}
