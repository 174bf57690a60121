'use strict';

/*
 * Whether two threads at once run as fast as each alone. Virtual processors may share a core for seconds or minutes:
 * whatever keeps two processors busy then runs at half the speed, and figures say more about the moment than about
 * the contenders. Measurements wait for better moments, and those that a bad one has disturbed are repeated.
 */

const os = require('node:os');
const { once } = require('node:events');
const { performance } = require('node:perf_hooks');
const { setTimeout: sleep } = require('node:timers/promises');
const { Worker, isMainThread, workerData } = require('node:worker_threads');

const BURN_MS = 15;
const ITERATIONS = 5000;
const PAUSE_MS = 200;
/** How long the second thread may take to answer. */
const ANSWER_MS = 5000;
/** Speed of two threads together, as a multiple of the speed of one, from which on they count as undisturbed. */
const UNDISTURBED = 1.75;

/** Words shared with the second thread: what it is to do, and what it has counted. */
const COMMAND = 0;
const COUNT = 1;
const Command = Object.freeze({ WAIT: 0, BURN: 1, BURNING: 2 });

/** Counts for some milliseconds. Returns how far it came. */
function burn() {
  const end = performance.now() + BURN_MS;
  let count = 0;
  let number = 1;
  while (performance.now() < end) {
    for (let i = 0; i < ITERATIONS; i++) number = (Math.imul(number, 1_664_525) + 1_013_904_223) | 0;
    // Depends on the result, so that the loop is not eliminated.
    count += number === 0 ? 0 : 1;
  }
  return count;
}

/** Sleeps until told what to do. @param {Int32Array} words */
function follow(words) {
  for (;;) {
    Atomics.wait(words, COMMAND, Command.WAIT);
    Atomics.store(words, COMMAND, Command.BURNING);
    Atomics.store(words, COUNT, burn());
    Atomics.store(words, COMMAND, Command.WAIT);
    Atomics.notify(words, COMMAND);
  }
}

/** Compares the speed of two threads at once with that of one. */
class Probe {
  #words = new Int32Array(new SharedArrayBuffer(8));
  /** @type {Worker | null} */
  #second = null;
  /** The greatest count of one thread so far: one alone may have been disturbed as well. */
  #best = 0;

  /**
   * Whether two threads run undisturbed. Takes some milliseconds.
   * @throws if the second thread cannot start, or does not answer
   */
  async isUndisturbed() {
    if (this.#second === null) {
      this.#second = new Worker(__filename, { workerData: this.#words });
      await once(this.#second, 'online');
    }
    const words = this.#words;
    this.#best = Math.max(this.#best, burn());
    Atomics.store(words, COMMAND, Command.BURN);
    Atomics.notify(words, COMMAND);
    const limitMs = performance.now() + ANSWER_MS;
    while (Atomics.load(words, COMMAND) === Command.BURN && performance.now() < limitMs);
    const first = burn();
    Atomics.wait(words, COMMAND, Command.BURNING, ANSWER_MS);
    if (Atomics.load(words, COMMAND) !== Command.WAIT) throw new Error('The second thread does not answer');
    return first + Atomics.load(words, COUNT) >= this.#best * UNDISTURBED;
  }

  /** Ends the second thread. */
  async close() {
    const second = this.#second;
    if (second === null) return;
    this.#second = null;
    await second.terminate();
  }
}

/** Takes measurements while the processors are undisturbed, for which it waits for a limited time per scenario. */
class Cores {
  #probe;
  #limitMs;
  #leftMs = 0;
  /** Whether there was a good moment in the scenario. */
  #hasSeenGood = true;
  /** Number of measurements, of those repeated, and of those taken although they were disturbed. */
  taken = { measured: 0, repeated: 0, disturbed: 0 };

  /**
   * @param {number} limitMs time per scenario for waiting and for repeated measurements; 0 to take them as they come
   * @param {{ isUndisturbed: () => Promise<boolean>, close: () => Promise<void> }} [probe]
   */
  constructor(limitMs, probe = new Probe()) {
    this.#probe = probe;
    this.#limitMs = os.availableParallelism() > 1 ? limitMs : 0;
  }

  /** Starts a scenario. After one that has waited in vain, later ones wait no more, until a good moment comes. */
  begin() {
    this.#leftMs = this.#hasSeenGood ? this.#limitMs : 0;
    this.#hasSeenGood = false;
  }

  /**
   * @template T
   * @param {() => Promise<T>} measure
   * @returns {Promise<T>}
   */
  async take(measure) {
    this.taken.measured++;
    if (this.#limitMs === 0) return measure();
    for (;;) {
      const isGood = await this.#settle();
      const startMs = performance.now();
      const result = await measure();
      if (isGood && (await this.#isGood())) return result;
      this.#leftMs -= performance.now() - startMs;
      if (this.#leftMs <= 0) {
        this.taken.disturbed++;
        return result;
      }
      this.taken.repeated++;
    }
  }

  /** Waits for a good moment. Returns false if the time is over. */
  async #settle() {
    for (;;) {
      const startMs = performance.now();
      if (await this.#isGood()) return true;
      if (this.#leftMs <= 0) return false;
      await sleep(PAUSE_MS);
      this.#leftMs -= performance.now() - startMs;
    }
  }

  async #isGood() {
    const isGood = await this.#probe.isUndisturbed();
    if (isGood) this.#hasSeenGood = true;
    return isGood;
  }

  close() {
    return this.#probe.close();
  }
}

if (!isMainThread && workerData instanceof Int32Array) follow(workerData);

module.exports.Cores = Cores;
