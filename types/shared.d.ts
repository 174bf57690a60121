/**
 * How a shared object is opened by its name: up to 200 letters, digits and `. _ - : @`, of which a dot must not be the first.
 */
export interface SharedOpenOptions {
  /**
   * `true` creates the segment if none of that name exists, and `false` throws `ERR_MANYCORE_SEGMENT_NOT_FOUND` instead;
   * `'exclusive'` throws `ERR_MANYCORE_SEGMENT_EXISTS` if one exists. Default: true.
   */
  create?: boolean | 'exclusive';
  /**
   * Who can open the segment by its name: all processes of this user (`'host'`), or the threads of this process
   * (`'process'`). Default: `'host'`.
   */
  scope?: 'host' | 'process';
}

/** The handle of a shared object, the object itself, or the placeholder for it in a message of Node's. */
export type SharedHandle = string | { readonly handle: string } | { readonly 'manycore:shared': string };

/** Members of all shared objects. */
export interface SharedObject extends Disposable {
  /**
   * A string with which `from()` of the same class opens the object in any thread or process of this user. For objects
   * without a name, or with the scope `'process'`, it is valid as long as this object is open.
   */
  readonly handle: string;
  /** Unmaps the memory in this thread; all other methods then throw `ERR_MANYCORE_CLOSED`. Other users are not affected. */
  close(): void;
}

/** Options of a `SharedBuffer`. */
export interface SharedBufferOptions {
  /** The size in bytes, up to 2^40; the memory is zeroed. An existing buffer keeps its size. */
  byteLength: number;
}

/** Plain bytes in memory that threads and processes share. */
export declare class SharedBuffer implements SharedObject {
  /** Creates an object without a name. */
  constructor(options: SharedBufferOptions);
  /** Opens or creates the buffer of that name. `byteLength` can be omitted with `create: false`. */
  static open(name: string, options?: SharedOpenOptions & Partial<SharedBufferOptions>): SharedBuffer;
  /** Opens the object that a handle refers to. */
  static from(handle: SharedHandle): SharedBuffer;
  readonly handle: string;
  /** The size in bytes. */
  readonly byteLength: number;
  /**
   * The memory, for typed arrays: a SharedArrayBuffer if this version of Node can create one over foreign memory (24, 26,
   * late versions of 22), otherwise an ArrayBuffer, on which all of `Atomics` works except `wait()`. Do not transfer such an
   * ArrayBuffer, post the SharedBuffer instead. `Atomics.wait()` and `notify()` do not reach other processes, or
   * other buffers over the same memory.
   */
  readonly buffer: SharedArrayBuffer | ArrayBuffer;
  /** Closes the object; `buffer` remains usable. */
  close(): void;
  [Symbol.dispose](): void;
}

/**
 * A key: a string of up to 1,024 characters, a number, or a Buffer of up to 2,048 bytes, which is compared by its bytes. Keys
 * of different types are different, for example `1` and `'1'`.
 */
export type SharedKey = string | number | Uint8Array;

/** Options of a `SharedMap`; an existing map keeps those that it was created with. */
export interface SharedMapOptions {
  /** Bytes for everything, allocated at once: 64 KiB to 2^38. Default: 16 MiB. */
  capacityBytes?: number;
  /**
   * How many writers can work at the same time. Each shard has an equal share of the capacity, into which a value with its
   * key and 40 bytes more must fit (`stats()`: `capacityBytes / shards`). 1 to 1,024, rounded up to a power of two.
   * Default: one per MiB of capacity, up to 64.
   */
  shards?: number;
  /**
   * The expected size of an entry (key, value and about 43 bytes), 16 to 2^30, which determines the number of hash buckets.
   * Default: 128.
   */
  averageEntryBytes?: number;
  /**
   * What happens when there is no room: `set()` throws `ERR_MANYCORE_FULL` (`'none'`), or the least recently used entry of
   * a sample of 24 is evicted (`'lru'`). Default: `'none'`.
   */
  evict?: 'none' | 'lru';
  /**
   * The time to live of entries that are stored without a `ttlMs`, in milliseconds, above 0, up to 2^40, or Infinity.
   * Default: Infinity.
   */
  ttlMs?: number;
}

