//! A table for JavaScript. Deciding which values are records of the codec, and decoding them, is up to
//! JavaScript.
//!
//! The hottest methods exist twice: with the key as the first argument and, named `...Short`, with a short
//! key in the scratch memory. Writing a few characters there costs JavaScript less than reading them through
//! V8's API.
//!
//! Hot methods return strings and numbers directly. A record or bytes are left in the scratch memory. `null`
//! means that the call failed, with the reason in the scratch memory.

use std::cell::RefCell;
use std::rc::Rc;

use manycore_core::sys::clock::monotonic_ns;
use manycore_core::table::entry::{Key, NewValue};
use manycore_core::table::map::{Options, Table};
use manycore_core::table::read::{Read, Scan, Value as Found};
use manycore_core::table::shard::{Change, Condition, Expiry};
use manycore_core::table::TableError;
use napi::bindgen_prelude::{Env, Error, JsValue, Object, Result, Status};
use napi_derive::napi;

use super::bell::BellWatcher;
use super::keys::{js_value, kind, KeyBuffer, TextBuffer};
use super::owned::{methods, Closable};
use super::raw::{Call, Method, Value};
use super::segment::{bytes_of, open_error, Failure, Number, Scratch, SegmentSource};

const NS_PER_MS: f64 = 1e6;
/// Where a method finds its key: in the first argument or in the scratch memory. The value is the number of
/// arguments used.
const GIVEN: usize = 1;
const SHORT: usize = 0;
/// Of a value that is still to be read, the memory for this many bytes is prefetched.
const FORESEEN_BYTES: usize = 64;

/// The parameters of a table.
#[napi(object)]
pub struct TableOptions {
    /// Total size in bytes.
    pub capacity_bytes: f64,
    /// Number of shards; 0 to derive it from the capacity.
    pub shards: u32,
    /// Expected average size of an entry in bytes.
    pub entry_bytes: u32,
    /// Whether the least recently used entries are evicted when there is no room.
    pub evicts: bool,
    /// Time to live of entries in milliseconds; 0: unlimited.
    pub ttl_ms: f64,
}

/// Statistics of a table.
#[napi(object)]
pub struct TableStats {
    /// Number of entries.
    pub entries: f64,
    /// Size of their blocks in bytes.
    pub block_bytes: f64,
    /// Length of their keys and values in bytes.
    pub payload_bytes: f64,
    /// Entries evicted to make room.
    pub evicted: f64,
    /// Expired entries removed.
    pub expired: f64,
    /// Size available for blocks in bytes.
    pub capacity_bytes: f64,
    /// Size of the segment in bytes.
    pub segment_bytes: f64,
    /// Number of shards, which is the number of concurrent writers.
    pub shards: u32,
}

struct Owner {
    table: Closable<Table>,
    key: RefCell<KeyBuffer>,
    text: RefCell<TextBuffer>,
    scratch: Rc<Scratch>,
}

/// A table in a segment.
#[napi]
pub struct SharedTable {
    owner: Rc<Owner>,
}

