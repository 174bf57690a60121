'use strict';

/** Unsettled tasks by slot number. Stored in columns, so that a million of them fit into little memory. */

/**
 * Data that only some tasks have.
 * @typedef {object} Extra
 * @property {any} value value kept until a worker requests it
 * @property {any[] | undefined} transferList
 * @property {number} retries
 * @property {((payload: any) => void) | null} onEvent
 * @property {(() => void) | null} release removes the listener from the signal
 * @property {NodeJS.Timeout | null} timer
 * @property {number} timeoutMs
 * @property {any} info data of a task scheduled in JavaScript
 * @property {import('./member').Channel | null} channel
 * @property {number} channelId by which its start is announced
 * @property {boolean} isAlone whether it has a worker to itself, in pools whose tasks share workers
 */

/** @typedef {(value: any) => void} Settle */
/**
 * Settle function, or both if the first cannot be used for errors. @typedef
 * {Settle | { resolve: Settle, reject: Settle }} Waiter
 */

/** @returns {Extra} */
function makeExtra() {
  return {
    value: undefined,
    transferList: undefined,
    retries: 0,
    onEvent: null,
    release: null,
    timer: null,
    timeoutMs: 0,
    info: null,
    channel: null,
    channelId: 0,
    isAlone: false,
  };
}

class Tasks {
  /** Waiters by slot. @type {(Waiter | null)[]} */
  #waiters = [];
  /** @type {number[]} */
  #free = [];
  /** @type {Map<number, Extra>} */
  #extras = new Map();
  /** Number of tasks whose caller is waiting. */
  outstanding = 0;
  /** Number of those that have a worker to themselves, in pools whose tasks share workers. */
  alone = 0;
  /** Number of settled tasks. */
  completed = 0;

  /**
   * @param {Settle} resolve
   * @param {Settle | null} reject null if `resolve` is a promise's, which can be called with a rejected promise: a
   * function less for each task that waits
   */
  add(resolve, reject) {
    return this.addFor(reject === null ? resolve : { resolve, reject });
  }

  /** @param {Waiter} waiter */
  addFor(waiter) {
    const slot = this.#free.pop() ?? this.#waiters.length;
    this.#waiters[slot] = waiter;
    this.outstanding++;
    return slot;
  }

  /** Removes a task whose caller has its result by other means. @param {number} slot */
  remove(slot) {
    this.#close(slot);
    this.free(slot);
  }

  /** @param {number} slot */
  extra(slot) {
    let extra = this.#extras.get(slot);
    if (extra === undefined) {
      extra = makeExtra();
      this.#extras.set(slot, extra);
    }
    return extra;
  }

  /** Marks a task as having a worker to itself. @param {Extra} extra */
  setAlone(extra) {
    extra.isAlone = true;
    this.alone++;
  }

  /** @param {number} slot */
  peek(slot) {
    return this.#extras.size === 0 ? undefined : this.#extras.get(slot);
  }

  /** Whether the caller is still waiting. @param {number} slot */
  isOpen(slot) {
    const waiter = this.#waiters[slot];
    return waiter !== null && waiter !== undefined;
  }

  /**
   * @param {number} slot
   * @param {any} value
   */
  resolve(slot, value) {
    const waiter = this.#waiters[slot];
    if (waiter === null || waiter === undefined) return;
    this.#close(slot);
    if (typeof waiter === 'function') waiter(value);
    else waiter.resolve(value);
  }

  /**
   * @param {number} slot
   * @param {any} error
   */
  reject(slot, error) {
    const waiter = this.#waiters[slot];
    if (waiter === null || waiter === undefined) return;
    this.#close(slot);
    if (typeof waiter === 'function') waiter(Promise.reject(error));
    else waiter.reject(error);
  }

  /** @param {number} slot */
  #close(slot) {
    this.#waiters[slot] = null;
    this.outstanding--;
    this.completed++;
    if (this.#extras.size === 0) return;
    const extra = this.#extras.get(slot);
    if (extra === undefined) return;
    this.#extras.delete(slot);
    if (extra.isAlone) this.alone--;
    extra.release?.();
    if (extra.timer !== null) clearTimeout(extra.timer);
  }

  /** Releases a slot that the queue no longer uses. @param {number} slot */
  free(slot) {
    this.#free.push(slot);
  }

  /** Slots of the tasks whose caller is waiting. */
  *open() {
    for (let slot = 0; slot < this.#waiters.length; slot++) if (this.isOpen(slot)) yield slot;
  }
}

module.exports.Tasks = Tasks;
