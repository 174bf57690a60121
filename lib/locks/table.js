'use strict';

/**
 * One table of requests, for all kinds of locks: requests that do not wait, that block the thread, and that wait on
 * the event loop. A grant is identified by its slot and the serial number of the slot's use.
 */

const { performance } = require('node:perf_hooks');

const { requireAddon } = require('../core/addon');
const { makeError } = require('../core/errors');
const { LONGEST_TIMER_MS } = require('../core/timers');
const { guarded } = require('../shared/failures');
const { Flag, LAST, OWNER_DIED, Result, Status, watch } = require('./native');
const { waitOptions } = require('./options');
const { Shortcut } = require('./shortcut');

/** Slice of a blocking wait, in milliseconds, so that `worker.terminate()` can end it. */
const SLICE_MS = 20;
/** Why a lock is full. */
const MANY_REQUESTS = 'as many requests hold it or wait for it as it has room for (maxRequests)';

/**
 * @typedef {object} Grant
 * @property {number} index
 * @property {number} serial
 * @property {number} fencingToken
 * @property {boolean} ownerDied
 * @property {boolean} isLast
 * @property {number} ticket
 */

class Table {
  /**
   * @param {import('../native/index').LockTable} native
   * @param {string} subject name of the lock in errors
   */
  constructor(native, subject) {
    this.native = native;
    this.subject = subject;
    this.calls = native.calls();
    /** Results of the last call. */
    this.results = new Float64Array(this.calls.results);
    /** @type {Shortcut | null} */
    this.shortcut = null;
  }

  /**
   * @param {number} kind
   * @param {import('../shared/source').Place} place
   * @param {number} slots
   * @param {number} limit
   */
  static open(kind, place, slots, limit) {
    const { LockTable } = requireAddon('locks');
    const open = () => LockTable.open(place.source, kind, slots, limit);
    return new Table(guarded(place.subject, Table.open, open), place.subject);
  }

  /**
   * Enables the fast path, for a lock that supports it. Returns null if the runtime does not allow external memory.
   */
  openShortcut() {
    try {
      this.shortcut = new Shortcut(this.native.memory(), this.native.me);
    } catch {
      this.shortcut = null;
    }
    return this.shortcut;
  }

  /**
   * Calls the addon, and converts its errors.
   * @template T
   * @param {() => T} call
   * @returns {T}
   */
  guarded(call) {
    return guarded(this.subject, this.guarded, call);
  }

  /**
   * Requests without waiting. Returns null if the lock is not available.
   * @param {number} flags
   * @param {number} permits
   * @returns {Grant | null}
   */
  tryNow(flags, permits) {
    const status = this.calls.request(flags, permits);
    return status === Status.UNAVAILABLE ? null : this.granted(status);
  }

  /**
   * Requests, and blocks the thread until granted.
   * @param {number} flags
   * @param {number} permits
   * @param {unknown} options
   * @returns {Grant}
   */
  block(flags, permits, options) {
    const { timeoutMs } = waitOptions(options);
    const status = this.calls.request(flags | Flag.BLOCKING, permits);
    if (status !== Status.PENDING) return this.granted(status);
    const { index, serial } = this.requested();
    const end = this.blockOn(index, serial, timeoutMs);
    if (end === Status.PENDING) throw makeError('ERR_MANYCORE_LOCK_TIMEOUT', [timeoutMs], this.block);
    return this.granted(end, index, serial);
  }

