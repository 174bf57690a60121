'use strict';

/**
 * One table of requests: asking at once, blocking the thread, and waiting on the event loop, the same for all kinds
 * of locks. A grant is named by two numbers, its slot and the use of it.
 */

const { performance } = require('node:perf_hooks');

const { requireAddon } = require('../core/addon');
const { makeError } = require('../core/errors');
const { guarded } = require('../shared/failures');
const { Flag, LAST, OWNER_DIED, Result, Status, watch } = require('./native');
const { waitOptions } = require('./options');
const { Shortcut } = require('./shortcut');

/** A blocking wait comes back to JavaScript this often, so that `worker.terminate()` ends it. */
const SLICE_MS = 20;
/** The longest time that setTimeout knows. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

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
   * @param {string} subject what errors call it
   */
  constructor(native, subject) {
    this.native = native;
    this.subject = subject;
    this.calls = native.calls();
    /** What the last call left. */
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

  /** For a lock that can be taken without a call of the addon. Null where memory of the addon's cannot be seen. */
  openShortcut() {
    try {
      this.shortcut = new Shortcut(this.native.memory(), this.native.me);
    } catch {
      this.shortcut = null;
    }
    return this.shortcut;
  }

  /**
   * Calls the addon, and gives its errors their codes.
   * @template T
   * @param {() => T} call
   * @returns {T}
   */
  guarded(call) {
    return guarded(this.subject, this.guarded, call);
  }

  /**
   * Asks without waiting. Null when it is not available.
   * @param {number} flags
   * @param {number} permits
   * @returns {Grant | null}
   */
  tryNow(flags, permits) {
    const status = this.calls.request(flags, permits);
    return status === Status.UNAVAILABLE ? null : this.granted(status);
  }

  /**
   * Asks, and blocks the thread while it has to wait.
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
   * Blocks the thread while a request waits, `timeoutMs` at most. Returns how it stands then; one that still waits
   * has been taken back.
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
   * Asks, and waits on the event loop.
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
    // Others may have used the results since.
    return { ...this.granted(this.calls.standing(index, serial), index, serial), ticket };
  }

  /**
   * Waits on the event loop while a request waits. Resolves to how it stands then; one that still waits has been
   * taken back. Rejects with the signal's reason, if aborted before it is granted.
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
        // What was granted just now stays granted.
        if (status === Status.PENDING) reject(signal?.reason);
        else resolve(status);
      };
      const unwatch = watch(this.native, index, serial, true, onChange);
      signal?.addEventListener('abort', onAbort, { once: true });
      if (timeoutMs <= LONGEST_TIMER_MS) timer = setTimeout(onTimeout, timeoutMs);
      // It may have been granted before anybody listened.
      if (this.calls.standing(index, serial) !== Status.PENDING) onChange();
    });
  }

  /**
   * Makes a request for `blockOn` or `waitOn`.
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

  /** Lets go of what the shortcut gave. @returns {boolean} whether it was held */
  leave() {
    if (this.shortcut?.leave()) return true;
    const status = this.calls.leave();
    if (status === Status.HELD) return true;
    if (status === Status.GONE) return false;
    throw this.refused(status);
  }

  /** What the last request left, of one that waits too. */
  requested() {
    const { results } = this;
    return {
      index: results[Result.INDEX],
      serial: results[Result.SERIAL],
      ticket: results[Result.TICKET],
    };
  }

  /**
   * The grant that the last call left.
   * @param {number} status
   * @param {number} [index] of a request made earlier
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
   * The error for a status that is none of the expected.
   * @param {number} status
   */
  refused(status) {
    switch (status) {
      case Status.FULL:
        return makeError('ERR_MANYCORE_FULL', [this.subject], this.refused);
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
