'use strict';

/* A link that is not in use takes no processor time, whatever its `latency`. */

const assert = require('node:assert/strict');
const test = require('node:test');

const { configureLink } = require('..');
const { WATCHDOG, start } = require('./support/worker');

/** Time without messages, and how much of it may be used; a thread that polls would use all of it. */
const IDLE_MS = 400;
const MOST_US = 100_000;

for (const latency of ['low', 'balanced', 'frugal']) {
  test(
    `after many messages and calls, an idle link uses no processor time (${latency})`,
    WATCHDOG,
    async (t) => {
      const worker = start(
        t,
        `const { parentPort, workerData } = require('node:worker_threads');
       require(${JSON.stringify(require.resolve('..'))}).configureLink(parentPort, { latency: workerData });
       parentPort.onRequest((value) => value);
       parentPort.on('message', (value) => parentPort.postMessage(value));`,
        { workerData: latency },
      );
      configureLink(worker, { latency });
      for (let i = 0; i < 3000; i++) {
        await new Promise((resolve) => {
          worker.once('message', resolve);
          worker.postMessage({ i });
        });
      }
      for (let i = 0; i < 1000; i++) worker.call(i);
      await worker.request('last');
      let least = Infinity;
      // Compiling and collecting garbage may still use some at first.
      for (let rounds = 0; rounds < 5 && least >= MOST_US; rounds++) {
        const before = process.cpuUsage();
        await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
        const { user, system } = process.cpuUsage(before);
        least = Math.min(least, user + system);
      }
      assert.ok(least < MOST_US, `${least} us`);
    },
  );
}
