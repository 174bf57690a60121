'use strict';

/* A team of worker threads that run the same file on the same shared memory, and a barrier for them. */

const os = require('node:os');
const { Worker } = require('manycore');

/** All cores; at least two threads, for a comparison with one. */
const ALL_CORES = Math.max(2, os.availableParallelism());

class Team {
  /** @type {import('node:worker_threads').Worker[]} */
  #workers;

  /**
   * Starts the threads. Each runs `file`, with `{ index, size, barrier, ...data }` as its workerData.
   * @param {string} file
   * @param {number} size number of threads
   * @param {object} data data shared by the threads
   */
  constructor(file, size, data) {
    const barrier = new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT));
    this.#workers = Array.from(
      { length: size },
      (_, index) => new Worker(file, { workerData: { index, size, barrier, ...data } }),
    );
  }

  /**
   * Sends every thread the same message and waits for one reply from each.
   * @param {unknown} message
   * @returns {Promise<any[]>} the replies, in the threads' order; rejects if a thread fails
   */
  async ask(message) {
    const replies = this.#workers.map(
      (worker) =>
        new Promise((resolve, reject) => {
          const settle = (/** @type {() => void} */ act) => {
            worker.off('message', onMessage).off('error', onError).off('exit', onExit);
            act();
          };
          const onMessage = (/** @type {any} */ reply) => settle(() => resolve(reply));
          const onError = (/** @type {Error} */ error) => settle(() => reject(error));
          const onExit = (/** @type {number} */ code) =>
            settle(() => reject(new Error(`A thread ended early with exit code ${code}`)));
          worker.on('message', onMessage).on('error', onError).on('exit', onExit);
        }),
    );
    for (const worker of this.#workers) worker.postMessage(message);
    return Promise.all(replies);
  }

  /** Ends the threads, whatever they are doing. */
  async close() {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}

/**
 * Waits in a thread until all `size` threads of the team have arrived.
 *
 * The first word of the barrier counts arrivals, the second how many times the barrier has opened. The last thread
 * resets the count before it opens the barrier, so that the barrier can be reused immediately.
 * @param {Int32Array} barrier
 * @param {number} size
 */
function meet(barrier, size) {
  const opened = Atomics.load(barrier, 1);
  if (Atomics.add(barrier, 0, 1) === size - 1) {
    Atomics.store(barrier, 0, 0);
    Atomics.add(barrier, 1, 1);
    Atomics.notify(barrier, 1);
    return;
  }
  while (Atomics.load(barrier, 1) === opened) Atomics.wait(barrier, 1, opened);
}

/**
 * Returns the duration of one call of `work`.
 * @param {() => Promise<unknown>} work
 * @returns {Promise<number>} milliseconds
 */
async function timeMs(work) {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** @param {number[]} values */
function median(values) {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}

/**
 * Prints the last line of all examples.
 * @param {number} oneMs time on one thread
 * @param {number} allMs time on `threads` threads
 * @param {number} threads
 */
function printSpeedUp(oneMs, allMs, threads) {
  console.log(`1 thread: ${oneMs.toFixed(0)} ms`);
  console.log(`${threads} thread${threads === 1 ? '' : 's'}: ${allMs.toFixed(0)} ms`);
  console.log(`speed-up: ${(oneMs / allMs).toFixed(2)}`);
}

module.exports.ALL_CORES = ALL_CORES;
module.exports.Team = Team;
module.exports.meet = meet;
module.exports.timeMs = timeMs;
module.exports.median = median;
module.exports.printSpeedUp = printSpeedUp;
