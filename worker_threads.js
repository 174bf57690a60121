'use strict';

/** `require('manycore/worker_threads')`: the exports of `node:worker_threads`, and more. */

module.exports = require('./lib/threads');

// Lists the export names for Node's ESM loader. They are those of all supported versions: a name that the running
// version lacks is imported as undefined, instead of failing the whole import.
// eslint-disable-next-line no-constant-binary-expression
0 &&
  (module.exports = {
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
