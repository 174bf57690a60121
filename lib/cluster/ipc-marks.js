'use strict';

/**
 * Brings what comes by Node's channel into the order of the lane. Marks are numbered on the channel; in the lane
 * they are met one after the other, so that the n-th is number n. What the other side writes is not trusted: marks
 * that make no sense are never waited for, or never come, and then only its own messages wait.
 */

class Marks {
  /** Of those sent. */
  #sent = 0;
  /** Of those met in the lane. */
  #met = 0;
  /** Handles, or nothing, whose markers have not been met, by their number. @type {Map<number, any>} */
  #held = new Map();
  /** Numbers of marks that do not come. @type {Set<number>} */
  #lost = new Set();
  /** Whether the next message is the one for `#handle`. */
  #isForMessage = false;
  /** @type {{ handle: any, isLost: boolean }} */
  #taken = NONE;
  /** Nothing comes any more. */
  #isOver = false;

  /** Whether the marker met last waits for its mark. */
  isAwaiting = false;

  /** The number of a mark to be sent. */
  next() {
    return ++this.#sent;
  }

  /** The mark was not sent after all. */
  takeBack() {
    this.#sent--;
  }

  /**
   * Takes what came by the channel. True when the lane need not wait any longer.
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
   * Meets a marker in the lane.
   * @param {boolean} isForMessage whether the message that follows goes with what came by the channel
   */
  meet(isForMessage) {
    this.#met++;
    this.#isForMessage = isForMessage;
    this.isAwaiting = true;
    this.#take();
  }

  /** What came with the message that is delivered now. */
  takeHandle() {
    const taken = this.#taken;
    this.#taken = NONE;
    return taken;
  }

  /** Waits for nothing any more. */
  giveUp() {
    this.#isOver = true;
    if (this.isAwaiting) this.#take();
  }

  /** Closes handles that have no message. */
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
 * Closes a handle that goes to nobody.
 * @param {any} handle a socket, a server, or a handle of the runtime's
 */
function discard(handle) {
  if (typeof handle.destroy === 'function') handle.destroy();
  else if (typeof handle.close === 'function') handle.close();
}

module.exports.Marks = Marks;
