'use strict';

/** Stops tasks early: by a call, by a signal, or on timeout. */

const { LONGEST_TIMER_MS } = require('../core/timers');
const { TimeoutError } = require('./errors');

/**
 * @typedef {object} Grace
 * @property {number} until
 * @property {NodeJS.Timeout | null} timer
 * @property {() => void} end
 */

/**
 * @typedef {object} Parts of an engine
 * @property {import('./tasks').Tasks} tasks
 * @property {import('../native/index').PoolQueue} native
 * @property {import('./crew').Crew} crew
 * @property {number} abortGraceMs
 * @property {() => void} onReleased called after tasks have been settled
 */

class Stopping {
  #tasks;
  #native;
  #crew;
  #abortGraceMs;
  #onReleased;
  /** Grace periods of tasks that have been asked to stop. @type {Set<Grace>} */
  #graces = new Set();

  /** @param {Parts} parts */
  constructor({ tasks, native, crew, abortGraceMs, onReleased }) {
    this.#tasks = tasks;
    this.#native = native;
    this.#crew = crew;
    this.#abortGraceMs = abortGraceMs;
    this.#onReleased = onReleased;
  }

  /**
   * Rejects a task early: it will not run, or is asked to stop.
   * @param {number} slot
   * @param {any} error
   * @param {number} [graceMs] grace period for it to stop
   */
  cancel(slot, error, graceMs = this.#abortGraceMs) {
    const extra = this.#tasks.peek(slot);
    const info = extra?.info ?? null;
    this.#tasks.reject(slot, error);
    const place = this.#native.cancel(slot);
    if (place === -1) this.#crew.forgetChannel(extra);
    if (place >= 0) this.#stop(slot, place, graceMs);
    this.#onReleased();
    return { place, info };
  }

  /**
   * @param {number} slot
   * @param {number} place
   * @param {number} graceMs
   */
  #stop(slot, place, graceMs) {
    const member = this.#crew.at(place);
    if (member === undefined || this.#native.abort(slot) < 0) return;
    /** @type {Grace} */
    const grace = { until: performance.now() + graceMs, timer: null, end: () => {} };
    grace.end = () => {
      if (grace.timer !== null) clearTimeout(grace.timer);
      this.#graces.delete(grace);
      if (member.isLeaving || !this.#native.begun(place).includes(slot)) return;
      this.#crew.leave(member);
      this.#crew.replenish();
    };
    if (graceMs <= 0) return grace.end();
    this.#graces.add(grace);
    if (graceMs <= LONGEST_TIMER_MS) grace.timer = setTimeout(grace.end, graceMs).unref();
  }

  /**
   * Makes a signal cancel a task.
   * @param {number} slot
   * @param {any} signal
   * @param {() => void} onAbort
   */
  follow(slot, signal, onAbort) {
    const extra = this.#tasks.extra(slot);
    if ('addEventListener' in signal) {
      signal.addEventListener('abort', onAbort, { once: true });
      extra.release = () => signal.removeEventListener('abort', onAbort);
    } else {
      signal.once('abort', onAbort);
      extra.release = () => signal.removeListener('abort', onAbort);
    }
  }

  /**
   * Ends a task that runs for too long. Time spent waiting does not count.
   * @param {number} slot
   * @param {number} timeoutMs
   */
  watch(slot, timeoutMs) {
    const extra = this.#tasks.extra(slot);
    if (extra.timer !== null) {
      if (timeoutMs >= extra.timeoutMs) return;
      clearTimeout(extra.timer);
    }
    extra.timeoutMs = timeoutMs;
    const lookIn = (/** @type {number} */ ms) => {
      extra.timer = setTimeout(look, Math.min(ms, LONGEST_TIMER_MS)).unref();
    };
    const look = () => {
      const ranMs = this.#native.runningMs(slot);
      if (!this.enforce(slot)) lookIn(ranMs < 0 ? timeoutMs : Math.max(timeoutMs - ranMs, 1));
    };
    lookIn(timeoutMs);
  }

  /**
   * Ends a task if it has run for too long. Returns whether it has.
   * @param {number} slot
   */
  enforce(slot) {
    const extra = this.#tasks.peek(slot);
    if (extra === undefined || extra.timer === null) return false;
    const { timeoutMs } = extra;
    if (this.#native.runningMs(slot) < timeoutMs) return false;
    const error = new TimeoutError(`The task has run for more than ${timeoutMs} ms`);
    this.cancel(slot, Object.assign(error, { code: 'ERR_MANYCORE_TASK_TIMED_OUT' }));
    return true;
  }

  /**
   * Limits the run time of a task that has been submitted. Of two limits, the lower one applies.
   * @param {number} slot
   * @param {number} timeoutMs
   */
  limit(slot, timeoutMs) {
    if (this.#tasks.isOpen(slot)) this.watch(slot, timeoutMs);
  }

  /** Whether tasks have been asked to stop. */
  get isAwaited() {
    return this.#graces.size > 0;
  }

  /** Ends expired grace periods while the event loop is blocked. */
  endOverdue() {
    if (this.#graces.size === 0) return;
    for (const grace of this.#graces) if (grace.until <= performance.now()) grace.end();
  }
}

module.exports.Stopping = Stopping;
