/**
 * Where a shared object lies, and what happens if there is one already or none.
 */
export interface SharedOpenOptions {
  /**
   * `true` makes the segment if there is none of the name, `false` throws `ERR_MANYCORE_SEGMENT_NOT_FOUND` then, and
   * `'exclusive'` throws `ERR_MANYCORE_SEGMENT_EXISTS` if there is one. Default: true.
   */
  create?: boolean | 'exclusive';
  /**
   * Who can open it by its name: all processes of this user (`'host'`), or the threads of this process
   * (`'process'`). Default: `'host'`.
   */
  scope?: 'host' | 'process';
}

/** The handle of a shared object, the object, or the stand-in that came of it by a channel of Node's. */
export type SharedHandle = string | { readonly handle: string } | { readonly 'manycore:shared': string };

/** What all shared objects have. */
export interface SharedObject extends Disposable {
  /**
   * A text by which `from` of the same class opens the object in any thread or process of this user. Of an object
   * without a name, or with the scope `'process'`, it is good as long as this object is open.
   */
  readonly handle: string;
  /** Lets go of the memory; what else is called then throws `ERR_MANYCORE_CLOSED`. Others keep it. */
  close(): void;
}

export interface SharedBufferOptions {
  /** Bytes, up to 2^40; zeroed. A buffer that is there keeps its own. */
  byteLength: number;
}

/** Plain bytes in memory that threads and processes share. */
export declare class SharedBuffer implements SharedObject {
  /** A new one without a name. */
  constructor(options: SharedBufferOptions);
  /** Opens or makes the one of a name. `byteLength` may be left out with `create: false`. */
  static open(name: string, options?: SharedOpenOptions & Partial<SharedBufferOptions>): SharedBuffer;
  /** Opens another's. */
  static from(handle: SharedHandle): SharedBuffer;
  readonly handle: string;
  readonly byteLength: number;
  /**
   * The memory, for typed views. Where Node can make a SharedArrayBuffer over foreign memory (24 and 26, late 22) it
   * is one; else an ArrayBuffer, on which `Atomics` work, too, but for `wait`. Don't transfer an ArrayBuffer of it:
   * post the SharedBuffer. `Atomics.wait` and `notify` do not reach other processes, or other buffers of the same
   * memory.
   */
  readonly buffer: SharedArrayBuffer | ArrayBuffer;
  /** Closes the object; `buffer` stays usable. */
  close(): void;
  [Symbol.dispose](): void;
}

/** Keys of different types are different, also `1` and `'1'`; Buffers are compared by their bytes. */
export type SharedKey = string | number | Uint8Array;

export interface SharedMapOptions {
  /** Bytes for everything, taken at once. From 64 KiB to 2^38. Default: 16 MiB. */
  capacityBytes?: number;
  /**
   * How many writers can be at work at the same time; each has its share of the capacity to itself, and no value can
   * be larger than that. Rounded up to a power of two. Default: one per MiB of capacity, up to 64.
   */
  shards?: number;
  /** What an entry takes, key, value and 40 bytes: decides how many hash buckets there are. Default: 128. */
  averageEntryBytes?: number;
  /**
   * What happens when there is no room: `set` throws `ERR_MANYCORE_FULL` (`'none'`), or entries that were not used
   * for long go (`'lru'`: of a sample of 24 the one used least recently). Default: `'none'`.
   */
  evict?: 'none' | 'lru';
  /** How long entries live that are stored without a `ttlMs` of their own. Default: for ever. */
  ttlMs?: number;
}

export interface SharedSetOptions {
  /** How long the entry lives, in milliseconds; Infinity: for ever. Default: what the map was made with. */
  ttlMs?: number;
}

export interface SharedMapStats {
  /** Entries, among them expired ones that nobody came across yet. */
  size: number;
  /** Bytes that entries take. */
  usedBytes: number;
  /** Bytes of their keys and values alone. */
  payloadBytes: number;
  /** Bytes that entries can take. */
  capacityBytes: number;
  /** Bytes of the segment. */
  segmentBytes: number;
  shards: number;
  /** Entries that went for want of room since the map was made. */
  evicted: number;
  /** Expired entries removed since the map was made. */
  expired: number;
}

