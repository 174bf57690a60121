'use strict';

const { fromMethod, guarded } = require('./failures');
const { makeError } = require('../core/errors');
const scratch = require('./scratch');
const source = require('./source');

const KIND = 'limiter';
const OPTIONS = source.optionNames('RateLimiter', 'limit', 'windowMs', 'algorithm', 'burst', 'maxKeys');
const MAX_LIMIT = 1e9;
/** Maxima of the packed counters of a sliding window. */
const MAX_WINDOW_LIMIT = 2 ** 20 - 1;
const MAX_WINDOW_MS = 2 ** 33;
const DEFAULT_MAX_KEYS = 10_000;

/** A rate limiter shared by all threads and processes, see types/shared.d.ts. */
class RateLimiter {
  #native;
  #subject;
  #numbers;
  #methods;
  #consume;
  /** 0 until it is known. */
  #most = 0;

  /**
   * @param {any} options
   * @param {import('./source').Place} [place]
   */
  constructor(options, place = source.NOWHERE) {
    const origin = new.target;
    const given = readOptions(options, place, origin);
    const { NativeLimiter } = source.addonFor('RateLimiter');
    this.#subject = place.subject;
    this.#native = guarded(place.subject, origin, () =>
      NativeLimiter.open(place.source, given.rules, given.maxKeys),
    );
    const memory = /** @type {ArrayBuffer} */ (this.#native.scratch());
    this.#numbers = new Float64Array(memory, 0, scratch.READ_AT / 8);
    this.#methods = /** @type {Record<string, (...args: any[]) => any>} */ (this.#native.methods());
    this.#consume = this.#methods.consume;
    source.defineHandle(this, KIND, (form) => guarded(this.#subject, RateLimiter, () => this.#native[form]));
  }

  /**
   * @param {string} name
   * @param {any} [options]
   */
  static open(name, options) {
    return new RateLimiter(options, source.named(name, options, RateLimiter.open));
  }

  /** @param {unknown} handle */
  static from(handle) {
    return new RateLimiter(undefined, source.handed(handle, KIND, RateLimiter.from));
  }

  /** @param {import('./map').Key} key */
  consume(key = '', cost = 1) {
    if (!(Number.isSafeInteger(cost) && cost > 0)) checkCost(cost, RateLimiter.prototype.consume);
    const allowed = this.#consume(key, cost);
    return allowed === null ? this.#fail(key) : allowed;
  }

  /** @param {import('./map').Key} key */
  take(key = '', cost = 1) {
    return this.#verdict(this.consume(key, cost), cost);
  }

  /** @param {import('./map').Key} key */
  peek(key = '', cost = 1) {
    checkCost(cost, RateLimiter.prototype.peek);
    const allowed = this.#methods.peek(key, cost);
    if (allowed === null) this.#fail(key);
    const verdict = this.#verdict(allowed, cost);
    // The addon tells what would remain after taking.
    if (allowed) verdict.remaining += cost;
    return verdict;
  }

  /** @param {import('./map').Key} key */
  reset(key = '') {
    if (this.#methods.reset(key) === null) this.#fail(key);
  }

  get rules() {
    const { slides, limit, windowMs, burst } = guarded(this.#subject, RateLimiter, () => this.#native.rules);
    return slides
      ? { algorithm: 'sliding-window', limit, windowMs }
      : { algorithm: 'token-bucket', limit, windowMs, burst };
  }

  close() {
    this.#native.close();
  }

  [Symbol.dispose ?? Symbol.for('nodejs.dispose')]() {
    this.close();
  }

  /**
   * @param {boolean} allowed
   * @param {number} cost
   */
  #verdict(allowed, cost) {
    const remaining = this.#numbers[scratch.LENGTH];
    const retryAfterMs = this.#numbers[scratch.EXTRA];
    // More than there ever is cannot be consumed at any time.
    return { allowed, remaining, retryAfterMs: allowed || cost <= this.#largest ? retryAfterMs : Infinity };
  }

  /** The largest cost that can be consumed. */
  get #largest() {
    if (this.#most === 0) {
      const { limit, burst = limit } = this.rules;
      this.#most = burst;
    }
    return this.#most;
  }

  /**
   * @param {unknown} key
   * @returns {never}
   */
  #fail(key) {
    const why = () => 'more keys than maxKeys have been used recently, so give it more';
    throw fromMethod(this.#numbers[scratch.FAILURE], this.#subject, key, this.#fail, why);
  }
}

/**
 * @param {any} options
 * @param {import('./source').Place} place
 * @param {Function} origin
 */
function readOptions(options, place, origin) {
  const given = source.checkOptions(options, origin, OPTIONS);
  const { algorithm = 'token-bucket' } = given;
  if (algorithm !== 'token-bucket' && algorithm !== 'sliding-window') {
    const reason = "must be 'token-bucket' or 'sliding-window'";
    throw makeError('ERR_INVALID_ARG_VALUE', ['options.algorithm', algorithm, reason], origin);
  }
  const slides = algorithm === 'sliding-window';
  // Existing limiters keep their rules, so these options are not required for opening one.
  const opens = place.source.handle !== undefined || place.source.create === 0;
  const number = (/** @type {string} */ name, /** @type {number} */ max, /** @type {number} */ fallback) => {
    const unless = opens ? 1 : fallback;
    return source.numberOption(`options.${name}`, given[name], { fallback: unless, min: 1, max, origin });
  };
  const limit = number('limit', slides ? MAX_WINDOW_LIMIT : MAX_LIMIT, NaN);
  return {
    rules: {
      slides,
      limit,
      windowMs: number('windowMs', MAX_WINDOW_MS, NaN),
      burst: number('burst', MAX_LIMIT, limit),
    },
    maxKeys: number('maxKeys', 2 ** 30, DEFAULT_MAX_KEYS),
  };
}

/**
 * @param {unknown} cost
 * @param {Function} origin
 */
function checkCost(cost, origin) {
  source.numberOption('cost', cost, { fallback: 1, min: 1, max: MAX_LIMIT, origin });
}

module.exports.RateLimiter = RateLimiter;
