'use strict';

const { guarded } = require('./failures');
const { Exchange } = require('./exchange');
const { readEntries } = require('./entries');
const { Listeners } = require('./bell');
const { MapWatcher } = require('./watcher');
const scratch = require('./scratch');
const source = require('./source');
const updates = require('./updates');
const { makeError } = require('../core/errors');
const { OptionNames } = require('../core/option-names');

/** @typedef {string | number | Uint8Array} Key */

const KIND = 'map';
const OPTIONS = source.optionNames(
  'SharedMap',
  'capacityBytes',
  'shards',
  'averageEntryBytes',
  'evict',
  'ttlMs',
);
/** Options of the methods that store something. */
const SET_OPTIONS = new OptionNames('A change of a SharedMap', ['ttlMs']);
const DEFAULT_CAPACITY_BYTES = 16 * 1024 * 1024;
const MIN_CAPACITY_BYTES = 64 * 1024;
const MAX_CAPACITY_BYTES = 2 ** 38;
const MAX_SHARDS = 1024;
/** A smaller shard may have no room for an entry beside its lists. */
const MIN_SHARD_BYTES = 4096;
const DEFAULT_ENTRY_BYTES = 128;
const MAX_TTL_MS = 2 ** 40;
/** Expiry arguments of the addon. */
const NEVER = 0;
const KEPT = -1;

/** A hash table in shared memory, see types/shared.d.ts. */
class SharedMap {
  #native;
  #subject;
  #exchange;
  #numbers;
  #methods;
  #get;
  #getShort;
  #set;
  #setShort;
  #listeners;
  /** Identity of the memory, determined on first use. @type {string | undefined} */
  #identity;

