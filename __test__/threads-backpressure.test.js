'use strict';

/* Back-pressure between threads: when a program is told to pause, and what ends its waiting. */

const assert = require('node:assert/strict');
const path = require('node:path');
const { test } = require('node:test');
const { once } = require('node:events');

const { configureLink, linkDrained, linkStatus } = require('..');
const { state } = require('../lib/threads/launch');
const { WATCHDOG, start, messages, untilExit } = require('./support/worker');

const LIBRARY = JSON.stringify(path.join(__dirname, '..'));
const USUAL = state.lanesAfter;
const TEXT = 'x'.repeat(1000);
const MIB = 1024 * 1024;
/** States of a gate that workers block on. */
const [CLOSED, OPEN] = [0, 1];

/**
 * Starts a worker with lanes in use, blocked at a gate from the next message on.
 * @param {import('node:test').TestContext} t
 * @param {string} [after] code run for each message after the first
 */
async function startBlocked(t, after = '') {
  state.lanesAfter = 0;
  t.after(() => (state.lanesAfter = USUAL));
  const worker = start(
    t,
    `const { parentPort } = require('node:worker_threads');
    const manycore = require(${LIBRARY});
    let gate;
    parentPort.on('message', (message) => {
      if (gate === undefined) {
        gate = message;
        parentPort.postMessage('blocked');
        Atomics.wait(gate, 0, ${CLOSED});
      } else {
        ${after}
      }
    });
    parentPort.postMessage('ready');`,
  );
  await messages(worker, 1);
  const gate = new Int32Array(new SharedArrayBuffer(4));
  const blocked = messages(worker, 1);
  worker.postMessage(gate);
  await blocked;
  const open = () => {
    Atomics.store(gate, 0, OPEN);
    Atomics.notify(gate, 0);
  };
  return { worker, open };
}

/** Whether a promise is settled. @param {Promise<any>} promise */
async function isSettled(promise) {
  const pending = Symbol('pending');
  await new Promise(setImmediate);
  return (await Promise.race([promise, pending])) !== pending;
}

const KINDS = {
  'in the ring': { value: TEXT, count: 500 },
  'waiting for room in the ring': { value: TEXT, count: 10_000 },
  'stored next to the ring': { value: new Uint8Array(MIB), count: 5 },
};

for (const [kind, { value, count }] of Object.entries(KINDS)) {
  test(`a sender is notified once pending messages ${kind} have been received`, WATCHDOG, async (t) => {
    const { worker, open } = await startBlocked(t);
    assert.equal(configureLink(worker, { highWaterMarkBytes: 100_000 }), true);
    assert.equal(linkStatus(worker).needsDrain, false);
    assert.equal(await linkDrained(worker), true);
    for (let i = 0; i < count; i++) worker.postMessage(value);
    const { bufferedAmount, needsDrain } = linkStatus(worker);
    assert.ok(bufferedAmount >= count * value.length);
    assert.equal(needsDrain, true);
    const drained = [linkDrained(worker), linkDrained(worker)];
    assert.equal(await isSettled(drained[0]), false);
    open();
    assert.deepEqual(await Promise.all(drained), [true, true]);
    assert.ok(linkStatus(worker).bufferedAmount <= 50_000);
    assert.equal(linkStatus(worker).needsDrain, false);
  });
}

test('a worker is notified too, and can throttle itself indefinitely', WATCHDOG, async (t) => {
  state.lanesAfter = 0;
  t.after(() => (state.lanesAfter = USUAL));
  const worker = start(
    t,
    `const { parentPort } = require('node:worker_threads');
    const { configureLink, linkStatus, linkDrained } = require(${LIBRARY});
    (async () => {
      configureLink(parentPort, { highWaterMarkBytes: 10_000 });
      let most = 0;
      let waits = 0;
      for (let i = 0; i < 5000; i++) {
        parentPort.postMessage('${'y'.repeat(500)}');
        const { bufferedAmount, needsDrain } = linkStatus(parentPort);
        most = Math.max(most, bufferedAmount);
        if (needsDrain) {
          waits++;
          if (!(await linkDrained(parentPort))) throw new Error('nobody is there');
        }
      }
      parentPort.postMessage({ most, waits });
    })();`,
  );
  // The worker has no listener: only its wait keeps it alive.
  const { received, code } = await untilExit(worker);
  assert.equal(code, 0);
  const { most, waits } = received.pop();
  assert.equal(received.length, 5000);
  assert.ok(most < 11_000 && waits > 0, `${most} ${waits}`);
});

test('a waiting sender is notified when the other side exits', WATCHDOG, async (t) => {
  const { worker } = await startBlocked(t);
  for (let i = 0; i < 2000; i++) worker.postMessage(TEXT);
  const waiting = linkDrained(worker);
  assert.equal(await isSettled(waiting), false);
  const ended = worker.terminate();
  assert.equal(await waiting, false);
  await ended;
  assert.equal(await linkDrained(worker), false);
  assert.equal(linkStatus(worker).needsDrain, false);
});

