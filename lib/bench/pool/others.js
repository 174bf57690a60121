'use strict';

/*
 * Worker program for contenders that need one: workerpool, synckit, and plain threads without a pool. The
 * environment says which one, and where its library is.
 */

const tasks = require('./tasks');

const { MANYCORE_BENCH_KIND: kind, MANYCORE_BENCH_LIBRARY: file = '' } = process.env;

if (kind === 'workerpool') {
  require(file).worker(tasks);
} else if (kind === 'synckit') {
  require(file).runAsWorker(async (/** @type {any} */ task) => tasks.add(task));
} else {
  const { parentPort } = require('node:worker_threads');
  parentPort?.on('message', ({ rounds, count }) => {
    for (let i = 0; i < count; i++) tasks.spin(rounds);
    parentPort?.postMessage('done');
  });
}
