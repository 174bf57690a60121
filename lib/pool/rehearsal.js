'use strict';

/**
 * Goes once through what a pool does up to its first result, with a thread that is kept ready as its worker: in both
 * threads, all that is compiled and looked up when it counts.
 */

const { EventEmitter } = require('node:events');
const { Pool } = require('./pool');

const VALUES = [{ text: '', number: 0 }, [new Uint8Array(1)]];
/** No file and no export of it: see `thread.js`. */
const OPTIONS = { filename: __filename, name: 'rehearsal', minThreads: 1, maxThreads: 1 };

/** What the pool takes for its thread: the thread itself outlives it. */
class StandIn extends EventEmitter {
  threadId = -1;
  #tell;

  /** @param {(message: any, transferList: any[]) => void} tell the thread */
  constructor(tell) {
    super();
    this.#tell = tell;
  }

  ref() {}

  unref() {}

  terminate() {
    this.#tell({ rehearsal: null }, []);
    process.nextTick(() => this.emit('exit', 0));
  }
}

/**
 * @param {any} worker its thread
 * @param {(message: any, transferList: any[]) => void} tell
 * @param {(started: import('./start').Started) => void} lend has the next pool take it
 * @returns {Promise<void>} fulfilled when it is over, whatever became of it
 */
async function rehearse(worker, tell, lend) {
  const post = (/** @type {any} */ rehearsal, /** @type {any[]} */ list) => tell({ rehearsal }, list);
  lend({ workerId: 0, settings: {}, worker: new StandIn(tell), post });
  const pool = new Pool(OPTIONS);
  const end = () => pool.destroy();
  worker.once('exit', end);
  try {
    for (const value of VALUES) await pool.run(value);
  } catch {
    // The thread has ended, which is told to who keeps it.
  } finally {
    worker.removeListener('exit', end);
    await end();
  }
}

module.exports.rehearse = rehearse;