/** Options of what stores an entry. */
export interface SharedSetOptions {
  /** The time to live, in milliseconds, up to 2^40; Infinity for unlimited. Default: the `ttlMs` of the map. */
  ttlMs?: number;
}

/** The fill level of a `SharedMap`. */
export interface SharedMapStats {
  /** Entries, including expired ones that have not been removed yet. */
  size: number;
  /** Bytes that entries occupy. */
  usedBytes: number;
  /** Bytes of their keys and values alone. */
  payloadBytes: number;
  /** Bytes that entries can occupy. */
  capacityBytes: number;
  /** Bytes of the segment. */
  segmentBytes: number;
  /** The number of shards. */
  shards: number;
  /** Entries evicted since the map was created. */
  evicted: number;
  /** Expired entries removed since the map was created. */
  expired: number;
}

/** Emits `'change'` with the new value and its version; undefined and 0 if the entry was deleted, evicted or has expired. */
export interface SharedMapWatcher<V> extends Disposable {
  /** Adds a listener. */
  on(event: 'change', listener: (value: V | undefined, version: number) => void): this;
  on(event: 'error', listener: (error: Error) => void): this;
  on(event: 'close', listener: () => void): this;
  /** Adds a listener for the next event only. */
  once(event: 'change', listener: (value: V | undefined, version: number) => void): this;
  once(event: 'error', listener: (error: Error) => void): this;
  once(event: 'close', listener: () => void): this;
  /** Removes a listener. */
  off(event: string, listener: (...args: any[]) => void): this;
  /** Keeps the event loop alive, which is the default. */
  ref(): this;
  /** Lets the event loop end while this watches. */
  unref(): this;
  /** Stops watching and emits `close`. */
  close(): void;
}

/**
 * A hash table in memory that threads and processes share. Values can be anything that can be structured-cloned, except
 * what only Node can carry (ports, shared buffers, handles); Buffers are read as Uint8Arrays. Reading takes no lock. If a
 * process is killed, at whatever instruction, others find each entry as it was before or after the change.
 */
export declare class SharedMap<K extends SharedKey = SharedKey, V = any> implements SharedObject {
  /** Creates an object without a name. */
  constructor(options?: SharedMapOptions);
  /** Opens or creates the object of that name. An existing one keeps the options that it was created with. */
  static open<K extends SharedKey = SharedKey, V = any>(
    name: string,
    options?: SharedOpenOptions & SharedMapOptions,
  ): SharedMap<K, V>;
  /** Opens the object that a handle refers to. */
  static from<K extends SharedKey = SharedKey, V = any>(handle: SharedHandle): SharedMap<K, V>;
  readonly handle: string;

  /** The value; undefined if there is no entry, or it has expired. */
  get(key: K): V | undefined;
  /** The value and the version of its entry, which is never reused for this key. */
  getVersioned(key: K): { value: V; version: number } | undefined;
  /** Whether there is an entry that has not expired. */
  has(key: K): boolean;
  /** The remaining time to live in milliseconds; Infinity if the entry does not expire, undefined if there is none. */
  ttl(key: K): number | undefined;
  /**
   * @throws ERR_MANYCORE_FULL if there is no room, DataCloneError if the value cannot be cloned
   */
  set(key: K, value: V, options?: SharedSetOptions): this;
  /**
   * Stores the value if the entry still has this version; 0 stands for no entry. Returns the new version, or 0 if nothing
   * was stored.
   */
  compareAndSet(key: K, version: number, value: V, options?: SharedSetOptions): number;
  /** Deletes an entry. Returns whether there was one. */
  delete(key: K): boolean;
  /** Deletes the entry if it still has this version. Returns whether it was deleted. */
  compareAndDelete(key: K, version: number): boolean;
  /** Returns the existing value, or stores and returns this one. */
  getOrInsert(key: K, value: V, options?: SharedSetOptions): V;
  /** Like `getOrInsert()`, computing the value if needed. If several callers compute it at once, all get the same result. */
  getOrInsertComputed(key: K, compute: (key: K) => V, options?: SharedSetOptions): V;
  /**
   * Replaces the value by the result of `change`, atomically: if the entry is changed meanwhile, `change` is called again
   * with the newer value. `change` gets undefined if there is no entry, and returns undefined to delete it. An existing
   * entry keeps its time to live unless `ttlMs` is given.
   * @throws ERR_INVALID_ARG_VALUE if `change` itself changes this key, through any object of this thread, because it would
   *   be called forever; ERR_MANYCORE_OVERTAKEN after 10,000 tries
   */
  update(key: K, change: (value: V | undefined) => V | undefined, options?: SharedSetOptions): V | undefined;
  /**
   * Adds 1 or `by` to a number, which starts at 0, and returns the sum. An existing entry keeps its time to live unless
   * `ttlMs` is given.
   * @throws ERR_INVALID_ARG_VALUE if the value is not a number
   */
  incr(key: K, by?: number, options?: SharedSetOptions): number;
  /** The number of entries, including expired ones that have not been removed yet. Reads each shard. */
  readonly size: number;
  /** Removes everything, shard by shard. */
  clear(): void;