test('a waiting sender is notified when the other side closes its port', WATCHDOG, async (t) => {
  const { worker, open } = await startBlocked(t, 'parentPort.close(); setInterval(() => {}, 1000);');
  for (let i = 0; i < 2000; i++) worker.postMessage(TEXT);
  const waiting = linkDrained(worker);
  open();
  assert.equal(await waiting, false);
});

test('a worker that exits while waiting causes no failure', WATCHDOG, async (t) => {
  state.lanesAfter = 0;
  t.after(() => (state.lanesAfter = USUAL));
  for (const end of ['process.exit(3)', 'for (;;);']) {
    const worker = start(
      t,
      `const { parentPort } = require('node:worker_threads');
      const { linkStatus, linkDrained } = require(${LIBRARY});
      const gate = require('node:worker_threads').workerData;
      while (!linkStatus(parentPort).needsDrain) parentPort.postMessage('${TEXT}');
      linkDrained(parentPort);
      setImmediate(() => {
        Atomics.store(gate, 0, ${OPEN});
        Atomics.notify(gate, 0);
        ${end}
      });`,
      { workerData: new Int32Array(new SharedArrayBuffer(4)) },
    );
    // Without a listener, its wait lasts until it ends.
    const exited = once(worker, 'exit');
    if (end === 'process.exit(3)') {
      assert.deepEqual(await exited, [3]);
    } else {
      await once(worker, 'online');
      await worker.terminate();
    }
  }
});

test('a thread that exits while its workers wait causes no failure', WATCHDOG, async (t) => {
  const middle = start(
    t,
    `const { parentPort } = require('node:worker_threads');
    require(${LIBRARY});
    require(${JSON.stringify(require.resolve('../lib/threads/launch'))}).state.lanesAfter = 0;
    const { Worker, linkDrained, linkStatus } = require(${LIBRARY});
    const gate = new Int32Array(new SharedArrayBuffer(4));
    const worker = new Worker(
      \`const { parentPort, workerData } = require('node:worker_threads');
      const { linkStatus, linkDrained } = require(${LIBRARY.replaceAll('\\', '\\\\')});
      while (!linkStatus(parentPort).needsDrain) parentPort.postMessage('${TEXT}');
      linkDrained(parentPort);
      setImmediate(() => {
        Atomics.store(workerData, 0, 1);
        Atomics.notify(workerData, 0);
      });\`,
      { eval: true, workerData: gate },
    );
    Atomics.wait(gate, 0, 0);
    parentPort.postMessage('both wait');
    for (;;);`,
  );
  assert.deepEqual(await messages(middle, 1), ['both wait']);
  assert.equal(await middle.terminate(), 1);
});

test(
  'before lanes exist, a sender with pending messages waits for the worker to start',
  WATCHDOG,
  async (t) => {
    const worker = start(
      t,
      `const { parentPort } = require('node:worker_threads');
    let count = 0;
    parentPort.on('message', (message) => {
      count++;
      if (message === 'count') parentPort.postMessage(count);
    });`,
    );
    for (let i = 0; i < 64; i++) worker.postMessage(i);
    assert.equal(linkStatus(worker).needsDrain, false);
    assert.equal(await linkDrained(worker), true);
    for (let i = 0; i < 5000; i++) worker.postMessage(i);
    assert.equal(linkStatus(worker).needsDrain, true);
    assert.equal(await linkDrained(worker), true);
    assert.equal(linkStatus(worker).needsDrain, false);
    worker.postMessage('count');
    assert.deepEqual(await messages(worker, 1), [5065]);
  },
);

test('before lanes exist, the exit of the worker ends the wait', WATCHDOG, async (t) => {
  const worker = start(t, `require('node:worker_threads'); setInterval(() => {}, 1000);`);
  for (let i = 0; i < 100; i++) worker.postMessage(i);
  const waiting = linkDrained(worker);
  assert.equal(await isSettled(waiting), false);
  await worker.terminate();
  assert.equal(await waiting, false);
});

test('a worker that cannot have lanes reports it', WATCHDOG, async (t) => {
  const worker = start(t, `require('node:worker_threads').parentPort.on('message', () => {});`, {
    execArgv: ['--no-addons'],
  });
  for (let i = 0; i < 1000; i++) worker.postMessage(i);
  assert.equal(linkStatus(worker).needsDrain, true);
  assert.equal(await linkDrained(worker), false);
  assert.equal(linkStatus(worker).needsDrain, false);
});

test('linkDrained() resolves to false for objects without a link, and invalid high-water marks are rejected', async () => {
  assert.equal(await linkDrained({}), false);
  const invalidType = { code: 'ERR_INVALID_ARG_TYPE', name: 'TypeError' };
  const outOfRange = { code: 'ERR_OUT_OF_RANGE', name: 'RangeError' };
  assert.throws(() => configureLink({}, { highWaterMarkBytes: '1' }), invalidType);
  for (const highWaterMarkBytes of [0, -1, 1.5, NaN]) {
    assert.throws(() => configureLink({}, { highWaterMarkBytes }), outOfRange);
  }
  assert.equal(configureLink({}, { highWaterMarkBytes: Infinity }), false);
});
