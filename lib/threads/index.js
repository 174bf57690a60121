'use strict';

/** Everything that `node:worker_threads` exports, or a later Node's, with our `Worker`. */

const workerThreads = /** @type {any} */ (require('node:worker_threads'));
const { ours } = require('./ours');

for (const name of new Set([...Object.keys(workerThreads), ...Object.keys(ours)])) {
  // Looked up when asked for: the module's own values change when a worker starts, and some are made on demand.
  Object.defineProperty(module.exports, name, {
    configurable: true,
    enumerable: true,
    get: () => (Object.hasOwn(ours, name) ? ours[name] : workerThreads[name]),
  });
}