  /**
   * All entries, in no particular order. An entry that exists throughout the iteration is visited once; one that is
   * stored or deleted meanwhile may or may not be visited.
   */
  entries(): IterableIterator<[K, V]>;
  /** All keys, as in `entries()`. */
  keys(): IterableIterator<K>;
  /** All values, as in `entries()`. */
  values(): IterableIterator<V>;
  /** Like `entries()`. */
  [Symbol.iterator](): IterableIterator<[K, V]>;
  /** Calls a function for each entry, as in `entries()`. */
  forEach(callback: (value: V, key: K, map: this) => void, thisArg?: any): void;

  /**
   * Watches one key for changes by any thread or process. Several changes in quick succession may be reported as one; the
   * expiry of an entry is reported within 250 ms.
   */
  watch(key: K): SharedMapWatcher<V>;
  /** The fill level. Reads each shard. */
  stats(): SharedMapStats;
  close(): void;
  [Symbol.dispose](): void;
}

/** Options of a `SharedCounter`. */
export interface SharedCounterOptions {
  /** The value of a new counter. Default: 0. */
  initial?: number;
}

/**
 * An integer that threads and processes share and change atomically. All methods throw `ERR_OUT_OF_RANGE` for arguments
 * beyond ±(2^53 - 1). Sums beyond that are not refused: they are exact in memory, where they wrap around from 2^63 - 1 to
 * -2^63, but are returned rounded to the nearest number.
 */
export declare class SharedCounter implements SharedObject {
  /** Creates an object without a name. */
  constructor(options?: SharedCounterOptions);
  /** Opens or creates the counter of that name. An existing one keeps its value. */
  static open(name: string, options?: SharedOpenOptions & SharedCounterOptions): SharedCounter;
  /** Opens the object that a handle refers to. */
  static from(handle: SharedHandle): SharedCounter;
  readonly handle: string;
  /** The current value. */
  readonly value: number;
  /** Adds 1 or `by`, and returns the sum. */
  add(by?: number): number;
  /** Subtracts 1 or `by`, and returns the difference. */
  subtract(by?: number): number;
  /** Stores a value and returns the previous one. */
  exchange(value: number): number;
  /** Stores `value` if the current value is `expected`. Returns the previous value: `expected` if it was replaced. */
  compareExchange(expected: number, value: number): number;
  close(): void;
  [Symbol.dispose](): void;
}

/** Options of a `SharedHistogram`. */
export interface SharedHistogramOptions {
  /** The lowest value that can be distinguished from 0. Default: 1. */
  lowest?: number;
  /** The highest value, at least twice the lowest. Default: 2^53 - 1. */
  highest?: number;
  /** How many significant digits of a value are kept, 1 to 5; each one more takes ten times the memory. Default: 3. */
  significantDigits?: number;
}

