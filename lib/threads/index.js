'use strict';

/** Everything that `node:worker_threads` exports, with our `Worker`. */

const workerThreads = /** @type {any} */ (require('node:worker_threads'));
const { BroadcastChannel } = require('./broadcast');
const { markAsUncloneable } = require('./marks');
const { receiveMessageOnPort } = require('./receive');
const { Worker, hasLanes } = require('./worker');

/** @type {Record<string, any>} */
const ours = hasLanes ? { BroadcastChannel, Worker, markAsUncloneable, receiveMessageOnPort } : {};

for (const name of Object.keys(workerThreads)) {
  // Looked up when asked for: the module's own values change when a worker starts, and some are made on demand.
  Object.defineProperty(module.exports, name, {
    configurable: true,
    enumerable: true,
    get: () => (Object.hasOwn(ours, name) ? ours[name] : workerThreads[name]),
  });
}
