'use strict';

/**
 * Spins for a record for a while, which has a lower latency than being woken. It occupies a processor; after failed
 * attempts, spinning is skipped for a number of waits that grows with further failures.
 */

/** Number of consecutive failures that are tolerated, for example while the peer's garbage collector runs. */
const TOLERATED_MISSES = 3;
/** Binary logarithm of the maximum number of waits skipped. */
const LONGEST_SIT_OUT_LOG2 = 8;

/**
 * With a single processor, the peer cannot run while this thread spins. Determined on first use, not at thread
 * start-up.
 */
let maySpin = /** @type {boolean | undefined} */ (undefined);

class Spinner {
  #spin;
  #misses = 0;
  #sittingOut = 0;

  /**
   * @param {() => boolean} spin spins for a while; returns true if there is a record
   */
  constructor(spin) {
    this.#spin = spin;
  }

  /** Returns true if a record has arrived. */
  spin() {
    maySpin ??= require('node:os').availableParallelism() > 1;
    if (!maySpin) return false;
    if (this.#sittingOut > 0) {
      this.#sittingOut--;
      return false;
    }
    // Computed in either case: a miss is rare, and V8 would discard its code at the first one.
    const misses = this.#misses + 1;
    const hasSeen = this.#spin();
    this.#misses = hasSeen ? 0 : misses;
    if (!hasSeen && misses > TOLERATED_MISSES) {
      this.#sittingOut = 1 << Math.min(misses - TOLERATED_MISSES, LONGEST_SIT_OUT_LOG2);
    }
    return hasSeen;
  }
}

module.exports.Spinner = Spinner;
