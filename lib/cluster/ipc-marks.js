'use strict';

/**
 * Orders what arrives on Node's channel relative to the lane. Marks are numbered on the channel; in the lane, the
 * n-th marker stands for mark n. The other side is not trusted: invalid marks are never waited for or never arrive,
 * and then only its own messages are delayed.
 */

class Marks {
  /** Number of marks sent. */
  #sent = 0;
  /** Number of markers met in the lane. */
  #met = 0;
  /**
   * Arrived marks whose markers have not been met, by number; the value is the handle, if any.
   * @type {Map<number, any>}
   */
  #held = new Map();
  /** Numbers of marks that will not arrive. @type {Set<number>} */
  #lost = new Set();
  /** Whether the next message belongs to `#taken`. */
  #isForMessage = false;
  /** @type {{ handle: any, isLost: boolean }} */
  #taken = NONE;
  /** Nothing more will arrive. */
  #isOver = false;

  /** Whether the last marker met is waiting for its mark. */
  isAwaiting = false;

  /** Returns the number of the next mark to be sent. */
  next() {
    return ++this.#sent;
  }

  /** Reverts `next`: the mark was not sent. */
  takeBack() {
    this.#sent--;
  }

  /**
   * Handles a mark that arrived on the channel. Returns true if the lane no longer has to wait.
   * @param {any} command
   * @param {any} handle
   */
  arrive({ mark, lost }, handle) {
    if (Number.isSafeInteger(lost)) this.#lost.add(lost);
    else if (Number.isSafeInteger(mark) && !this.#isPassed(mark)) this.#held.set(mark, handle);
    else if (handle) discard(handle);
    return this.isAwaiting && this.#take();
  }

  /**
   * Handles a marker in the lane.
   * @param {boolean} isForMessage whether the next message in the lane belongs to the handle sent on the channel
   */
  meet(isForMessage) {
    this.#met++;
    this.#isForMessage = isForMessage;
    this.isAwaiting = true;
    this.#take();
  }

  /** Returns the handle of the message being delivered. */
  takeHandle() {
    const taken = this.#taken;
    this.#taken = NONE;
    return taken;
  }

  /** Stops waiting: no more marks will arrive. */
  giveUp() {
    this.#isOver = true;
    if (this.isAwaiting) this.#take();
  }

  /** Closes the handles whose messages have not arrived. */
  close() {
    for (const handle of this.#held.values()) if (handle) discard(handle);
    this.#held.clear();
  }

  /** @param {number} mark */
  #isPassed(mark) {
    return mark < this.#met || (mark === this.#met && !this.isAwaiting);
  }

  #take() {
    const mark = this.#met;
    const isHere = this.#held.has(mark);
    if (!isHere && !this.#lost.delete(mark) && !this.#isOver) return false;
    const handle = this.#held.get(mark);
    this.#held.delete(mark);
    if (this.#isForMessage) this.#taken = { handle, isLost: !isHere };
    this.isAwaiting = false;
    return true;
  }
}

/** @type {{ handle: any, isLost: boolean }} */
const NONE = { handle: undefined, isLost: false };

/**
 * Closes a handle that is not delivered to anyone.
 * @param {any} handle a socket, a server, or one of Node's internal handles
 */
function discard(handle) {
  if (typeof handle.destroy === 'function') handle.destroy();
  else if (typeof handle.close === 'function') handle.close();
}

module.exports.Marks = Marks;
