'use strict';

/** A pool's worker that is a thread, once its program (`worker.js`) has been told what it is. */

const { workerData } = require('node:worker_threads');
const { Encoder } = require('../link/encoder');
const { LARGE_LENGTH } = require('../link/tags');
const { PortCarrier } = require('./port-carrier');
const { context } = require('./context');
const { enter, preload } = require('./entrance');
const { Runner } = require('./runner');

/**
 * @typedef {object} OfThread
 * @property {string | undefined} addonFile
 * @property {number} queue
 * @property {number} number its place in the queue
 * @property {import('node:worker_threads').MessagePort} port for what the queue cannot carry
 */

context.isWorkerThread = true;
context.workerData = workerData;

/**
 * @param {typeof import('../native/index')} addon
 * @param {import('./entrance').Startup & OfThread} startup
 */
function start(addon, startup) {
  const { queue, number, port, memoryLimitBytes } = startup;
  const runner = new Runner({
    addon,
    native: new addon.PoolWorker(queue, number),
    carrier: new PortCarrier(port),
    encoder: new Encoder(LARGE_LENGTH),
    isOverLimit: memoryLimitBytes === 0 ? null : () => process.memoryUsage().heapUsed > memoryLimitBytes,
  });
  void enter(addon, runner, startup);
}

/**
 * Loads what tasks need, says so, and waits for its pool.
 * @param {typeof import('../native/index')} addon
 * @param {{ workerId: number, filename: string | null, name: string, port: any }} ahead
 */
async function startAhead(addon, { workerId, filename, name, port }) {
  context.workerId = workerId;
  port.once('message', (/** @type {import('./entrance').Startup & OfThread} */ startup) => {
    port.close();
    start(addon, startup);
  });
  if (filename !== null && !(await preload(filename, name, null))) return;
  port.postMessage(null);
}

module.exports.start = start;
module.exports.startAhead = startAhead;