/** A histogram like HdrHistogram, into which threads and processes can record at the same time. */
export declare class SharedHistogram implements SharedObject {
  /** Creates an object without a name. */
  constructor(options?: SharedHistogramOptions);
  /** Opens or creates the object of that name. An existing one keeps the options that it was created with. */
  static open(name: string, options?: SharedOpenOptions & SharedHistogramOptions): SharedHistogram;
  /** Opens the object that a handle refers to. */
  static from(handle: SharedHandle): SharedHistogram;
  readonly handle: string;
  /**
   * Records the integer part of a value, once or the given number of times.
   * @throws ERR_OUT_OF_RANGE below 0 and above the highest
   */
  record(value: number, times?: number): void;
  /**
   * Records a value and corrects for coordinated omission: for each `expectedInterval` that it exceeds, also records the
   * correspondingly lower value that was not measured meanwhile.
   */
  recordCorrected(value: number, expectedInterval: number): void;
  /** The number of values recorded. */
  readonly count: number;
  /** The lowest value; 0 if there is none, or one that cannot be distinguished from 0. */
  readonly min: number;
  /** The highest value; 0 if there is none. */
  readonly max: number;
  /** The mean, computed from the midpoints of the buckets. */
  readonly mean: number;
  /** The standard deviation, computed from the midpoints of the buckets. */
  readonly stddev: number;
  /** All five values, read at once. */
  summary(): { count: number; min: number; max: number; mean: number; stddev: number };
  /** The value that `percent` percent of all values do not exceed. */
  percentile(percent: number): number;
  /** The buckets that are not empty, in ascending order. */
  buckets(): { lowest: number; highest: number; count: number }[];
  /** Adds the values of another histogram with the same options. */
  merge(other: SharedHistogram): this;
  /** Forgets all values. */
  reset(): void;
  close(): void;
  [Symbol.dispose](): void;
}

/** Options of a `RateLimiter`. */
export interface RateLimiterOptions {
  /** How much may be consumed per window: up to 10^9, with sliding windows up to 2^20 - 1. */
  limit: number;
  /** The length of a window in milliseconds, 1 to 2^33. */
  windowMs: number;
  /**
   * `'token-bucket'`: a bucket holds up to `burst` tokens and is refilled evenly with `limit` tokens per window.
   * `'sliding-window'`: at most `limit` in the last `windowMs` at any time, assuming that what was consumed in the previous
   * fixed window was spread evenly. Default: `'token-bucket'`.
   */
  algorithm?: 'token-bucket' | 'sliding-window';
  /** The capacity of a bucket, which starts full, up to 10^9; without effect on sliding windows. Default: `limit`. */
  burst?: number;
  /**
   * The room for keys that have consumed something recently, at 34 bytes or more each. Keys that are back at their full
   * limit need no room. Up to 2^30. Default: 10,000.
   */
  maxKeys?: number;
}

/** The result of `take()` and `peek()`. */
export interface RateVerdict {
  /** Whether the cost could be consumed. */
  allowed: boolean;
  /** How much can be consumed now: after `take()`, what it has left. */
  remaining: number;
  /**
   * After how many milliseconds the cost can be consumed if nobody else consumes; 0 if it was allowed, Infinity if it is more
   * than can ever be consumed at once.
   */
  retryAfterMs: number;
}

/**
 * Limits how often something happens, per key, across all threads and processes. Totals are exact even if processes are
 * killed.
 */
export declare class RateLimiter implements SharedObject {
  /** Creates an object without a name. */
  constructor(options: RateLimiterOptions);
  /** An existing limiter keeps the options that it was created with; they can be omitted with `create: false`. */
  static open(name: string, options?: SharedOpenOptions & Partial<RateLimiterOptions>): RateLimiter;
  /** Opens the object that a handle refers to. */
  static from(handle: SharedHandle): RateLimiter;
  readonly handle: string;
  /** The options that decide about a key. */
  readonly rules: Readonly<Pick<RateLimiterOptions, 'algorithm' | 'limit' | 'windowMs' | 'burst'>>;
  /**
   * Consumes `cost` (default 1) from the limit of the key (default `''`), all of it or nothing. Returns whether it did.
   * @throws ERR_MANYCORE_FULL if more keys are in use than there is room for
   */
  consume(key?: SharedKey, cost?: number): boolean;
  /** Like `consume()`, with more information. */
  take(key?: SharedKey, cost?: number): RateVerdict;
  /** Returns whether `take()` would consume, and what can be consumed now, without consuming anything. */
  peek(key?: SharedKey, cost?: number): RateVerdict;
  /** Resets the key to its full limit. */
  reset(key?: SharedKey): void;
  close(): void;
  [Symbol.dispose](): void;
}