#[napi]
impl SharedTable {
    /// Opens or creates a table.
    #[napi(factory)]
    pub fn open(source: SegmentSource, options: TableOptions) -> Result<Self> {
        let options = Options {
            capacity_bytes: options.capacity_bytes as usize,
            shards: options.shards as usize,
            entry_bytes: options.entry_bytes as usize,
            evicts: options.evicts,
            ttl_ns: (options.ttl_ms * NS_PER_MS) as u64,
        };
        let table = Table::open(&options, |plan| source.open(plan)).map_err(open_error)?;
        let owner = Owner {
            table: Closable::new(table),
            key: RefCell::new(KeyBuffer::new()),
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

    /// An object with the methods `get`, `has`, `set`, `setScratch` and `add`, each of them also as
    /// `getShort` etc., and `setBytes`, `delete`, `scan` and `watch`.
    #[napi]
    pub fn methods<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        methods!(
            env,
            &self.owner,
            Get<GIVEN>,
            Get<SHORT>,
            Has<GIVEN>,
            Has<SHORT>,
            Set<GIVEN>,
            Set<SHORT>,
            SetScratch<GIVEN>,
            SetScratch<SHORT>,
            Add<GIVEN>,
            Add<SHORT>,
            SetBytes,
            Delete,
            ScanBuckets,
            Watch
        )
    }

    /// The handle by which others open it.
    #[napi(getter)]
    pub fn handle(&self) -> Result<String> {
        self.owner.table.with(|table| Ok(table.segment().handle()))
    }

    /// Identifies its memory.
    #[napi(getter)]
    pub fn identity(&self) -> Result<String> {
        self.owner
            .table
            .with(|table| Ok(format!("{:032x}", table.segment().identity())))
    }

    /// The handle to be sent to other threads or processes.
    #[napi(getter)]
    pub fn travel_handle(&self) -> Result<String> {
        self.owner.table.with(|table| Ok(table.segment().travel_handle()))
    }

    /// A watcher of the bell that rings after changes of watched keys.
    #[napi]
    pub fn bell(&self) -> Result<BellWatcher> {
        self.owner.table.with(|table| {
            let table = table.clone();
            Ok(BellWatcher::new(move |action| action(table.changes())))
        })
    }

    /// Removes all entries.
    #[napi]
    pub fn clear(&self) -> Result<()> {
        self.owner.table.with(|table| table.clear().map_err(table_error))
    }

    /// The statistics of the table.
    #[napi]
    pub fn stats(&self) -> Result<TableStats> {
        self.owner.table.with(|table| {
            let stats = table.stats().map_err(table_error)?;
            Ok(TableStats {
                entries: stats.entries as f64,
                block_bytes: stats.block_bytes as f64,
                payload_bytes: stats.payload_bytes as f64,
                evicted: stats.evicted as f64,
                expired: stats.expired as f64,
                capacity_bytes: stats.capacity_bytes as f64,
                segment_bytes: table.segment().len() as f64,
                shards: table.shards() as u32,
            })
        })
    }

    /// Closes the segment.
    #[napi]
    pub fn close(&self) {
        self.owner.table.close();
    }
}

impl Owner {
    /// Calls `action` with the table and the key.
    #[inline]
    fn with_key<const KEY: usize>(
        &self,
        call: &Call,
        action: impl FnOnce(&Table, &Key<'_>) -> std::result::Result<Value, Failure>,
    ) -> Value {
        let outcome = self.table.try_with(|table| {
            let mut buffer = self.key.try_borrow_mut().map_err(|_| Failure::Closed)?;
            let key = match KEY {
                SHORT => buffer.read_short(&self.scratch),
                _ => buffer.read(call, 0)?,
            };
            action(table, &table.key(key.kind, key.bytes, key.words))
        });
        self.scratch.answer(call, outcome)
    }

    fn note(&self, found: &Found) {
        self.scratch.note(Number::Version, found.version as f64);
    }

    #[inline]
    fn value(&self, call: &Call, found: &Found, words: &[u64], fits: bool) -> Value {
        js_value(call, &self.scratch, found.kind, found.bytes, words, fits)
    }

    /// Stores a value; the arguments from `rest` on are the expiry and the required version.
    #[inline]
    fn set<const KEY: usize>(&self, call: &Call, value: &NewValue<'_>, rest: usize) -> Value {
        self.with_key::<KEY>(call, |table, key| Ok(self.set_key(call, table, key, value, rest)))
    }

    /// As [`Owner::set`]. Returns no `Result`: one passed on through memory would be read in other portions than it was
    /// written, and so only once all stores before it had reached the cache.
    #[inline]
    fn set_key(&self, call: &Call, table: &Table, key: &Key<'_>, value: &NewValue<'_>, rest: usize) -> Value {
        if value.bytes.len() >= u32::MAX as usize {
            return self.scratch.fail(call, Failure::TooLarge);
        }
        let change = table.set(key, value, expiry(table, call, rest), condition(call, rest + 1));
        self.change(call, change)
    }

    /// Returns undefined when a change was made, false when the version differs; notes the version.
    #[inline]
    fn change(&self, call: &Call, change: std::result::Result<Change, TableError>) -> Value {
        match change {
            Ok(Change::Made(version)) => {
                self.scratch.note(Number::Version, version as f64);
                call.undefined()
            }
            Ok(Change::Refused(version)) => {
                self.scratch.note(Number::Version, version as f64);
                call.boolean(false)
            }
            Err(error) => self.scratch.fail(call, failure(error)),
        }
    }
}

/// The expiry argument in milliseconds from now. 0: never; negative: as the entry before; omitted: the
/// table's default.
fn expiry(table: &Table, call: &Call, index: usize) -> Expiry {
    match call.number(index) {
        Some(0.0) => Expiry::Never,
        Some(ms) if ms < 0.0 => Expiry::Kept(default_expiry(table)),
        Some(ms) => Expiry::At(monotonic_ns().saturating_add((ms * NS_PER_MS) as u64)),
        None => default_expiry(table).map_or(Expiry::Never, Expiry::At),
    }
}

/// When an entry that is stored now without a time to live of its own expires.
fn default_expiry(table: &Table) -> Option<u64> {
    (table.ttl_ns > 0).then(|| monotonic_ns().saturating_add(table.ttl_ns))
}

fn condition(call: &Call, index: usize) -> Condition {
    call.number(index)
        .map_or(Condition::Always, |version| Condition::Version(version as u64))
}

fn failure(error: TableError) -> Failure {
    match error {
        TableError::Full => Failure::Full,
        TableError::NotANumber => Failure::NotANumber,
        TableError::Stuck => Failure::Stuck,
        _ => Failure::Corrupt,
    }
}

fn table_error(error: TableError) -> Error {
    let code = match error {
        TableError::Full => "FULL",
        TableError::Stuck => "STUCK",
        _ => "CORRUPT",
    };
    Error::new(Status::GenericFailure, format!("{code} 0 {error}"))
}

/// `get(key)`: undefined if there is no entry, otherwise see [`js_value`].
struct Get<const KEY: usize>;

impl<const KEY: usize> Method for Get<KEY> {
    type Owner = Owner;
    const NAME: &'static str = if KEY == SHORT { "getShort" } else { "get" };
    const ARGUMENTS: usize = KEY;

