'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const test = require('node:test');
const { once } = require('node:events');

const { Worker } = require('..');
const { exchange } = require('./fixtures/mixed-messages');

const COUNT = 1_000_000;
const ROUNDS = 40;

test(
  `${COUNT} randomly mixed messages arrive in order and equal in each direction`,
  { timeout: 600_000 },
  async () => {
    const worker = new Worker(
      `const { workerData, parentPort } = require('node:worker_threads');
     const { exchange } = require(${JSON.stringify(require.resolve('./fixtures/mixed-messages'))});
     exchange(parentPort, workerData).then(() => parentPort.close());`,
      { eval: true, workerData: COUNT },
    );
    const exited = once(worker, 'exit');
    await Promise.race([exchange(worker, COUNT), exited.then(() => once(worker, 'message'))]);
    assert.deepEqual(await exited, [0]);
  },
);

test(
  `workers can be terminated at random under full load, ${ROUNDS} times`,
  { timeout: 300_000 },
  async () => {
    const source = `
    const { workerData, parentPort } = require('node:worker_threads');
    parentPort.on('message', () => {});
    const large = new Uint8Array(200_000);
    const post = () => {
      for (let i = 0; i < 500; i++) {
        const n = workerData[0];
        if (n % 997 === 996) parentPort.postMessage([n, large]);
        else if (n % 1009 === 1008) parentPort.postMessage([n, new SharedArrayBuffer(1)]);
        else parentPort.postMessage([n]);
        // The message has been posted once this is seen.
        Atomics.store(workerData, 0, n + 1);
      }
      setImmediate(post);
    };
    post();`;
    const before = fs.readdirSync('/proc/self/fd').length;
    for (let round = 0; round < ROUNDS; round++) {
      const words = new Int32Array(new SharedArrayBuffer(4));
      const worker = new Worker(source, { eval: true, workerData: words });
      const until = 1 + Math.floor(Math.random() * 30_000);
      let received = 0;
      const exited = once(worker, 'exit');
      worker.on('message', ([n]) => {
        assert.equal(n, received++);
        worker.postMessage({ n, bytes: n % 500 === 0 ? new Uint8Array(150_000) : undefined });
        if (received === until) worker.terminate();
      });
      await exited;
      const posted = Atomics.load(words, 0);
      // The message being posted at the end may have been sent.
      assert.ok(received === posted || received === posted + 1, `received ${received} of ${posted} messages`);
    }
    assert.ok(fs.readdirSync('/proc/self/fd').length <= before + 4);
  },
);
