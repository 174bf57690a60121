'use strict';

/** Tells a pool's users when they should hold back, and when no longer. */

/**
 * @typedef {object} Load
 * @property {() => number} outstanding tasks
 * @property {() => number} capacity of the workers
 * @property {() => number} waiting tasks
 */

const EVENTS = /** @type {const} */ (['busy', 'busyEnd', 'drain', 'needsDrain']);
const settled = Promise.resolve();

class Pressure {
  #options;
  #emitter;
  #emit;
  #load;
  #isFull = false;
  /** Whether all workers have as many tasks as they can. */
  needsDrain = false;
  /** What is to be told, in a microtask. */
  #isScheduled = false;
  #tellsNeed = false;
  #tellsDrain = false;
  /** Whether `busy` has been told, and not its end. */
  #isBusy = false;

  /**
   * @param {Record<string, any>} options
   * @param {import('node:events').EventEmitter} emitter
   * @param {(event: string) => void} emit whatever listeners do
   * @param {Load} load
   */
  constructor(options, emitter, emit, load) {
    this.#options = options;
    this.#emitter = emitter;
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
      this.needsDrain = true;
      this.#tellsNeed = true;
      this.#schedule();
    } else if (usage < most && this.needsDrain) {
      this.needsDrain = false;
      this.#tellsDrain = true;
      this.#schedule();
    }
    const isFull = maxQueue !== Infinity && this.#load.waiting() >= maxQueue;
    if (isFull === this.#isFull) return;
    this.#isFull = isFull;
    this.#emit(isFull ? 'full' : 'backPressureEnd');
    if (isFull) this.#emit('backPressure');
  }

  /** One microtask for all that happens before it, and a cheap one while nobody listens. */
  #schedule() {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    void settled.then(this.#look);
  }

  #look = () => {
    if (EVENTS.some((name) => this.#emitter.listenerCount(name) > 0)) return queueMicrotask(this.#tell);
    this.#isBusy = this.needsDrain;
    this.#isScheduled = false;
    this.#tellsNeed = false;
    this.#tellsDrain = false;
  };

  #tell = () => {
    const tellsNeed = this.#tellsNeed;
    this.#isScheduled = false;
    this.#tellsNeed = false;
    const { needsDrain } = this;
    // In the order in which they came about.
    if (needsDrain) this.#tellDrain();
    if (tellsNeed) this.#tellNeed();
    if (!needsDrain) this.#tellDrain();
  };

  #tellNeed() {
    if (!this.#isBusy) {
      this.#isBusy = true;
      this.#emit('busy');
    }
    this.#emit('needsDrain');
  }

  #tellDrain() {
    if (!this.#tellsDrain) return;
    this.#tellsDrain = false;
    this.#emit('drain');
    if (!this.#isBusy) return;
    this.#isBusy = false;
    this.#emit('busyEnd');
  }
}

module.exports.Pressure = Pressure;
