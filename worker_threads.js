'use strict';

/** `require('manycore/worker_threads')`: what `require('node:worker_threads')` gives, and more. */

module.exports = require('./lib/threads');

// Tells Node's ESM loader the names to export. They are those of every supported Node: one that the running Node
// does not have yet is imported as undefined, instead of failing the import as a whole.
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
