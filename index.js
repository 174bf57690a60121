'use strict';

/** Entry point: wiring only. Each part is loaded when it is first asked for. */

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
for (const name of Object.keys(require('node:worker_threads'))) {
  lazy(name, () => require('./lib/threads')[name]);
}

// Tells Node's ESM loader the names to export.
0 &&
  (module.exports = {
    cluster: null,
    Worker: null,
    isMainThread: null,
    parentPort: null,
    threadId: null,
    workerData: null,
    resourceLimits: null,
    SHARE_ENV: null,
    MessageChannel: null,
    MessagePort: null,
    BroadcastChannel: null,
    receiveMessageOnPort: null,
    moveMessagePortToContext: null,
    markAsUntransferable: null,
    getEnvironmentData: null,
    setEnvironmentData: null,
  });
