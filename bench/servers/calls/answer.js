'use strict';

/* Worker that echoes requests, with the library named by the environment. */

const library = process.env.CALLS_LIBRARY;

if (library === 'manycore') {
  require('node:worker_threads').parentPort.onRequest((/** @type {any} */ value) => value);
} else if (library === 'comlink') {
  const comlink = require('comlink');
  const nodeEndpoint = require('comlink/dist/umd/node-adapter.js');
  comlink.expose(
    { ask: (/** @type {any} */ value) => value },
    nodeEndpoint(require('node:worker_threads').parentPort),
  );
} else {
  const { parentPort } = require('node:worker_threads');
  parentPort.on('message', ({ id, value }) => parentPort.postMessage({ id, value }));
}
