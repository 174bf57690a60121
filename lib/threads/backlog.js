'use strict';

/**
 * Back-pressure of one side of a channel: how much posted data the other side has not received yet, and who waits
 * for it to drain. A lane between threads never refuses a message, so throttling is up to the program; it learns
 * here when to pause and when to resume.
 */

/** Default high-water mark: a program that observes it stays within the ring. */
const HIGH_WATER_MARK_BYTES = 1024 * 1024;

/** @typedef {(hasRoom: boolean) => void} Waiter */

class Backlog {
  /** Up to this many messages through Node's port are not counted as a backlog. */
  #fewMessages;
  #highWaterMark = HIGH_WATER_MARK_BYTES;
  /** @type {import('../link/lane-sender').LaneSender | undefined} */
  #sender;
  /**
   * The receiver whose bell signals that the backlog has drained.
   * @type {import('../link/lane-receiver').LaneReceiver | undefined}
   */
  #bell;
  /** Messages posted through Node's port before there was a lane. */
  #postedByPort = 0;
  /** Whether those may not have been received yet: the lane has not been read. */
  #isBehindPort = true;
  #isOver = false;
  #isListening = false;
  /** @type {Waiter[]} */
  #waiting = [];

  /** @param {number} fewMessages number of messages through Node's port that are not counted as a backlog */
  constructor(fewMessages) {
    this.#fewMessages = fewMessages;
  }

  /** Counts a message that goes through Node's port because there is no lane. */
  notePosted() {
    this.#postedByPort++;
  }

  /** @param {number} bytes */
  setHighWaterMark(bytes) {
    this.#highWaterMark = bytes;
    // The threshold that callers wait for has changed.
    if (this.#waiting.length > 0) this.#check();
  }

  /**
   * Switches to the lane. Messages posted through the port so far are received before those of the lane.
   * @param {import('../link/lane-sender').LaneSender} sender
   * @param {import('../link/lane-receiver').LaneReceiver} bell
   */
  useLane(sender, bell) {
    this.#sender = sender;
    this.#bell = bell;
    this.#isBehindPort = this.#postedByPort > 0;
    // Once this record has been read, so have all messages on the port.
    if (this.#isBehindPort) sender.sendMilestone();
    if (this.#waiting.length > 0) this.#watch(bell);
  }

  /** Bytes posted to the lane that have not been received yet. */
  get bufferedAmount() {
    return this.#isOver || this.#sender === undefined ? 0 : this.#sender.bufferedAmount;
  }

  /** Whether a program that honours back-pressure should pause. */
  get needsDrain() {
    if (this.#isOver) return false;
    return this.#isPortFull || this.bufferedAmount >= this.#highWaterMark;
  }

  /** Whether more than a few messages went through the port and are not known to have been received. */
  get #isPortFull() {
    if (this.#isBehindPort && this.#sender?.isRead) this.#isBehindPort = false;
    return this.#isBehindPort && this.#postedByPort > this.#fewMessages;
  }

  /**
   * Waits until the program may resume. Resolves to false if nothing is received any more.
   * @returns {Promise<boolean>}
   */
  drained() {
    if (this.#isOver) return Promise.resolve(false);
    if (!this.needsDrain) return Promise.resolve(true);
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      if (this.#waiting.length === 1 && this.#bell !== undefined) this.#watch(this.#bell);
    });
  }

  /** @param {import('../link/lane-receiver').LaneReceiver} bell */
  #watch(bell) {
    if (!this.#isListening) bell.onRoom(() => this.#check());
    this.#isListening = true;
    bell.watchRoom(true);
    // The waiting caller needs the event loop to stay alive.
    bell.setRef(true);
    this.#check();
  }

  /** Resolves the waiting promises, or asks the other side to signal when it has drained enough. */
  #check() {
    const sender = this.#sender;
    if (sender === undefined || this.#waiting.length === 0) return;
    const isClosed = sender.isClosed;
    // Half the mark (hysteresis), so that neither side is woken for every few messages.
    const limit = this.#isPortFull ? 0 : Math.floor(this.#highWaterMark / 2);
    if (isClosed || !sender.waitForLess(limit)) this.#settle(!isClosed);
  }

  /** @param {boolean} hasRoom */
  #settle(hasRoom) {
    this.#bell?.watchRoom(false);
    this.#bell?.setRef(false);
    for (const resolve of this.#waiting.splice(0)) resolve(hasRoom);
  }

  /** Nobody will receive or signal any more. Must be called before the lanes are closed. */
  close() {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#settle(false);
  }
}

module.exports.Backlog = Backlog;
