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
  lazy(name, () => /** @type {Record<string, any>} */ (require('./lib/threads'))[name]);
}

// Tells Node's ESM loader the names to export. It holds those of every supported Node: a name that the running
// one does not have yet is imported as undefined instead of failing the whole import.
// eslint-disable-next-line no-constant-binary-expression
0 &&
  (module.exports = {
    cluster: null,
    BroadcastChannel: null,
    MessageChannel: null,
    MessagePort: null,
    SHARE_ENV: null,
    Worker: null,
    getEnvironmentData: null,
    isInternalThread: null,
    isMainThread: null,
    isMarkedAsUntransferable: null,
    locks: null,
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
