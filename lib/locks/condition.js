'use strict';

const { performance } = require('node:perf_hooks');

const { makeError } = require('../core/errors');
const { OptionNames } = require('../core/option-names');
const { Flag, Kind, Status } = require('./native');
const { LockObject, kKind, kName, kTable } = require('./object');
const { checkFunction, record, waitOptions, wholeNumber } = require('./options');
const { UnlockToken, kOpened } = require('./token');

const EVERYBODY = 2 ** 32 - 1;
const WAIT_FOR_OPTIONS = new OptionNames('waitForAsync()', ['signal']);

/** A condition variable. */
class Condition extends LockObject {
  /** @override */
  static [kKind] = Kind.CONDITION;
  /** @override */
  static [kName] = 'condition';

  /**
   * @param {UnlockToken} token
   * @param {object} [options]
   */
  wait(token, options) {
    const { timeoutMs } = waitOptions(options);
    const lock = UnlockToken[kOpened](token);
    const { index, serial } = this[kTable].enqueue(Flag.BLOCKING);
    let status;
    try {
      // Enqueued before the lock is released, so no notification can be missed.
      token.unlock();
      status = this[kTable].blockOn(index, serial, timeoutMs);
      this[kTable].release(index, serial);
    } finally {
      lock.lockAgain();
    }
    return this.#wasNotified(status);
  }

  /**
   * @param {UnlockToken} token
   * @param {object} [options]
   */
  async waitAsync(token, options) {
    const { timeoutMs, signal } = waitOptions(options);
    const lock = UnlockToken[kOpened](token);
    const { index, serial } = this[kTable].enqueue(Flag.BELL);
    let status;
    try {
      token.unlock();
      status = await this[kTable].waitOn(index, serial, timeoutMs, signal);
      this[kTable].release(index, serial);
    } finally {
      await lock.lockAgainAsync();
    }
    return this.#wasNotified(status);
  }

  /**
   * @param {UnlockToken} token
   * @param {number} timeoutMs
   * @param {() => unknown} [predicate]
   */
  waitFor(token, timeoutMs, predicate) {
    if (predicate === undefined) return this.wait(token, { timeoutMs });
    checkFunction('predicate', predicate);
    const deadline = performance.now() + waitOptions({ timeoutMs }).timeoutMs;
    UnlockToken[kOpened](token);
    while (!isTrue(predicate)) {
      const left = deadline - performance.now();
      if (left <= 0) return false;
      this.wait(token, { timeoutMs: left });
    }
    return true;
  }

  /**
   * @param {UnlockToken} token
   * @param {number} timeoutMs
   * @param {() => unknown} [predicate]
   * @param {{ signal?: AbortSignal }} [options]
   */
  async waitForAsync(token, timeoutMs, predicate, options) {
    WAIT_FOR_OPTIONS.check(record('options', options));
    const limits = waitOptions({ ...options, timeoutMs });
    if (predicate === undefined) return this.waitAsync(token, limits);
    checkFunction('predicate', predicate);
    const deadline = performance.now() + limits.timeoutMs;
    UnlockToken[kOpened](token);
    while (!(await predicate())) {
      const left = deadline - performance.now();
      if (left <= 0) return false;
      await this.waitAsync(token, { ...limits, timeoutMs: left });
    }
    return true;
  }

  /** @param {number} [count] */
  notify(count = Infinity) {
    if (count === Infinity) count = EVERYBODY;
    const most = wholeNumber('count', count, 0, EVERYBODY);
    return this[kTable].guarded(() => this[kTable].native.notify(most));
  }

  /** @param {number} status */
  #wasNotified(status) {
    if (status === Status.HELD) return true;
    if (status === Status.PENDING) return false;
    throw this[kTable].refused(status);
  }
}

/** @param {() => unknown} predicate */
function isTrue(predicate) {
  const result = /** @type {any} */ (predicate());
  if (typeof result?.then !== 'function') return Boolean(result);
  const details = ['predicate', predicate, 'must not be asynchronous: use waitForAsync()'];
  throw makeError('ERR_INVALID_ARG_VALUE', details, Condition.prototype.waitFor);
}

module.exports.Condition = Condition;
