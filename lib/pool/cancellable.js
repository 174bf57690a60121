'use strict';

const { CancellationError, TimeoutError } = require('./errors');

/**
 * Promise of a task that can be cancelled.
 * @extends {Promise<any>}
 */
class CancellablePromise extends Promise {
  /**
   * Derived promises are ordinary ones.
   * @override
   */
  static get [Symbol.species]() {
    return Promise;
  }

  /** @type {((error: Error) => void) | null} */
  _cancel = null;
  /** @type {((timeoutMs: number) => void) | null} */
  _limit = null;

  /** Rejects the promise with a CancellationError and stops the task. */
  cancel() {
    this._cancel?.(new CancellationError());
    return this;
  }

  /**
   * Rejects the promise with a TimeoutError if the task runs for longer than `timeoutMs`.
   * @param {number} timeoutMs
   */
  timeout(timeoutMs) {
    this._limit?.(timeoutMs);
    return this;
  }

  /** @param {() => any} callback */
  always(callback) {
    return this.then(callback, callback);
  }
}

Object.assign(CancellablePromise, { CancellationError, TimeoutError });

module.exports.CancellablePromise = CancellablePromise;
module.exports.CancellationError = CancellationError;
module.exports.TimeoutError = TimeoutError;