/** What the elements of a `SharedArray` are: values, or numbers of one type. */
export type SharedArrayType = 'value' | 'int32' | 'uint32' | 'float64' | 'bigint64' | 'biguint64';

/** Options of a `SharedArray`. */
export interface SharedArrayOptions {
  /**
   * The type of the elements: values as in a SharedMap, or numbers of one type, at 8 bytes each. Default:
   * `'value'`. If an existing array is of another type than the given one, opening it throws `ERR_MANYCORE_SEGMENT_KIND`.
   */
  type?: SharedArrayType;
  /** The initial number of elements, which are 0, or undefined if they are values. Default: 0. */
  length?: number;
  /** The maximum number of elements, up to 2^32, for which memory is allocated at once. Default: `length`. */
  capacity?: number;
  /**
   * The maximum size of a value in bytes, 8 to 65,536: the characters of a string, about the JSON text of an object. An
   * element takes twice that, so that a new value never overwrites the current one. Default: 128.
   */
  valueBytes?: number;
}

/**
 * An array in memory that threads and processes share. Elements and the length change atomically. If a process is killed,
 * at whatever instruction, others find each element as it was before or after the change. Reading takes no lock. Methods for
 * numbers throw `ERR_INVALID_THIS` on an array of values, and vice versa.
 */
export declare class SharedArray<T = any> implements SharedObject {
  /** Creates an array without a name; a length or a capacity is required. */
  constructor(options: SharedArrayOptions);
  /** Opens or creates the object of that name. An existing one keeps the options that it was created with. */
  static open(
    name: string,
    options: SharedOpenOptions & SharedArrayOptions & { type: 'int32' | 'uint32' | 'float64' },
  ): SharedArray<number>;
  static open(
    name: string,
    options: SharedOpenOptions & SharedArrayOptions & { type: 'bigint64' | 'biguint64' },
  ): SharedArray<bigint>;
  static open<T = any>(name: string, options?: SharedOpenOptions & SharedArrayOptions): SharedArray<T>;
  /** Opens the object that a handle refers to. */
  static from<T = any>(handle: SharedHandle): SharedArray<T>;
  readonly handle: string;
  /** What the elements are. */
  readonly type: SharedArrayType;
  /** The current number of elements. */
  readonly length: number;
  /** The maximum number of elements. */
  readonly capacity: number;
  /** The maximum size of a value in bytes. */
  readonly valueBytes: number;

  /** The element at that index, or undefined. */
  get(index: number): T | undefined;
  /** Like `get()`, but negative indices count from the end. */
  at(index: number): T | undefined;
  /**
   * @throws ERR_OUT_OF_RANGE if the index is not below the length, or the type does not include the number;
   * ERR_MANYCORE_FULL if the value is larger than `valueBytes`
   */
  set(index: number, value: T): this;
  /**
   * Appends a value and returns the new length.
   * @throws ERR_MANYCORE_FULL if the array is full, or the value is larger than `valueBytes`
   */
  push(value: T): number;
  /** Removes and returns the last element, or returns undefined. Each element is popped by one caller only. */
  pop(): T | undefined;
  /**
   * Sets the elements from `start` (default 0) up to, but not including, `end` (default: the length), one by one. Negative
   * indices count from the end.
   */
  fill(value: T, start?: number, end?: number): this;
  /** Removes all elements. */
  clear(): void;
  /**
   * Replaces an element by the result of `change`, atomically: if the element is changed meanwhile, `change` is called
   * again with the newer value.
   * @throws ERR_INVALID_ARG_VALUE if `change` itself changes this element, through any object of this thread;
   *   ERR_MANYCORE_OVERTAKEN after 10,000 tries
   */
  update(index: number, change: (value: T) => T): T;

  /** Values: the element and its version, which is 0 if nothing was ever stored there. */
  getVersioned(index: number): { value: T | undefined; version: number } | undefined;
  /** Values: stores if the element still has this version. Returns the new version, or 0 if nothing was stored. */
  compareAndSet(index: number, version: number, value: T): number;

