'use strict';

/**
 * Large buffers from other threads, where they arrive. The sender copies them into memory that both use, and from there
 * they are copied here; but where one comes after the other with the same length, buffers for the next ones are lent to
 * the senders, who then copy right into what is handed out here.
 */

// What a program, or its tests, put in the place of the global ones is not meant for us.
const { setTimeout } = require('node:timers');
const { allocate } = require('./large-buffers');

/** Buffers lent at a time, and the bytes of all of them. */
const MOST_LENT = 64;
const MOST_LENT_BYTES = 16 * 1024 * 1024;
/** So long after the last one they are taken back. */
const QUIET_MS = 1000;

/**
 * @typedef {object} Native the receiving side of a lane, or either side of a queue. Payloads are known by numbers
 * @property {(at: number) => number} payloadLength
 * @property {(at: number, target: Uint8Array) => boolean} takePayload
 * @property {(at: number) => ArrayBuffer | null} redeemPayload
 * @property {(buffer: ArrayBuffer) => boolean} lend
 * @property {() => void} takeBackLent
 */

class Lending {
  #native;
  /** Of the last buffer that came, and of those that are lent. */
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
   * Takes a buffer.
   * @param {number} at its number
   * @returns {ArrayBuffer | undefined} undefined when there is none
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
    if (this.#timer === null) this.#timer = setTimeout(this.#look, QUIET_MS).unref();
  }

  /** What is on its way comes yet. */
  #takeBack() {
    this.#lent = 0;
    this.#native.takeBackLent();
  }

  #look = () => {
    this.#timer = null;
    if (this.#hasTraffic) {
      this.#hasTraffic = false;
      this.#timer = setTimeout(this.#look, QUIET_MS).unref();
    } else {
      this.#takeBack();
    }
  };
}

module.exports.Lending = Lending;
