'use strict';

const { guarded } = require('./failures');
const { makeError } = require('../core/errors');
const source = require('./source');

const KIND = 'counter';
const OPTIONS = source.optionNames('SharedCounter', 'initial');
const { MAX_SAFE_INTEGER, MIN_SAFE_INTEGER } = Number;

/** An integer that threads and processes modify atomically, see types/shared.d.ts. */
class SharedCounter {
  #native;
  #subject;
  #methods;
  #add;

  /**
   * @param {any} [options]
   * @param {import('./source').Place} [place]
   */
  constructor(options, place = source.NOWHERE) {
    const origin = new.target;
    const given = source.checkOptions(options, origin, OPTIONS);
    const initial = integer('options.initial', given.initial ?? 0, origin);
    const { NativeCounter } = source.addonFor('SharedCounter');
    this.#subject = place.subject;
    this.#native = guarded(place.subject, origin, () => NativeCounter.open(place.source, initial));
    this.#methods = /** @type {Record<string, (...args: any[]) => any>} */ (this.#native.methods());
    this.#add = this.#methods.add;
    source.defineHandle(this, KIND, (form) =>
      guarded(this.#subject, SharedCounter, () => this.#native[form]),
    );
  }

  /**
   * @param {string} name
   * @param {any} [options]
   */
  static open(name, options) {
    return new SharedCounter(options, source.named(name, options, SharedCounter.open));
  }

  /** @param {unknown} handle */
  static from(handle) {
    return new SharedCounter(undefined, source.handed(handle, KIND, SharedCounter.from));
  }

  get value() {
    return this.#checked(this.#methods.get());
  }

  add(by = 1) {
    if (!Number.isSafeInteger(by)) integer('by', by, SharedCounter.prototype.add);
    return this.#checked(this.#add(by));
  }

  subtract(by = 1) {
    return this.#checked(this.#add(-integer('by', by, SharedCounter.prototype.subtract)));
  }

  /** @param {number} value */
  exchange(value) {
    return this.#checked(this.#methods.exchange(integer('value', value, SharedCounter.prototype.exchange)));
  }

  /**
   * @param {number} expected
   * @param {number} value
   */
  compareExchange(expected, value) {
    const origin = SharedCounter.prototype.compareExchange;
    const { compareExchange } = this.#methods;
    return this.#checked(
      compareExchange(integer('expected', expected, origin), integer('value', value, origin)),
    );
  }

  close() {
    this.#native.close();
  }

  [Symbol.dispose ?? Symbol.for('nodejs.dispose')]() {
    this.close();
  }

  /** @param {number | null} result */
  #checked(result) {
    if (result === null) throw makeError('ERR_MANYCORE_CLOSED', [this.#subject], this.#checked);
    return result;
  }
}

/**
 * @param {string} name
 * @param {unknown} value
 * @param {Function} origin
 */
function integer(name, value, origin) {
  if (value === undefined) throw makeError('ERR_INVALID_ARG_TYPE', [name, 'a number', value], origin);
  return source.numberOption(name, value, {
    fallback: 0,
    min: MIN_SAFE_INTEGER,
    max: MAX_SAFE_INTEGER,
    origin,
  });
}

module.exports.SharedCounter = SharedCounter;
