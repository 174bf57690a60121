'use strict';

const { Exchange } = require('./exchange');
const { guarded, noElement } = require('./failures');
const numbers = require('./array-numbers');
const { checkIndex, readOptions } = require('./array-options');
const scratch = require('./scratch');
const source = require('./source');
const updates = require('./updates');
const { makeError } = require('../core/errors');

const KIND = 'array';
/** Index passed to native methods for the position after the last element. */
const BEHIND = -1;

/** An array in shared memory, see types/shared.d.ts. */
class SharedArray {
  #native;
  #subject;
  #exchange;
  #methods;
  #type;
  #options;
  /** Identity of the memory, determined on first use. @type {string | undefined} */
  #identity;

  /**
   * @param {any} options
   * @param {import('./source').Place} [place]
   */
  constructor(options, place = source.NOWHERE) {
    const origin = new.target;
    const wanted = readOptions(options, place, origin);
    const { NativeArray } = source.addonFor('SharedArray');
    this.#subject = place.subject;
    this.#native = guarded(place.subject, origin, () => NativeArray.open(place.source, wanted));
    this.#options = guarded(place.subject, origin, () => this.#native.options);
    this.#type = numbers.TYPES[this.#options.of];
    if (options?.type !== undefined && options.type !== this.#type.name) {
      const found = `an array whose type is '${this.#type.name}'`;
      throw makeError('ERR_MANYCORE_SEGMENT_KIND', [place.subject, found], origin);
    }
    this.#exchange = new Exchange(this.#native, place.subject, () => this.#limits());
    this.#methods = /** @type {Record<string, (...args: any[]) => any>} */ (this.#native.methods());
    source.defineHandle(this, KIND, (form) => this.#guarded(() => this.#native[form]));
  }

  /**
   * @param {string} name
   * @param {any} [options]
   */
  static open(name, options) {
    return new SharedArray(options, source.named(name, options, SharedArray.open));
  }

  /** @param {unknown} handle */
  static from(handle) {
    return new SharedArray(undefined, source.handed(handle, KIND, SharedArray.from));
  }

  get type() {
    return this.#type.name;
  }

  get capacity() {
    return this.#options.capacity;
  }

  get valueBytes() {
    return this.#options.valueBytes;
  }

  get length() {
    return this.#exchange.checked(this.#methods.length());
  }

  /** What limits its room, for errors. */
  #limits() {
    const room = `it has room for ${this.capacity} elements`;
    if (this.#type.isNumber) return `${room} (capacity)`;
    return `${room} (capacity) of at most ${this.valueBytes} bytes (valueBytes)`;
  }

  /** @param {number} index */
  get(index) {
    const raw = this.#methods.get(index);
    if (raw === undefined || typeof raw === 'number' || typeof raw === 'string') return raw;
    return typeof raw === 'bigint' ? raw : this.#exchange.value(raw, index);
  }

  /** @param {number} index */
  at(index) {
    const whole = Math.trunc(index) || 0;
    return this.get(whole < 0 ? this.length + whole : whole);
  }

  /**
   * @param {number} index
   * @param {any} value
   */
  set(index, value) {
    const origin = SharedArray.prototype.set;
    this.#store(checkIndex(index, origin), value, undefined, origin);
    return this;
  }

  /** @param {any} value */
  push(value) {
    this.#store(BEHIND, value, undefined, SharedArray.prototype.push);
    return this.#exchange.numbers[scratch.LENGTH];
  }

  pop() {
    if (updates.running.length > 0) this.#checkNotUpdating(this.length - 1, this.pop);
    const raw = this.#methods.pop();
    return raw === undefined || typeof raw === 'bigint' ? raw : this.#exchange.value(raw, undefined);
  }

  /**
   * @param {any} value
   * @param {number} [start]
   * @param {number} [end]
   */
  fill(value, start = 0, end = Infinity) {
    const { length } = this;
    const last = positionOf(end, length);
    for (let index = positionOf(start, length); index < last; index++) this.set(index, value);
    return this;
  }

  clear() {
    if (updates.running.length > 0) this.#checkNotUpdating(undefined, this.clear);
    this.#guarded(() => this.#native.clear());
  }

  /** @param {number} index */
  getVersioned(index) {
    this.#checkValues(SharedArray.prototype.getVersioned);
    this.#exchange.numbers[scratch.VERSION] = NaN;
    const value = this.get(index);
    const version = this.#exchange.numbers[scratch.VERSION];
    return Number.isNaN(version) ? undefined : { value, version };
  }

  /**
   * @param {number} index
   * @param {number} version
   * @param {any} value
   */
  compareAndSet(index, version, value) {
    const origin = SharedArray.prototype.compareAndSet;
    this.#checkValues(origin);
    source.versionArgument(version, origin);
    this.#store(checkIndex(index, origin), value, version, origin);
    return this.#exchange.numbers[scratch.VERSION];
  }

  /**
   * @param {number} index
   * @param {(value: any) => any} change
   */
  update(index, change) {
    const origin = SharedArray.prototype.update;
    if (typeof change !== 'function') {
      throw makeError('ERR_INVALID_ARG_TYPE', ['change', 'a function', change], origin);
    }
    checkIndex(index, origin);
    if (updates.running.length > 0) this.#checkNotUpdating(index, origin);
    const attempt = () =>
      this.#type.isNumber ? this.#tryReplace(index, change) : this.#tryUpdate(index, change);
    return updates.untilDone(this.#subject, origin, attempt).made;
  }

  /**
   * @param {number} index
   * @param {(value: any) => any} change
   */
  #tryUpdate(index, change) {
    const found = this.getVersioned(index);
    if (found === undefined) throw noElement(index, this.update);
    const made = updates.changed(this.#memory, index, change, found.value);
    return this.compareAndSet(index, found.version, made) === 0 ? undefined : { made };
  }

  /**
   * @param {number} index
   * @param {(value: any) => any} change
   */
  #tryReplace(index, change) {
    const found = this.get(index);
    if (found === undefined) throw noElement(index, this.update);
    const made = updates.changed(this.#memory, index, change, found);
    return numbers.isSame(this.compareExchange(index, found, made), found) ? { made } : undefined;
  }

  /**
   * @param {number} index
   * @param {any} [by]
   */
  add(index, by = this.#type.one) {
    return this.#sum(index, numbers.Operation.ADD, by, SharedArray.prototype.add);
  }

  /**
   * @param {number} index
   * @param {any} [by]
   */
  subtract(index, by = this.#type.one) {
    return this.#sum(index, numbers.Operation.SUBTRACT, by, SharedArray.prototype.subtract);
  }

  /**
   * @param {number} index
   * @param {any} bits
   */
  and(index, bits) {
    return this.#combine(index, numbers.Operation.AND, bits, SharedArray.prototype.and);
  }

  /**
   * @param {number} index
   * @param {any} bits
   */
  or(index, bits) {
    return this.#combine(index, numbers.Operation.OR, bits, SharedArray.prototype.or);
  }

  /**
   * @param {number} index
   * @param {any} bits
   */
  xor(index, bits) {
    return this.#combine(index, numbers.Operation.XOR, bits, SharedArray.prototype.xor);
  }

  /**
   * @param {number} index
   * @param {any} value
   */
  exchange(index, value) {
    return this.#change(index, numbers.Operation.EXCHANGE, value, SharedArray.prototype.exchange);
  }

  /**
   * @param {number} index
   * @param {any} expected
   * @param {any} value
   */
  compareExchange(index, expected, value) {
    const origin = SharedArray.prototype.compareExchange;
    this.#checkNumbers(origin);
    checkIndex(index, origin);
    if (updates.running.length > 0) this.#checkNotUpdating(index, origin);
    this.#type.check('expected', expected, origin);
    this.#type.check('value', value, origin);
    return this.#exchange.checked(this.#methods.compare(index, expected, value), index);
  }

  *entries() {
    for (let index = 0; index < this.length; index++) {
      // An element popped meanwhile reads as undefined, as in an array.
      yield /** @type {[number, any]} */ ([index, this.get(index)]);
    }
  }

  *keys() {
    for (let index = 0; index < this.length; index++) yield index;
  }

  *values() {
    for (const [, value] of this.entries()) yield value;
  }

  [Symbol.iterator]() {
    return this.values();
  }

  /**
   * @param {(value: any, index: number, array: SharedArray) => void} callback
   * @param {any} [thisArg]
   */
  forEach(callback, thisArg) {
    for (const [index, value] of this.entries()) callback.call(thisArg, value, index, this);
  }

  toArray() {
    return [...this];
  }

  close() {
    this.#native.close();
  }

  [Symbol.dispose ?? Symbol.for('nodejs.dispose')]() {
    this.close();
  }

  /**
   * Stores a value in an existing element, or after the last one.
   * @param {number} index
   * @param {any} value
   * @param {number | undefined} version
   * @param {Function} origin
   */
  #store(index, value, version, origin) {
    if (updates.running.length > 0) this.#checkNotUpdating(index, origin);
    const methods = this.#methods;
    let made;
    if (this.#type.isNumber) {
      this.#type.check('value', value, origin);
      made = methods.set(index, value);
    } else if (typeof value === 'string' || typeof value === 'number') {
      made = methods.set(index, value, version);
    } else {
      made = this.#exchange.give(
        value,
        (length) => methods.setScratch(index, length, version),
        (bytes, kind) => methods.setBytes(index, bytes, kind, version),
      );
    }
    this.#exchange.checked(made, index);
  }

