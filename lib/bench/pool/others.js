'use strict';

/*
 * The worker of what needs a program of its own: workerpool, synckit, and two threads without a pool. Which, and
 * where its library is, the environment tells.
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