/** Emits `'change'` with the new value (undefined: deleted, expired or evicted) and its version (0 then). */
export interface SharedMapWatcher<V> extends Disposable {
  on(event: 'change', listener: (value: V | undefined, version: number) => void): this;
  on(event: 'error', listener: (error: Error) => void): this;
  on(event: 'close', listener: () => void): this;
  once(event: 'change', listener: (value: V | undefined, version: number) => void): this;
  once(event: 'error', listener: (error: Error) => void): this;
  once(event: 'close', listener: () => void): this;
  off(event: string, listener: (...args: any[]) => void): this;
  /** Keeps the event loop alive, as it does from the beginning. */
  ref(): this;
  unref(): this;
  close(): void;
}

/**
 * A hash table in memory that threads and processes share. Values are whatever can be structured-cloned, but for
 * what only Node can carry (ports, shared buffers, handles); Buffers come back as Uint8Arrays. Reading takes no lock.
 * A process may be killed at any instruction: the others find each entry as it was before or after its change.
 */
export declare class SharedMap<K extends SharedKey = SharedKey, V = any> implements SharedObject {
  /** A new one without a name. */
  constructor(options?: SharedMapOptions);
  /** Opens or makes the one of a name. One that is there keeps the options it was made with. */
  static open<K extends SharedKey = SharedKey, V = any>(
    name: string,
    options?: SharedOpenOptions & SharedMapOptions,
  ): SharedMap<K, V>;
  /** Opens another's. */
  static from<K extends SharedKey = SharedKey, V = any>(handle: SharedHandle): SharedMap<K, V>;
  readonly handle: string;

  get(key: K): V | undefined;
  /** The value and the version of its entry, which no other entry of the key ever has. */
  getVersioned(key: K): { value: V; version: number } | undefined;
  has(key: K): boolean;
  /** Milliseconds that the entry has left, Infinity if it does not expire, undefined if there is none. */
  ttl(key: K): number | undefined;
  /**
   * @throws ERR_MANYCORE_FULL without room, DataCloneError for what cannot be cloned
   */
  set(key: K, value: V, options?: SharedSetOptions): this;
  /** Stores if the entry still has this version; 0: if there is none. The new version, or 0 if nothing was done. */
  compareAndSet(key: K, version: number, value: V, options?: SharedSetOptions): number;
  /** Whether there was an entry. */
  delete(key: K): boolean;
  /** Deletes the entry if it still has this version. Whether it was deleted. */
  compareAndDelete(key: K, version: number): boolean;
  /** The value there is, or else this one, which is stored. */
  getOrInsert(key: K, value: V, options?: SharedSetOptions): V;
  /** As `getOrInsert`, of a value made when it is needed. Of several callers at once, one's value counts. */
  getOrInsertComputed(key: K, compute: (key: K) => V, options?: SharedSetOptions): V;
  /**
   * Replaces the value by what `change` makes of it, atomically: if another changes the entry meanwhile, `change` is
   * called again with the newer value. It gets undefined if there is none; what it returns is stored, undefined
   * deletes. An entry that is there keeps its time to live unless `ttlMs` is given.
   * @throws ERR_INVALID_ARG_VALUE where `change` itself changes this key, by whichever object of this thread: it would be
   *   called for ever. ERR_MANYCORE_OVERTAKEN after 10,000 tries
   */
  update(key: K, change: (value: V | undefined) => V | undefined, options?: SharedSetOptions): V | undefined;
  /**
   * Adds to a number, which begins at 0, and returns the sum. The entry keeps its time to live unless `ttlMs` is given.
   * @throws ERR_INVALID_ARG_VALUE when the value is not a number
   */
  incr(key: K, by?: number, options?: SharedSetOptions): number;
  /** Entries; expired ones count until somebody comes across them. Asks each shard. */
  readonly size: number;
  /** Removes everything, shard by shard. */
  clear(): void;