  /** Numbers: adds 1 or `by`, and returns the sum. Integers wrap around. */
  add(index: number, by?: T): T;
  /** Numbers: subtracts 1 or `by`, and returns the difference. Integers wrap around. */
  subtract(index: number, by?: T): T;
  /** Integers: clears all other bits, and returns the previous number. */
  and(index: number, bits: T): T;
  /** Integers: sets these bits, and returns the previous number. */
  or(index: number, bits: T): T;
  /** Integers: flips these bits, and returns the previous number. */
  xor(index: number, bits: T): T;
  /** Numbers: stores a number and returns the previous one. */
  exchange(index: number, value: T): T;
  /** Numbers: stores `value` if the element is `expected`, and returns the previous number. */
  compareExchange(index: number, expected: T, value: T): T;

  /** Iterates over the elements as they are when their turn comes; one that is popped at that moment is undefined. */
  values(): IterableIterator<T>;
  /** Indices and elements, as in `values()`. */
  entries(): IterableIterator<[number, T]>;
  /** The indices. */
  keys(): IterableIterator<number>;
  /** Like `values()`. */
  [Symbol.iterator](): IterableIterator<T>;
  /** Calls a function for each element, as in `values()`. */
  forEach(callback: (value: T, index: number, array: this) => void, thisArg?: any): void;
  /** An ordinary array of the current values, which are read one by one. */
  toArray(): T[];
  close(): void;
  [Symbol.dispose](): void;
}

/** Limits of an asynchronous wait. */
export interface SharedWaitOptions {
  /** How long to wait, in milliseconds, before rejecting with `ERR_MANYCORE_TIMEOUT`. Default: no limit. */
  timeoutMs?: number;
  /** Aborting it rejects with its reason. */
  signal?: AbortSignal;
}

/** Limits of a blocking wait. */
export interface SharedBlockOptions {
  /** How long to block, in milliseconds, before throwing `ERR_MANYCORE_TIMEOUT`. Default: no limit. */
  timeoutMs?: number;
}

/** Options of a `Channel`. */
export interface ChannelOptions {
  /** The maximum number of values in the channel, 1 to 2^40. Default: 1024. */
  capacity?: number;
  /**
   * The maximum number of bytes in the channel; each value takes 16 more than its own size. 1,024 to 2^38. Default: 1 MiB.
   */
  capacityBytes?: number;
}

/**
 * A bounded FIFO queue for any number of senders and receivers in threads and processes; each value is received once. A
 * sender that is killed has sent a value completely or not at all; with a receiver that is killed, the value that it has
 * received is lost. Values are as in a SharedMap. Async iteration ends when the channel is closed and empty.
 */
export declare class Channel<T = any> implements AsyncIterable<T> {
  /** Creates an object without a name. */
  constructor(options?: ChannelOptions);
  /** Opens or creates the object of that name. An existing one keeps the options that it was created with. */
  static open<T = any>(name: string, options?: SharedOpenOptions & ChannelOptions): Channel<T>;
  /** Opens the object that a handle refers to. */
  static from<T = any>(handle: SharedHandle): Channel<T>;
  /** A string with which `from()` opens the object in another thread or process. */
  readonly handle: string;
  /**
   * Sends if there is room. Returns whether there was.
   * @throws ERR_MANYCORE_CHANNEL_CLOSED; ERR_MANYCORE_FULL if the value can never fit
   */
  trySend(value: T): boolean;
  /** Sends the value, as it is now, as soon as there is room. */
  send(value: T, options?: SharedWaitOptions): Promise<void>;
  /** Blocks the thread until there is room. */
  sendSync(value: T, options?: SharedBlockOptions): void;
  /**
   * Receives a value if there is one.
   * @throws ERR_MANYCORE_CHANNEL_CLOSED if the channel is closed and empty
   */
  tryReceive(): { value: T } | undefined;
  /**
   * Receives a value as soon as there is one.
   * @throws ERR_MANYCORE_CHANNEL_CLOSED if the channel is closed and empty
   */
  receive(options?: SharedWaitOptions): Promise<T>;
  /** Blocks the thread until there is a value. */
  receiveSync(options?: SharedBlockOptions): T;
  /** Receives values until the channel is closed and empty. */
  [Symbol.asyncIterator](): AsyncGenerator<T, void, void>;
  /** The number of values in the channel. */
  readonly size: number;
  /** Whether the channel was closed for all senders. */
  readonly closed: boolean;
  /** The fill level, and how many values have been sent since the channel was created. */
  stats(): { size: number; usedBytes: number; capacityBytes: number; sent: number; closed: boolean };
  /** Closes the channel for all senders; the values in it can still be received. */
  close(): void;
  /** Unmaps the memory in this thread; other users are not affected. */
  release(): void;
  /** Like `release()`. For `using`. */
  [Symbol.dispose](): void;
}

