'use strict';

/**
 * Runs a pool once, up to its first result, with a warm thread as its worker, so that both threads have compiled
 * and resolved everything when it counts.
 */

const { EventEmitter } = require('node:events');
const { Pool } = require('./pool');

const VALUES = [{ text: '', number: 0 }, [new Uint8Array(1)]];
/** Not a real handler: see `thread.js`. */
const OPTIONS = { filename: __filename, name: 'rehearsal', minThreads: 1, maxThreads: 1 };

/** Stands in for the thread, which outlives the pool. */
class StandIn extends EventEmitter {
  threadId = -1;
  #tell;

  /** @param {(message: any, transferList: any[]) => void} tell sends a message to the thread */
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
 * @param {any} worker the warm thread
 * @param {(message: any, transferList: any[]) => void} tell
 * @param {(started: import('./start').Started) => void} lend makes the next pool take it
 * @returns {Promise<void>} resolves when the rehearsal is over, even if it failed
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
    // The thread has ended; its owner is notified.
  } finally {
    worker.removeListener('exit', end);
    await end();
  }
}

module.exports.rehearse = rehearse;
