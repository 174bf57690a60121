'use strict';

/** The tasks that have not been answered, by number. In columns: a million of them must fit into little memory. */

/**
 * What only some tasks have.
 * @typedef {object} Extra
 * @property {any} value held back until a worker asks for it
 * @property {any[] | undefined} transferList
 * @property {number} retries
 * @property {((payload: any) => void) | null} onEvent
 * @property {(() => void) | null} release lets go of the signal
 * @property {NodeJS.Timeout | null} timer
 * @property {number} timeoutMs
 * @property {any} info of a task that JavaScript schedules
 * @property {boolean} isAlone whether it has its worker to itself, where others share theirs
 */

/** @typedef {(value: any) => void} Settle */
/** What to call; both, where the first will not do for errors. @typedef {Settle | { resolve: Settle, reject: Settle }} Waiter */

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
    isAlone: false,
  };
}

class Tasks {
  /** Who waits. @type {(Waiter | null)[]} */
  #waiters = [];
  /** @type {number[]} */
  #free = [];
  /** @type {Map<number, Extra>} */
  #extras = new Map();
  /** Tasks whose caller waits. */
  outstanding = 0;
  /** Those of them that have their worker to themselves, where others share theirs. */
  alone = 0;
  /** Tasks whose caller has been answered. */
  completed = 0;

  /**
   * @param {Settle} resolve
   * @param {Settle | null} reject null where `resolve` is a promise's, which takes a rejected one as well:
   *   a function less for each task that waits
   */
  add(resolve, reject) {
    const slot = this.#free.pop() ?? this.#waiters.length;
    this.#waiters[slot] = reject === null ? resolve : { resolve, reject };
    this.outstanding++;
    return slot;
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

  /** It has its worker to itself. @param {Extra} extra */
  setAlone(extra) {
    extra.isAlone = true;
    this.alone++;
  }

  /** @param {number} slot */
  peek(slot) {
    return this.#extras.size === 0 ? undefined : this.#extras.get(slot);
  }

  /** Whether the caller still waits. @param {number} slot */
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

  /** The queue has let go of the number. @param {number} slot */
  free(slot) {
    this.#free.push(slot);
  }

  /** Numbers of the tasks whose caller waits. */
  *open() {
    for (let slot = 0; slot < this.#waiters.length; slot++) if (this.isOpen(slot)) yield slot;
  }
}

module.exports.Tasks = Tasks;