    #[inline]
    fn call(owner: &Owner, call: &Call) -> Value {
        owner.with_key::<KEY>(call, |table, key| {
            let found = owner.scratch.with_words(|words| match table.get(key, words) {
                Ok(Read::Missing) => Ok(Err(call.undefined())),
                Ok(Read::Found(found)) if found.bytes <= Scratch::BYTES => {
                    owner.note(&found);
                    Ok(Err(owner.value(call, &found, words, true)))
                }
                Ok(Read::Found(found)) => Ok(Ok(found)),
                Err(error) => Err(failure(error)),
            })?;
            match found {
                Err(value) => Ok(value),
                Ok(found) => get_apart(owner, call, table, key, found),
            }
        })
    }
}

/// Gets a value that does not fit into the scratch memory.
#[cold]
fn get_apart(
    owner: &Owner,
    call: &Call,
    table: &Table,
    key: &Key<'_>,
    mut found: Found,
) -> std::result::Result<Value, Failure> {
    // By the time there is room, the value may have been replaced by a longer one.
    loop {
        let mut words = vec![0; found.bytes.div_ceil(8)];
        match table.get(key, &mut words).map_err(failure)? {
            Read::Missing => return Ok(call.undefined()),
            Read::Found(now) if now.bytes.div_ceil(8) <= words.len() => {
                owner.note(&now);
                return Ok(owner.value(call, &now, &words, false));
            }
            Read::Found(now) => found = now,
        }
    }
}

/// `has(key)`: whether there is an entry; notes its version and time left.
struct Has<const KEY: usize>;

impl<const KEY: usize> Method for Has<KEY> {
    type Owner = Owner;
    const NAME: &'static str = if KEY == SHORT { "hasShort" } else { "has" };
    const ARGUMENTS: usize = KEY;

