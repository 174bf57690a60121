'use strict';

/**
 * Entry point: wiring only. Each part is loaded on first access, including node:worker_threads, whose export names
 * are therefore listed here. They are those of all supported versions of Node: a name that the running version
 * lacks is undefined. `manycore/worker_threads` has exactly the names of the running version. Only `locks` differs:
 * that of node:worker_threads is limited to its process.
 */

/** Names, and a function that loads their module. @type {[string[], () => any][]} */
const PARTS = [
  [
    ['configureLink', 'configureLinks', 'linkBuffer', 'linkDrained', 'linkStatus'],
    () => require('./lib/threads/settings'),
  ],
  [
    [
      'BroadcastChannel',
      'MessageChannel',
      'MessagePort',
      'SHARE_ENV',
      'Worker',
      'getEnvironmentData',
      'isInternalThread',
      'isMainThread',
      'isMarkedAsUntransferable',
      'markAsUncloneable',
      'markAsUntransferable',
      'moveMessagePortToContext',
      'parentPort',
      'postMessageToThread',
      'receiveMessageOnPort',
      'resourceLimits',
      'setEnvironmentData',
      'threadId',
      'threadName',
      'workerData',
    ],
    () => require('./lib/threads'),
  ],
  [
    [
      'Channel',
      'RateLimiter',
      'SharedArray',
      'SharedBuffer',
      'SharedCounter',
      'SharedHistogram',
      'SharedMap',
      'Topic',
      'shared',
    ],
    () => require('./lib/shared'),
  ],
  [
    [
      'Barrier',
      'Condition',
      'Lock',
      'LockManager',
      'Mutex',
      'Once',
      'RwLock',
      'Semaphore',
      'UnlockToken',
      'leader',
      'locks',
      'runOnce',
    ],
    () => require('./lib/locks'),
  ],
  [
    [
      'ArrayTaskQueue',
      'FixedQueue',
      'Piscina',
      'Pool',
      'Transfer',
      'isWorkerThread',
      'move',
      'queueOptionsSymbol',
      'taskSignal',
      'transferableSymbol',
      'valueSymbol',
      'worker',
      'workerEmit',
      'workerId',
    ],
    () => require('./lib/pool'),
  ],
];

/**
 * @param {string} name
 * @param {() => any} load
 */
function lazy(name, load) {
  Object.defineProperty(module.exports, name, {
    configurable: true,
    enumerable: true,
    get() {
      const value = load();
      Object.defineProperty(module.exports, name, {
        configurable: true,
        enumerable: true,
        writable: true,
        value,
      });
      return value;
    },
  });
}

lazy('cluster', () => require('./lib/cluster'));
for (const [names, load] of PARTS) {
  for (const name of names) lazy(name, () => load()[name]);
}

// Lists the export names for Node's ESM loader.
// eslint-disable-next-line no-constant-binary-expression
0 &&
  (module.exports = {
    cluster: null,
    Barrier: null,
    Condition: null,
    Lock: null,
    LockManager: null,
    Mutex: null,
    Once: null,
    RwLock: null,
    Semaphore: null,
    UnlockToken: null,
    leader: null,
    locks: null,
    runOnce: null,
    BroadcastChannel: null,
    Channel: null,
    MessageChannel: null,
    MessagePort: null,
    SHARE_ENV: null,
    RateLimiter: null,
    SharedArray: null,
    SharedBuffer: null,
    SharedCounter: null,
    SharedHistogram: null,
    SharedMap: null,
    Topic: null,
    shared: null,
    configureLink: null,
    configureLinks: null,
    linkBuffer: null,
    linkDrained: null,
    linkStatus: null,
    Worker: null,
    getEnvironmentData: null,
    isInternalThread: null,
    isMainThread: null,
    isMarkedAsUntransferable: null,
    markAsUncloneable: null,
    markAsUntransferable: null,
    moveMessagePortToContext: null,
    parentPort: null,
    postMessageToThread: null,
    receiveMessageOnPort: null,
    resourceLimits: null,
    setEnvironmentData: null,
    threadId: null,
    threadName: null,
    workerData: null,
    ArrayTaskQueue: null,
    FixedQueue: null,
    Piscina: null,
    Pool: null,
    Transfer: null,
    isWorkerThread: null,
    move: null,
    queueOptionsSymbol: null,
    taskSignal: null,
    transferableSymbol: null,
    valueSymbol: null,
    worker: null,
    workerEmit: null,
    workerId: null,
  });