/** Options of a `Topic`. */
export interface TopicOptions {
  /** How many bytes of values are kept for subscribers; the oldest are dropped. 1,024 to 2^38. Default: 1 MiB. */
  capacityBytes?: number;
}

/** A log of values that every subscriber in every thread and process receives, in order. Publishing never waits. */
export declare class Topic<T = any> {
  /** Creates an object without a name. */
  constructor(options?: TopicOptions);
  /** Opens or creates the object of that name. An existing one keeps the options that it was created with. */
  static open<T = any>(name: string, options?: SharedOpenOptions & TopicOptions): Topic<T>;
  /** Opens the object that a handle refers to. */
  static from<T = any>(handle: SharedHandle): Topic<T>;
  /** A string with which `from()` opens the object in another thread or process. */
  readonly handle: string;
  /** @throws ERR_MANYCORE_CHANNEL_CLOSED; ERR_MANYCORE_FULL if the value can never fit */
  publish(value: T): void;
  /** Subscribes from the next value on (default), or from the oldest one that is kept. */
  subscribe(options?: { from?: 'latest' | 'earliest' }): TopicSubscription<T>;
  /** The fill level, and how many values have been published since the topic was created. */
  stats(): { size: number; usedBytes: number; capacityBytes: number; published: number; closed: boolean };
  /** Closes the topic for all publishers. */
  close(): void;
  /** Unmaps the memory in this thread; other users are not affected. */
  release(): void;
  /** Like `release()`. For `using`. */
  [Symbol.dispose](): void;
}

/** A position in a topic, independent of other subscribers and without cost for publishers. */
export interface TopicSubscription<T> extends AsyncIterable<T> {
  /**
   * Receives the next value if there is one.
   * @throws ERR_MANYCORE_CHANNEL_CLOSED if the topic is closed and nothing is left
   */
  tryReceive(): { value: T } | undefined;
  /** Receives the next value as soon as there is one. */
  receive(options?: SharedWaitOptions): Promise<T>;
  /** Blocks the thread until there is a next value. */
  receiveSync(options?: SharedBlockOptions): T;
  /** Receives values until the topic is closed and nothing is left. */
  [Symbol.asyncIterator](): AsyncGenerator<T, void, void>;
  /** The number of published values that it has not received yet. */
  readonly lag: number;
  /** The number of values that were dropped before it could receive them. */
  readonly missed: number;
  /** Ends the subscription; the topic stays open. */
  release(): void;
  /** Like `release()`. For `using`. */
  [Symbol.dispose](): void;
}

/** A named segment. */
export interface SharedSegment {
  /** The name that it is opened by. */
  name: string;
  /** Who can open it. */
  scope: 'host' | 'process';
  /**
   * The kind of object: `'buffer'`, `'map'`, `'counter'`, `'histo'`, `'array'`, `'limiter'`, `'channel'` or
   * `'topic'`; `'lock'` for all locks.
   */
  kind: string;
  /** The size in bytes. */
  bytes: number;
  /** When it was created. */
  createdAt: Date;
  /** Whether any thread or process has it open. */
  inUse: boolean;
}

/** Administration of named segments. */
export declare const shared: {
  /** The segments that this process can open. */
  list(): SharedSegment[];
  /** The number of segments, and the memory that they occupy. */
  stats(): { segments: number; bytes: number; unusedSegments: number; unusedBytes: number };
  /**
   * Removes a name: opening it again creates a new segment. Users of the old segment keep it. Returns whether there was
   * one.
   */
  unlink(name: string, options?: { scope?: 'host' | 'process' }): boolean;
  /** Removes the segments of this user that nobody has open, and returns their names. */
  prune(): string[];
};