  /**
   * All entries, in no particular order. An entry that is there from beginning to end is met once; one that is
   * stored or deleted meanwhile may be met or not.
   */
  entries(): IterableIterator<[K, V]>;
  keys(): IterableIterator<K>;
  values(): IterableIterator<V>;
  [Symbol.iterator](): IterableIterator<[K, V]>;
  forEach(callback: (value: V, key: K, map: this) => void, thisArg?: any): void;

  /**
   * Tells of changes that any thread or process makes to one key. Several changes in a row may be told as one; an entry
   * that expires is noticed within 250 ms.
   */
  watch(key: K): SharedMapWatcher<V>;
  stats(): SharedMapStats;
  close(): void;
  [Symbol.dispose](): void;
}

export interface SharedCounterOptions {
  /** What a new one begins with. Default: 0. */
  initial?: number;
}

/** A whole number, from -(2^53 - 1) to 2^53 - 1, that threads and processes change at once. Changes are atomic. */
export declare class SharedCounter implements SharedObject {
  constructor(options?: SharedCounterOptions);
  static open(name: string, options?: SharedOpenOptions & SharedCounterOptions): SharedCounter;
  static from(handle: SharedHandle): SharedCounter;
  readonly handle: string;
  readonly value: number;
  /** Adds, 1 by default, and returns the sum. */
  add(by?: number): number;
  subtract(by?: number): number;
  /** Puts another number in its place, and returns the one there was. */
  exchange(value: number): number;
  /** Puts `value` in the place of `expected`. Returns what was there: `expected`, if it was replaced. */
  compareExchange(expected: number, value: number): number;
  close(): void;
  [Symbol.dispose](): void;
}

export interface SharedHistogramOptions {
  /** The lowest value to be told from 0. Default: 1. */
  lowest?: number;
  /** The highest value, at least twice the lowest. Default: 2^53 - 1. */
  highest?: number;
  /** How many digits of a value are kept, 1 to 5; each more takes ten times the memory. Default: 3. */
  significantDigits?: number;
}

/** A histogram in the manner of HdrHistogram, that threads and processes record into at once. */
export declare class SharedHistogram implements SharedObject {
  constructor(options?: SharedHistogramOptions);
  static open(name: string, options?: SharedOpenOptions & SharedHistogramOptions): SharedHistogram;
  static from(handle: SharedHandle): SharedHistogram;
  readonly handle: string;
  /**
   * Records a value, of which the whole part counts, once or so many times.
   * @throws ERR_OUT_OF_RANGE below 0 and above the highest
   */
  record(value: number, times?: number): void;
  /**
   * Records a value, and for each `expectedInterval` that it took longer a lower one: those that were not measured
   * meanwhile.
   */
  recordCorrected(value: number, expectedInterval: number): void;
  readonly count: number;
  /** The least value; 0 without any, and if there is one that is not told from 0. */
  readonly min: number;
  /** The greatest value; 0 without any. */
  readonly max: number;
  /** Of the middles of the ranges that values are told apart by. */
  readonly mean: number;
  readonly stddev: number;
  /** All five at once. */
  summary(): { count: number; min: number; max: number; mean: number; stddev: number };
  /** The value that `percent` percent of all do not exceed. */
  percentile(percent: number): number;
  /** The ranges of values that have any, from the lowest on. */
  buckets(): { lowest: number; highest: number; count: number }[];
  /** Adds the values of another with the same options. */
  merge(other: SharedHistogram): this;
  reset(): void;
  close(): void;
  [Symbol.dispose](): void;
}

