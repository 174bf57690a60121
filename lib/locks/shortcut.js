'use strict';

/**
 * Fast path for an uncontended lock, without calls into the addon: a compare-and-swap each to lock and unlock, on a
 * word that the addon's locks know, see crates/core/src/lock/shortcut.rs. If the word has changed, the slow path is
 * taken.
 */

/** Offset of the word in a lock's memory: the counterpart of `SHORTCUT_AT` in crates/core/src/lock/layout.rs. */
const SHORTCUT_AT = 64;
const FREE = 0n;
const { compareExchange } = Atomics;

class Shortcut {
  #word;
  #fence;
  #me;

  /**
   * @param {ArrayBuffer} memory memory of the lock
   * @param {bigint} me word that identifies this thread
   */
  constructor(memory, me) {
    this.#word = new BigInt64Array(memory, SHORTCUT_AT, 1);
    this.#fence = new Float64Array(memory, SHORTCUT_AT + 8, 1);
    this.#me = me;
  }

  /** Returns the fencing token, or 0 if the slow path is needed. */
  take() {
    if (compareExchange(this.#word, 0, FREE, this.#me) !== FREE) return 0;
    // Only the lock's owner increments it; with a single store, a process that dies here leaves either the old or
    // the new number.
    return (this.#fence[0] += 1);
  }

  /** Returns whether the lock was released; otherwise another request waits, and the addon must release it. */
  leave() {
    return compareExchange(this.#word, 0, this.#me, FREE) === this.#me;
  }
}

module.exports.Shortcut = Shortcut;
