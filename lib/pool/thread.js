'use strict';

/** A worker thread, after its main program (`worker.js`) has received its initial data. */

const { parentPort, workerData } = require('node:worker_threads');
const { Encoder } = require('../link/encoder');
const { LARGE_LENGTH } = require('../link/tags');
const { PortCarrier } = require('./port-carrier');
const { context } = require('./context');
const { enter, preload } = require('./entrance');
const { makeHandler } = require('./handlers');
const { BEGUN } = require('./page');
const { Runner } = require('./runner');

/**
 * @typedef {object} OfThread
 * @property {number} queue
 * @property {number} number the worker's place in the queue
 * @property {import('node:worker_threads').MessagePort} port port for values the queue cannot carry
 */

context.isWorkerThread = true;
context.workerData = workerData;

/**
 * @param {typeof import('../native/index')} addon
 * @param {import('./entrance').Startup & OfThread} startup
 */
function start(addon, startup) {
  void enter(addon, makeRunner(addon, startup), startup);
}

/**
 * @param {typeof import('../native/index')} addon
 * @param {import('./entrance').Startup & OfThread} startup
 */
function makeRunner(addon, { queue, number, port, memoryLimitBytes }) {
  return new Runner({
    addon,
    native: new addon.PoolWorker(queue, number),
    carrier: new PortCarrier(port),
    encoder: new Encoder(LARGE_LENGTH),
    announce: (channel) => parentPort?.postMessage({ [BEGUN]: channel }),
    isOverLimit: memoryLimitBytes === 0 ? null : () => process.memoryUsage().heapUsed > memoryLimitBytes,
  });
}

/**
 * Warm thread: loads what tasks need, reports that, and waits for a pool. Until then it serves the pool of a
 * rehearsal (`rehearsal.js`).
 * @param {typeof import('../native/index')} addon
 * @param {{ workerId: number, filename: string | null, name: string, port: any }} ahead
 */
async function startAhead(addon, { workerId, filename, name, port }) {
  context.workerId = workerId;
  /** @type {Runner | null} */
  let rehearsing = null;
  port.on('message', (/** @type {any} */ told) => {
    const { rehearsal } = told;
    if (rehearsal === undefined) {
      port.close();
      start(addon, told);
    } else if (rehearsal === null) {
      rehearsing?.close();
      rehearsing = null;
    } else {
      rehearsing = makeRunner(addon, rehearsal);
      makeHandler([rehearsal.filename, rehearsal.name, false, null]).call = (value) => value;
      rehearsing.start();
    }
  });
  if (filename !== null && !(await preload(filename, name, null))) return;
  port.postMessage(null);
}

module.exports.start = start;
module.exports.startAhead = startAhead;
