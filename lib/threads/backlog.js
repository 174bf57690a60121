'use strict';

/**
 * How much of what one side posted waits for the other, and who waits for it to become less. A lane between threads
 * takes whatever it is given, so holding back is up to the program: it is told here when to, and when to go on.
 */

/** By default a program that holds back stays within the ring. */
const HIGH_WATER_MARK_BYTES = 1024 * 1024;

/** @typedef {(hasRoom: boolean) => void} Waiter */

class Backlog {
  /** As many messages by Node's port say nothing of the other side. */
  #fewMessages;
  #highWaterMark = HIGH_WATER_MARK_BYTES;
  /** @type {import('../link/lane-sender').LaneSender | undefined} */
  #sender;
  /** The end whose bell tells of room. @type {import('../link/lane-receiver').LaneReceiver | undefined} */
  #bell;
  /** Posted by Node's port, before there was a lane. */
  #postedByPort = 0;
  /** These may not have been received yet: the lane has not been read. */
  #isBehindPort = true;
  #isOver = false;
  #isListening = false;
  /** @type {Waiter[]} */
  #waiting = [];

  /** @param {number} fewMessages so many that go by Node's port do not count */
  constructor(fewMessages) {
    this.#fewMessages = fewMessages;
  }

  /** Counts a message that goes by Node's port because there is no lane. */
  notePosted() {
    this.#postedByPort++;
  }

  /** @param {number} bytes */
  setHighWaterMark(bytes) {
    this.#highWaterMark = bytes;
    // What is waited for has changed.
    if (this.#waiting.length > 0) this.#check();
  }

  /**
   * The lane is in use from here on, and what went by the port before comes before it.
   * @param {import('../link/lane-sender').LaneSender} sender
   * @param {import('../link/lane-receiver').LaneReceiver} bell
   */
  useLane(sender, bell) {
    this.#sender = sender;
    this.#bell = bell;
    this.#isBehindPort = this.#postedByPort > 0;
    // Once this has been read, so has what went by the port.
    if (this.#isBehindPort) sender.sendMilestone();
    if (this.#waiting.length > 0) this.#watch(bell);
  }

  /** Bytes that have been posted by the lane and not been received yet. */
  get bufferedAmount() {
    return this.#isOver || this.#sender === undefined ? 0 : this.#sender.bufferedAmount;
  }

  /** Whether a program that wants to hold back should do so. */
  get needsDrain() {
    if (this.#isOver) return false;
    return this.#isPortFull || this.bufferedAmount >= this.#highWaterMark;
  }

  /** Whether messages went by the port of which nothing tells that they have been received. */
  get #isPortFull() {
    if (this.#isBehindPort && this.#sender?.isRead) this.#isBehindPort = false;
    return this.#isBehindPort && this.#postedByPort > this.#fewMessages;
  }

  /**
   * Waits until a program may go on. Fulfilled with false when nothing is received any more.
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
    // Who waits has something to go on with.
    bell.setRef(true);
    this.#check();
  }

  /** Lets those go on that wait, or asks the other side to tell when they may. */
  #check() {
    const sender = this.#sender;
    if (sender === undefined || this.#waiting.length === 0) return;
    const isClosed = sender.isClosed;
    // Half of it, so that neither side is woken for every few messages.
    const limit = this.#isPortFull ? 0 : Math.floor(this.#highWaterMark / 2);
    if (isClosed || !sender.waitForLess(limit)) this.#settle(!isClosed);
  }

  /** @param {boolean} hasRoom */
  #settle(hasRoom) {
    this.#bell?.watchRoom(false);
    this.#bell?.setRef(false);
    for (const resolve of this.#waiting.splice(0)) resolve(hasRoom);
  }

  /** There is nobody to receive, or nobody who tells. To be called before the lanes are closed. */
  close() {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#settle(false);
  }
}

module.exports.Backlog = Backlog;
