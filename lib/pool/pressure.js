'use strict';

/** Back-pressure of a pool: tells its users when to pause and when to resume. */

/**
 * @typedef {object} Load
 * @property {() => number} outstanding number of unsettled tasks
 * @property {() => number} capacity number of tasks the workers can hold
 * @property {() => boolean} isFull whether the next task would be refused
 */

const EVENTS = /** @type {const} */ (['busy', 'busyEnd', 'drain', 'needsDrain']);
const settled = Promise.resolve();

class Pressure {
  #options;
  #emitter;
  #emit;
  #load;
  #isFull = false;
  /** Whether all workers hold as many tasks as they can. */
  needsDrain = false;
  /** Events to be emitted in a microtask. */
  #isScheduled = false;
  #tellsNeed = false;
  #tellsDrain = false;
  /** Whether `busy` has been emitted, and `busyEnd` has not. */
  #isBusy = false;

  /**
   * @param {Record<string, any>} options
   * @param {import('node:events').EventEmitter} emitter
   * @param {(event: string) => void} emit emits an event; errors of listeners do not propagate
   * @param {Load} load
   */
  constructor(options, emitter, emit, load) {
    this.#options = options;
    this.#emitter = emitter;
    this.#emit = emit;
    this.#load = load;
  }

  /** Whether an end has to be detected. */
  get isOn() {
    return this.needsDrain || this.#isFull;
  }

  check() {
    const { maxThreads, concurrentTasksPerWorker } = this.#options;
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
    const isFull = this.#load.isFull();
    if (isFull === this.#isFull) return;
    this.#isFull = isFull;
    this.#emit(isFull ? 'full' : 'backPressureEnd');
    if (isFull) this.#emit('backPressure');
  }

  /** Tells that for a moment, which is over, all workers held as many tasks as they can. */
  pulse() {
    if (this.needsDrain) return;
    this.#tellsNeed = true;
    this.#tellsDrain = true;
    this.#schedule();
  }

  /** One microtask for everything that happens before it, and a cheap one while there are no listeners. */
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
    // In the order in which the states occurred.
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
