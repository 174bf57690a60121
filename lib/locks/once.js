'use strict';

const { makeError } = require('../core/errors');
const { Flag, Kind } = require('./native');
const { LockObject, kKind, kName, kTable } = require('./object');
const { checkFunction } = require('./options');

/** Runs a function once among all threads and processes. */
class Once extends LockObject {
  /** @override */
  static [kKind] = Kind.LOCK;
  /** @override */
  static [kName] = 'once';

  get isDone() {
    return this[kTable].guarded(() => this[kTable].native.isDone);
  }

  /**
   * @param {(run: { ownerDied: boolean, fencingToken: number }) => void} fn
   * @param {object} [options]
   */
  run(fn, options) {
    checkFunction('fn', fn);
    if (this.isDone) return false;
    return this.#runWith(this[kTable].block(Flag.EXCLUSIVE, 1, options), fn);
  }

  /**
   * @param {(run: { ownerDied: boolean, fencingToken: number }) => unknown} fn
   * @param {object} [options]
   */
  async runAsync(fn, options) {
    checkFunction('fn', fn);
    if (this.isDone) return false;
    const grant = await this[kTable].wait(Flag.EXCLUSIVE, 1, options);
    try {
      if (this.isDone) return false;
      await fn(runOf(grant));
      this[kTable].guarded(() => this[kTable].native.setDone());
      return true;
    } finally {
      this[kTable].release(grant.index, grant.serial);
    }
  }

  /** @param {(run: { ownerDied: boolean, fencingToken: number }) => void} fn */
  runIfAvailable(fn) {
    checkFunction('fn', fn);
    if (this.isDone) return false;
    const grant = this[kTable].tryNow(Flag.EXCLUSIVE, 1);
    return grant !== null && this.#runWith(grant, fn);
  }

  /**
   * @param {import('./table').Grant} grant
   * @param {(run: { ownerDied: boolean, fencingToken: number }) => void} fn
   */
  #runWith(grant, fn) {
    try {
      if (this.isDone) return false;
      const result = /** @type {any} */ (fn(runOf(grant)));
      if (typeof result?.then === 'function') {
        throw makeError(
          'ERR_INVALID_ARG_VALUE',
          ['fn', fn, 'must not be asynchronous: use runAsync()'],
          this.run,
        );
      }
      this[kTable].guarded(() => this[kTable].native.setDone());
      return true;
    } finally {
      this[kTable].release(grant.index, grant.serial);
    }
  }
}

/** @param {import('./table').Grant} grant */
function runOf({ ownerDied, fencingToken }) {
  return { ownerDied, fencingToken };
}

module.exports.Once = Once;
