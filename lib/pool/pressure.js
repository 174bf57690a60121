'use strict';

/** Tells a pool's users when they should hold back, and when no longer. */

/**
 * @typedef {object} Load
 * @property {() => number} outstanding tasks
 * @property {() => number} capacity of the workers
 * @property {() => number} waiting tasks
 */

class Pressure {
  #options;
  #emit;
  #load;
  #isFull = false;
  /** Whether all workers have as many tasks as they can. */
  needsDrain = false;

  /**
   * @param {Record<string, any>} options
   * @param {(event: string) => void} emit
   * @param {Load} load
   */
  constructor(options, emit, load) {
    this.#options = options;
    this.#emit = emit;
    this.#load = load;
  }

  /** Whether an end is to be told. */
  get isOn() {
    return this.needsDrain || this.#isFull;
  }

  check() {
    const { maxThreads, concurrentTasksPerWorker, maxQueue } = this.#options;
    const most = maxThreads * concurrentTasksPerWorker;
    const usage = Math.min(this.#load.outstanding(), this.#load.capacity());
    if (usage === most) {
      if (!this.needsDrain) queueMicrotask(() => this.#emit('busy'));
      this.needsDrain = true;
      queueMicrotask(() => this.#emit('needsDrain'));
    } else if (usage < most && this.needsDrain) {
      this.needsDrain = false;
      queueMicrotask(() => {
        this.#emit('drain');
        this.#emit('busyEnd');
      });
    }
    const isFull = this.#load.waiting() >= maxQueue;
    if (isFull === this.#isFull) return;
    this.#isFull = isFull;
    this.#emit(isFull ? 'full' : 'backPressureEnd');
    if (isFull) this.#emit('backPressure');
  }
}

module.exports.Pressure = Pressure;
