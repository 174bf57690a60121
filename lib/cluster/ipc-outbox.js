'use strict';

/**
 * Sending side of `Ipc`: records sent through the lane, those waiting for room, and the callbacks of their
 * messages.
 */

const { LaneSender } = require('../link/lane-sender');
const { Kind } = require('../link/layout');
const { Spill } = require('../link/spill');
const { makeWriteError } = require('./ipc-messages');

/** As in Node: `send` returns false when more bytes than this are waiting. */
const HIGH_WATER_BYTES = 128 * 1024;

/**
 * @typedef {object} Options
 * @property {import('../native/index').LaneSender} end
 * @property {import('../native/index').LaneReceiver} bell the receiver whose bell signals room in the lane
 * @property {import('./ipc-formats').Format} format
 * @property {any} control the control object of Node's channel, which keeps the process alive
 * @property {() => void} onFlushed called when no record waits for room any more
 * @property {() => void} onCorrupt called when the other side's position is invalid
 */

class Outbox {
  #spill = new Spill();
  #highWaterBytes = HIGH_WATER_BYTES;
  /** Resolve functions of `drained()`. @type {((isOpen: boolean) => void)[]} */
  #draining = [];
  #sender;
  #options;
  /** Whether records wait for room and keep this process alive. */
  #isHolding = false;
  #isClosed = false;
  /** Whether records were moved for a blocked caller and their completion has not been reported yet. */
  #isAssisted = false;
  /**
   * Callbacks of messages waiting for room, with the position of their last record.
   * @type {{ at: number, callback: (error: Error | null) => void }[]}
   */
  #waiting = [];

  /** @type {(() => void) | null} */
  #onSent = null;

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

  /** Whether a getter of a message that is being sent is running. */
  get isEncoding() {
    return this.#sender.isEncoding;
  }

  /** Calls a function once the message has been sent whose getter is running. @param {() => void} act */
  onceSent(act) {
    this.#onSent = () => {
      this.#onSent = null;
      act();
    };
  }

  /** @param {number} bytes number of waiting bytes from which on the program should pause */
  setHighWaterMark(bytes) {
    this.#highWaterBytes = bytes;
    this.#tellDrained();
  }

  /** Whether the program should pause. */
  get needsDrain() {
    return this.#spill.bytes + this.#sender.storedBytes >= this.#highWaterBytes;
  }

  /** Resolves when the program may resume; to false if nothing is sent any more. */
  async drained() {
    if (!this.needsDrain) return true;
    return new Promise((resolve) => {
      this.#draining.push(resolve);
      this.#hold();
      if (!this.#sender.isSpilling) this.#onRoom();
    });
  }

  #tellDrained() {
    if (this.#draining.length === 0 || this.needsDrain) return;
    for (const resolve of this.#draining.splice(0)) resolve(true);
  }

  /** Waits for large records to be received if the program does. Returns false if there is no need to. */
  #awaitReturn() {
    if (this.#draining.length === 0) return false;
    if (this.#sender.waitForReturn(() => !this.needsDrain)) return true;
    this.#tellDrained();
    return false;
  }

  /** See `LaneSender`. @param {number} length */
  allocate(length) {
    return this.#sender.allocate(length);
  }

  /** Bytes sent that have not been received yet. */
  get bufferedAmount() {
    // The position is written by the other side and may be invalid.
    return Math.max(0, this.#sender.bufferedAmount) + this.#spill.bytes;
  }

  /**
   * @param {any} message
   * @param {any} callback
   * @returns {boolean} false if the program should pause
   */
  post(message, callback) {
    try {
      return this.#postNow(message, callback);
    } finally {
      if (this.#onSent !== null && !this.#sender.isEncoding) this.#onSent();
    }
  }

  /**
   * @param {any} message
   * @param {any} callback
   */
  #postNow(message, callback) {
    if (!this.#sender.send(message)) {
      this.sendSerialized(this.#options.format.serialize(this.#sender.substituteFor(message)));
    }
    if (this.#isHolding || this.#sender.isSpilling) return this.awaitRoom(callback);
    if (typeof callback === 'function') process.nextTick(callback, null);
    return !this.needsDrain;
  }

  /** @param {any} serialized */
  sendSerialized(serialized) {
    this.#sender.sendBare(Kind.SERIALIZED);
    this.#sender.send(serialized);
  }

  /**
   * Writes a marker for something sent on Node's channel.
   * @param {number} kind
   */
  sendMarker(kind) {
    this.#sender.sendBare(kind);
    if (this.#sender.isSpilling && !this.#isHolding) this.awaitRoom(undefined);
  }

  /**
   * Called after a record was sent while some are waiting for room.
   * @param {any} callback
   * @returns {boolean} false if the program should pause
   */
  awaitRoom(callback) {
    this.#hold();
    if (typeof callback === 'function') this.#waiting.push({ at: this.#spill.pushed, callback });
    if (!this.#sender.isSpilling) this.#onRoom();
    else if (this.#sender.isCorrupt) process.nextTick(this.#options.onCorrupt);
    return !this.needsDrain;
  }

  /** Keeps this process alive, and watches for room. */
  #hold() {
    if (this.#isHolding) return;
    this.#isHolding = true;
    this.#options.control.refCounted();
    this.#options.bell.watchRoom(true);
  }

  /** The other side has made room. */
  #onRoom() {
    if (this.#isClosed) return;
    const isDone = this.#sender.flush();
    this.#tellDrained();
    const first = this.#waiting.findIndex(({ at }) => at > this.#spill.moved);
    const count = first < 0 ? this.#waiting.length : first;
    for (const { callback } of this.#waiting.splice(0, count)) process.nextTick(callback, null);
    if (!isDone || this.#awaitReturn()) {
      if (this.#sender.isCorrupt) this.#options.onCorrupt();
      return;
    }
    this.#letGo();
    this.#options.onFlushed();
  }

  /** Moves waiting records while this thread is blocked. Callbacks are left to the event loop. */
  assist() {
    if (!this.#isHolding || this.#isAssisted || this.#isClosed) return;
    if (!this.#sender.flush() && !this.#sender.isCorrupt) return;
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

  /** Drops the waiting records, which can no longer be sent. */
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