    fn call(owner: &Owner, call: &Call) -> Value {
        owner.with_key::<KEY>(call, |table, key| {
            match table.get(key, &mut []).map_err(failure)? {
                Read::Missing => Ok(call.boolean(false)),
                Read::Found(found) => {
                    owner.note(&found);
                    let left = found
                        .expires
                        .map(|expires| expires.saturating_sub(monotonic_ns()) as f64 / NS_PER_MS);
                    owner.scratch.note(Number::Extra, left.unwrap_or(f64::INFINITY));
                    Ok(call.boolean(true))
                }
            }
        })
    }
}

/// `set(key, value, expiry?, version?)` for a string or a number, which the caller has made sure of; see
/// [`Owner::change`]. False for any other value.
struct Set<const KEY: usize>;

impl<const KEY: usize> Method for Set<KEY> {
    type Owner = Owner;
    const NAME: &'static str = if KEY == SHORT { "setShort" } else { "set" };
    const ARGUMENTS: usize = KEY + 3;

    #[inline]
    fn call(owner: &Owner, call: &Call) -> Value {
        let borrowed = (owner.text.try_borrow_mut(), owner.key.try_borrow_mut());
        let ((Ok(mut text), Ok(mut buffer)), Some(table)) = (borrowed, owner.table.open()) else {
            return owner.scratch.fail(call, Failure::Closed);
        };
        let key = match KEY {
            SHORT => buffer.read_short(&owner.scratch),
            _ => match buffer.read(call, 0) {
                Ok(key) => key,
                Err(failure) => return owner.scratch.fail(call, failure),
            },
        };
        let key = table.key(key.kind, key.bytes, key.words);
        // The value is read while the memory arrives.
        table.foresee(&key, FORESEEN_BYTES);
        let set = |kind, bytes: &[u8]| owner.set_key(call, &table, &key, &NewValue { kind, bytes }, KEY + 1);
        if let Some(set) = text.with(call, KEY, set) {
            return set;
        }
        match call.number(KEY) {
            Some(number) => set(kind::NUMBER, &number.to_bits().to_le_bytes()),
            None => call.boolean(false),
        }
    }
}

/// `setScratch(key, bytes, expiry?, version?)`: stores a record of `bytes` bytes from the scratch memory.
struct SetScratch<const KEY: usize>;

impl<const KEY: usize> Method for SetScratch<KEY> {
    type Owner = Owner;
    const NAME: &'static str = if KEY == SHORT {
        "setScratchShort"
    } else {
        "setScratch"
    };
    const ARGUMENTS: usize = KEY + 3;

    #[inline]
    fn call(owner: &Owner, call: &Call) -> Value {
        let length = call.number(KEY).unwrap_or(0.0) as usize;
        owner.scratch.with_written(length, |bytes| {
            let value = NewValue {
                kind: kind::RECORD,
                bytes,
            };
            owner.set::<KEY>(call, &value, KEY + 1)
        })
    }
}

/// `setBytes(key, bytes, kind, expiry?, version?)`.
struct SetBytes;

impl Method for SetBytes {
    type Owner = Owner;
    const NAME: &'static str = "setBytes";

    fn call(owner: &Owner, call: &Call) -> Value {
        let kind = call.number(2).map_or(kind::BYTES, |kind| kind as u8 & 15);
        let set = call.bytes(1, |bytes| owner.set::<GIVEN>(call, &NewValue { kind, bytes }, 3));
        set.unwrap_or_else(|| owner.scratch.fail(call, Failure::KeyType))
    }
}

/// `delete(key, version?)`: see [`Owner::change`]; the noted version is 0 when there was no entry.
struct Delete;

impl Method for Delete {
    type Owner = Owner;
    const NAME: &'static str = "delete";

