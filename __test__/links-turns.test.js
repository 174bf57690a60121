'use strict';

/* While large messages keep arriving, other callbacks of the event loop get their turns. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const test = require('node:test');

const { linkStatus } = require('..');
const { play } = require('./support/scenario');
const { WATCHDOG, start } = require('./support/worker');

const COUNT = 24;
const BYTES = 1024 * 1024;

test('between threads', WATCHDOG, async (t) => {
  const words = new Int32Array(new SharedArrayBuffer(4));
  const worker = start(
    t,
    `const { parentPort, workerData } = require('node:worker_threads');
     // Messages use lanes from now on.
     require(${JSON.stringify(require.resolve('..'))}).linkStatus(parentPort);
     parentPort.on('message', () => {
       for (let i = 0; i < ${COUNT}; i++) parentPort.postMessage(new Uint8Array(${BYTES}));
       Atomics.store(workerData, 0, 1);
       Atomics.notify(workerData, 0);
     });
     parentPort.postMessage('ready');`,
    { workerData: words },
  );
  await new Promise((resolve) => worker.once('message', resolve));
  assert.ok(linkStatus(worker));
  worker.postMessage('go');
  // All of them have arrived before the first one is received.
  assert.notEqual(Atomics.wait(words, 0, 0, 60_000), 'timed-out');
  let received = 0;
  let turns = 0;
  await new Promise((resolve) => {
    worker.on('message', () => {
      for (const end = performance.now() + 1; performance.now() < end;);
      if (received++ === 0) setImmediate(() => (turns = COUNT - received));
      if (received === COUNT) setImmediate(resolve);
    });
  });
  assert.ok(turns > 0);
});

for (const serialization of ['json', 'advanced']) {
  test(`between processes (${serialization})`, WATCHDOG, async (t) => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'manycore-turns-'));
    t.after(() => fs.rmSync(folder, { recursive: true }));
    const file = path.join(folder, 'sent');
    const { result } = await play(t, {
      env: { FILE: file, SERIALIZATION: serialization, COUNT: String(COUNT), BYTES: String(BYTES) },
      async primary({ cluster, once, require }) {
        const fs = require('node:fs');
        const count = Number(process.env.COUNT);
        cluster.setupPrimary({ serialization: process.env.SERIALIZATION });
        const worker = cluster.fork();
        await once(worker, 'message');
        worker.send('go');
        const word = new Int32Array(new SharedArrayBuffer(4));
        while (!fs.existsSync(process.env.FILE)) Atomics.wait(word, 0, 0, 5);
        let received = 0;
        let left = 0;
        await new Promise((resolve) => {
          worker.on('message', () => {
            for (const end = performance.now() + 1; performance.now() < end;);
            if (received++ === 0) setImmediate(() => (left = count - received));
            if (received === count) setImmediate(resolve);
          });
        });
        worker.disconnect();
        return left;
      },
      worker({ require }) {
        const fs = require('node:fs');
        const { COUNT, BYTES, FILE, SERIALIZATION } = process.env;
        const value = SERIALIZATION === 'json' ? 'x'.repeat(Number(BYTES)) : new Uint8Array(Number(BYTES));
        process.on('message', () => {
          let left = Number(COUNT);
          const onSent = () => --left === 0 && fs.writeFileSync(FILE, '');
          for (let i = left; i > 0; i--) process.send(value, onSent);
        });
        process.send('ready');
      },
    });
    assert.ok(result > 0);
  });
}