  /**
   * @param {any} [options]
   * @param {import('./source').Place} [place]
   */
  constructor(options, place = source.NOWHERE) {
    const origin = new.target;
    const tableOptions = readOptions(options, origin);
    const { SharedTable } = source.addonFor('SharedMap');
    this.#subject = place.subject;
    this.#native = guarded(place.subject, origin, () => SharedTable.open(place.source, tableOptions));
    this.#exchange = new Exchange(this.#native, place.subject, () => this.#limits());
    this.#numbers = this.#exchange.numbers;
    this.#methods = /** @type {Record<string, (...args: any[]) => any>} */ (this.#native.methods());
    this.#get = this.#methods.get;
    this.#getShort = this.#methods.getShort;
    this.#set = this.#methods.set;
    this.#setShort = this.#methods.setShort;
    this.#listeners = new Listeners(() => this.#guarded(() => this.#native.bell()));
    source.defineHandle(this, KIND, (form) => this.#guarded(() => this.#native[form]));
  }

  /**
   * @param {string} name
   * @param {any} [options]
   */
  static open(name, options) {
    return new SharedMap(options, source.named(name, options, SharedMap.open));
  }

  /** @param {unknown} handle */
  static from(handle) {
    return new SharedMap(undefined, source.handed(handle, KIND, SharedMap.from));
  }

  /** @param {Key} key */
  get(key) {
    const raw = this.#exchange.putKey(key) ? this.#getShort() : this.#get(key);
    if (typeof raw === 'string' || raw === undefined || typeof raw === 'number') return raw;
    return this.#exchange.value(raw, key);
  }

  /** @param {Key} key */
  getVersioned(key) {
    const raw = this.#exchange.putKey(key) ? this.#getShort() : this.#get(key);
    if (raw === undefined) return undefined;
    const version = this.#numbers[scratch.VERSION];
    return { value: this.#exchange.value(raw, key), version };
  }

  /** @param {Key} key */
  has(key) {
    const has = this.#exchange.putKey(key) ? this.#methods.hasShort() : this.#methods.has(key);
    return this.#exchange.checked(has, key);
  }

  /** @param {Key} key */
  ttl(key) {
    return this.has(key) ? this.#numbers[scratch.EXTRA] : undefined;
  }

  /**
   * @param {Key} key
   * @param {any} value
   * @param {any} [options]
   */
  set(key, value, options) {
    if (updates.running.length > 0) this.#checkNotUpdating(key, this.set);
    if (options === undefined && (typeof value === 'string' || typeof value === 'number')) {
      const made = this.#exchange.putKey(key) ? this.#setShort(value) : this.#set(key, value);
      if (made === null) this.#exchange.fail(key);
      return this;
    }
    this.#store(key, value, expiry(options, SharedMap.prototype.set), undefined);
    return this;
  }

  /**
   * @param {Key} key
   * @param {number} version
   * @param {any} value
   * @param {any} [options]
   */
  compareAndSet(key, version, value, options) {
    if (updates.running.length > 0) this.#checkNotUpdating(key, this.compareAndSet);
    source.versionArgument(version, SharedMap.prototype.compareAndSet);
    const made = this.#store(key, value, expiry(options, SharedMap.prototype.compareAndSet), version);
    return made ? this.#numbers[scratch.VERSION] : 0;
  }

  /** @param {Key} key */
  delete(key) {
    if (updates.running.length > 0) this.#checkNotUpdating(key, this.delete);
    this.#exchange.checked(this.#methods.delete(key), key);
    return this.#numbers[scratch.VERSION] !== 0;
  }

  /**
   * @param {Key} key
   * @param {number} version
   */
  compareAndDelete(key, version) {
    if (updates.running.length > 0) this.#checkNotUpdating(key, this.compareAndDelete);
    source.versionArgument(version, SharedMap.prototype.compareAndDelete);
    return this.#exchange.isMade(this.#methods.delete(key, version), key) && version !== 0;
  }

  /**
   * @param {Key} key
   * @param {any} value
   * @param {any} [options]
   */
  getOrInsert(key, value, options) {
    return this.#getOrInsert(key, () => value, expiry(options, SharedMap.prototype.getOrInsert));
  }

  /**
   * @param {Key} key
   * @param {(key: Key) => any} compute
   * @param {any} [options]
   */
  getOrInsertComputed(key, compute, options) {
    checkFunction('compute', compute, SharedMap.prototype.getOrInsertComputed);
    return this.#getOrInsert(key, compute, expiry(options, SharedMap.prototype.getOrInsertComputed));
  }

  /**
   * @param {Key} key
   * @param {(key: Key) => any} compute
   * @param {number | undefined} expires
   */
  #getOrInsert(key, compute, expires) {
    if (updates.running.length > 0) this.#checkNotUpdating(key, this.getOrInsert);
    let raw = this.#get(key);
    if (raw !== undefined) return this.#exchange.value(raw, key);
    const value = compute(key);
    // The competing entry may be removed between the refused store and the read.
    while (!this.#store(key, value, expires, 0)) {
      raw = this.#get(key);
      if (raw !== undefined) return this.#exchange.value(raw, key);
    }
    return value;
  }

  /**
   * @param {Key} key
   * @param {(value: any) => any} change
   * @param {any} [options]
   */
  update(key, change, options) {
    checkFunction('change', change, SharedMap.prototype.update);
    if (updates.running.length > 0) this.#checkNotUpdating(key, this.update);
    const expires = expiry(options, SharedMap.prototype.update) ?? KEPT;
    const attempt = () => this.#tryUpdate(key, change, expires);
    return updates.untilDone(this.#subject, SharedMap.prototype.update, attempt).value;
  }

  /**
   * Returns the value that was stored; undefined if another change came first.
   * @param {Key} key
   * @param {(value: any) => any} change
   * @param {number} expires
   */
  #tryUpdate(key, change, expires) {
    const current = this.getVersioned(key);
    const version = current?.version ?? 0;
    const value = updates.changed(this.#memory, key, change, current?.value);
    if (value === undefined) {
      const isGone = version === 0 || this.#exchange.isMade(this.#methods.delete(key, version), key);
      return isGone ? { value } : undefined;
    }
    return this.#store(key, value, expires, version) ? { value } : undefined;
  }

  /**
   * @param {Key} key
   * @param {number} [by]
   * @param {any} [options]
   */
  incr(key, by = 1, options) {
    if (updates.running.length > 0) this.#checkNotUpdating(key, this.incr);
    if (typeof by !== 'number') throw makeError('ERR_INVALID_ARG_TYPE', ['by', 'a number', by], this.incr);
    const expires = options === undefined ? undefined : expiry(options, SharedMap.prototype.incr);
    const sum = this.#exchange.putKey(key)
      ? this.#methods.addShort(by, expires)
      : this.#methods.add(key, by, expires);
    return this.#exchange.checked(sum, key);
  }

  get size() {
    return this.#guarded(() => this.#native.stats()).entries;
  }

  clear() {
    if (updates.running.length > 0) this.#checkNotUpdating(undefined, this.clear);
    this.#guarded(() => this.#native.clear());
  }

  *entries() {
    let bucket = 0;
    while (bucket >= 0) {
      const next = this.#exchange.checked(this.#methods.scan(bucket), '');
      const isApart = typeof next === 'object';
      const memory = isApart ? next : this.#exchange.arrayBuffer;
      const read = (/** @type {number} */ start, /** @type {number} */ length) =>
        this.#exchange.readRecord(start, length, isApart ? next : undefined);
      // All at once, since the next call overwrites the memory.
      yield* readEntries(memory, isApart ? 0 : scratch.READ_AT, this.#numbers[scratch.LENGTH], read);
      bucket = isApart ? bucket + 1 : next;
    }
  }

  *keys() {
    for (const [key] of this.entries()) yield key;
  }

  *values() {
    for (const [, value] of this.entries()) yield value;
  }

  [Symbol.iterator]() {
    return this.entries();
  }

  /**
   * @param {(value: any, key: Key, map: SharedMap) => void} callback
   * @param {any} [thisArg]
   */
  forEach(callback, thisArg) {
    for (const [key, value] of this.entries()) callback.call(thisArg, value, key, this);
  }

  /** @param {Key} key */
  watch(key) {
    this.#exchange.checked(this.#methods.watch(key), key);
    return new MapWatcher(this, key, this.#listeners);
  }

  stats() {
    const stats = this.#guarded(() => this.#native.stats());
    return {
      size: stats.entries,
      usedBytes: stats.blockBytes,
      payloadBytes: stats.payloadBytes,
      capacityBytes: stats.capacityBytes,
      segmentBytes: stats.segmentBytes,
      shards: stats.shards,
      evicted: stats.evicted,
      expired: stats.expired,
    };
  }

  close() {
    this.#native.close();
    this.#listeners.notify();
  }

  [Symbol.dispose ?? Symbol.for('nodejs.dispose')]() {
    this.close();
  }

  get #memory() {
    return (this.#identity ??= this.#guarded(() => this.#native.identity));
  }

  /**
   * @param {Key | undefined} key undefined for all keys
   * @param {Function} origin
   */
  #checkNotUpdating(key, origin) {
    updates.checkNotRunning(this.#memory, 'key', key, origin);
  }

  /** What an entry must fit into, for errors. */
  #limits() {
    const { shards, capacityBytes } = this.stats();
    const bytes = Math.floor(capacityBytes / shards);
    const advice = "Larger capacityBytes or fewer shards give it more, evict: 'lru' removes old entries";
    return `each of its ${shards} shards has room for ${bytes} bytes of entries. ${advice}`;
  }

  /**
   * Stores any value. Returns false if the current version is not the expected one.
   * @param {Key} key
   * @param {any} value
   * @param {number | undefined} expires
   * @param {number | undefined} version
   * @returns {boolean}
   */
  #store(key, value, expires, version) {
    if (typeof value === 'string' || typeof value === 'number') {
      const made = this.#exchange.putKey(key)
        ? this.#setShort(value, expires, version)
        : this.#set(key, value, expires, version);
      return this.#exchange.isMade(made, key);
    }
    const methods = this.#methods;
    const exchange = this.#exchange;
    const made = exchange.give(
      value,
      (length) =>
        exchange.putKey(key)
          ? methods.setScratchShort(length, expires, version)
          : methods.setScratch(key, length, expires, version),
      (bytes, kind) => methods.setBytes(key, bytes, kind, expires, version),
    );
    return exchange.isMade(made, key);
  }

  /**
   * @template T
   * @param {() => T} call
   */
  #guarded(call) {
    return guarded(this.#subject, SharedMap, call);
  }
}

/**
 * @param {any} options
 * @param {Function} origin
 */
function readOptions(options, origin) {
  const given = source.checkOptions(options, origin, OPTIONS);
  const number = source.numberOption;
  const { evict = 'none' } = given;
  if (evict !== 'none' && evict !== 'lru') {
    throw makeError('ERR_INVALID_ARG_VALUE', ['options.evict', evict, "must be 'none' or 'lru'"], origin);
  }
  const capacityBytes = number('options.capacityBytes', given.capacityBytes, {
    fallback: DEFAULT_CAPACITY_BYTES,
    min: MIN_CAPACITY_BYTES,
    max: MAX_CAPACITY_BYTES,
    origin,
  });
  // The addon rounds up to a power of two.
  const most = Math.min(MAX_SHARDS, 2 ** Math.floor(Math.log2(capacityBytes / MIN_SHARD_BYTES)));
  return {
    capacityBytes,
    shards: number('options.shards', given.shards, { fallback: 0, min: 1, max: most, origin }),
    entryBytes: number('options.averageEntryBytes', given.averageEntryBytes, {
      fallback: DEFAULT_ENTRY_BYTES,
      min: 16,
      max: 2 ** 30,
      origin,
    }),
    evicts: evict === 'lru',
    ttlMs: ttlOption(given, origin) ?? 0,
  };
}

/**
 * @param {any} options
 * @param {Function} origin
 * @returns {number | undefined}
 */
function ttlOption(options, origin) {
  if (options.ttlMs === undefined) return undefined;
  if (options.ttlMs === Infinity) return NEVER;
  const rules = { fallback: 0, min: Number.MIN_VALUE, max: MAX_TTL_MS, integer: false, origin };
  return source.numberOption('options.ttlMs', options.ttlMs, rules);
}

/**
 * @param {any} options
 * @param {Function} origin
 */
function expiry(options, origin) {
  if (options === undefined) return undefined;
  const ttlMs = ttlOption(source.checkOptions(options, origin), origin);
  // Only then can it have been misspelt, and it is set often.
  if (ttlMs === undefined) SET_OPTIONS.check(options);
  return ttlMs;
}

/**
 * @param {string} name
 * @param {unknown} value
 * @param {Function} origin
 */
function checkFunction(name, value, origin) {
  if (typeof value !== 'function') {
    throw makeError('ERR_INVALID_ARG_TYPE', [name, 'a function', value], origin);
  }
}

module.exports.SharedMap = SharedMap;
