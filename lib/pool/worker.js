'use strict';

/** The program of a pool's worker that is a thread. */

const { parentPort, receiveMessageOnPort, workerData } = require('node:worker_threads');
const { requireAddon } = require('../core/addon');
const { Encoder } = require('../link/encoder');
const { LARGE_LENGTH } = require('../link/tags');
const { PortCarrier } = require('./port-carrier');
const { context } = require('./context');
const { enter } = require('./entrance');
const { Runner } = require('./runner');

/**
 * @typedef {object} OfThread
 * @property {number} queue
 * @property {number} number its place in the queue
 * @property {import('node:worker_threads').MessagePort} port for what the queue cannot carry
 */

context.isWorkerThread = true;
context.workerData = workerData;

const parent = /** @type {import('node:worker_threads').MessagePort} */ (parentPort);
const waiting = receiveMessageOnPort(parent);
if (waiting === undefined) parent.once('message', start);
else start(waiting.message);

/** @param {import('./entrance').Startup & OfThread} startup */
function start(startup) {
  const addon = requireAddon('Pool');
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
