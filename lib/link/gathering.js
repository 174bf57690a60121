'use strict';

/**
 * Lets records gather before they are read, while they arrive in quick succession.
 *
 * A consumer as fast as its producer would otherwise read each record as soon as it is published: both then wait for
 * the transfer of the same cache lines several times per record. Where a pause gathers no more than a record or two,
 * as in an exchange of requests and replies, pauses become exponentially rarer.
 */

/** Length of a pause: a producer at full speed sends about six small records meanwhile. */
const PAUSE_NS = 2000n;
/** Greatest number of readings of the clock in a pause, in case the clock stands still. */
const MAX_READINGS = 1000;
/** Fewer records than this at once are a reason to pause; a pause that gathers fewer was of no use. */
const FEW_RECORDS = 4;
/** Longer records are not waited for: transferring them costs more than transferring the shared positions. */
const MAX_RECORD_BYTES = 1024;
/** Number of small batches before the first pause, and the greatest number between two pauses. */
const SMALL_BATCHES = 32;
const MAX_SMALL_BATCHES = 8192;

/** Captured: a program may replace the clock, for its tests. */
const { bigint: now } = process.hrtime;

class Gathering {
  /** Length of the record read last, in bytes. */
  #recordBytes = 0;
  /** Number of small batches before the next pause, and from a pause that was of no use to the one after it. */
  #left = SMALL_BATCHES;
  #spacing = SMALL_BATCHES;
  #hasPaused = false;

  /**
   * Pauses if records are likely to gather meanwhile. To be called before the consumer looks for more.
   * @returns {boolean} whether it paused
   */
  pause() {
    if (this.#left > 0 || this.#recordBytes > MAX_RECORD_BYTES) return false;
    const end = now() + PAUSE_NS;
    let readings = 0;
    while (now() < end && readings < MAX_READINGS) readings++;
    this.#hasPaused = true;
    return true;
  }

  /**
   * Notes what the consumer found.
   * @param {number} batchBytes length of all records found; 0 for nothing
   */
  found(batchBytes) {
    const isSmall = batchBytes < this.#recordBytes * FEW_RECORDS;
    if (this.#hasPaused) this.#judge(!isSmall);
    else if (isSmall && batchBytes !== 0 && this.#left > 0) this.#left--;
  }

  /**
   * Notes that a record was read.
   * @param {number} recordBytes
   */
  read(recordBytes) {
    this.#recordBytes = recordBytes;
  }

  /** @param {boolean} wasUseful whether records have gathered in the pause */
  #judge(wasUseful) {
    this.#hasPaused = false;
    if (wasUseful) {
      this.#left = 1;
      this.#spacing = SMALL_BATCHES;
    } else {
      this.#left = this.#spacing;
      this.#spacing = Math.min(this.#spacing * 2, MAX_SMALL_BATCHES);
    }
  }
}

module.exports.Gathering = Gathering;
