'use strict';

/*
 * A worker thread that says hello: the classic worker_threads program, with only the `require` changed.
 *
 *   node examples/worker.js
 */

const { Worker } = require('manycore');

new Worker(
  `
    const { parentPort } = require('worker_threads');
    parentPort.postMessage('Hello from Worker');
`,
  { eval: true },
).on('message', console.log);