  /**
   * Blocks the thread while a request is pending, for at most `timeoutMs`. Returns its status; a request that is
   * still pending has been cancelled.
   * @param {number} index
   * @param {number} serial
   * @param {number} timeoutMs
   * @returns {number}
   */
  blockOn(index, serial, timeoutMs) {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const left = deadline - performance.now();
      if (left <= 0) return this.calls.cancel(index, serial);
      const status = this.calls.wait(index, serial, Math.min(SLICE_MS, Math.ceil(left)));
      if (status !== Status.PENDING) return status;
    }
  }

  /**
   * Requests, and waits on the event loop until granted.
   * @param {number} flags
   * @param {number} permits
   * @param {unknown} options
   * @returns {Promise<Grant>}
   */
  async wait(flags, permits, options) {
    const { timeoutMs, signal } = waitOptions(options);
    const status = this.calls.request(flags | Flag.BELL, permits);
    if (status !== Status.PENDING) return this.granted(status);
    const { index, serial, ticket } = this.requested();
    const end = await this.waitOn(index, serial, timeoutMs, signal);
    if (end === Status.PENDING) throw makeError('ERR_MANYCORE_LOCK_TIMEOUT', [timeoutMs], this.wait);
    // Other calls may have overwritten the results since.
    return { ...this.granted(this.calls.standing(index, serial), index, serial), ticket };
  }

  /**
   * Waits on the event loop while a request is pending. Resolves to its status; a request that is still pending has
   * been cancelled. Rejects with the signal's reason if aborted before it is granted.
   * @param {number} index
   * @param {number} serial
   * @param {number} timeoutMs
   * @param {AbortSignal | undefined} signal
   * @returns {Promise<number>}
   */
  waitOn(index, serial, timeoutMs, signal) {
    return new Promise((resolve, reject) => {
      /** @type {NodeJS.Timeout | undefined} */
      let timer;
      const finish = () => {
        unwatch();
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
      };
      const onChange = () => {
        finish();
        resolve(this.calls.standing(index, serial));
      };
      const onTimeout = () => {
        finish();
        resolve(this.calls.cancel(index, serial));
      };
      const onAbort = () => {
        finish();
        const status = this.calls.cancel(index, serial);
        // A request that has just been granted stays granted.
        if (status === Status.PENDING) reject(signal?.reason);
        else resolve(status);
      };
      const unwatch = watch(this.native, index, serial, true, onChange);
      signal?.addEventListener('abort', onAbort, { once: true });
      if (timeoutMs <= LONGEST_TIMER_MS) timer = setTimeout(onTimeout, timeoutMs);
      // It may have been granted before the listener was added.
      if (this.calls.standing(index, serial) !== Status.PENDING) onChange();
    });
  }

  /**
   * Creates a request for `blockOn` or `waitOn`.
   * @param {number} flags
   */
  enqueue(flags) {
    const status = this.calls.request(flags, 1);
    if (status !== Status.PENDING && status !== Status.HELD) throw this.refused(status);
    return this.requested();
  }

  /**
   * @param {number} index
   * @param {number} serial
   * @returns {boolean} whether it was held
   */
  release(index, serial) {
    const status = this.calls.release(index, serial);
    if (status === Status.HELD) return true;
    if (status === Status.GONE) return false;
    throw this.refused(status);
  }

  /** Releases a lock taken by the fast path. @returns {boolean} whether it was held */
  leave() {
    if (this.shortcut?.leave()) return true;
    const status = this.calls.leave();
    if (status === Status.HELD) return true;
    if (status === Status.GONE) return false;
    throw this.refused(status);
  }

  /** Returns the results of the last request, which may still be pending. */
  requested() {
    const { results } = this;
    return {
      index: results[Result.INDEX],
      serial: results[Result.SERIAL],
      ticket: results[Result.TICKET],
    };
  }

  /**
   * Returns the grant resulting from the last call.
   * @param {number} status
   * @param {number} [index] slot of an earlier request
   * @param {number} [serial]
   * @returns {Grant}
   */
  granted(status, index = this.results[Result.INDEX], serial = this.results[Result.SERIAL]) {
    if (status !== Status.HELD) throw this.refused(status);
    const { results } = this;
    const flags = results[Result.FLAGS];
    return {
      index,
      serial,
      fencingToken: results[Result.FENCE],
      ownerDied: (flags & OWNER_DIED) !== 0,
      isLast: (flags & LAST) !== 0,
      ticket: results[Result.TICKET],
    };
  }

  /**
   * Returns the error for an unexpected status.
   * @param {number} status
   */
  refused(status) {
    switch (status) {
      case Status.FULL:
        return makeError('ERR_MANYCORE_FULL', [this.subject, MANY_REQUESTS], this.refused);
      case Status.DEADLOCK:
        return makeError('ERR_MANYCORE_DEADLOCK', [], this.refused);
      case Status.STUCK:
        return makeError('ERR_MANYCORE_STUCK', [this.subject], this.refused);
      default:
        return makeError('ERR_MANYCORE_SEGMENT_CORRUPT', [this.subject], this.refused);
    }
  }
}

module.exports.Table = Table;
