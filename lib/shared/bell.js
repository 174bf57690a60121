'use strict';

/** Non-blocking waits for changes that other threads and processes make to a shared object. */

const { throwUncaught } = require('../core/errors');
const { LONGEST_TIMER_MS } = require('../core/timers');

/** Keeps the event loop alive while it is held. */
class KeepAlive {
  /** @type {NodeJS.Timeout | undefined} */
  #timer;

  hold() {
    this.#timer ??= setInterval(() => {}, LONGEST_TIMER_MS);
  }

  release() {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

/** Calls listeners when the bell of a shared object is rung; watches the bell only while there are listeners. */
class Listeners {
  #open;
  /** @type {import('../native/index').BellWatcher | undefined} */
  #watcher;
  /** @type {Set<() => void>} */
  #looks = new Set();

  /** @param {() => import('../native/index').BellWatcher} open */
  constructor(open) {
    this.#open = open;
  }

  /** @param {() => void} look called in later turns of the event loop, possibly without a change */
  add(look) {
    if (this.#watcher === undefined) {
      this.#watcher = this.#open();
      this.#watcher.listen(() => this.notify());
    }
    this.#looks.add(look);
  }

  /** @param {() => void} look */
  delete(look) {
    this.#looks.delete(look);
    if (this.#looks.size > 0 || this.#watcher === undefined) return;
    this.#watcher.close();
    this.#watcher = undefined;
  }

  /** Calls all listeners. What one of them throws is an uncaught exception, and does not keep the others from it. */
  notify() {
    for (const look of [...this.#looks]) {
      try {
        if (this.#looks.has(look)) look();
      } catch (error) {
        throwUncaught(error);
      }
    }
  }
}

module.exports.KeepAlive = KeepAlive;
module.exports.Listeners = Listeners;
