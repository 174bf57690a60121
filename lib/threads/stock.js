'use strict';

/** Keeps workers of one kind booted and idle, each to be taken once. */

const { makeError } = require('../core/errors');

const MOST = 1024;
/** Delay before replacements are booted, so that they do not compete with the worker that has just started. */
const REPLENISH_AFTER_MS = 20;

/**
 * @template {{ worker: any }} Item
 */
class Stock {
  #boot;
  #wanted = 0;
  /** Ready to be taken. @type {Item[]} */
  #idle = [];
  /** @type {Set<Item>} */
  #booting = new Set();
  /** Called when there are enough, or when booting has failed. @type {((error?: Error) => void)[]} */
  #waiting = [];
  /** Whether a replenishment is scheduled. */
  #isDue = false;

  /** @param {() => Item} boot boots one; `ready` must be called for it once it can be taken */
  constructor(boot) {
    this.#boot = boot;
  }

  /** The next one to be taken, if any. */
  get first() {
    return this.#idle.at(0);
  }

  /**
   * Sets the number to keep. Resolves when they are ready.
   * @param {number} count
   */
  async keep(count) {
    this.#wanted = count;
    const surplus = this.#idle.splice(count);
    await Promise.all(surplus.map(({ worker }) => worker.terminate()));
    if (this.#idle.length >= count) return;
    await new Promise((resolve, reject) => {
      this.#waiting.push((error) => (error === undefined ? resolve(undefined) : reject(error)));
      for (const { worker } of this.#booting) worker.ref();
      this.#replenish();
    });
  }

  /** Terminates all. Resolves when they have exited. */
  async letGo() {
    this.#wanted = 0;
    const workers = [...this.#idle.splice(0), ...this.#booting].map(({ worker }) => worker);
    // One that reports now that it has booted must not let the event loop end before it has exited.
    this.#booting.clear();
    await Promise.all(workers.map((worker) => worker.terminate()));
    this.#settle();
  }

  /** Marks one as ready to be taken. @param {Item} item */
  ready(item) {
    if (!this.#booting.delete(item)) return;
    this.#idle.push(item);
    item.worker.unref();
    this.#settle();
  }

  /** Takes one out; a replacement is booted a little later. @param {Item} item */
  take(item) {
    this.#idle = this.#idle.filter((other) => other !== item);
    item.worker.removeAllListeners('error');
    item.worker.removeAllListeners('exit');
    if (this.#isDue) return;
    this.#isDue = true;
    setTimeout(() => {
      this.#isDue = false;
      this.#replenish();
    }, REPLENISH_AFTER_MS).unref();
  }

  #replenish() {
    while (this.#idle.length + this.#booting.size < this.#wanted) {
      try {
        this.#add(this.#boot());
      } catch (error) {
        this.#fail(/** @type {Error} */ (error));
      }
    }
  }

  /** @param {Item} item */
  #add(item) {
    const { worker } = item;
    this.#booting.add(item);
    if (this.#waiting.length === 0) worker.unref();
    const onEnd = (/** @type {any} */ reason) => {
      this.#idle = this.#idle.filter((other) => other !== item);
      if (!this.#booting.delete(item) || this.#wanted === 0) return;
      this.#fail(reason instanceof Error ? reason : new Error(`A spare ended with exit code ${reason}`));
    };
    worker.once('error', onEnd).once('exit', onEnd);
  }

  /** Stops keeping workers that fail to boot: later starts are cold. @param {Error} error */
  #fail(error) {
    this.#wanted = 0;
    this.#settle(error);
  }

  #settle(/** @type {Error | undefined} */ error = undefined) {
    if (error === undefined && this.#idle.length < this.#wanted) return;
    for (const done of this.#waiting.splice(0)) done(error);
  }
}

/**
 * @param {unknown} count number of workers to keep
 * @param {Function} caller
 */
function checkCount(count, caller) {
  if (typeof count !== 'number') {
    throw makeError('ERR_INVALID_ARG_TYPE', ['count', 'of type number', count], caller);
  }
  if (!Number.isInteger(count) || count < 0 || count > MOST) {
    throw makeError('ERR_OUT_OF_RANGE', ['count', `an integer >= 0 && <= ${MOST}`, count], caller);
  }
}

module.exports.Stock = Stock;
module.exports.checkCount = checkCount;
