'use strict';

/**
 * Entry point: wiring only. Each part is loaded when it is first asked for; so is node:worker_threads, whose
 * names are therefore written out here. They are those of every supported Node: one that the running Node does
 * not have yet is undefined. `manycore/worker_threads` has exactly the names that the running Node has. Only
 * `locks` is another one here: that of node:worker_threads reaches no further than its process.
 */

const THREAD_NAMES = [
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
];

const LOCK_NAMES = [
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
for (const name of LOCK_NAMES) {
  lazy(name, () => /** @type {Record<string, any>} */ (require('./lib/locks'))[name]);
}
for (const name of THREAD_NAMES) {
  lazy(name, () => /** @type {Record<string, any>} */ (require('./lib/threads'))[name]);
}
for (const name of ['configureLink', 'configureLinks', 'linkStatus']) {
  lazy(name, () => /** @type {Record<string, any>} */ (require('./lib/link/settings'))[name]);
}
for (const name of ['SharedBuffer', 'SharedMap', 'shared']) {
  lazy(name, () => /** @type {Record<string, any>} */ (require('./lib/shared'))[name]);
}

// Tells Node's ESM loader the names to export.
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
    MessageChannel: null,
    MessagePort: null,
    SHARE_ENV: null,
    SharedBuffer: null,
    SharedMap: null,
    shared: null,
    configureLink: null,
    configureLinks: null,
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
  });
