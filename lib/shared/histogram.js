'use strict';

const { guarded } = require('./failures');
const { makeError } = require('../core/errors');
const source = require('./source');

const KIND = 'histo';
const OPTIONS = source.optionNames('SharedHistogram', 'lowest', 'highest', 'significantDigits');
const { MAX_SAFE_INTEGER } = Number;

/** A histogram that threads and processes record into concurrently, see types/shared.d.ts. */
class SharedHistogram {
  #native;
  #subject;
  #record;

  /**
   * @param {any} [options]
   * @param {import('./source').Place} [place]
   */
  constructor(options, place = source.NOWHERE) {
    const origin = new.target;
    const given = source.checkOptions(options, origin, OPTIONS);
    const number = (/** @type {string} */ name, /** @type {any} */ rules) =>
      source.numberOption(`options.${name}`, given[name], { ...rules, origin });
    const lowest = number('lowest', { fallback: 1, min: 1, max: Math.floor(MAX_SAFE_INTEGER / 2) });
    const highest = number('highest', { fallback: MAX_SAFE_INTEGER, min: lowest * 2, max: MAX_SAFE_INTEGER });
    const digits = number('significantDigits', { fallback: 3, min: 1, max: 5 });
    const { NativeHistogram } = source.addonFor('SharedHistogram');
    this.#subject = place.subject;
    this.#native = guarded(place.subject, origin, () =>
      NativeHistogram.open(place.source, lowest, highest, digits),
    );
    this.#record = /** @type {Record<string, (...args: any[]) => any>} */ (this.#native.methods()).record;
    source.defineHandle(this, KIND, (form) => this.#guarded(() => this.#native[form]));
  }

  /**
   * @param {string} name
   * @param {any} [options]
   */
  static open(name, options) {
    return new SharedHistogram(options, source.named(name, options, SharedHistogram.open));
  }

  /** @param {unknown} handle */
  static from(handle) {
    return new SharedHistogram(undefined, source.handed(handle, KIND, SharedHistogram.from));
  }

  /** @param {number} value */
  record(value, times = 1) {
    if (times !== 1) check('times', times, 1, SharedHistogram.prototype.record);
    this.#checked(this.#record(value, times), value);
  }

  /**
   * @param {number} value
   * @param {number} expectedInterval
   */
  recordCorrected(value, expectedInterval) {
    check('expectedInterval', expectedInterval, 1, SharedHistogram.prototype.recordCorrected);
    this.#checked(this.#record(value, 1, expectedInterval), value);
  }

  get count() {
    return this.summary().count;
  }

  get min() {
    return this.summary().min;
  }

  get max() {
    return this.summary().max;
  }

  get mean() {
    return this.summary().mean;
  }

  get stddev() {
    return this.summary().stddev;
  }

  summary() {
    const { count, min, max, mean, standardDeviation } = this.#guarded(() => this.#native.summary());
    return { count, min, max, mean, stddev: standardDeviation };
  }

  /** @param {number} percent */
  percentile(percent) {
    const rules = {
      fallback: NaN,
      min: 0,
      max: 100,
      integer: false,
      origin: SharedHistogram.prototype.percentile,
    };
    const checked = source.numberOption('percent', percent, rules);
    return this.#guarded(() => this.#native.percentile(checked));
  }

  buckets() {
    const buckets = this.#guarded(() => this.#native.buckets());
    return buckets.map(([lowest, highest, count]) => ({ lowest, highest, count }));
  }

  /** @param {SharedHistogram} other */
  merge(other) {
    const origin = SharedHistogram.prototype.merge;
    if (!(other instanceof SharedHistogram)) {
      throw makeError('ERR_INVALID_ARG_TYPE', ['other', 'a SharedHistogram', other], origin);
    }
    if (!this.#guarded(() => this.#native.merge(other.#native))) {
      throw makeError('ERR_INVALID_ARG_VALUE', ['other', other, 'has another range or precision'], origin);
    }
    return this;
  }

  reset() {
    this.#guarded(() => this.#native.reset());
  }

  close() {
    this.#native.close();
  }

  [Symbol.dispose ?? Symbol.for('nodejs.dispose')]() {
    this.close();
  }

  /**
   * @param {boolean | null} recorded
   * @param {unknown} value
   */
  #checked(recorded, value) {
    if (recorded === true) return;
    const origin = SharedHistogram.prototype.record;
    if (recorded === null) throw makeError('ERR_MANYCORE_CLOSED', [this.#subject], origin);
    if (typeof value !== 'number') {
      throw makeError('ERR_INVALID_ARG_TYPE', ['value', 'a number', value], origin);
    }
    throw makeError('ERR_OUT_OF_RANGE', ['value', 'between 0 and the highest value', value], origin);
  }

  /**
   * @template T
   * @param {() => T} call
   */
  #guarded(call) {
    return guarded(this.#subject, SharedHistogram, call);
  }
}

/**
 * @param {string} name
 * @param {unknown} value
 * @param {number} min
 * @param {Function} origin
 */
function check(name, value, min, origin) {
  return source.numberOption(name, value, { fallback: NaN, min, max: MAX_SAFE_INTEGER, origin });
}

module.exports.SharedHistogram = SharedHistogram;
