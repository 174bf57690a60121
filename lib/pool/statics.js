'use strict';

/** What the class of pools has itself, as piscina's, tinypool's and workerpool's. Loaded when asked for. */

/** @type {[string[], () => any][]} names, and the module that has them */
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

/** @param {any} Pool */
function addStatics(Pool) {
  const get = (/** @type {string} */ name, /** @type {() => any} */ read) => {
    Object.defineProperty(Pool, name, { configurable: true, get: read });
  };
  for (const [names, load] of PARTS) for (const name of names) get(name, () => load()[name]);
  for (const name of ['Piscina', 'Pool', 'default']) get(name, () => Pool);
  // As the module of workerpool, whose users write `workerpool.pool()`.
  Pool.pool = (/** @type {any} */ script, /** @type {any} */ options) => new Pool(script, options);
  get('Promise', () => require('./cancellable').CancellablePromise);
  get('cpus', () => require('node:os').cpus().length);
  get('isMainThread', () => require('node:worker_threads').isMainThread);
  Pool.platform = 'node';
}

module.exports.addStatics = addStatics;
module.exports.PARTS = PARTS;
