'use strict';

/**
 * A lock that nobody else asks for, taken and left without a call of the addon: two compare-and-swaps on a word that the
 * addon's locks know, see crates/core/src/lock/shortcut.rs. Whoever finds the word changed goes the long way.
 */

/** Where the word is in a lock's memory: the twin of `SHORTCUT_AT` in crates/core/src/lock/layout.rs. */
const SHORTCUT_AT = 64;
const FREE = 0n;
const { compareExchange } = Atomics;

class Shortcut {
  #word;
  #fence;
  #me;

  /**
   * @param {ArrayBuffer} memory of the lock
   * @param {bigint} me the word of this thread
   */
  constructor(memory, me) {
    this.#word = new BigInt64Array(memory, SHORTCUT_AT, 1);
    this.#fence = new Float64Array(memory, SHORTCUT_AT + 8, 1);
    this.#me = me;
  }

  /** The fencing token, or 0 when the lock has to be asked for. */
  take() {
    if (compareExchange(this.#word, 0, FREE, this.#me) !== FREE) return 0;
    // Only who has the lock counts on: one store, so that whoever dies here leaves one number or the other.
    return (this.#fence[0] += 1);
  }

  /** Whether that was all; otherwise somebody waits, and the addon has to let go. */
  leave() {
    return compareExchange(this.#word, 0, this.#me, FREE) === this.#me;
  }
}

module.exports.Shortcut = Shortcut;
