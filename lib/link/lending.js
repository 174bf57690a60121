'use strict';

/**
 * Receives large buffers from other threads. The sender copies a buffer into shared memory, and it is copied from
 * there to here. If buffers of the same length arrive in succession, buffers for the next ones are lent to the
 * senders, which then copy directly into what is handed out here.
 */

const { allocate } = require('./large-buffers');
const { startQuietTimer } = require('./quiet-timer');

/** Maximum number of buffers lent at a time, and of their total bytes. */
const MOST_LENT = 64;
const MOST_LENT_BYTES = 16 * 1024 * 1024;

/**
 * @typedef {object} Native the receiving end of a lane, or either side of a queue. Payloads are identified by
 * number
 * @property {(at: number) => number} payloadLength
 * @property {(at: number, target: Uint8Array) => boolean} takePayload
 * @property {(at: number) => ArrayBuffer | null} redeemPayload
 * @property {(buffer: ArrayBuffer) => boolean} lend
 * @property {() => void} takeBackLent
 */

class Lending {
  #native;
  /** Length of the last buffer received, and of those that are lent. */
  #length = 0;
  #lent = 0;
  #hasLent = false;
  #hasTraffic = false;
  /** @type {NodeJS.Timeout | null} */
  #timer = null;

  /** @param {Native} native */
  constructor(native) {
    this.#native = native;
  }

  /**
   * Takes the payload with a number.
   * @param {number} at number of the payload
   * @returns {ArrayBuffer | undefined} undefined if there is none
   */
  take(at) {
    const native = this.#native;
    const redeemed = this.#hasLent ? native.redeemPayload(at) : null;
    if (redeemed !== null) {
      if (redeemed.byteLength === this.#length) {
        this.#lent = Math.max(this.#lent - 1, 0);
        this.#lend();
      }
      return redeemed;
    }
    const length = native.payloadLength(at);
    if (length === 0) return undefined;
    const bytes = allocate(length);
    if (!native.takePayload(at, bytes)) return undefined;
    if (length === this.#length) {
      this.#lend();
    } else {
      if (this.#lent > 0) this.#takeBack();
      this.#length = length;
    }
    return /** @type {ArrayBuffer} */ (bytes.buffer);
  }

  #lend() {
    this.#hasTraffic = true;
    if (this.#lent >= MOST_LENT || (this.#lent + 1) * this.#length > MOST_LENT_BYTES) return;
    const { buffer } = allocate(this.#length);
    if (!this.#native.lend(/** @type {ArrayBuffer} */ (buffer))) return;
    this.#lent++;
    this.#hasLent = true;
    if (this.#timer === null) this.#timer = startQuietTimer(this.#look);
  }

  /** Buffers that are already being filled still arrive. */
  #takeBack() {
    this.#lent = 0;
    this.#native.takeBackLent();
  }

  #look = () => {
    this.#timer = null;
    if (this.#hasTraffic) {
      this.#hasTraffic = false;
      this.#timer = startQuietTimer(this.#look);
    } else {
      this.#takeBack();
    }
  };
}

module.exports.Lending = Lending;
