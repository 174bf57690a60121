'use strict';

/** Static members of the pool class, as those of piscina, tinypool and workerpool. Loaded on first access. */

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

/** @param {any} Pool */
function addStatics(Pool) {
  const get = (/** @type {string} */ name, /** @type {() => any} */ read) => {
    Object.defineProperty(Pool, name, { configurable: true, get: read });
  };
  for (const [names, load] of PARTS) for (const name of names) get(name, () => load()[name]);
  for (const name of ['Piscina', 'Pool', 'default']) get(name, () => Pool);
  // Like the module of workerpool, whose users call `workerpool.pool()`.
  Pool.pool = (/** @type {any} */ script, /** @type {any} */ options) => new Pool(script, options);
  get('Promise', () => require('./cancellable').CancellablePromise);
  get('cpus', () => require('node:os').cpus().length);
  get('isMainThread', () => require('node:worker_threads').isMainThread);
  Pool.platform = 'node';
}

module.exports.addStatics = addStatics;
module.exports.PARTS = PARTS;
