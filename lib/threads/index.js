'use strict';

/** All exports of `node:worker_threads`, including those only later versions of Node have, with our `Worker`. */

const workerThreads = /** @type {any} */ (require('node:worker_threads'));
const { ours } = require('./ours');

for (const name of new Set([...Object.keys(workerThreads), ...Object.keys(ours)])) {
  // Getters: some values change when a worker starts, and some are created on demand.
  Object.defineProperty(module.exports, name, {
    configurable: true,
    enumerable: true,
    get: () => (Object.hasOwn(ours, name) ? ours[name] : workerThreads[name]),
  });
}
