'use strict';

/** `require('manycore/cluster')`: the exports of `node:cluster`, and more. */

module.exports = require('./lib/cluster');

// Lists the export names for Node's ESM loader.
// eslint-disable-next-line no-constant-binary-expression
0 &&
  (module.exports = {
    SCHED_NONE: null,
    SCHED_RR: null,
    Worker: null,
    disconnect: null,
    fork: null,
    isMaster: null,
    isPrimary: null,
    isWorker: null,
    schedulingPolicy: null,
    settings: null,
    setupMaster: null,
    setupPrimary: null,
    worker: null,
    workers: null,
  });
