'use strict';

/** Everything that `node:worker_threads` exports, with our `Worker`. */

const workerThreads = require('node:worker_threads');
const { Worker } = require('./worker');

for (const name of Object.keys(workerThreads)) {
  // Looked up when asked for: the module's own values change when a worker starts, and some are made on demand.
  Object.defineProperty(module.exports, name, {
    configurable: true,
    enumerable: true,
    get: () => (name === 'Worker' ? Worker : /** @type {any} */ (workerThreads)[name]),
  });
}
