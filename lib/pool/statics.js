'use strict';

/** What the class of pools has itself, as piscina's, tinypool's and workerpool's. */

const { version } = require('../../package.json');
const { context, taskSignal, worker, workerEmit } = require('./context');
const { ArrayTaskQueue, FixedQueue } = require('./task-queues');
const transfer = require('./transfer');

/** @param {any} Pool */
function addStatics(Pool) {
  const get = (/** @type {string} */ name, /** @type {() => any} */ read) => {
    Object.defineProperty(Pool, name, { configurable: true, get: read });
  };
  get('isWorkerThread', () => context.isWorkerThread);
  get('workerData', () => context.workerData);
  get('workerId', () => context.workerId);
  get('version', () => version);
  for (const name of ['Piscina', 'Pool', 'default']) get(name, () => Pool);
  const { Transfer, transferableSymbol, valueSymbol, queueOptionsSymbol } = transfer;
  const values = {
    FixedQueue,
    ArrayTaskQueue,
    Transfer,
    transferableSymbol,
    valueSymbol,
    queueOptionsSymbol,
  };
  for (const [name, value] of Object.entries(values)) get(name, () => value);
  Object.assign(Pool, { move: transfer.move, taskSignal, worker, workerEmit });
}

module.exports.addStatics = addStatics;