export interface RateLimiterOptions {
  /** How much may be consumed per window. Up to 10^9; of sliding windows up to 2^20 - 1. */
  limit: number;
  /** Length of a window in milliseconds. */
  windowMs: number;
  /**
   * `'token-bucket'`: `limit` tokens run in per window, evenly, and a bucket holds `burst`. `'sliding-window'`: in the
   * last `windowMs`, at any time, no more than `limit`, where what came in the fixed window before counts as if it
   * had come evenly. Default: `'token-bucket'`.
   */
  algorithm?: 'token-bucket' | 'sliding-window';
  /** What a bucket holds at most, and at the beginning. Default: `limit`. */
  burst?: number;
  /**
   * For how many keys there is room that have consumed something lately; 34 bytes each or more. Keys that are back at
   * their full limit need none. Default: 10,000.
   */
  maxKeys?: number;
}

export interface RateVerdict {
  allowed: boolean;
  /** What could be consumed now. */
  remaining: number;
  /** After how many milliseconds as much could be consumed, if nobody else does; 0 if it was allowed. */
  retryAfterMs: number;
}

/**
 * Limits how often something happens, per key, in all threads and processes together. Totals are exact, also when
 * processes are killed.
 */
export declare class RateLimiter implements SharedObject {
  constructor(options: RateLimiterOptions);
  /** One that is there keeps the options it was made with, which may be left out with `create: false`. */
  static open(name: string, options?: SharedOpenOptions & Partial<RateLimiterOptions>): RateLimiter;
  static from(handle: SharedHandle): RateLimiter;
  readonly handle: string;
  readonly rules: Readonly<Pick<RateLimiterOptions, 'algorithm' | 'limit' | 'windowMs' | 'burst'>>;
  /**
   * Consumes `cost` (1) of the key's limit (that of `''`), all of it or nothing, and tells whether it did.
   * @throws ERR_MANYCORE_FULL when more keys are in use than there is room for
   */
  consume(key?: SharedKey, cost?: number): boolean;
  /** As `consume`, and tells more. */
  take(key?: SharedKey, cost?: number): RateVerdict;
  /** What `take` would tell, without consuming. */
  peek(key?: SharedKey, cost?: number): RateVerdict;
  /** Forgets what the key has consumed. */
  reset(key?: SharedKey): void;
  close(): void;
  [Symbol.dispose](): void;
}

export type SharedArrayType = 'value' | 'int32' | 'uint32' | 'float64' | 'bigint64' | 'biguint64';

export interface SharedArrayOptions {
  /**
   * What the elements are: values as in a SharedMap, or numbers of one type, each of which takes 8 bytes. Default:
   * `'value'`. Opening an array of another type throws `ERR_MANYCORE_SEGMENT_KIND`.
   */
  type?: SharedArrayType;
  /** Elements that there are from the beginning: 0 or, of values, undefined. Default: 0. */
  length?: number;
  /** How many there can be, up to 2^32. Default: the length. Memory for all of them is taken at once. */
  capacity?: number;
  /**
   * Bytes that a value takes at most, from 8 to 65,536; of a string its characters, of an object about its JSON text.
   * An element takes twice that, so that a new value never overwrites the one that counts. Default: 128.
   */
  valueBytes?: number;
}

/**
 * An array in memory that threads and processes share. Each element changes atomically, as the length does. A process
 * may be killed at any instruction: the others find each element as it was before or after its change. Reading takes no
 * lock. What is said of numbers throws `ERR_INVALID_THIS` in an array of values, and the other way round.
 */
export declare class SharedArray<T = any> implements SharedObject {
  /** A new one without a name; it needs a length or a capacity. */
  constructor(options: SharedArrayOptions);
  /** Opens or makes the one of a name. One that is there keeps the options it was made with. */
  static open<T = any>(name: string, options?: SharedOpenOptions & SharedArrayOptions): SharedArray<T>;
  /** Opens another's. */
  static from<T = any>(handle: SharedHandle): SharedArray<T>;
  readonly handle: string;
  readonly type: SharedArrayType;
  /** Elements that there are now. */
  readonly length: number;
  /** Elements that there can be. */
  readonly capacity: number;
  /** Bytes that a value takes at most. */
  readonly valueBytes: number;