    fn call(owner: &Owner, call: &Call) -> Value {
        owner.with_key::<GIVEN>(call, |table, key| {
            Ok(owner.change(call, table.delete(key, condition(call, 1))))
        })
    }
}

/// `add(key, by, expiry?)`: returns the sum.
struct Add<const KEY: usize>;

impl<const KEY: usize> Method for Add<KEY> {
    type Owner = Owner;
    const NAME: &'static str = if KEY == SHORT { "addShort" } else { "add" };
    const ARGUMENTS: usize = KEY + 2;

    #[inline]
    fn call(owner: &Owner, call: &Call) -> Value {
        owner.with_key::<KEY>(call, |table, key| {
            let by = call.number(KEY).unwrap_or(1.0);
            let expiry = match call.number(KEY + 1) {
                Some(_) => expiry(table, call, KEY + 1),
                None => Expiry::Kept(default_expiry(table)),
            };
            let (sum, version) = table.add(key, kind::NUMBER, by, expiry).map_err(failure)?;
            owner.scratch.note(Number::Version, version as f64);
            Ok(call.double(sum))
        })
    }
}

/// `scan(bucket)`: copies the entries of as many buckets, from that one on, as fit into the scratch memory.
/// Returns the next bucket, -1 after the last one, or an ArrayBuffer with the entries of a single bucket that
/// does not fit; notes the number of entries. Each entry has version, meta word, key and value, as copied by
/// `Shard::scan`.
struct ScanBuckets;

impl Method for ScanBuckets {
    type Owner = Owner;
    const NAME: &'static str = "scan";

    fn call(owner: &Owner, call: &Call) -> Value {
        let outcome = owner.table.try_with(|table| {
            owner.scratch.with_words(|words| {
                let mut bucket = call.number(0).unwrap_or(0.0) as usize;
                let mut at = 0;
                let mut count = 0;
                loop {
                    match table.scan(bucket, &mut words[at..]).map_err(failure)? {
                        None => {
                            owner.scratch.note(Number::Length, count as f64);
                            return Ok(call.double(-1.0));
                        }
                        Some(Scan::Copied { entries, words }) => {
                            at += words;
                            count += entries;
                            bucket += 1;
                        }
                        Some(Scan::NeedsWords(_)) if count > 0 => break,
                        Some(Scan::NeedsWords(needed)) => {
                            return scan_apart(owner, call, table, bucket, needed)
                        }
                    }
                }
                owner.scratch.note(Number::Length, count as f64);
                Ok(call.double(bucket as f64))
            })
        });
        owner.scratch.answer(call, outcome)
    }
}

fn scan_apart(
    owner: &Owner,
    call: &Call,
    table: &Table,
    bucket: usize,
    mut needed: usize,
) -> std::result::Result<Value, Failure> {
    loop {
        let mut words = vec![0; needed];
        match table.scan(bucket, &mut words).map_err(failure)? {
            Some(Scan::NeedsWords(now)) => needed = now,
            Some(Scan::Copied { entries, words: used }) => {
                owner.scratch.note(Number::Length, entries as f64);
                return Ok(call.array_buffer(bytes_of(&words[..used])));
            }
            None => return Err(Failure::Corrupt),
        }
    }
}

/// `watch(key)`: from here on, changes of the key are counted.
struct Watch;

impl Method for Watch {
    type Owner = Owner;
    const NAME: &'static str = "watch";

    fn call(owner: &Owner, call: &Call) -> Value {
        owner.with_key::<GIVEN>(call, |table, key| {
            table.watch(key).map_err(failure)?;
            Ok(call.undefined())
        })
    }
}
