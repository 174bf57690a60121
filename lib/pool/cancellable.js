'use strict';

const { CancellationError, TimeoutError } = require('./errors');

/**
 * A promise of a task that can still be called off.
 * @extends {Promise<any>}
 */
class CancellablePromise extends Promise {
  /**
   * Promises derived from it are ordinary ones.
   * @override
   */
  static get [Symbol.species]() {
    return Promise;
  }

  /** @type {((error: Error) => void) | null} */
  _cancel = null;
  /** @type {((timeoutMs: number) => void) | null} */
  _limit = null;

  /** Rejects it with a CancellationError, and the task is stopped. */
  cancel() {
    this._cancel?.(new CancellationError());
    return this;
  }

  /**
   * Rejects it with a TimeoutError when the task has run for so long.
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
