'use strict';

/**
 * Exports of the pool API, and the static members of the class, as those of piscina, tinypool and workerpool. Most
 * are loaded on first access.
 */

require('../core/context');
const { Pool } = require('./pool');

/** @type {[string[], () => any][]} names, and a function that loads their module */
const PARTS = [
  [['isWorkerThread', 'workerData', 'workerId'], () => require('./context').context],
  [['taskSignal', 'worker', 'workerEmit'], () => require('./context')],
  [['ArrayTaskQueue', 'FixedQueue'], () => require('./task-queues')],
  [
    ['Transfer', 'move', 'queueOptionsSymbol', 'transferableSymbol', 'valueSymbol'],
    () => require('./transfer'),
  ],
  [['version'], () => require('../../package.json')],
];

/** @param {any} Class the class of pools */
function addStatics(Class) {
  const get = (/** @type {string} */ name, /** @type {() => any} */ read) => {
    Object.defineProperty(Class, name, { configurable: true, get: read });
  };
  for (const [names, load] of PARTS) for (const name of names) get(name, () => load()[name]);
  for (const name of ['Piscina', 'Pool', 'default']) get(name, () => Class);
  // Like the module of workerpool, whose users call `workerpool.pool()`.
  Class.pool = (/** @type {any} */ script, /** @type {any} */ options) => new Class(script, options);
  get('Promise', () => require('./cancellable').CancellablePromise);
  get('cpus', () => require('node:os').cpus().length);
  get('isMainThread', () => require('node:worker_threads').isMainThread);
  Class.platform = 'node';
}

addStatics(Pool);

module.exports.Pool = Pool;
module.exports.Piscina = Pool;
for (const [names, load] of PARTS) {
  for (const name of names) {
    Object.defineProperty(module.exports, name, {
      configurable: true,
      enumerable: true,
      get: () => load()[name],
    });
  }
}
