'use strict';

/**
 * What a side of `Ipc` sends by its lane, and what of it waits until the other side has made room: records, and the
 * callbacks of the messages that they are of.
 */

const { LaneSender } = require('../link/lane-sender');
const { Kind } = require('../link/layout');
const { Spill } = require('../link/spill');
const { makeWriteError } = require('./ipc-messages');

/** As Node's: `send` returns false when more than this waits to be taken by the other side. */
const HIGH_WATER_BYTES = 128 * 1024;

/**
 * @typedef {object} Options
 * @property {import('../native/index').LaneSender} end
 * @property {import('../native/index').LaneReceiver} bell the end whose bell tells of room
 * @property {import('./ipc-formats').Format} format
 * @property {any} control of Node's channel, which keeps the process alive
 * @property {() => void} onFlushed nothing waits any more
 * @property {() => void} onCorrupt the other side is where it cannot be
 */

class Outbox {
  #spill = new Spill();
  #highWaterBytes = HIGH_WATER_BYTES;
  /** Who waits until there is less. @type {((isOpen: boolean) => void)[]} */
  #draining = [];
  #sender;
  #options;
  /** Records wait for room: this process stays alive for them. */
  #isHolding = false;
  #isClosed = false;
  /** What has been moved for a blocked caller has not been told of yet. */
  #isAssisted = false;
  /** Callbacks of messages that wait for room. @type {{ at: number, callback: (error: Error | null) => void }[]} */
  #waiting = [];

  /** @param {Options} options */
  constructor(options) {
    this.#options = options;
    this.#sender = new LaneSender(options.end, options.format.makeEncoder(), this.#spill);
    options.bell.onRoom(() => this.#onRoom());
  }

  /** Whether records wait for room. */
  get isSpilling() {
    return this.#sender.isSpilling;
  }

  /** @param {number} bytes waiting for room from which on the program is to hold back */
  setHighWaterMark(bytes) {
    this.#highWaterBytes = bytes;
    this.#tellDrained();
  }

  /** Whether the program is to hold back. */
  get needsDrain() {
    return this.#spill.bytes >= this.#highWaterBytes;
  }

  /** Fulfilled when it may go on; with false when nothing is sent any more. */
  async drained() {
    if (!this.needsDrain) return true;
    return new Promise((resolve) => this.#draining.push(resolve));
  }

  #tellDrained() {
    if (this.#draining.length === 0 || this.needsDrain) return;
    for (const resolve of this.#draining.splice(0)) resolve(true);
  }

  /** Bytes that have been sent and not been received yet. */
  get bufferedAmount() {
    // The other side's position is what it says.
    return Math.max(0, this.#sender.bufferedAmount) + this.#spill.bytes;
  }

  /**
   * @param {any} message
   * @param {any} callback
   * @returns {boolean} false: hold back
   */
  post(message, callback) {
    if (!this.#sender.send(message)) {
      this.sendSerialized(this.#options.format.serialize(this.#sender.substituteFor(message)));
    }
    if (this.#isHolding || this.#sender.isSpilling) return this.awaitRoom(callback);
    if (typeof callback === 'function') process.nextTick(callback, null);
    return true;
  }

  /** @param {any} serialized */
  sendSerialized(serialized) {
    this.#sender.sendBare(Kind.SERIALIZED);
    this.#sender.send(serialized);
  }

  /**
   * Keeps the place of what goes by Node's channel.
   * @param {number} kind
   */
  sendMarker(kind) {
    this.#sender.sendBare(kind);
    if (this.#sender.isSpilling && !this.#isHolding) this.awaitRoom(undefined);
  }

  /**
   * After a record was sent while some wait.
   * @param {any} callback
   * @returns {boolean} false: hold back
   */
  awaitRoom(callback) {
    const { bell, control, onCorrupt } = this.#options;
    if (!this.#isHolding) {
      this.#isHolding = true;
      control.refCounted();
      bell.watchRoom(true);
    }
    if (typeof callback === 'function') this.#waiting.push({ at: this.#spill.pushed, callback });
    if (!this.#sender.isSpilling) this.#onRoom();
    else if (this.#sender.isCorrupt) process.nextTick(onCorrupt);
    return !this.needsDrain;
  }

  /** The other side has made room. */
  #onRoom() {
    if (this.#isClosed) return;
    const isDone = this.#sender.flush();
    this.#tellDrained();
    const first = this.#waiting.findIndex(({ at }) => at > this.#spill.moved);
    const count = first < 0 ? this.#waiting.length : first;
    for (const { callback } of this.#waiting.splice(0, count)) process.nextTick(callback, null);
    if (!isDone) {
      if (this.#sender.isCorrupt) this.#options.onCorrupt();
      return;
    }
    this.#letGo();
    this.#options.onFlushed();
  }

  /**
   * Moves what waits while this thread is blocked. What is to be told of it is told by the event loop.
   */
  assist() {
    if (!this.#isHolding || this.#isAssisted || this.#isClosed) return;
    if (!this.#sender.flush()) return;
    this.#isAssisted = true;
    setImmediate(() => {
      this.#isAssisted = false;
      this.#onRoom();
    });
  }

  #letGo() {
    if (!this.#isHolding) return;
    this.#isHolding = false;
    this.#options.bell.watchRoom(false);
    this.#options.control.unrefCounted();
  }

  /** Drops what waits: it does not get to the other side any more. */
  close() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#sender.close();
    this.#letGo();
    for (const resolve of this.#draining.splice(0)) resolve(false);
    for (const { callback } of this.#waiting.splice(0)) process.nextTick(callback, makeWriteError());
  }
}

module.exports.Outbox = Outbox;