  /**
   * @param {number} index
   * @param {number} operation
   * @param {any} operand
   * @param {Function} origin
   */
  #change(index, operation, operand, origin) {
    this.#checkNumbers(origin);
    checkIndex(index, origin);
    if (updates.running.length > 0) this.#checkNotUpdating(index, origin);
    this.#type.check('value', operand, origin);
    return this.#exchange.checked(this.#methods.change(index, operation, operand), index);
  }

  /**
   * Returns the number resulting from an addition or subtraction.
   * @param {number} index
   * @param {number} operation
   * @param {any} operand
   * @param {Function} origin
   */
  #sum(index, operation, operand, origin) {
    const before = this.#change(index, operation, operand, origin);
    return this.#type.wrap(operation === numbers.Operation.ADD ? before + operand : before - operand);
  }

  /**
   * Like `#change`, for integers.
   * @param {number} index
   * @param {number} operation
   * @param {any} operand
   * @param {Function} origin
   */
  #combine(index, operation, operand, origin) {
    if (this.#type.name === 'float64') {
      throw makeError('ERR_INVALID_THIS', ['a SharedArray of integers'], origin);
    }
    return this.#change(index, operation, operand, origin);
  }

  get #memory() {
    return (this.#identity ??= this.#guarded(() => this.#native.identity));
  }

  /**
   * @param {number | undefined} index undefined for all elements
   * @param {Function} origin
   */
  #checkNotUpdating(index, origin) {
    updates.checkNotRunning(this.#memory, 'index', index, origin);
  }

  /** @param {Function} origin */
  #checkNumbers(origin) {
    if (!this.#type.isNumber) throw makeError('ERR_INVALID_THIS', ['a SharedArray of numbers'], origin);
  }

  /** @param {Function} origin */
  #checkValues(origin) {
    if (this.#type.isNumber) {
      throw makeError('ERR_INVALID_THIS', ["a SharedArray of the type 'value'"], origin);
    }
  }

  /**
   * @template T
   * @param {() => T} call
   */
  #guarded(call) {
    return guarded(this.#subject, SharedArray, call);
  }
}

/**
 * Returns the index that a relative one stands for, as in methods of arrays.
 * @param {unknown} index
 * @param {number} length
 */
function positionOf(index, length) {
  const whole = Math.trunc(Number(index)) || 0;
  return whole < 0 ? Math.max(length + whole, 0) : Math.min(whole, length);
}

module.exports.SharedArray = SharedArray;