  /** The element, undefined if there is none of that index. */
  get(index: number): T | undefined;
  /** As `get`; negative indices count from the end. */
  at(index: number): T | undefined;
  /**
   * @throws ERR_OUT_OF_RANGE for an index that is not below the length, or a number that the type does not have;
   * ERR_MANYCORE_FULL for a value of more than `valueBytes`
   */
  set(index: number, value: T): this;
  /**
   * Puts a value behind the last, and returns the new length.
   * @throws ERR_MANYCORE_FULL at the capacity, and for a value of more than `valueBytes`
   */
  push(value: T): number;
  /** Takes the last one away, which is popped by one caller only; undefined if there is none. */
  pop(): T | undefined;
  /** Sets the elements from `start` (0) up to, not including, `end` (the length), one after the other. */
  fill(value: T, start?: number, end?: number): this;
  /** Takes all of them away. */
  clear(): void;
  /**
   * Replaces an element by what `change` makes of it, atomically: if another changes it meanwhile, `change` is called
   * again with what is there then.
   * @throws ERR_INVALID_ARG_VALUE where `change` itself changes this element, by whichever object of this thread.
   *   ERR_MANYCORE_OVERTAKEN after 10,000 tries
   */
  update(index: number, change: (value: T) => T): T;

  /** Of values: one and its version, which is 0 for one that was never stored. */
  getVersioned(index: number): { value: T | undefined; version: number } | undefined;
  /** Of values: stores if the element still has this version. The new version, or 0 if nothing was done. */
  compareAndSet(index: number, version: number, value: T): number;

  /** Of numbers: adds 1 or `by`, and returns the sum. Integers wrap. */
  add(index: number, by?: T): T;
  /** Of numbers: subtracts 1 or `by`, and returns the difference. Integers wrap. */
  subtract(index: number, by?: T): T;
  /** Of integers: keeps these bits only, and returns what the number was. */
  and(index: number, bits: T): T;
  /** Of integers: sets these bits, and returns what the number was. */
  or(index: number, bits: T): T;
  /** Of integers: flips these bits, and returns what the number was. */
  xor(index: number, bits: T): T;
  /** Of numbers: stores one, and returns what was there. */
  exchange(index: number, value: T): T;
  /** Of numbers: stores `value` if `expected` is there, and returns what was there. */
  compareExchange(index: number, expected: T, value: T): T;

  /** Elements that are there when their turn comes. One that is popped just then is undefined. */
  values(): IterableIterator<T>;
  entries(): IterableIterator<[number, T]>;
  keys(): IterableIterator<number>;
  [Symbol.iterator](): IterableIterator<T>;
  forEach(callback: (value: T, index: number, array: this) => void, thisArg?: any): void;
  /** An array of the values of now, read one after the other. */
  toArray(): T[];
  close(): void;
  [Symbol.dispose](): void;
}

/** What a caller that waits gives up at. */
export interface SharedWaitOptions {
  signal?: AbortSignal;
}

/** What a caller that blocks gives up at. */
export interface SharedBlockOptions {
  /** Milliseconds after which `ERR_MANYCORE_TIMEOUT` is thrown. Default: never. */
  timeoutMs?: number;
}

export interface ChannelOptions {
  /** How many values wait in it at most. Default: 1024. */
  capacity?: number;
  /** And how many bytes they take, 16 more than each itself. From 1,024 on. Default: 1 MiB. */
  capacityBytes?: number;
}

/**
 * A bounded queue for any number of senders and receivers in threads and processes: each value is received once, in
 * order. A sender that is killed has sent a value or not; a receiver that is killed takes the value it has received
 * with it. Values are as in a SharedMap. Async iteration ends when the channel is closed and empty.
 */
