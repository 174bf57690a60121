'use strict';

/** FIFO queue of messages in a growing ring buffer. */

const FIRST_SLOTS = 16;
/** A larger ring is released once it is empty. */
const KEPT_SLOTS = 4096;

class PortQueue {
  #slots = new Array(FIRST_SLOTS);
  #mask = FIRST_SLOTS - 1;
  #head = 0;
  length = 0;

  /** @param {any} value */
  push(value) {
    if (this.length > this.#mask) this.#grow();
    this.#slots[(this.#head + this.length++) & this.#mask] = value;
  }

  /** Removes and returns the oldest message. The queue must not be empty. */
  shift() {
    const value = this.#slots[this.#head];
    this.#slots[this.#head] = undefined;
    this.#head = (this.#head + 1) & this.#mask;
    if (--this.length === 0 && this.#mask >= KEPT_SLOTS) this.#reset();
    return value;
  }

  #grow() {
    const { length } = this;
    const slots = new Array(length * 2);
    for (let i = 0; i < length; i++) slots[i] = this.#slots[(this.#head + i) & this.#mask];
    this.#slots = slots;
    this.#mask = slots.length - 1;
    this.#head = 0;
  }

  #reset() {
    this.#slots = new Array(FIRST_SLOTS);
    this.#mask = FIRST_SLOTS - 1;
    this.#head = 0;
  }
}

module.exports.PortQueue = PortQueue;
