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
  /** @type {(((value: any) => void) | null)[]} */
  #resolves = [];
  /** Where `resolve` will not do. @type {Map<number, (error: any) => void>} */
  #rejects = new Map();
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
   * @param {(value: any) => void} resolve
   * @param {((error: any) => void) | null} reject null where `resolve` is a promise's, which takes a rejected one as well:
   *   a function less for each task that waits
   */
  add(resolve, reject) {
    const slot = this.#free.pop() ?? this.#resolves.length;
    this.#resolves[slot] = resolve;
    if (reject !== null) this.#rejects.set(slot, reject);
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
    const resolve = this.#resolves[slot];
    return resolve !== null && resolve !== undefined;
  }

  /**
   * @param {number} slot
   * @param {any} value
   */
  resolve(slot, value) {
    const resolve = this.#resolves[slot];
    if (resolve === null || resolve === undefined) return;
    this.#close(slot);
    resolve(value);
  }

  /**
   * @param {number} slot
   * @param {any} error
   */
  reject(slot, error) {
    const resolve = this.#resolves[slot];
    if (resolve === null || resolve === undefined) return;
    const reject = this.#rejects.get(slot);
    this.#close(slot);
    if (reject === undefined) resolve(Promise.reject(error));
    else reject(error);
  }

  /** @param {number} slot */
  #close(slot) {
    this.#resolves[slot] = null;
    if (this.#rejects.size !== 0) this.#rejects.delete(slot);
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
    for (let slot = 0; slot < this.#resolves.length; slot++) if (this.isOpen(slot)) yield slot;
  }
}

module.exports.Tasks = Tasks;
