'use strict';

/**
 * Looks on for a record for a while, which is quicker than being told of it. It costs a processor; where it was in
 * vain it is sat out, the longer the more often.
 */

/** So often in a row it may be in vain: the peer's collector ran, say. */
const TOLERATED_MISSES = 3;
/** At most two to the power of this many waits are sat out. */
const LONGEST_SIT_OUT_LOG2 = 8;

/** With a single processor the peer cannot run meanwhile. Asked when first needed, not while a thread starts. */
let mayLook = /** @type {boolean | undefined} */ (undefined);

class Looker {
  #lookOn;
  #misses = 0;
  #sittingOut = 0;

  /**
   * @param {() => boolean} lookOn looks for a while; true when there is a record
   */
  constructor(lookOn) {
    this.#lookOn = lookOn;
  }

  /** True when something came. */
  look() {
    mayLook ??= require('node:os').availableParallelism() > 1;
    if (!mayLook) return false;
    if (this.#sittingOut > 0) {
      this.#sittingOut--;
      return false;
    }
    if (this.#lookOn()) {
      this.#misses = 0;
      return true;
    }
    this.#misses++;
    const beyond = this.#misses - TOLERATED_MISSES;
    if (beyond > 0) this.#sittingOut = 1 << Math.min(beyond, LONGEST_SIT_OUT_LOG2);
    return false;
  }
}

module.exports.Looker = Looker;
