'use strict';

/** Queues that programs can pass to a pool, or extend. */

class ArrayTaskQueue {
  /** @type {any[]} */
  tasks = [];

  get size() {
    return this.tasks.length;
  }

  shift() {
    return this.tasks.shift() ?? null;
  }

  /** @param {any} task */
  push(task) {
    this.tasks.push(task);
  }

  /** @param {any} task */
  unshift(task) {
    this.tasks.unshift(task);
  }

  /** @param {any} task */
  remove(task) {
    const index = this.tasks.indexOf(task);
    require('node:assert').notStrictEqual(index, -1);
    this.tasks.splice(index, 1);
  }

  cancel() {
    cancelAll(this);
  }
}

/** FIFO queue in a growing ring buffer, with constant-time operations. */
class FixedQueue {
  /** @type {any[]} */
  #ring = new Array(16).fill(null);
  #head = 0;
  #size = 0;

  get size() {
    return this.#size;
  }

  isEmpty() {
    return this.#size === 0;
  }

  shift() {
    if (this.#size === 0) return null;
    const task = this.#ring[this.#head];
    this.#ring[this.#head] = null;
    this.#head = (this.#head + 1) & (this.#ring.length - 1);
    this.#size--;
    return task;
  }

  /** @param {any} task */
  push(task) {
    this.#reserve();
    this.#ring[(this.#head + this.#size) & (this.#ring.length - 1)] = task;
    this.#size++;
  }

  /** @param {any} task */
  unshift(task) {
    this.#reserve();
    this.#head = (this.#head - 1) & (this.#ring.length - 1);
    this.#ring[this.#head] = task;
    this.#size++;
  }

  /** @param {any} task */
  remove(task) {
    const mask = this.#ring.length - 1;
    for (let i = 0; i < this.#size; i++) {
      if (this.#ring[(this.#head + i) & mask] !== task) continue;
      for (let j = i; j < this.#size - 1; j++) {
        this.#ring[(this.#head + j) & mask] = this.#ring[(this.#head + j + 1) & mask];
      }
      this.#size--;
      this.#ring[(this.#head + this.#size) & mask] = null;
      return;
    }
  }

  cancel() {
    cancelAll(this);
  }

  #reserve() {
    const ring = this.#ring;
    if (this.#size < ring.length) return;
    this.#ring = [...ring.slice(this.#head), ...ring.slice(0, this.#head)];
    this.#ring.length = ring.length * 2;
    this.#ring.fill(null, ring.length);
    this.#head = 0;
  }
}

/** LIFO queue. */
class LifoTaskQueue extends ArrayTaskQueue {
  /** @override */
  shift() {
    return this.tasks.pop() ?? null;
  }
}

/** @param {{ size: number, shift(): any }} queue */
function cancelAll(queue) {
  while (queue.size > 0) queue.shift()?.cancel?.();
}

module.exports.ArrayTaskQueue = ArrayTaskQueue;
module.exports.FixedQueue = FixedQueue;
module.exports.LifoTaskQueue = LifoTaskQueue;