export declare class Channel<T = any> implements AsyncIterable<T> {
  constructor(options?: ChannelOptions);
  static open<T = any>(name: string, options?: SharedOpenOptions & ChannelOptions): Channel<T>;
  static from<T = any>(handle: SharedHandle): Channel<T>;
  readonly handle: string;
  /**
   * Sends if there is room, and tells whether there was.
   * @throws ERR_MANYCORE_CHANNEL_CLOSED, and ERR_MANYCORE_FULL for a value that never fits
   */
  trySend(value: T): boolean;
  /** Sends the value of now, when there is room. */
  send(value: T, options?: SharedWaitOptions): Promise<void>;
  /** Blocks the thread until there is room. */
  sendSync(value: T, options?: SharedBlockOptions): void;
  /**
   * Receives if there is something.
   * @throws ERR_MANYCORE_CHANNEL_CLOSED when there will be nothing any more
   */
  tryReceive(): { value: T } | undefined;
  receive(options?: SharedWaitOptions): Promise<T>;
  /** Blocks the thread until there is something. */
  receiveSync(options?: SharedBlockOptions): T;
  [Symbol.asyncIterator](): AsyncGenerator<T, void, void>;
  /** Values that wait. */
  readonly size: number;
  readonly closed: boolean;
  stats(): { size: number; usedBytes: number; capacityBytes: number; sent: number; closed: boolean };
  /** No more values, from anybody; those that wait can still be received. */
  close(): void;
  /** Lets go of the memory. Others keep it. */
  release(): void;
  [Symbol.dispose](): void;
}

export interface TopicOptions {
  /** How many bytes of values are kept for subscribers; the oldest go. From 1,024 on. Default: 1 MiB. */
  capacityBytes?: number;
}

/** Values that every subscriber in every thread and process receives, in order. Publishing never waits. */
export declare class Topic<T = any> {
  constructor(options?: TopicOptions);
  static open<T = any>(name: string, options?: SharedOpenOptions & TopicOptions): Topic<T>;
  static from<T = any>(handle: SharedHandle): Topic<T>;
  readonly handle: string;
  /** @throws ERR_MANYCORE_CHANNEL_CLOSED, and ERR_MANYCORE_FULL for a value that never fits */
  publish(value: T): void;
  /** A place of one's own: from the next value on (default), or from the oldest that is kept. */
  subscribe(options?: { from?: 'latest' | 'earliest' }): TopicSubscription<T>;
  stats(): { size: number; usedBytes: number; capacityBytes: number; published: number; closed: boolean };
  /** No more values, from anybody. */
  close(): void;
  /** Lets go of the memory. Others keep it. */
  release(): void;
  [Symbol.dispose](): void;
}

/** A place in a topic. Takes nothing from other subscribers, and costs publishers nothing. */
export interface TopicSubscription<T> extends AsyncIterable<T> {
  tryReceive(): { value: T } | undefined;
  receive(options?: SharedWaitOptions): Promise<T>;
  receiveSync(options?: SharedBlockOptions): T;
  [Symbol.asyncIterator](): AsyncGenerator<T, void, void>;
  /** Values published that it has not received yet. */
  readonly lag: number;
  /** Values that went before it came to receive them. */
  readonly missed: number;
  release(): void;
  [Symbol.dispose](): void;
}

export interface SharedSegment {
  name: string;
  scope: 'host' | 'process';
  /**
   * What it holds: `'buffer'`, `'map'`, `'counter'`, `'histo'`, `'array'`, `'limiter'`, `'channel'` or
   * `'topic'`.
   */
  kind: string;
  /** Bytes of memory. */
  bytes: number;
  createdAt: Date;
  /** Whether any thread or process has it open. */
  inUse: boolean;
}

/** The named segments themselves. */
export declare const shared: {
  /** Those that this process can open. */
  list(): SharedSegment[];
  /** How many there are, and how much memory they take. */
  stats(): { segments: number; bytes: number; unusedSegments: number; unusedBytes: number };
  /**
   * Takes a name away: the next one to open it makes a new segment. Those who have the old one keep it. Whether there
   * was one.
   */
  unlink(name: string, options?: { scope?: 'host' | 'process' }): boolean;
  /** Removes the segments of this user that nobody has open, and returns their names. */
  prune(): string[];
};
